//! What an operator puts beside the server, as `deploy/` has it: nginx before three nodes that are
//! rolled one after the other, the unit for systemd, and the settings that the compose file gives.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::history::checker::assert_holds;
use crate::history::recorder::{Load, Run};
use crate::support::api::Api;
use crate::support::broker::Kind;
use crate::support::cluster::Cluster;
use crate::support::nginx::Nginx;
use crate::support::{API_KEY, PATIENCE, TOKEN_SECRET, seed, tidings};

/// How often all nodes are rolled, unless `TIDINGS_TEST_ROUNDS` says otherwise.
const ROUNDS: usize = 2;
const NODES: usize = 3;
/// Exposure as `systemd-analyze security` puts it, from 0 to 10.
const EXPOSURE_MAX: f64 = 2.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_behind_nginx_are_rolled_under_load_and_nothing_is_lost_or_repeated() {
    let rounds = std::env::var("TIDINGS_TEST_ROUNDS");
    let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().expect("it is a number"));
    let settings = [
        ("STREAMS__HEARTBEAT_SECS", "1"),
        ("STREAMS__DRAIN_DELAY_SECS", "1"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let mut cluster = Cluster::start(Kind::Redis, NODES, &settings);
    let addresses = [0, 1, 2].map(|index| cluster.address(index).to_owned());
    let nginx = Nginx::start_deployed(&[&addresses[0], &addresses[1], &addresses[2]]);
    let load = Load { clients: 6, ..Load::default() };
    let run = Run::begin(vec![nginx.url.clone()], load, seed()).await;
    for _ in 0..rounds {
        for node in 0..NODES {
            run.more(50).await;
            cluster.stop(node);
            cluster.start_again(node);
            is_ready(&cluster.url(node)).await;
        }
    }
    run.more(50).await;
    let recording = run.finish().await;
    assert_holds(&recording.history);
    assert_eq!(recording.gaps(), 0);
    let attempts = &recording.attempts;
    assert!(attempts.refused.is_empty(), "{attempts:?}");
    // Under 0.1%, of which a few requests can be no more than one.
    let failures = attempts.failures();
    assert!(failures <= 1.max(attempts.acknowledged / 1000), "{attempts:?}");
    let log = nginx.access_log();
    assert!(log.contains("\"GET /api/sse\" 200") && !log.contains("topic="), "no query is logged");
}

/// Waits until a node takes events, as whoever rolls the next one does.
async fn is_ready(url: &str) {
    let api = Api::new(url);
    let waiting = async {
        while api.get_as_nobody("/readyz").send().await.unwrap().status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the node is never ready");
}

#[test]
fn the_unit_shows_little_of_the_machine() {
    let mut analysis = Command::new("systemd-analyze");
    analysis.args(["security", "--offline=true", "--no-pager"]).arg(deployed("tidings.service"));
    let output = analysis.output().expect("the tests need systemd-analyze; install it: systemd");
    let text = String::from_utf8_lossy(&output.stdout);
    let level = text
        .lines()
        .find_map(|line| line.split("service: ").nth(1))
        .unwrap_or_else(|| panic!("no level in {text}{}", String::from_utf8_lossy(&output.stderr)));
    let level: f64 = level.split(' ').next().unwrap().parse().unwrap();
    assert!(level <= EXPOSURE_MAX, "{text}");
}

#[test]
fn a_node_starts_with_what_the_unit_and_the_compose_file_set() {
    let secrets = tempfile::tempdir().unwrap();
    let secret = |name: &str, value: &str| {
        let path = secrets.path().join(name);
        std::fs::write(&path, value).unwrap();
    };
    secret("api-key", API_KEY);
    secret("token-secret", TOKEN_SECRET);
    let unit = std::fs::read_to_string(deployed("tidings.service")).unwrap();
    let unit = unit.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('='));
    let unit = unit.map(|(name, value)| {
        (name.to_owned(), value.replace("%d", &secrets.path().display().to_string()))
    });
    let compose = std::fs::read_to_string(deployed("compose.yaml")).unwrap();
    let compose = compose.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": "));
    let compose = compose.filter(|(name, _)| name.starts_with("TIDINGS_")).map(|(name, value)| {
        let value = match name {
            "TIDINGS_API_KEY" => API_KEY,
            "TIDINGS_TOKEN_SECRET" => TOKEN_SECRET,
            _ => value.trim_matches('"'),
        };
        (name.to_owned(), value.to_owned())
    });
    for (file, settings) in
        [("tidings.service", unit.collect::<Vec<_>>()), ("compose.yaml", compose.collect())]
    {
        assert!(settings.len() > 1, "{file}: {settings:?}");
        let mut check = tidings();
        let output = check.args(["config", "check"]).envs(settings).output().unwrap();
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name)
}

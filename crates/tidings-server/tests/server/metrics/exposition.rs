//! The text that Prometheus reads: what others' parsers make of it, and that the dashboard, the rules
//! and the documentation speak of what is there.

use std::collections::BTreeSet;
use std::path::Path;

use super::view::{get, parse, series};
use crate::support::Server;
use crate::support::api::Api;

/// A file of the repository.
fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names in a text that begin with ours; those of recorded series have colons.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == ':';
    let words = text.split(|char| !is_part(char)).map(|word| word.trim_end_matches(':'));
    let names = words.filter(|word| word.starts_with("tidings_") || word.starts_with("tidings:"));
    names.map(str::to_owned).collect()
}

/// The name of every series, without its labels.
fn names_of_series(text: &str) -> BTreeSet<String> {
    series(text).iter().map(|series| series.split('{').next().unwrap().to_owned()).collect()
}

/// The name of every metric: a histogram has several series under one.
fn families(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    types.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_formats_say_the_same_and_a_parser_reads_them() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let mut formats = Vec::new();
    for (accept, content_type) in [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;q=0.5",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ] {
        let answer = api.get("/metrics").header("accept", accept).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], content_type);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        formats.push(answer.text().await.unwrap());
    }
    let [text, open] = &formats[..] else { panic!("there are two") };
    assert_eq!(series(text), series(open));
    assert!(open.ends_with("\n# EOF\n") && !text.contains("# EOF"), "{open}");
    assert_eq!(parse(text).samples.len(), parse(open).samples.len());
    // In this format every sample has a type and a sentence before it.
    let scrape = parse(text);
    for name in names_of_series(text) {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let is_described =
            [Some(&*name), family].iter().flatten().any(|name| scrape.docs.contains_key(*name));
        assert!(is_described, "{name} has no HELP");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dashboard_and_the_rules_name_only_what_there_is() {
    let server = Server::start(&[]);
    let text = get(&Api::new(&server.url()), "/metrics").await;
    let there: BTreeSet<_> = names_of_series(&text).union(&families(&text)).cloned().collect();
    let rules = file("deploy/prometheus/rules.yml");
    let recorded: BTreeSet<_> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- record: "))
        .map(str::to_owned)
        .collect();
    assert!(!recorded.is_empty());
    for path in ["deploy/prometheus/rules.yml", "deploy/grafana/tidings.json"] {
        let named = names(&file(path));
        assert!(named.len() > 10, "{path}: {named:?}");
        let unknown: Vec<_> =
            named.difference(&there).filter(|name| !recorded.contains(*name)).collect();
        assert_eq!(unknown, Vec::<&String>::new(), "in {path}");
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(&file("deploy/grafana/tidings.json")).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_documented_and_nothing_else_is() {
    let server = Server::start(&[]);
    let text = get(&Api::new(&server.url()), "/metrics").await;
    let families = families(&text);
    let documentation = file("docs/metrics.md");
    let documented: BTreeSet<_> = documentation
        .lines()
        .filter_map(|line| line.strip_prefix("| `tidings_")?.split('`').next())
        .map(|name| format!("tidings_{name}"))
        .collect();
    assert_eq!(documented, families);
    let there: BTreeSet<_> = names_of_series(&text).union(&families).cloned().collect();
    let recorded = names(&file("deploy/prometheus/rules.yml"));
    let unknown: Vec<_> = names(&documentation)
        .into_iter()
        .filter(|name| !there.contains(name) && !recorded.contains(name))
        .collect();
    assert_eq!(unknown, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_says_which_node_it_is_of() {
    for (setting, name) in [(Some("live-1"), Some("live-1")), (None, None)] {
        let settings: Vec<_> = setting.map(|name| ("NODE_NAME", name)).into_iter().collect();
        let server = Server::start(&settings);
        let api = Api::new(&server.url());
        let node = |text: &str| {
            let json: serde_json::Value = serde_json::from_str(text).unwrap();
            json["node"].as_str().unwrap().to_owned()
        };
        let found = node(&get(&api, "/api/admin/sse-metrics").await);
        assert_eq!(node(&get(&api, "/api/admin/stats").await), found);
        let text = get(&api, "/metrics").await;
        assert!(text.contains(&format!("node=\"{found}\"")), "{text}");
        assert!(name.map_or(found.len() > 5, |name| name == found), "{found}");
    }
}

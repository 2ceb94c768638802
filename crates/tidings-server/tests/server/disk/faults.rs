//! A disk that is full, and a disk that fails: what is not safe is not acknowledged, reading goes on.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use super::{read_on, serve, start};
use crate::support::api::{Api, json};
use crate::support::{PATIENCE, Server};

/// The same command, run by another.
fn run_by(words: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(words[0]);
    outer.args(&words[1..]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

/// The status of a publication, and the id that it was given.
async fn publish(api: &Api, data: &Value) -> (u16, Value) {
    let answer = api.post(json!({ "topic": "a", "data": data }).to_string()).send().await.unwrap();
    let status = answer.status().as_u16();
    let mut answer = json(answer).await;
    (status, if status == 201 { answer["id"].take() } else { answer["code"].take() })
}

async fn readiness(api: &Api) -> (u16, Value) {
    let answer = api.get("/readyz").send().await.unwrap();
    (answer.status().as_u16(), json(answer).await)
}

/// What was found out a moment ago is said again, so it may take one. Returns what the broker says.
async fn wait_for_readiness(api: &Api, expected: u16) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, mut report) = readiness(api).await;
        if status == expected {
            return report["checks"]["broker"]["detail"].take();
        }
        assert!(Instant::now() < deadline, "/readyz is never answered with {expected}");
        tokio::task::yield_now().await;
    }
}

fn set_file_bytes_max(server: &Server, limit: &str) {
    let pid = server.pid().to_string();
    let limit = format!("--fsize={limit}:");
    let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap();
    assert!(status.success());
}

/// What is read now and after a kill is what was acknowledged.
async fn check(server: Server, folder: &Path, begin: &str, acknowledged: &[(Value, Value)]) {
    let expected: Vec<_> = acknowledged
        .iter()
        .map(|(id, data)| (id.as_str().unwrap().to_owned(), data.clone()))
        .collect();
    let api = Api::new(&server.url());
    assert_eq!(read_on(&api, "a", begin).await.0, expected);
    drop(server);
    let server = start(folder, &[]);
    let api = Api::new(&server.url());
    assert_eq!(read_on(&api, "a", begin).await.0, expected);
    assert_eq!(publish(&api, &json!("after all")).await.0, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_and_got_over() {
    let folder = tempfile::tempdir().unwrap();
    // No file may be longer than this, as if there were no more room. What a shell ignores, the
    // program that it becomes ignores too: the error is to be seen, not the signal.
    let shell = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh", "prlimit", "--fsize=65536:"];
    let server = Server::spawn(run_by(&shell, &serve(folder.path(), &[])));
    let api = Api::new(&server.url());
    let begin = api.newest().await;
    let mut stream = api.stream("topic=a").await;
    stream.next_of("tidings.connected").await;
    let mut acknowledged = Vec::new();
    let text = "x".repeat(3000);
    let refused = loop {
        let data = json!(format!("{} {text}", acknowledged.len()));
        match publish(&api, &data).await {
            (201, id) => acknowledged.push((id, data)),
            refused => break refused,
        }
        assert!(acknowledged.len() < 100, "the disk is never full");
    };
    assert_eq!(refused, (507, json!("no-room")));
    assert_eq!(publish(&api, &json!(text)).await, (507, json!("no-room")));
    let keyed = json!({ "topic": "a", "data": text, "key": "k" }).to_string();
    assert_eq!(api.post(keyed.clone()).send().await.unwrap().status(), 507);
    server.wait_for_log("the log has no room");
    assert_eq!(wait_for_readiness(&api, 503).await, "it has no room");
    // Whoever reads has all that was acknowledged, and nothing else.
    for (id, data) in &acknowledged {
        let block = stream.next_event().await;
        assert_eq!((&json!(block.id()), &block.json()), (id, data));
    }
    set_file_bytes_max(&server, "unlimited");
    wait_for_readiness(&api, 200).await;
    server.wait_for_log("the log has room again");
    let (status, id) = publish(&api, &json!("room")).await;
    assert_eq!(status, 201, "{id}");
    assert_eq!(json!(stream.next_event().await.id()), id);
    acknowledged.push((id, json!("room")));
    // A key of what had no room was never used.
    let id = api.publish(keyed.clone()).await;
    assert_eq!(stream.next_event().await.id(), id);
    assert_eq!(api.publish(keyed).await, id);
    acknowledged.push((json!(id), json!(text)));
    check(server, folder.path(), &begin, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_first_failed_fsync_nothing_is_acknowledged_any_more() {
    const GOOD: usize = 10;
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    // One of the thread that writes fails, and no other: what the system says afterwards is not
    // believed. The first sets positions aside for the node's own events, which go on.
    let inject = format!("inject=fdatasync:error=EIO:when={}", 1 + GOOD + 1);
    let trace = trace.to_str().unwrap();
    let strace = ["strace", "-D", "-f", "-qq", "-o", trace, "-e", "trace=fdatasync", "-e", &inject];
    let log = folder.path().join("log");
    let server = Server::spawn(run_by(&strace, &serve(&log, &[])));
    let api = Api::new(&server.url());
    assert_eq!(readiness(&api).await.0, 200);
    let begin = api.newest().await;
    let mut acknowledged = Vec::new();
    for number in 0..GOOD {
        let (status, id) = publish(&api, &json!(number)).await;
        assert_eq!(status, 201, "{number}: {id}");
        acknowledged.push((id, json!(number)));
    }
    for number in GOOD..GOOD + 5 {
        assert_eq!(publish(&api, &json!(number)).await, (503, json!("unavailable")));
    }
    server.wait_for_log("the log cannot be relied on");
    let detail = wait_for_readiness(&api, 503).await;
    assert!(detail.as_str().unwrap().contains("takes nothing more"), "{detail}");
    let mut stats = api.stream("topic=$tidings/stats").await;
    let sample = stats.next_of("stats").await.json();
    assert_eq!(sample["broker"], json!({ "kind": "disk", "status": "down" }));
    check(server, &log, &begin, &acknowledged).await;
}

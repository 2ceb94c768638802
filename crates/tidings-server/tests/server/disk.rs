//! The broker `disk`: what outlives a node, and one node for a folder.

mod faults;
mod kills;

use std::path::Path;
use std::process::{Command, Output};

use rstest::rstest;
use serde_json::{Value, json};
use tidings_hub::Cursor;

use crate::support::api::{Api, json};
use crate::support::broker::{Ground, Kind};
use crate::support::tokens::mint;
use crate::support::{API_KEY, Server, TOKEN_SECRET, tidings};

/// A `serve` command on this folder.
fn serve(folder: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = tidings();
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    command.env("TIDINGS_API_KEY", API_KEY).env("TIDINGS_TOKEN_SECRET", TOKEN_SECRET);
    command.env("TIDINGS_BROKER", format!("disk:{}", folder.display()));
    command.env("TIDINGS_STREAMS__DRAIN_DELAY_SECS", "0");
    for (name, value) in settings {
        command.env(format!("TIDINGS_{name}"), value);
    }
    command
}

fn start(folder: &Path, settings: &[(&str, &str)]) -> Server {
    Server::spawn(serve(folder, settings))
}

/// Asks it to stop, and waits until it has.
fn stop(mut server: Server) {
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
}

/// Every event of a topic after a cursor, which must be all there is: ids and data. And the cursor to
/// go on from.
async fn read_on(api: &Api, topic: &str, cursor: &str) -> (Vec<(String, Value)>, String) {
    let (mut events, mut cursor) = (Vec::new(), cursor.to_owned());
    loop {
        let answer = api.poll(&format!("topic={topic}&lastEventId={cursor}")).await;
        assert_eq!((&answer["resumed"], &answer["gap"]), (&json!(true), &Value::Null), "{answer}");
        answer["cursor"].as_str().unwrap().clone_into(&mut cursor);
        let page = answer["events"].as_array().unwrap();
        if page.is_empty() {
            return (events, cursor);
        }
        let of = |event: &Value| (event["id"].as_str().unwrap().to_owned(), event["data"].clone());
        events.extend(page.iter().map(of));
    }
}

#[rstest]
#[case::told_to_stop(true)]
#[case::killed(false)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_the_node(#[case] in_order: bool) {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let api = Api::new(&server.url());
    let start_cursor = api.newest().await;
    let first = api.publish(r#"{"topic":"a","data":1,"key":"one"}"#).await;
    let answer = json(api.post(r#"{"topic":"a","data":2}"#).send().await.unwrap()).await;
    assert_eq!(answer["durability"], "fsync");
    let token = mint("ann", |request| request.sid = Some("s1".to_owned()));
    let revoked = api.post_to("/api/revocations").json(&json!({ "session": "s1" }));
    assert_eq!(revoked.send().await.unwrap().status(), 200);
    // Positions go to events of the node's own as well, which are not kept.
    assert_eq!(api.get("/readyz").send().await.unwrap().status(), 200);
    let newest = api.newest().await;
    if in_order {
        stop(server);
    } else {
        drop(server);
    }

    let server = start(folder.path(), &[]);
    let api = Api::new(&server.url());
    let (events, _) = read_on(&api, "a", &start_cursor).await;
    assert_eq!(events.iter().map(|(_, data)| data.clone()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(events[0].0, first);
    // Nobody's place is ahead of the log.
    assert_eq!(read_on(&api, "a", &newest).await.0, []);
    let again = api.post(r#"{"topic":"a","data":1,"key":"one"}"#).send().await.unwrap();
    assert_eq!((again.status().as_u16(), json(again).await["id"].clone()), (201, json!(first)));
    let other = api.post(r#"{"topic":"a","data":9,"key":"one"}"#).send().await.unwrap();
    assert_eq!(other.status(), 409);
    let client = reqwest::Client::new();
    let refused = client.get(format!("{}/api/polling", server.url())).bearer_auth(&token);
    let refused = refused.send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), json(refused).await["code"].clone()),
        (401, json!("revoked"))
    );
    // A new event has a place of its own, in the same epoch.
    let next: Cursor = api.publish(r#"{"topic":"a","data":3}"#).await.parse().unwrap();
    let newest: Cursor = newest.parse().unwrap();
    assert!(next.epoch == newest.epoch && next.position > newest.position, "{next} after {newest}");
    assert_eq!(read_on(&api, "a", &start_cursor).await.0.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_goes_on_where_it_was_when_its_node_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let api = Api::new(&server.url());
    let mut stream = api.stream("topic=a").await;
    stream.next_of("tidings.connected").await;
    let id = api.publish(r#"{"topic":"a","data":1}"#).await;
    assert_eq!(stream.next_event().await.id(), id);
    api.publish(r#"{"topic":"a","data":2}"#).await;
    drop((server, stream));
    let server = start(folder.path(), &[]);
    let api = Api::new(&server.url());
    let mut stream = api.stream(&format!("topic=a&lastEventId={id}")).await;
    assert_eq!(stream.next_of("tidings.connected").await.json()["resumed"], true);
    assert_eq!(stream.next_event().await.data(), "2");
    api.publish(r#"{"topic":"a","data":3}"#).await;
    assert_eq!(stream.next_event().await.data(), "3");
}

#[test]
fn a_second_node_is_told_who_has_the_folder() {
    let Ground::Disk(folder) = Ground::new(Kind::Disk) else { unreachable!("as asked for") };
    let server = start(folder.path(), &[]);
    let second = serve(folder.path(), &[]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(&format!("in use by process {}", server.pid())), "{said}");
}

fn log(arguments: &[&str], folder: &Path) -> Output {
    tidings().arg("log").args(arguments).arg("--folder").arg(folder).output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_can_look_into_the_folder_while_a_node_uses_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let api = Api::new(&server.url());
    let first = api.publish(r#"{"topic":"a","data":1,"key":"k"}"#).await;
    let last = api.publish(r#"{"topic":"a","data":2}"#).await;
    let stats = log(&["stats", "--json"], folder.path());
    let stats: Value = serde_json::from_slice(&stats.stdout).unwrap();
    let counts = [&stats["inUse"], &stats["segments"], &stats["events"], &stats["keys"]];
    assert_eq!(counts, [&json!(true), &json!(1), &json!(2), &json!(1)], "{stats}");
    assert_eq!((&stats["first"], &stats["last"]), (&json!(first), &json!(last)));
    let verdict = log(&["verify"], folder.path());
    let said = String::from_utf8_lossy(&verdict.stdout);
    assert!(verdict.status.success() && said.contains("a node is using it"), "{said}");
    drop(server);

    let segment = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.into_iter().find(|path| path.extension().is_some_and(|it| it == "log"));
    let segment = segment.unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.len() - 3;
    bytes[at] ^= 4;
    std::fs::write(&segment, bytes).unwrap();
    let verdict = log(&["verify"], folder.path());
    let said = String::from_utf8_lossy(&verdict.stdout);
    assert_eq!(verdict.status.code(), Some(1), "{said}");
    let place = segment.file_name().unwrap().to_str().unwrap();
    assert!(said.contains(&format!("damaged: {place} at byte")), "{said}");

    // A node goes on in another epoch, and says so.
    let server = start(folder.path(), &[]);
    let api = Api::new(&server.url());
    let answer = api.poll(&format!("topic=a&lastEventId={last}")).await;
    assert_eq!((&answer["resumed"], &answer["gap"]["reason"]), (&json!(false), &json!("epoch")));
    let events = answer["events"].as_array().unwrap();
    assert_eq!(events.iter().map(|event| &event["data"]).collect::<Vec<_>>(), [&json!(1)]);
    drop(server);
    assert!(log(&["verify"], folder.path()).status.success());
}

//! Alerts as those get them who are told: by a real web server and a real mail server, from a node
//! with real streams.

mod mail_server;
mod receiver;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use aws_lc_rs::hmac;
use mail_server::{MailServer, PASSWORD, USERNAME};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use receiver::{Answer, Post, Receiver};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::support::api::{Api, Stream};
use crate::support::raw::Raw;
use crate::support::{API_KEY, Server, TOKEN_SECRET, tidings, unix_ms};

/// What alerts are signed with.
const ALERT_SECRET: &str = "canarySecretqX2mKd9LwPz8RtY5vB3nHjG7cF1aS0";
/// A look a second, and what it sees is told at once.
const AT_ONCE: &str = "[alerts]\nnode = \"edge-1\"\nevery_secs = 1\nfor_secs = 0\n";
/// Two streams may be open.
const TWO_STREAMS: &str = "connections_max = 2\n";

/// A node with a configuration file of its own.
struct Node {
    server: Server,
    api: Api,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Node {
    fn start(settings: &str) -> Self {
        Self::start_with(settings, |_| {})
    }

    fn start_with(settings: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tidings.toml");
        std::fs::write(&file, settings).unwrap();
        let mut command = with_config(&["serve", "--listen", "127.0.0.1:0"], &file);
        command.env("TIDINGS_STREAMS__DRAIN_DELAY_SECS", "0");
        prepare(&mut command);
        let server = Server::spawn(command);
        let api = Api::new(&server.url());
        Self { server, api, file, _folder: folder }
    }

    async fn open(&self, streams: usize) -> Vec<Stream> {
        let mut open = Vec::new();
        for _ in 0..streams {
            open.push(self.api.stream("topic=a").await);
        }
        open
    }

    fn reload(&self, settings: &str) {
        std::fs::write(&self.file, settings).unwrap();
        self.server.signal("HUP");
        self.server.wait_for_log("reloaded");
    }
}

fn with_config(arguments: &[&str], file: &Path) -> Command {
    let mut command = tidings();
    command.args(arguments).arg("--config").arg(file);
    command.env("TIDINGS_API_KEY", API_KEY).env("TIDINGS_TOKEN_SECRET", TOKEN_SECRET);
    command
}

fn webhook(url: &str, more: &str) -> String {
    format!("[[alerts.webhooks]]\nurl = \"{url}\"\n{more}\n")
}

fn signed(url: &str) -> String {
    webhook(url, &format!("secret = \"{ALERT_SECRET}\""))
}

fn mail(url: &str, more: &str) -> String {
    format!(
        "[alerts.mail]\nsmtp_url = \"{url}\"\nfrom = \"Tidings <tidings@example.com>\"\n\
         to = [\"ann@example.com\", \"Ben <ben@example.com>\"]\n{more}\n"
    )
}

/// The seconds of a signature that is right.
fn signed_at(post: &Post) -> u64 {
    let (time, signature) = post.header("tidings-signature").split_once(",v1=").unwrap();
    let time = time.strip_prefix("t=").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, ALERT_SECRET.as_bytes());
    let tag: Vec<u8> = (0..signature.len() / 2)
        .map(|at| u8::from_str_radix(&signature[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let message = format!("{time}.{}", post.body);
    hmac::verify(&key, message.as_bytes(), &tag).expect("the signature is right");
    let secs = time.parse().unwrap();
    assert!(secs <= unix_ms() / 1000, "{secs}");
    secs
}

/// What the example in the documentation says of a post.
fn documented_verdict(secret: &str, header: &str, body: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/alerts.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("```js\n").expect("there is an example");
    let (example, _) = rest.split_once("```").unwrap();
    let script = format!("{example}\nconsole.log(isFromTidings(...process.argv.slice(1)));");
    let output = Command::new("node")
        .args(["--input-type=module", "--eval", &script, "--", secret, header, body])
        .stderr(Stdio::inherit())
        .output()
        .expect("the tests need Node.js");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn without(mut json: Value, fields: &[&str]) -> Value {
    for field in fields {
        let taken = json.as_object_mut().unwrap().remove(*field);
        assert!(taken.is_some(), "no {field} in {json}");
    }
    json
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_threshold_that_is_passed_is_told_once_and_taken_back() {
    let (mut program, mut chat) = (Receiver::start([]).await, Receiver::start([]).await);
    let mut mails = MailServer::start(None, &[]).await;
    let credentials = format!("username = \"{USERNAME}\"");
    let settings = [
        AT_ONCE,
        TWO_STREAMS,
        "errors_per_minute_max = 1\n",
        &signed(&format!("{}/hook", program.url)),
        &webhook(&chat.url, "format = \"slack\""),
        &mail(&format!("smtp://127.0.0.1:{}", mails.port), &credentials),
    ];
    let node = Node::start_with(&settings.concat(), |command| {
        command.env("TIDINGS_ALERTS__MAIL__PASSWORD", PASSWORD);
    });
    let mut streams = node.open(3).await;

    let post = program.next().await;
    assert_eq!((post.path.as_str(), post.header("content-type")), ("/hook", "application/json"));
    signed_at(&post);
    let raised = json!({
        "state": "raised", "node": "edge-1", "measure": "connections", "value": 3,
        "threshold": 2, "text": "edge-1: open streams: 3, more than 2",
    });
    assert_eq!(without(post.json(), &["id", "time", "since"]), raised);
    let header = post.header("tidings-signature");
    assert_eq!(documented_verdict(ALERT_SECRET, header, &post.body), "true");
    assert_eq!(documented_verdict(TOKEN_SECRET, header, &post.body), "false");
    assert_eq!(documented_verdict(ALERT_SECRET, header, &post.body.replace('3', "4")), "false");
    assert_eq!(documented_verdict(ALERT_SECRET, "", &post.body), "false");

    let post = chat.next().await;
    assert_eq!(post.header("tidings-signature"), "");
    assert_eq!(post.json()["text"], ":warning: edge-1: open streams: 3, more than 2");

    let mail = mails.next().await;
    assert_eq!((mail.from.as_str(), mail.signed_in), ("tidings@example.com", true));
    assert_eq!(mail.to, ["ann@example.com", "ben@example.com"]);
    assert_eq!(mail.header("Subject"), "edge-1: open streams: 3, more than 2");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert!(mail.lines.iter().any(|line| line == "setting alerts.connections_max"), "{mail:?}");

    let line = node.server.wait_for_log("alert");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["level"], "WARN");
    let fields = &line["fields"];
    assert_eq!((&fields["measure"], &fields["value"]), (&json!("connections"), &json!(3)));

    // One stream more changes nothing, and neither does one that is as many as there may be.
    streams.push(node.api.stream("topic=a").await);
    streams.truncate(1);
    let post = program.next().await;
    signed_at(&post);
    let recovered = json!({
        "state": "recovered", "node": "edge-1", "measure": "connections", "value": 1,
        "threshold": 2, "text": "edge-1: open streams: 1, well below 2 again",
    });
    assert_eq!(without(post.json(), &["id", "time", "since"]), recovered);
    let text = ":white_check_mark: edge-1: open streams: 1, well below 2 again";
    assert_eq!(chat.next().await.json()["text"], text);
    assert_eq!(mails.next().await.header("Subject"), "edge-1: open streams: 1, well below 2 again");

    // Over it again within the cooldown: the look that sees it sees the errors too, and tells these
    // alone.
    streams.extend(node.open(3).await);
    for _ in 0..2 {
        let answer = node.api.get_as_nobody("/api/sse?topic=a").bearer_auth("tk_no").send().await;
        assert_eq!(answer.unwrap().status(), 401);
    }
    assert_eq!(program.next().await.json()["measure"], "errors_per_minute");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_told_again_only_after_the_cooldown() {
    let mut receiver = Receiver::start([]).await;
    let settings = [AT_ONCE, "cooldown_secs = 3\n", TWO_STREAMS, &webhook(&receiver.url, "")];
    let node = Node::start(&settings.concat());
    let _streams = node.open(3).await;
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(receiver.next().await.json());
    }
    let states: Vec<_> = told.iter().map(|json| json["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["raised", "still-raised", "still-raised"]);
    assert!(told.iter().all(|json| json["since"] == told[0]["since"]), "{told:#?}");
    let ids: HashSet<_> = told.iter().map(|json| json["id"].to_string()).collect();
    assert_eq!(ids.len(), 3);
    let times: Vec<_> = told.iter().map(|json| unix_ms_of(&json["time"])).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 2900), "{times:?}");
    assert!(times[2] <= unix_ms());
}

/// Milliseconds since the Unix epoch of a time as RFC 3339 has it.
fn unix_ms_of(time: &Value) -> u64 {
    let time = time.as_str().unwrap();
    let output = Command::new("date").args(["-u", "+%s%3N", "-d", time]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_in_passing_is_sent_again_and_a_redirect_is_not_followed() {
    let failing = [Answer::Status(500), Answer::Status(429), Answer::Status(200)];
    let mut receiver = Receiver::start(failing).await;
    let mut moved = Receiver::start([Answer::Redirect("/elsewhere"), Answer::Status(404)]).await;
    let settings = [AT_ONCE, TWO_STREAMS, &signed(&receiver.url), &webhook(&moved.url, "")];
    let node = Node::start(&settings.concat());
    let mut streams = node.open(3).await;

    let posts = [receiver.next().await, receiver.next().await, receiver.next().await];
    assert!(posts.iter().all(|post| post.body == posts[0].body), "{posts:#?}");
    let signed: Vec<_> = posts.iter().map(signed_at).collect();
    assert!(signed.is_sorted(), "{signed:?}");

    assert_eq!(moved.next().await.json()["state"], "raised");
    let line = node.server.wait_for_log("alert not sent");
    assert!(line.contains("it answered 307, and redirects are not followed"), "{line}");
    assert!(line.contains("alerts.webhooks[1] (127.0.0.1)"), "{line}");
    // The next thing that is posted there is the next alert, to the address that is set.
    streams.clear();
    let post = moved.next().await;
    assert_eq!((post.path.as_str(), &post.json()["state"]), ("/", &json!("recovered")));
    let line = node.server.wait_for_log("alert not sent");
    assert!(line.contains("it answered 404") && line.contains("\"attempt\":1"), "{line}");
    assert_eq!(receiver.next().await.json()["state"], "recovered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_server_is_asked_again_unless_it_refuses_for_good() {
    let mut mails = MailServer::start(None, &["451 later", "550 nobody"]).await;
    let settings = [AT_ONCE, TWO_STREAMS, &mail(&format!("smtp://localhost:{}", mails.port), "")];
    let node = Node::start(&settings.concat());
    let mut streams = node.open(3).await;
    // The first is put off, the second refused: 550 is for good.
    let line = node.server.wait_for_log("alert not sent");
    assert!(line.contains("it answered 550") && line.contains("\"attempt\":2"), "{line}");
    streams.clear();
    let mail = mails.next().await;
    assert!(mail.header("Subject").ends_with("well below 2 again"), "{mail:?}");
    assert!(!mail.signed_in);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_gaps_and_peaks_are_counted_where_they_happen() {
    let mut receiver = Receiver::start([]).await;
    let thresholds =
        "errors_per_minute_max = 3\ngaps_per_minute_max = 1\nconnections_peak_max = 1\n";
    let settings = [AT_ONCE, thresholds, &webhook(&receiver.url, "")];
    let node = Node::start(&settings.concat());
    let newest = node.api.newest().await;
    let other = if newest.starts_with("k7q2m9x1") { "k7q2m9x2-1" } else { "k7q2m9x1-1" };
    for _ in 0..2 {
        let polled = node.api.poll(&format!("topic=a&cursor={other}")).await;
        assert_eq!(polled["gap"]["reason"], "epoch");
    }
    for _ in 0..4 {
        let answer = node.api.get_as_nobody("/api/sse?topic=a").bearer_auth("tk_no").send().await;
        assert_eq!(answer.unwrap().status(), 401);
    }
    // Both are gone again before the next look, or soon after it: their peak is seen all the same.
    drop(node.open(2).await);
    let mut told = HashSet::new();
    while told.len() < 3 {
        let json = receiver.next().await.json();
        if json["state"] == "raised" {
            told.insert((json["measure"].as_str().unwrap().to_owned(), json["value"].as_u64()));
        }
    }
    let expected = [("errors_per_minute", 4), ("gaps_per_minute", 2), ("connections_peak", 2)];
    let expected = expected.map(|(measure, value)| (measure.to_owned(), Some(value)));
    assert_eq!(told, HashSet::from(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_falls_behind_is_seen() {
    let mut receiver = Receiver::start([]).await;
    let settings = [AT_ONCE, "reader_lag_events_max = 20\n", &webhook(&receiver.url, "")];
    let node = Node::start_with(&settings.concat(), |command| {
        command.env("TIDINGS_STREAMS__WRITE_STALL_SECS", "600");
    });
    let mut stalled = Raw::connect_narrow(&node.server.address);
    let head = "GET /api/sse?topic=a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer";
    stalled.send(format!("{head} {API_KEY}\r\n\r\n"));
    stalled.read_until("retry: ");
    let body = json!({ "topic": "a", "data": "x".repeat(60_000) }).to_string();
    for _ in 0..200 {
        node.api.publish(body.clone()).await;
    }
    let told = receiver.next().await.json();
    assert_eq!((&told["measure"], &told["state"]), (&json!("reader_lag_events"), &json!("raised")));
    assert!(told["value"].as_u64().unwrap() > 20, "{told}");
    drop(stalled);
    assert_eq!(receiver.next().await.json()["state"], "recovered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_takes_new_thresholds_and_targets_over() {
    let (mut before, mut after) = (Receiver::start([]).await, Receiver::start([]).await);
    // Nobody looks within a minute, unless the reload is heard at once.
    let slow = "[alerts]\nevery_secs = 60\nfor_secs = 0\nconnections_max = 100\n";
    let node = Node::start(&[slow, &*webhook(&before.url, "")].concat());
    let streams = node.open(3).await;
    node.reload(&[AT_ONCE, TWO_STREAMS, &webhook(&before.url, "")].concat());
    assert_eq!(before.next().await.json()["state"], "raised");
    // A higher threshold is well above three.
    node.reload(&[AT_ONCE, "connections_max = 4\n", &webhook(&after.url, "")].concat());
    let post = after.next().await.json();
    assert_eq!((&post["state"], &post["threshold"]), (&json!("recovered"), &json!(4)));
    assert!(before.rest().is_empty());
    drop(streams);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_sends_what_is_on_its_way() {
    let mut receiver = Receiver::start([Answer::Status(503)]).await;
    let mut node = Node::start(&[AT_ONCE, TWO_STREAMS, &webhook(&receiver.url, "")].concat());
    let streams = node.open(3).await;
    let first = receiver.next().await;
    node.server.signal("TERM");
    assert_eq!(receiver.next().await.body, first.body);
    assert_eq!(node.server.wait(), Some(0));
    drop(streams);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_says_nothing_holds_no_node_up() {
    let mut receiver = Receiver::start([Answer::Silence, Answer::Silence, Answer::Silence]).await;
    let settings = [AT_ONCE, TWO_STREAMS, &webhook(&receiver.url, "")];
    let mut node = Node::start_with(&settings.concat(), |command| {
        command.env("TIDINGS_STREAMS__DRAIN_SECS", "600");
    });
    let streams = node.open(3).await;
    receiver.next().await;
    node.server.signal("TERM");
    node.server.wait_for_log("some alerts were not sent");
    assert_eq!(node.server.wait(), Some(0));
    drop(streams);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_credential_of_a_target_is_logged() {
    let mut receiver =
        Receiver::start([Answer::Redirect("/canaryRedirect"), Answer::Status(404)]).await;
    let mails = MailServer::start(None, &[]).await;
    // The server says 535 and what it was given.
    let wrong = "username = \"canaryUser\"\npassword = \"canaryWrong\"";
    let settings = [
        AT_ONCE,
        TWO_STREAMS,
        &signed(&format!("{}/canaryPath?canaryQuery=1", receiver.url)),
        &mail(&format!("smtp://127.0.0.1:{}", mails.port), wrong),
    ];
    let mut node = Node::start_with(&settings.concat(), |command| {
        command.env("TIDINGS_LOG", "trace");
    });
    let mut streams = node.open(3).await;
    assert_eq!(receiver.next().await.path, "/canaryPath");
    streams.clear();
    receiver.next().await;
    node.server.signal("TERM");
    node.server.wait();
    let log = node.server.whole_log();
    assert!(log.contains("it answered 535") && log.contains("it answered 404"), "{log}");
    let encoded = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        "\0canaryUser\0canaryWrong",
    );
    for line in log.lines() {
        assert!(!line.contains("canary") && !line.contains(&encoded), "{line}");
    }
}

/// Runs `tidings config check --send-test-alert`.
async fn check(settings: String, certificate: Option<PathBuf>) -> Output {
    let run = move || {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tidings.toml");
        std::fs::write(&file, settings).unwrap();
        let mut command = with_config(&["config", "check", "--send-test-alert"], &file);
        command.env_remove("SSL_CERT_DIR");
        if let Some(certificate) = certificate {
            command.env("SSL_CERT_FILE", certificate);
        }
        command.stdin(Stdio::null()).output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_alert_goes_to_every_target_and_says_which_it_reached() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, certificate) = tls(folder.path());
    let mut mails = MailServer::start(Some(tls), &[]).await;
    let mut good = Receiver::start([]).await;
    let bad = Receiver::start([Answer::Status(403)]).await;
    let smtp_url = format!("smtps://localhost:{}", mails.port);
    let mail = mail(&smtp_url, &format!("username = \"{USERNAME}\"\npassword = \"{PASSWORD}\""));

    let settings = [&*signed(&good.url), &mail].concat();
    let output = check(settings, Some(certificate.clone())).await;
    let said = String::from_utf8(output.stdout).unwrap();
    let reached = [
        "alerts.log: the test alert arrived",
        "alerts.webhooks[0] (127.0.0.1): the test alert arrived",
        "alerts.mail (localhost): the test alert arrived",
    ];
    assert!(said.contains("is fine\n") && said.ends_with(&(reached.join("\n") + "\n")), "{said}");
    assert_eq!(output.status.code(), Some(0));
    let post = good.next().await;
    signed_at(&post);
    assert_eq!(
        (post.json()["state"].as_str(), post.json()["node"].as_str()),
        (Some("test"), Some("tidings"))
    );
    let taken = mails.next().await;
    assert!(taken.signed_in && taken.header("Subject").contains("test alert"), "{taken:?}");
    let logged = String::from_utf8(output.stderr).unwrap();
    assert!(logged.contains("\"state\":\"test\""), "{logged}");

    // A certificate that nobody vouches for gets neither a mail nor a password.
    let log_off = "[alerts.log]\nenabled = false\n";
    let settings = [&*signed(&good.url), &webhook(&bad.url, ""), log_off, &mail].concat();
    let output = check(settings, None).await;
    let said = String::from_utf8(output.stdout).unwrap();
    let told: Vec<_> = said.lines().skip(1).collect();
    assert_eq!(told.len(), 3, "{said}");
    assert_eq!(told[0], "alerts.webhooks[0] (127.0.0.1): the test alert arrived");
    assert_eq!(
        told[1],
        "alerts.webhooks[1] (127.0.0.1): the test alert did not arrive: it answered 403"
    );
    assert!(told[2].starts_with("alerts.mail (localhost): the test alert did not"), "{said}");
    assert_eq!(output.status.code(), Some(1));
    let logged = String::from_utf8(output.stderr).unwrap();
    assert!(logged.contains("tidings: the test alert did not arrive at 2 of 3"), "{logged}");
    assert!(mails.rest().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_alert_needs_somebody_to_be_sent_to() {
    let output = check("[alerts.log]\nenabled = false\n".to_owned(), None).await;
    assert_eq!(output.status.code(), Some(1));
    let logged = String::from_utf8(output.stderr).unwrap();
    assert!(logged.contains("nobody to send an alert to"), "{logged}");
}

/// A certificate for `localhost`, and the file that it is in.
fn tls(folder: &Path) -> (TlsAcceptor, PathBuf) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = folder.join("cert.pem");
    std::fs::write(&file, cert.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), file)
}

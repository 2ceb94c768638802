//! How a server is found, trusted and signed in to, and what it has room for.

use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::support::api::{Api, json};
use crate::support::broker::Kind;
use crate::support::broker_server::{BrokerServer, Keeps};
use crate::support::{API_KEY, PATIENCE, Server, TOKEN_SECRET, tidings, unix_ms};

/// A `serve` command with this broker and these settings.
fn serve(broker: &str, settings: &[(&str, &str)]) -> Command {
    let mut command = tidings();
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    command.env("TIDINGS_API_KEY", API_KEY).env("TIDINGS_TOKEN_SECRET", TOKEN_SECRET);
    command.env("TIDINGS_BROKER", broker);
    for (name, value) in settings {
        command.env(format!("TIDINGS_{name}"), value);
    }
    command
}

async fn publishes(server: &Server) {
    Api::new(&server.url()).publish(r#"{"topic":"a","data":1}"#).await;
}

/// What a node says that does not start.
fn refusal(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_user_and_a_password_or_a_token_are_in_the_url() {
    let nats = BrokerServer::start_with(
        Kind::Nats,
        Keeps::Nothing,
        &["--user", "hub", "--pass", "p%2Fcanary"],
    );
    let url = |user: &str| format!("nats://{user}@127.0.0.1:{}", nats.port());
    publishes(&Server::spawn(serve(&url("hub:p%252Fcanary"), &[]))).await;
    // One that is not there, and one that is.
    let several = format!("nats://127.0.0.1:1,hub:p%252Fcanary@127.0.0.1:{}", nats.port());
    publishes(&Server::spawn(serve(&several, &[]))).await;
    let said = refusal(serve(&url("hub:canary"), &[]));
    assert!(said.contains("does not let us in") && !said.contains("canary"), "{said}");

    let nats = BrokerServer::start_with(Kind::Nats, Keeps::Nothing, &["--auth", "canary-token"]);
    publishes(&Server::spawn(serve(
        &format!("nats://canary-token@127.0.0.1:{}", nats.port()),
        &[],
    )))
    .await;
}

/// Signed as `nsc` does it: by the key of whoever is above.
fn nats_jwt(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> String {
    let claims = json!({
        "jti": "test", "iat": unix_ms() / 1000, "name": "test",
        "iss": issuer.public_key(), "sub": subject.public_key(), "nats": nats,
    });
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let encode = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
    let text = [header, claims].map(|part| encode(part.to_string().as_bytes())).join(".");
    let signature = encode(&issuer.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}

#[tokio::test]
async fn a_credentials_file_signs_in() {
    let folder = tempfile::tempdir().unwrap();
    let [operator, system, account, user, other] = [
        KeyPair::new_operator(),
        KeyPair::new_account(),
        KeyPair::new_account(),
        KeyPair::new_user(),
        KeyPair::new_user(),
    ];
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let of_account = json!({ "type": "account", "version": 2, "limits": limits });
    let mut of_system = of_account.clone();
    for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
        of_system["limits"][limit] = json!(0);
    }
    let config = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}",
        nats_jwt(&operator, &operator, &json!({ "type": "operator", "version": 2 })),
        system.public_key(),
        system.public_key(),
        nats_jwt(&operator, &system, &of_system),
        account.public_key(),
        nats_jwt(&operator, &account, &of_account),
    );
    let path = folder.path().join("nats.conf");
    std::fs::write(&path, config).unwrap();
    let arguments = ["--config", path.to_str().unwrap()];
    let nats = BrokerServer::start_with(Kind::Nats, Keeps::Nothing, &arguments);
    let of_user = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
    let jwt = nats_jwt(&account, &user, &of_user);
    let write = |name: &str, seed: &str| {
        let path = folder.path().join(name);
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = write("good.creds", &user.seed().unwrap());
    publishes(&Server::spawn(serve(&nats.url(), &[("NATS__CREDENTIALS_FILE", &good)]))).await;
    let seed = other.seed().unwrap();
    let of_another = write("other.creds", &seed);
    let said = refusal(serve(&nats.url(), &[("NATS__CREDENTIALS_FILE", &of_another)]));
    assert!(said.contains("does not let us in") && !said.contains(&seed), "{said}");
    let said = refusal(serve(&nats.url(), &[("NATS__CREDENTIALS_FILE", "/nowhere")]));
    assert!(said.contains("nats.credentials_file") && said.contains("/nowhere"), "{said}");
}

#[tokio::test]
async fn a_certificate_is_vouched_for_by_the_file_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let cert = file("cert.pem", &made.cert.pem());
    let key = file("key.pem", &made.signing_key.serialize_pem());
    let nats = BrokerServer::start_with(
        Kind::Nats,
        Keeps::Nothing,
        &["--tls", "--tlscert", &cert, "--tlskey", &key],
    );
    let url = format!("tls://localhost:{}", nats.port());
    publishes(&Server::spawn(serve(&url, &[("NATS__CA_FILE", &cert)]))).await;
    // Nobody else vouches for it: the node starts, and is not ready.
    let server = Server::spawn(serve(&url, &[]));
    let ready = Api::new(&server.url()).get("/readyz").send().await.unwrap();
    assert_eq!(ready.status(), 503);
}

#[tokio::test]
async fn a_node_starts_before_nats_does_and_is_ready_when_it_is() {
    let nats = BrokerServer::start(Kind::Nats, Keeps::Everything);
    nats.kill();
    let server = Server::spawn(serve(&nats.url(), &[("PUBLISH_WAIT_MS", "30000")]));
    let api = Api::new(&server.url());
    let health = api.get("/healthz").send().await.unwrap();
    assert_eq!(
        (health.status().as_u16(), api.get("/readyz").send().await.unwrap().status().as_u16()),
        (200, 503)
    );
    nats.start_again();
    publishes(&server).await;
    // The answer of a moment ago is given again for half a second.
    let asked = Instant::now();
    while api.get("/readyz").send().await.unwrap().status() != 200 {
        assert!(asked.elapsed() < PATIENCE, "it is never ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_stream_of_somebody_else_is_left_alone() {
    let nats = BrokerServer::start(Kind::Nats, Keeps::Nothing);
    let context = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let config = async_nats::jetstream::stream::Config {
        name: "TIDINGS".to_owned(),
        subjects: vec!["orders.>".to_owned()],
        ..Default::default()
    };
    context.create_stream(config).await.unwrap();
    let said = refusal(serve(&nats.url(), &[]));
    assert!(said.contains("TIDINGS") && said.contains("nats.stream"), "{said}");
    publishes(&Server::spawn(serve(&nats.url(), &[("NATS__STREAM", "LIVE")]))).await;
}

#[tokio::test]
async fn a_server_without_room_is_507_until_there_is_some() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nats.conf");
    let text = "jetstream { max_file_store: 4MB, max_memory_store: 128MB }";
    std::fs::write(&config, text).unwrap();
    let arguments = ["--config", config.to_str().unwrap()];
    let nats = BrokerServer::start_with(Kind::Nats, Keeps::Everything, &arguments);
    let unbounded = [("NATS__BYTES_MAX", "0")];
    let server = Server::spawn(serve(&nats.url(), &unbounded));
    let api = Api::new(&server.url());
    let body = json!({ "topic": "a", "data": "x".repeat(60_000) }).to_string();
    let mut statuses = Vec::new();
    while statuses.last() != Some(&507) {
        assert!(statuses.len() < 1000, "there is room for all of it");
        statuses.push(api.post(body.clone()).send().await.unwrap().status().as_u16());
    }
    assert!(statuses.len() > 10 && statuses.iter().rev().skip(1).all(|status| *status == 201));
    let answer = api.post(body.clone()).send().await.unwrap();
    assert_eq!(json(answer).await["code"], "no-room");
    // What is there can still be read.
    assert_eq!(api.poll("topic=a&rewind=all&limit=1").await["hasMore"], true);
    let context = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    context.get_stream("TIDINGS").await.unwrap().purge().await.unwrap();
    assert_eq!(api.post(body).send().await.unwrap().status(), 201);
}

/// The oldest go first, and whoever has not read them is told.
#[tokio::test]
async fn a_bound_of_the_stream_is_a_gap_for_whoever_comes_later() {
    let nats = BrokerServer::start(Kind::Nats, Keeps::Everything);
    let bounded = [("NATS__EVENTS_MAX", "10")];
    let first = Server::spawn(serve(&nats.url(), &bounded));
    let api = Api::new(&first.url());
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(api.publish(format!(r#"{{"topic":"a","data":{number}}}"#)).await);
    }
    let second = Server::spawn(serve(&nats.url(), &bounded));
    let page = Api::new(&second.url()).poll(&format!("topic=a&cursor={}", ids[5])).await;
    assert_eq!((&page["gap"]["reason"], &page["resumed"]), (&json!("expired"), &json!(false)));
    assert_eq!(page["events"].as_array().unwrap().len(), 10);
    let page = Api::new(&second.url()).poll(&format!("topic=a&cursor={}", ids[25])).await;
    assert_eq!((&page["gap"], page["events"].as_array().unwrap().len()), (&json!(null), 4));
}

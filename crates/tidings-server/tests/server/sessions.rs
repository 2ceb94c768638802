//! Sessions of an application, tokens made over HTTP, an issuer's keys and the bare `userId`, end to
//! end against the real binary.

use std::collections::HashMap;
use std::future::IntoFuture;
use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::api::{Api, Stream, json};
use crate::support::session::{SESSION_SECRET, signed_session};
use crate::support::tokens::token;
use crate::support::{self, API_KEY, Server, unix_ms};

const MINT_KEY: &str = "tk_mintX9cV4bN7mQ2wE5rT8yU1iO6pA3sD0fGhJ";
const PUBLISH_KEY: &str = "tk_publishQ7wE2rT9yU4iO1pA6sD3fG8hJ5kL0z";
const ISSUER: &str = "https://login.example.com";

/// An application that says what it is told to say, by the cookie it is asked with.
#[derive(Clone, Default)]
struct Application(Arc<Mutex<HashMap<String, (u16, Value)>>>);

impl Application {
    /// Starts it; where it is.
    async fn start() -> (Self, String) {
        let application = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/session", listener.local_addr().unwrap());
        let this = application.clone();
        let answer = async move |headers: HeaderMap| this.answer(&headers);
        let routes = Router::new().route("/session", get(answer));
        tokio::spawn(axum::serve(listener, routes).into_future());
        (application, url)
    }

    fn answer(&self, headers: &HeaderMap) -> (StatusCode, String) {
        let cookie = headers.get("cookie").and_then(|cookie| cookie.to_str().ok());
        let answer = cookie.and_then(|cookie| self.0.lock().unwrap().get(cookie).cloned());
        let (status, body) = answer.unwrap_or((401, Value::Null));
        (StatusCode::from_u16(status).unwrap(), body.to_string())
    }

    fn says(&self, cookie: &str, status: u16, body: Value) {
        self.0.lock().unwrap().insert(cookie.to_owned(), (status, body));
    }
}

fn mint(api: &Api, server: &Server, body: &str) -> RequestBuilder {
    let request = api.client.post(format!("{}/api/sse/token", server.url()));
    request.header("content-type", "application/json").body(body.to_owned())
}

/// The status and the code of a refusal.
async fn refusal(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, json(answer).await["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn an_applications_session_streams_and_makes_a_token_of_its_own() {
    let (application, url) = Application::start().await;
    let server = Server::start(&[
        ("AUTH__SESSION__INTROSPECT__URL", &url),
        ("AUTH__SESSION__INTROSPECT__COOKIES", "sid"),
        ("AUTH__SESSION__INTROSPECT__CACHE_SECS", "0"),
        ("AUTH__SESSION__INTROSPECT__REFUSAL_CACHE_SECS", "0"),
    ]);
    let expires_at = unix_ms() + 60_000;
    application.says(
        "sid=ada",
        200,
        json!({
            "userId": "ada", "sessionId": "s1", "subscribe": ["orders/*"], "publish": ["chat/*"],
            "role": "admin", "meta": { "name": "Ada" }, "expiresAt": expires_at,
        }),
    );
    let api = Api::new(&server.url());
    // As a page of the same site does.
    let with = |request: RequestBuilder, cookie: &str| {
        request.header("cookie", cookie.to_owned()).header("origin", server.url())
    };
    let request = with(api.get_as_nobody("/api/sse?topic=orders/*"), "other=x; sid=ada");
    let mut stream = Stream::open(request).await;
    let connected = stream.next().await.unwrap().json();
    assert_eq!((&connected["user"], &connected["method"]), (&json!("ada"), &json!("session")));
    assert!(connected["expiresAt"].as_u64().unwrap() <= expires_at);

    // A cookie publishes nothing, the token made for it does.
    let publish = || api.post_as_nobody(r#"{"topic":"chat/1"}"#);
    assert_eq!(refusal(with(publish(), "sid=ada")).await, (401, "unauthenticated".to_owned()));
    let answer = with(mint(&api, &server, ""), "sid=ada").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let minted = json(answer).await;
    assert_eq!(minted["userId"], "ada");
    // Never longer than the session.
    assert!(minted["expiresAt"].as_u64().unwrap() <= expires_at, "{minted}");
    let token = minted["token"].as_str().unwrap();
    assert_eq!(publish().bearer_auth(token).send().await.unwrap().status(), 201);
    let claims = tidings_server::identity::unverified_claims(token).unwrap();
    assert_eq!((&claims["sid"], &claims["role"]), (&json!("s1"), &json!("admin")));
    assert_eq!(claims["subscribe"], json!(["orders/*"]));
    assert!(claims["until"].as_u64().unwrap() * 1000 <= expires_at);

    for (body, expected) in [
        (r#"{"userId":"ada","ttlSecs":5}"#, 200),
        (r#"{"userId":"bob"}"#, 403),
        (r#"{"subscribe":["**"]}"#, 403),
        (r#"{"publish":["**"]}"#, 403),
        (r#"{"role":"root"}"#, 403),
        (r#"{"sessionId":"s2"}"#, 403),
        (r#"{"metadata":{}}"#, 403),
        (r#"{"untilSecs":9}"#, 403),
        (r#"{"ttlSecs":0}"#, 400),
        (r#"{"ttlSecs":86401}"#, 400),
        (r#"{"ttlSecs":"5"}"#, 400),
        (r#"{"sub":"ada"}"#, 400),
        ("[]", 400),
    ] {
        let answer = with(mint(&api, &server, body), "sid=ada").send().await.unwrap();
        assert_eq!(answer.status(), expected, "{body}");
    }

    // Signed out, and away.
    application.says("sid=ada", 401, Value::Null);
    let poll = || with(api.get_as_nobody("/api/polling"), "sid=ada");
    assert_eq!(refusal(poll()).await, (401, "unauthenticated".to_owned()));
    application.says("sid=ada", 500, Value::Null);
    let away = poll().send().await.unwrap();
    assert!(away.headers().contains_key("retry-after"));
    assert_eq!(refusal(poll()).await, (503, "unavailable".to_owned()));
    server.wait_for_log("the application does not say who is signed in");
}

#[tokio::test]
async fn an_api_key_makes_tokens_for_anyone_if_it_may() {
    let server = Server::start(&[(
        "KEYS",
        &format!(
            r#"[{{"name":"login","secret":"{MINT_KEY}","scopes":["token"]}},
                {{"name":"orders","secret":"{PUBLISH_KEY}","scopes":["publish"]}}]"#
        ),
    )]);
    let api = Api::new(&server.url());
    let body = r#"{"userId":"a/b","subscribe":["orders/*"],"publish":["chat/1"],"role":"admin",
        "sessionId":"s1","metadata":{"name":"Ada"},"ttlSecs":60,"untilSecs":900}"#;
    let before = unix_ms();
    let answer = mint(&api, &server, body).bearer_auth(MINT_KEY).send().await.unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let minted = json(answer).await;
    let expires_at = minted["expiresAt"].as_u64().unwrap();
    assert!(expires_at >= before + 59_000 && expires_at <= unix_ms() + 60_000, "{minted}");
    assert_eq!(minted["userId"], "a/b");
    let token = minted["token"].as_str().unwrap();
    let request = api.get_as_nobody("/api/sse?topic=orders/7&topic=user/a%252Fb");
    let mut stream = Stream::open(request.bearer_auth(token)).await;
    assert_eq!(stream.next().await.unwrap().json()["user"], "a/b");
    let claims = tidings_server::identity::unverified_claims(token).unwrap();
    assert_eq!(claims["meta"], json!({ "name": "Ada" }));
    assert_eq!(claims["until"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 900);

    for (body, credential, expected) in [
        (r#"{"userId":"42"}"#, MINT_KEY, (200, "")),
        (r#"{"userId":"42"}"#, API_KEY, (200, "")),
        (r#"{"userId":"42"}"#, PUBLISH_KEY, (403, "forbidden")),
        (r#"{"userId":"42"}"#, token, (403, "forbidden")),
        (r#"{"userId":"42"}"#, "tk_unknown", (401, "unauthenticated")),
        (r#"{"userId":"42"}"#, "x", (401, "unauthenticated")),
        ("", MINT_KEY, (400, "invalid-body")),
        ("{}", MINT_KEY, (400, "invalid-body")),
        (r#"{"userId":""}"#, MINT_KEY, (400, "invalid-body")),
        (r#"{"userId":42}"#, MINT_KEY, (400, "invalid-body")),
        (r#"{"userId":"42","ttlSecs":0}"#, MINT_KEY, (400, "invalid-body")),
        (r#"{"userId":"42","ttlSecs":86401}"#, MINT_KEY, (400, "invalid-body")),
        (r#"{"userId":"42","untilSecs":0}"#, MINT_KEY, (400, "invalid-body")),
        (r#"{"userId":"42","untilSecs":18446744073709551615}"#, MINT_KEY, (400, "invalid-body")),
        (r#"{"userId":"42","role":""}"#, MINT_KEY, (400, "invalid-body")),
        (r#"{"userId":"42","metadata":[]}"#, MINT_KEY, (400, "invalid-body")),
        (r#"{"userId":"42","subscribe":["a//b"]}"#, MINT_KEY, (400, "invalid-topic")),
        (r#"{"userId":"42","subscribe":["$hub"]}"#, MINT_KEY, (400, "invalid-topic")),
        (r#"{"userId":"42","admin":true}"#, MINT_KEY, (400, "invalid-body")),
    ] {
        let answer = mint(&api, &server, body).bearer_auth(credential).send().await.unwrap();
        let status = answer.status().as_u16();
        let code = json(answer).await["code"].as_str().unwrap_or_default().to_owned();
        assert_eq!((status, code.as_str()), expected, "{body}");
    }
    // Only where it is promised: not by a query, and not for nothing.
    let in_query = format!("{}/api/sse/token?token={token}", server.url());
    assert_eq!(refusal(api.client.post(in_query)).await.0, 401);
    assert_eq!(refusal(mint(&api, &server, "{}")).await.0, 401);
}

#[tokio::test]
async fn a_bare_user_id_is_believed_only_where_it_is_fenced_in() {
    let off = Server::start(&[]);
    let api = Api::new(&off.url());
    for path in ["/api/sse?userId=42", "/api/polling?userId=42"] {
        assert_eq!(refusal(api.get_as_nobody(path)).await, (401, "unauthenticated".to_owned()));
    }

    let server = Server::start(&[
        ("AUTH__LEGACY_USER_ID", "insecure"),
        ("AUTH__SESSION__JWT__COOKIE", "session"),
        ("AUTH__SESSION__JWT__SECRET", SESSION_SECRET),
    ]);
    let api = Api::new(&server.url());
    let mut stream = Stream::open(api.get_as_nobody("/api/sse?userId=42")).await;
    assert_eq!(stream.headers["tidings-warning"], "insecure-user-id");
    let connected = stream.next().await.unwrap().json();
    assert_eq!((&connected["user"], &connected["method"]), (&json!("42"), &json!("user-id")));
    assert_eq!(connected["topics"], json!(["user/42", "broadcast"]));
    let logged = server.wait_for_log("a userId parameter was believed");
    assert!(logged.contains("\"WARN\"") && logged.contains("\"user\":\"42\""), "{logged}");
    let polled = api.get_as_nobody("/api/polling?userId=42").send().await.unwrap();
    assert_eq!(polled.headers()["tidings-warning"], "insecure-user-id");

    // No more than the default topics, and nothing to publish or to mint with.
    for (request, expected) in [
        (api.get_as_nobody("/api/sse?userId=42&topic=orders/1"), 403),
        (api.get_as_nobody("/api/sse?userId=42&topic=user/43"), 403),
        (api.get_as_nobody("/api/sse?userId="), 401),
        (api.get_as_nobody(&format!("/api/sse?userId={}", "a".repeat(65))), 401),
        (api.client.post(format!("{}/api/events?userId=42", server.url())).body("{}"), 401),
        (api.client.post(format!("{}/api/sse/token?userId=42", server.url())), 401),
    ] {
        assert_eq!(refusal(request.try_clone().unwrap()).await.0, expected, "{request:?}");
    }
    // Whoever hands a request on does it for somebody else.
    for header in ["x-forwarded-for", "X-Forwarded-For", "forwarded", "x-real-ip", "via"] {
        let request = api.get_as_nobody("/api/sse?userId=42").header(header, "127.0.0.1");
        assert_eq!(refusal(request).await.0, 401, "{header}");
    }
    // A stronger credential decides alone, also one that is wrong.
    let with =
        |name: &str, value: &str| api.get_as_nobody("/api/polling?userId=1").header(name, value);
    let good = token("42", &[], &[]);
    let answer = with("authorization", &format!("Bearer {good}")).send().await.unwrap();
    assert!(!answer.headers().contains_key("tidings-warning"));
    assert_eq!(json(answer).await["user"], "42");
    let session = signed_session(&json!({ "sub": "7" }));
    let answer = with("cookie", &format!("session={session}")).send().await.unwrap();
    assert_eq!(json(answer).await["user"], "7");
    assert_eq!(refusal(with("authorization", "Bearer x")).await.0, 401);
    assert_eq!(refusal(with("cookie", "session=x")).await.0, 401);
    assert_eq!(refusal(with("cookie", "tidings_token=x")).await.0, 401);

    // An id that anyone may choose has no limit of its own.
    let limited =
        Server::start(&[("AUTH__LEGACY_USER_ID", "insecure"), ("LIMITS__POLLING__LIMIT", "2")]);
    let api = Api::new(&limited.url());
    for (user, expected) in [("1", 200), ("2", 200), ("3", 429)] {
        let path = format!("/api/polling?userId={user}");
        assert_eq!(api.get_as_nobody(&path).send().await.unwrap().status(), expected, "{user}");
    }

    let mut remote = Server::start(&[
        ("AUTH__LEGACY_USER_ID", "insecure"),
        ("AUTH__LEGACY_USER_ID_REMOTE", "true"),
    ]);
    let api = Api::new(&remote.url());
    let request =
        api.get_as_nobody("/api/polling?userId=42").header("x-forwarded-for", "192.0.2.7");
    assert_eq!(request.send().await.unwrap().status(), 200);
    remote.kill();
    assert!(remote.whole_log().contains("anyone can claim to be anyone\",\"remote\":true"));
}

/// A key of an issuer's, and its entry in the key set.
struct IssuerKey {
    kid: &'static str,
    signing: EncodingKey,
}

impl IssuerKey {
    fn new(kid: &'static str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Self { kid, signing: EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap() }
    }

    fn set(&self) -> String {
        let mut jwk = Jwk::from_encoding_key(&self.signing, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(self.kid.to_owned());
        json!({ "keys": [jwk] }).to_string()
    }

    fn token(&self) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("tidings+jwt".to_owned());
        header.kid = Some(self.kid.to_owned());
        let now_secs = unix_ms() / 1000;
        let claims = json!({
            "iss": ISSUER, "sub": "42", "aud": "tidings", "iat": now_secs, "exp": now_secs + 300,
            "jti": "7f3a",
        });
        jsonwebtoken::encode(&header, &claims, &self.signing).unwrap()
    }
}

async fn poll_with(api: &Api, token: &str) -> u16 {
    let answer = api.get_as_nobody("/api/polling").bearer_auth(token).send().await;
    answer.unwrap().status().as_u16()
}

#[tokio::test]
async fn an_issuers_new_key_is_found_when_a_token_names_it() {
    let set = Arc::new(Mutex::new(String::new()));
    let asked = Arc::new(Mutex::new(0));
    let (answer, count) = (Arc::clone(&set), Arc::clone(&asked));
    let handler = async move || {
        *count.lock().unwrap() += 1;
        answer.lock().unwrap().clone()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, Router::new().route("/keys", get(handler))).into_future());

    let (first, second, third) =
        (IssuerKey::new("first"), IssuerKey::new("second"), IssuerKey::new("third"));
    first.set().clone_into(&mut set.lock().unwrap());
    let server = Server::start(&[("TOKENS__ISSUER", ISSUER), ("TOKENS__JWKS_URL", &url)]);
    let api = Api::new(&server.url());
    assert_eq!(poll_with(&api, &first.token()).await, 200);
    // A token that was made by nobody has the issuer asked once, whatever it says.
    for _ in 0..20 {
        assert_eq!(poll_with(&api, &third.token()).await, 401);
    }
    assert!(*asked.lock().unwrap() <= 2);
    // The old key goes on until the set is read again; a reload reads on from what is known.
    second.set().clone_into(&mut set.lock().unwrap());
    assert_eq!(poll_with(&api, &first.token()).await, 200);
    server.signal("HUP");
    server.wait_for_log("reloaded");
    assert_eq!(poll_with(&api, &second.token()).await, 200);
    assert_eq!(poll_with(&api, &first.token()).await, 401);
}

#[tokio::test]
async fn a_file_of_keys_is_read_again_on_reload_and_stays_when_it_is_bad() {
    let (old, new) = (IssuerKey::new("old"), IssuerKey::new("new"));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "{}", old.set()).unwrap();
    let path = file.path().to_str().unwrap();
    let server = Server::start(&[("TOKENS__ISSUER", ISSUER), ("TOKENS__JWKS_FILE", path)]);
    let api = Api::new(&server.url());
    assert_eq!(poll_with(&api, &old.token()).await, 200);
    std::fs::write(path, "{\"keys\":[]}").unwrap();
    server.signal("HUP");
    server.wait_for_log("not reloaded, the old settings stay");
    assert_eq!(poll_with(&api, &old.token()).await, 200);
    std::fs::write(path, new.set()).unwrap();
    server.signal("HUP");
    server.wait_for_log("reloaded");
    assert_eq!(poll_with(&api, &new.token()).await, 200);
    assert_eq!(poll_with(&api, &old.token()).await, 401);
}

/// A node that asks the application again about open streams every second.
fn rechecking(url: &str) -> Server {
    Server::start(&[
        ("AUTH__SESSION__INTROSPECT__URL", url),
        ("AUTH__SESSION__INTROSPECT__COOKIES", "sid"),
        ("AUTH__SESSION__INTROSPECT__CACHE_SECS", "0"),
        ("AUTH__SESSION__INTROSPECT__REFUSAL_CACHE_SECS", "0"),
        ("AUTH__SESSION__INTROSPECT__RECHECK_SECS", "1"),
    ])
}

async fn open(server: &Server, cookie: &str, query: &str) -> Stream {
    let api = Api::new(&server.url());
    let request = api.get_as_nobody(&format!("/api/sse?{query}")).header("cookie", cookie);
    let mut stream = Stream::open(request).await;
    stream.next_of("tidings.connected").await;
    stream
}

async fn is_closed(mut stream: Stream) {
    assert_eq!(stream.next_of("tidings.closing").await.json()["reason"], "revoked");
    assert_eq!(stream.next().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_soon_after_its_session_does_or_grants_less() {
    let (application, url) = Application::start().await;
    let server = rechecking(&url);
    let ada = |subscribe: &[&str]| json!({ "userId": "ada", "subscribe": subscribe });
    for cookie in ["sid=out", "sid=other", "sid=less", "sid=same"] {
        application.says(cookie, 200, ada(&["orders/*", "chat/*"]));
    }
    let signed_out = open(&server, "sid=out", "topic=chat/1").await;
    let somebody_else = open(&server, "sid=other", "topic=chat/1").await;
    let (less, still) = (
        open(&server, "sid=less", "topic=chat/1").await,
        open(&server, "sid=less", "topic=orders/1").await,
    );
    let same = open(&server, "sid=same", "topic=chat/1&topic=orders/1").await;

    application.says("sid=out", 401, Value::Null);
    application.says("sid=other", 200, json!({ "userId": "bob", "subscribe": ["chat/*"] }));
    application.says("sid=less", 200, ada(&["orders/*"]));
    for stream in [signed_out, somebody_else, less] {
        is_closed(stream).await;
    }
    // What is still granted goes on, also while the application does not answer.
    application.says("sid=same", 500, Value::Null);
    server.wait_for_log("the application does not say who is signed in");
    let id = Api::new(&server.url()).publish(r#"{"topic":"orders/1"}"#).await;
    for mut stream in [still, same] {
        assert_eq!(stream.next_event().await.id(), id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_the_application_vouches_for_since_is_let_in_after_a_revocation() {
    let (application, url) = Application::start().await;
    let server = rechecking(&url);
    application.says("sid=a", 200, json!({ "userId": "ada", "sessionId": "s1" }));
    let api = Api::new(&server.url());
    let revoke = async |body: Value| {
        let answer = api.post_to("/api/revocations").json(&body).send().await.unwrap();
        json(answer).await["closed"].as_u64().unwrap()
    };
    let poll = async || {
        let request = api.get_as_nobody("/api/polling").header("cookie", "sid=a");
        request.send().await.unwrap().status().as_u16()
    };
    let stream = open(&server, "sid=a", "").await;
    assert_eq!(revoke(json!({ "user": "ada" })).await, 1);
    is_closed(stream).await;
    // It is asked again, once the second is over.
    let patience = std::time::Instant::now() + support::PATIENCE;
    while poll().await != 200 {
        assert!(std::time::Instant::now() < patience, "nobody is let in again");
    }
    // A session that was revoked by its id is not, whatever the application says.
    assert_eq!(revoke(json!({ "session": "s1" })).await, 0);
    assert_eq!(poll().await, 401);
}

#[tokio::test]
async fn a_cookie_that_outlasts_the_memory_of_revocations_is_refused() {
    let server = Server::start(&[
        ("AUTH__SESSION__JWT__COOKIE", "session"),
        ("AUTH__SESSION__JWT__SECRET", SESSION_SECRET),
        ("AUTH__SESSION__AGE_MAX_SECS", "3600"),
    ]);
    let api = Api::new(&server.url());
    let now_secs = unix_ms() / 1000;
    for (lasts_secs, expected) in [(3500, 200), (3600, 200), (3700, 401), (31_536_000, 401)] {
        let session = signed_session(&json!({ "exp": now_secs + lasts_secs }));
        let request = api.get_as_nobody("/api/polling");
        let answer = request.header("cookie", format!("session={session}")).send().await.unwrap();
        assert_eq!(answer.status(), expected, "{lasts_secs}");
        if expected == 401 {
            assert!(json(answer).await["detail"].as_str().unwrap().contains("age_max_secs"));
        }
    }
    // It is remembered for as long as such a cookie may last.
    let request = api.post_to("/api/revocations").json(&json!({ "user": "42" }));
    let until_ms = json(request.send().await.unwrap()).await["until"].as_u64().unwrap();
    assert!(until_ms >= (now_secs + 86_400) * 1000, "{until_ms}");
}

#[tokio::test]
async fn a_session_hears_nothing_of_the_hubs_own_whatever_its_role() {
    let (application, url) = Application::start().await;
    let server = Server::start(&[
        ("AUTH__SESSION__INTROSPECT__URL", &url),
        ("AUTH__SESSION__INTROSPECT__COOKIES", "sid"),
    ]);
    let api = Api::new(&server.url());
    application.says("sid=a", 200, json!({ "userId": "ann", "role": "admin" }));
    let ask = |path: &str| api.get_as_nobody(path).header("cookie", "sid=a");
    assert_eq!(ask("/api/polling").send().await.unwrap().status(), 200);
    for path in ["/api/polling?topic=$tidings/stats", "/api/sse?topic=$tidings/stats"] {
        assert_eq!(refusal(ask(path)).await, (403, "forbidden-topic".to_owned()), "{path}");
    }
    assert_eq!(refusal(ask("/api/admin/connections")).await.0, 401);
}

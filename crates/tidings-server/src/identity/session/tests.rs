//! Which sessions are taken, which are refused and why, and what is asked of the application.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use axum::Router;
use axum::extract::State;
use axum::response::Redirect;
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rstest::rstest;
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_hub::Pattern;

use super::*;
use crate::config::{AuthJs, Config, CookieName, HttpUrl, Introspect, Secret, SessionJwt};
use crate::identity::{AuthError, Authenticator, Credentials, Principal};

const NOW_SECS: u64 = 1_795_458_000;
const NOW_MS: u64 = NOW_SECS * 1000;
const SECRET: &str = "q0Yk3uCzP8vNfW5tJr2XhB7LgMs9aEoD6iTnK1wQxR4=";

fn authenticator(session: config::Session) -> Authenticator {
    let mut config = Config::default();
    config.auth.session = session;
    Authenticator::load(&config, None).unwrap()
}

async fn by_cookies(
    authenticator: &Authenticator,
    cookies: &str,
    now_ms: u64,
) -> Result<Principal, AuthError> {
    let cookies = Cookies::parse([cookies.as_bytes()]);
    let credentials = Credentials { cookies: Some(&cookies), ..Credentials::default() };
    authenticator.authenticate(&credentials, now_ms).await
}

// Auth.js

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    name: String,
    secrets: Vec<String>,
    user_claim: Option<String>,
    cookie: String,
    now_ms: u64,
    user: Option<String>,
    exp_ms: Option<u64>,
    sid: Option<String>,
    refused: Option<String>,
}

static VECTORS: LazyLock<Vectors> = LazyLock::new(|| {
    let text = include_str!("../../../../../spec/vectors/session-cookies.json");
    serde_json::from_str(text).unwrap()
});

impl Vector {
    fn named(name: &str) -> &'static Self {
        VECTORS.cases.iter().find(|vector| vector.name == name).unwrap()
    }

    fn authenticator(&self) -> Authenticator {
        let mut authjs =
            AuthJs { secrets: self.secrets.iter().map(Secret::new).collect(), ..AuthJs::default() };
        if let Some(claim) = &self.user_claim {
            authjs.user_claim.clone_from(claim);
        }
        authenticator(config::Session { authjs, ..config::Session::default() })
    }
}

#[tokio::test]
async fn reads_the_cookies_that_the_real_packages_make() {
    assert!(VECTORS.cases.len() > 20);
    for vector in &VECTORS.cases {
        let name = &vector.name;
        let verdict = by_cookies(&vector.authenticator(), &vector.cookie, vector.now_ms).await;
        match &vector.refused {
            None => {
                let principal = verdict.unwrap_or_else(|error| panic!("{name}: {error}"));
                let user = principal.user.as_ref().map(User::id);
                assert_eq!(user, vector.user.as_deref(), "{name}");
                assert_eq!(principal.until_ms, vector.exp_ms, "{name}");
                assert_eq!(principal.sid, vector.sid, "{name}");
                assert!(principal.issued_at_ms.is_some(), "{name}");
                assert!(principal.role.is_none() && !principal.grant.publishes(), "{name}");
            }
            Some(reason) => {
                let Err(AuthError::Session(error)) = verdict else { panic!("{name}: {verdict:?}") };
                let told = match error {
                    SessionError::Encryption => "encryption",
                    SessionError::Expired => "expired",
                    SessionError::NoUser(_) => "user",
                    other => panic!("{name}: {other}"),
                };
                assert_eq!(told, reason, "{name}");
            }
        }
    }
}

/// Every way to spoil one part of a JWE.
fn spoilt(part: &str) -> Vec<String> {
    let turned: String = part.chars().rev().collect();
    let mut first = part.to_owned();
    first.replace_range(..1, if part.starts_with('A') { "B" } else { "A" });
    let mut spoilt = vec![
        String::new(),
        part[..part.len() - 4].to_owned(),
        format!("{part}AAAA"),
        format!("{part}="),
        format!("{part}+/"),
        first,
    ];
    if turned != part {
        spoilt.push(turned);
    }
    spoilt
}

#[rstest]
#[case("reads auth.js 5 under authjs.session-token")]
#[case("reads nextauth 4 under next-auth.session-token")]
#[tokio::test]
async fn refuses_a_cookie_with_any_part_of_it_changed(#[case] name: &str) {
    let vector = Vector::named(name);
    let authenticator = vector.authenticator();
    let (cookie, token) = vector.cookie.split_once('=').unwrap();
    let parts: Vec<_> = token.split('.').collect();
    let [header, "", iv, text, tag] = parts[..] else { panic!("not a JWE: {token}") };
    let mut wrong = vec![
        format!("{header}.AAAA.{iv}.{text}.{tag}"),
        format!("{header}..{iv}.{text}"),
        format!("{header}..{iv}.{text}.{tag}.AAAA"),
        format!("{header}.{iv}.{text}.{tag}"),
        format!("{header}..{text}.{iv}.{tag}"),
        format!("{header}..{iv}.{tag}.{text}"),
        "....".to_owned(),
        ".".to_owned(),
        "\u{fc}".to_owned(),
        "a".repeat(32_000),
        format!("{header}..{iv}.{}.{tag}", "AAAA".repeat(8000)),
    ];
    for (index, part) in [(0, header), (2, iv), (3, text), (4, tag)] {
        for spoilt in spoilt(part) {
            let mut parts = parts.clone();
            parts[index] = &spoilt;
            wrong.push(parts.join("."));
        }
    }
    let with_header = |header: &Value| {
        use base64::Engine;
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header.to_string());
        format!("{header}..{iv}.{text}.{tag}")
    };
    for header in [
        json!({ "alg": "dir", "enc": "A128GCM" }),
        json!({ "alg": "dir", "enc": "none" }),
        json!({ "alg": "dir" }),
        json!({ "alg": "none", "enc": "A256GCM" }),
        json!({ "alg": "A256KW", "enc": "A256GCM" }),
        json!({ "alg": "PBES2-HS256+A128KW", "p2c": 2_000_000_000, "enc": "A256GCM" }),
        json!({ "alg": "dir", "enc": "A256GCM", "zip": "DEF" }),
        json!({ "alg": "dir", "enc": "A256GCM", "crit": ["exp"] }),
        json!({ "alg": "dir", "enc": "A256GCM" }),
        json!({ "alg": "dir", "enc": "A256CBC-HS512" }),
        json!({ "alg": ["dir"], "enc": "A256GCM" }),
        json!([]),
    ] {
        // One of them is the header that NextAuth 4 writes.
        if with_header(&header) != token {
            wrong.push(with_header(&header));
        }
    }
    assert!(by_cookies(&authenticator, &vector.cookie, vector.now_ms).await.is_ok());
    for token in wrong {
        let verdict = by_cookies(&authenticator, &format!("{cookie}={token}"), vector.now_ms).await;
        let error = verdict.map(drop).expect_err(&token);
        assert_eq!(error.code(), "unauthenticated", "{token}");
    }
}

#[tokio::test]
async fn takes_no_session_from_pieces_that_do_not_fit() {
    let vector = Vector::named("joins the pieces of auth.js 5 under authjs.session-token");
    let authenticator = vector.authenticator();
    let pieces: Vec<_> = vector.cookie.split("; ").collect();
    assert!(pieces.len() > 2);
    let verdict = async |cookies: String| {
        let verdict = by_cookies(&authenticator, &cookies, vector.now_ms).await;
        verdict.map(drop).map_err(|error| error.code())
    };
    let backwards: Vec<_> = pieces.iter().rev().copied().collect();
    assert_eq!(verdict(backwards.join("; ")).await, Ok(()));
    for cookies in [
        pieces[1..].join("; "),
        pieces[..pieces.len() - 1].join("; "),
        [pieces[0], pieces[2]].join("; "),
        format!("{}; authjs.session-token=x", vector.cookie),
        vector.cookie.replace(".0=", ".9="),
        vector.cookie.replace(".1=", ".9=").replace(".0=", ".1=").replace(".9=", ".0="),
    ] {
        assert_eq!(verdict(cookies).await, Err("unauthenticated"));
    }
    let twice = format!("{}; {}", vector.cookie, pieces[0]);
    assert_eq!(verdict(twice).await, Err("ambiguous-credentials"));
}

#[tokio::test]
async fn judges_by_the_first_cookie_that_is_there() {
    let good = Vector::named("reads nextauth 4 under next-auth.session-token");
    let authenticator = good.authenticator();
    let verdict = async |cookies: &str| {
        let verdict = by_cookies(&authenticator, cookies, good.now_ms).await;
        verdict.map(drop).map_err(|error| error.code())
    };
    assert_eq!(verdict(&format!("other=x; {}", good.cookie)).await, Ok(()));
    assert_eq!(verdict(&format!("authjs.session-token=; {}", good.cookie)).await, Ok(()));
    let bad_first = format!("{}; authjs.session-token=x", good.cookie);
    assert_eq!(verdict(&bad_first).await, Err("unauthenticated"));
    assert_eq!(verdict("other=x").await, Err("unauthenticated"));
}

// JWT cookies

fn signed(algorithm: Algorithm, claims: &Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}

fn claims_with(changes: Value) -> Value {
    let mut claims = json!({ "sub": "42", "sid": "s1", "iat": NOW_SECS, "exp": NOW_SECS + 300 });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    for (claim, value) in changes {
        claims[claim] = value;
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn with_jwt(change: impl FnOnce(&mut SessionJwt)) -> Authenticator {
    let mut jwt = SessionJwt {
        cookie: Some(CookieName::try_from("session".to_owned()).unwrap()),
        secret: Some(Secret::new(SECRET)),
        ..SessionJwt::default()
    };
    change(&mut jwt);
    authenticator(config::Session { jwt, ..config::Session::default() })
}

#[rstest]
#[case::right(json!({}), "42")]
#[case::other_claims(json!({ "aud": "anyone", "iss": "anyone", "role": "admin" }), "42")]
#[case::no_session(json!({ "sid": null }), "42")]
#[case::session_as_number(json!({ "sid": 7 }), "42")]
#[case::not_issued(json!({ "iat": null }), "42")]
#[case::strange_user(json!({ "sub": "a/b" }), "a/b")]
#[case::no_user(json!({ "sub": null }), "no text 'sub'")]
#[case::numeric_user(json!({ "sub": 42 }), "no text 'sub'")]
#[case::empty_user(json!({ "sub": "" }), "user will not do")]
#[case::long_user(json!({ "sub": "a".repeat(65) }), "user will not do")]
#[case::no_expiry(json!({ "exp": null }), "has no 'exp'")]
#[case::expiry_as_text(json!({ "exp": "1795458300" }), "'exp' must be a number")]
#[case::expired(json!({ "exp": NOW_SECS }), "has ended")]
#[case::issued_in_future(json!({ "iat": NOW_SECS + 61 }), "issued in the future")]
#[case::not_yet(json!({ "nbf": NOW_SECS + 61 }), "not valid yet")]
#[tokio::test]
async fn reads_a_signed_cookie(#[case] changes: Value, #[case] expected: &str) {
    let token = signed(Algorithm::HS256, &claims_with(changes), SECRET);
    let authenticator = with_jwt(|_| {});
    match by_cookies(&authenticator, &format!("a=b; session={token}"), NOW_MS).await {
        Ok(principal) => {
            assert_eq!(principal.user.unwrap().id(), expected);
            assert_eq!(principal.method.as_str(), "session");
            assert_eq!(principal.until_ms, Some(NOW_MS + 300_000));
            assert!(principal.role.is_none() && principal.grant.subscribe.is_empty());
        }
        Err(error) => assert!(error.to_string().contains(expected), "{error}"),
    }
}

#[rstest]
#[case::unsigned("eyJhbGciOiJub25lIn0.eyJzdWIiOiI0MiIsImV4cCI6MTc5NTQ1ODMwMH0.".to_owned())]
#[case::other_secret(signed(Algorithm::HS256, &claims_with(json!({})), "another"))]
#[case::other_hash(signed(Algorithm::HS512, &claims_with(json!({})), SECRET))]
#[case::nonsense("x".to_owned())]
#[case::long("a".repeat(9000))]
#[case::quoted(format!("\"{}\"", signed(Algorithm::HS256, &claims_with(json!({})), SECRET)))]
#[tokio::test]
async fn refuses_a_cookie_that_is_not_signed_right(#[case] token: String) {
    let verdict = by_cookies(&with_jwt(|_| {}), &format!("session={token}"), NOW_MS).await;
    assert_eq!(verdict.unwrap_err().code(), "unauthenticated");
}

#[tokio::test]
async fn looks_at_audience_issuer_and_claims_as_it_is_told() {
    let authenticator = with_jwt(|jwt| {
        jwt.audience = Some("app".to_owned());
        jwt.issuer = Some("https://app".to_owned());
        jwt.user_claim = "id".to_owned();
        jwt.session_claim = "session".to_owned();
    });
    let verdict = async |changes: Value| {
        let token = signed(Algorithm::HS256, &claims_with(changes), SECRET);
        by_cookies(&authenticator, &format!("session={token}"), NOW_MS).await
    };
    let right = json!({ "aud": ["app"], "iss": "https://app", "id": "u-7", "session": "s-9" });
    let principal = verdict(right).await.unwrap();
    assert_eq!(principal.user.unwrap().id(), "u-7");
    assert_eq!(principal.sid.as_deref(), Some("s-9"));
    let issuer = verdict(json!({ "aud": "app", "id": "u-7" })).await;
    assert!(issuer.unwrap_err().to_string().contains("'iss'"));
    let audience = verdict(json!({ "iss": "https://app", "id": "u-7" })).await;
    assert!(audience.unwrap_err().to_string().contains("'aud'"));
}

#[tokio::test]
async fn takes_a_public_key_and_nothing_that_is_signed_with_it_as_a_secret() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let pem = pair.public_key_pem();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &pem).unwrap();
    let authenticator = with_jwt(|jwt| {
        jwt.secret = None;
        jwt.public_key_file = Some(file.path().to_str().unwrap().to_owned());
    });
    let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let claims = claims_with(json!({}));
    let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &key).unwrap();
    assert!(by_cookies(&authenticator, &format!("session={token}"), NOW_MS).await.is_ok());
    let forged = signed(Algorithm::HS256, &claims, &pem);
    let verdict = by_cookies(&authenticator, &format!("session={forged}"), NOW_MS).await;
    assert_eq!(verdict.unwrap_err().code(), "unauthenticated");
}

#[test]
fn says_what_is_wrong_with_the_file_of_a_public_key() {
    let private = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
    for text in ["", "canary", &private] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let jwt = SessionJwt {
            cookie: Some(CookieName::try_from("session".to_owned()).unwrap()),
            public_key_file: Some(file.path().to_str().unwrap().to_owned()),
            ..SessionJwt::default()
        };
        let mut config = Config::default();
        config.auth.session.jwt = jwt;
        let error = Authenticator::load(&config, None).map(drop).unwrap_err().to_string();
        assert!(error.contains("public_key_file") && error.contains("no public key"), "{error}");
        assert!(!error.contains("canary"));
    }
}

// Introspection

/// An application that says who is signed in.
#[derive(Clone, Default)]
struct Application {
    answers: Arc<Mutex<HashMap<String, (u16, String)>>>,
    asked: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<HeaderMap>>>,
    address: String,
}

impl Application {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let application = Self { address, ..Self::default() };
        let routes = Router::new()
            .route("/session", get(Self::answer))
            .route("/elsewhere", get(|| async { Redirect::temporary("/session") }))
            .route("/never", get(std::future::pending::<String>))
            .route("/long", get(|| async { "x".repeat(70_000) }))
            .with_state(application.clone());
        tokio::spawn(axum::serve(listener, routes).into_future());
        application
    }

    async fn answer(State(application): State<Self>, headers: HeaderMap) -> (StatusCode, String) {
        application.asked.fetch_add(1, Ordering::SeqCst);
        let cookie = headers.get("cookie").map(|value| value.to_str().unwrap().to_owned());
        let session = headers.get("x-session").map(|value| value.to_str().unwrap().to_owned());
        application.heard.lock().unwrap().push(headers);
        tokio::task::yield_now().await;
        let answers = application.answers.lock().unwrap();
        let answer = cookie.or(session).and_then(|key| answers.get(&key).cloned());
        let (status, body) = answer.unwrap_or((401, String::new()));
        (StatusCode::from_u16(status).unwrap(), body)
    }

    fn says(&self, credential: &str, status: u16, body: impl Into<Value>) {
        let answer = match body.into() {
            Value::String(text) => (status, text),
            json => (status, json.to_string()),
        };
        self.answers.lock().unwrap().insert(credential.to_owned(), answer);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn authenticator(&self, path: &str, change: impl FnOnce(&mut Introspect)) -> Authenticator {
        let cookie = |name: &str| CookieName::try_from(name.to_owned()).unwrap();
        let url = format!("http://{}{path}", self.address);
        let mut introspect = Introspect {
            url: Some(HttpUrl::try_from(url).unwrap()),
            cookies: vec![cookie("sid"), cookie("app")],
            headers: vec!["X-Session".to_owned().try_into().unwrap()],
            ..Introspect::default()
        };
        change(&mut introspect);
        authenticator(config::Session { introspect, ..config::Session::default() })
    }
}

#[tokio::test]
async fn takes_what_the_application_says() {
    let application = Application::start().await;
    application.says(
        "sid=a",
        200,
        json!({
            "userId": "a/b", "sessionId": "s1", "subscribe": ["orders/*"], "publish": ["chat/1"],
            "role": "admin", "meta": { "name": "Ada" }, "expiresAt": NOW_MS + 60_000, "more": [1],
        }),
    );
    application.says("sid=b", 200, json!({ "userId": "42", "sessionId": null, "meta": null }));
    let authenticator = application.authenticator("/session", |_| {});
    let principal = by_cookies(&authenticator, "sid=a", NOW_MS).await.unwrap();
    assert_eq!(principal.user.as_ref().unwrap().topic().as_str(), "user/a%2Fb");
    assert_eq!((principal.sid.as_deref(), principal.role.as_deref()), (Some("s1"), Some("admin")));
    assert_eq!(principal.until_ms, Some(NOW_MS + 60_000));
    assert_eq!(principal.meta.unwrap()["name"], "Ada");
    assert!(principal.grant.may_subscribe(&"orders/1".parse().unwrap()));
    assert!(principal.grant.may_publish(&"chat/1".parse().unwrap()));
    assert!(principal.session.is_some());

    let plain = by_cookies(&authenticator, "sid=b", NOW_MS).await.unwrap();
    assert!(plain.sid.is_none() && plain.until_ms.is_none() && !plain.grant.publishes());
    // An answer that is remembered counts no longer than it said.
    let late = by_cookies(&authenticator, "sid=a", NOW_MS + 60_000).await;
    assert_eq!(late, Err(AuthError::Session(SessionError::Expired)));
    assert_eq!(application.asked(), 2);
}

#[rstest]
#[case::not_signed_in(401, "", "unauthenticated")]
#[case::not_allowed(403, "", "unauthenticated")]
#[case::fault(500, "", "unavailable")]
#[case::restart(503, "", "unavailable")]
#[case::nothing_there(404, "", "unavailable")]
#[case::nothing(204, "", "unavailable")]
#[case::other_success(201, r#"{"userId":"42"}"#, "unavailable")]
#[case::empty(200, "", "unavailable")]
#[case::page(200, "<html>", "unavailable")]
#[case::text(200, "\"42\"", "unavailable")]
#[case::list(200, "[]", "unavailable")]
#[case::nobody(200, "{}", "unavailable")]
#[case::null(200, r#"{"userId":null}"#, "unavailable")]
#[case::number(200, r#"{"userId":42}"#, "unavailable")]
#[case::empty_user(200, r#"{"userId":""}"#, "unavailable")]
#[case::long_user(200, r#"{"userId":"////////////////////////"}"#, "unavailable")]
#[case::session_as_number(200, r#"{"userId":"42","sessionId":7}"#, "unavailable")]
#[case::role_as_list(200, r#"{"userId":"42","role":["admin"]}"#, "unavailable")]
#[case::subscribe_as_text(200, r#"{"userId":"42","subscribe":"**"}"#, "unavailable")]
#[case::subscribe_to_none(200, r#"{"userId":"42","subscribe":["a//b"]}"#, "unavailable")]
#[case::publish_to_number(200, r#"{"userId":"42","publish":[1]}"#, "unavailable")]
#[case::meta_as_text(200, r#"{"userId":"42","meta":"x"}"#, "unavailable")]
#[case::expiry_as_text(200, r#"{"userId":"42","expiresAt":"soon"}"#, "unavailable")]
#[case::over(200, r#"{"userId":"42","expiresAt":1}"#, "unauthenticated")]
#[case::deep(200, &"[".repeat(10_000), "unavailable")]
#[tokio::test]
async fn lets_nobody_in_unless_the_application_says_so(
    #[case] status: u16,
    #[case] body: &str,
    #[case] code: &str,
) {
    let application = Application::start().await;
    application.says("sid=a", status, body);
    let authenticator = application.authenticator("/session", |_| {});
    let verdict = by_cookies(&authenticator, "sid=a", NOW_MS).await;
    assert_eq!(verdict.unwrap_err().code(), code);
}

#[rstest]
#[case::redirect("/elsewhere")]
#[case::silence("/never")]
#[case::flood("/long")]
#[case::nothing("/nothing")]
#[tokio::test]
async fn follows_nothing_and_waits_for_nobody(#[case] path: &str) {
    let application = Application::start().await;
    application.says("sid=a", 200, r#"{"userId":"42"}"#);
    let authenticator = application.authenticator(path, |_| {});
    let verdict = by_cookies(&authenticator, "sid=a", NOW_MS).await;
    assert_eq!(verdict.unwrap_err().code(), "unavailable");
    assert_eq!(application.asked(), 0);
}

#[tokio::test]
async fn hands_on_what_is_named_and_nothing_else() {
    let application = Application::start().await;
    application.says("sid.0=a; app=b; sid.1=c", 200, r#"{"userId":"42"}"#);
    let authenticator = application.authenticator("/session", |_| {});
    let header = "other=secret; sid.0=a; app=b; apps=d; sid.x=e; sid.1=c; sid=";
    let cookies = Cookies::parse([header.as_bytes()]);
    let headers: [(&str, &[u8]); 1] = [("x-session", b"s")];
    let credentials =
        Credentials { cookies: Some(&cookies), headers: &headers, ..Credentials::default() };
    authenticator.authenticate(&credentials, NOW_MS).await.unwrap();
    let heard = application.heard.lock().unwrap().pop().unwrap();
    let mut names: Vec<_> = heard.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "cookie", "host", "user-agent", "x-session"]);
    assert_eq!(heard["x-session"], "s");
    assert_eq!(heard.get_all("cookie").iter().count(), 1);
}

#[tokio::test]
async fn asks_nobody_about_a_request_without_a_session() {
    let application = Application::start().await;
    let authenticator = application.authenticator("/session", |_| {});
    for cookies in ["", "other=a", "sid=", "SID=a", "sid.x=a"] {
        let verdict = by_cookies(&authenticator, cookies, NOW_MS).await;
        assert_eq!(verdict, Err(AuthError::Missing), "{cookies}");
    }
    assert_eq!(application.asked(), 0);
}

#[tokio::test]
async fn asks_once_for_all_who_ask_the_same() {
    let application = Application::start().await;
    application.says("sid=a", 200, r#"{"userId":"42"}"#);
    let authenticator = application.authenticator("/session", |_| {});
    let verdicts = |cookies: &'static str| {
        let asking = (0..50).map(|_| by_cookies(&authenticator, cookies, NOW_MS));
        futures_util::future::join_all(asking)
    };
    assert!(verdicts("sid=a").await.iter().all(Result::is_ok));
    assert_eq!(application.asked(), 1);
    assert!(verdicts("sid=b").await.iter().all(Result::is_err));
    assert_eq!(application.asked(), 2);
    // A while later still, until the answers have had their time.
    assert!(by_cookies(&authenticator, "sid=a", NOW_MS).await.is_ok());
    assert!(by_cookies(&authenticator, "sid=b", NOW_MS).await.is_err());
    assert_eq!(application.asked(), 2);
}

#[tokio::test]
async fn remembers_no_answer_where_it_is_told_so_and_no_fault_ever() {
    let application = Application::start().await;
    application.says("sid=a", 200, r#"{"userId":"42"}"#);
    let authenticator = application.authenticator("/session", |introspect| {
        introspect.cache_secs = 0;
        introspect.refusal_cache_secs = 0;
    });
    for cookies in ["sid=a", "sid=a", "sid=b", "sid=b"] {
        let _ = by_cookies(&authenticator, cookies, NOW_MS).await;
    }
    assert_eq!(application.asked(), 4);
    let authenticator = application.authenticator("/session", |_| {});
    application.says("sid=a", 500, "");
    assert!(by_cookies(&authenticator, "sid=a", NOW_MS).await.is_err());
    application.says("sid=a", 200, r#"{"userId":"42"}"#);
    assert!(by_cookies(&authenticator, "sid=a", NOW_MS).await.is_ok());
    // Whoever it has vouched for just now stays in while it is away.
    application.says("sid=a", 500, "");
    assert!(by_cookies(&authenticator, "sid=a", NOW_MS).await.is_ok());
}

// Sessions of open streams

async fn watched(
    live: &LiveSessions,
    authenticator: &Authenticator,
    cookies: &str,
    connection: u64,
    patterns: &[&str],
) -> Watch {
    let principal = by_cookies(authenticator, cookies, NOW_MS).await.unwrap();
    let patterns: Vec<Pattern> = patterns.iter().map(|text| text.parse().unwrap()).collect();
    let (credential, user) = (principal.session.unwrap(), principal.user.unwrap());
    live.watch(&credential, &user, connection, &patterns, NOW_MS)
}

#[tokio::test]
async fn ends_the_streams_whose_session_is_not_what_it_was() {
    let application = Application::start().await;
    let says =
        |session: &str, answer: Value| application.says(&format!("sid={session}"), 200, answer);
    for session in ["gone", "other", "less", "over", "same"] {
        says(session, json!({ "userId": "42", "subscribe": ["orders/*"] }));
    }
    let authenticator = application.authenticator("/session", |_| {});
    let live = LiveSessions::default();
    let mut watches = Vec::new();
    for (connection, session) in ["gone", "other", "less", "over", "same"].iter().enumerate() {
        let connection = connection as u64 * 10;
        let cookies = format!("sid={session}");
        for (more, patterns) in [(0, ["user/42", "broadcast"]), (1, ["broadcast", "orders/7"])] {
            let watch = watched(&live, &authenticator, &cookies, connection + more, &patterns);
            watches.push(watch.await);
        }
    }
    assert_eq!((live.streams(), application.asked()), (10, 5));

    let half_a_minute_later = NOW_MS + 30_000;
    assert_eq!(live.recheck(&authenticator, half_a_minute_later - 1).await, [0; 0]);
    assert_eq!(application.asked(), 5);
    assert_eq!(live.recheck(&authenticator, half_a_minute_later).await, [0; 0]);
    assert_eq!(application.asked(), 10);

    application.says("sid=gone", 401, "");
    says("other", json!({ "userId": "43", "subscribe": ["orders/*"] }));
    says("less", json!({ "userId": "42", "subscribe": ["orders/1"] }));
    says("over", json!({ "userId": "42", "subscribe": ["orders/*"], "expiresAt": NOW_MS }));
    assert_eq!(live.recheck(&authenticator, half_a_minute_later + 1).await, [0; 0]);
    let mut ending = live.recheck(&authenticator, NOW_MS + 60_000).await;
    ending.sort_unstable();
    assert_eq!(ending, [0, 1, 10, 11, 21, 30, 31]);

    // What was found out counts for those who come anew.
    let verdict = by_cookies(&authenticator, "sid=gone", NOW_MS).await;
    assert_eq!(verdict, Err(AuthError::Session(SessionError::Unknown)));
    drop(watches);
    assert_eq!(live.streams(), 0);
    let asked = application.asked();
    assert_eq!(live.recheck(&authenticator, NOW_MS + 90_000).await, [0; 0]);
    assert_eq!(application.asked(), asked);
}

#[tokio::test]
async fn keeps_streams_while_the_application_is_away() {
    let application = Application::start().await;
    application.says("sid=a", 200, r#"{"userId":"42"}"#);
    let authenticator = application.authenticator("/session", |_| {});
    let live = LiveSessions::default();
    let _watch = watched(&live, &authenticator, "sid=a", 7, &["broadcast"]).await;
    for (status, body) in [(500, ""), (200, "<html>"), (404, "")] {
        application.says("sid=a", status, body);
        let asked = application.asked();
        let later = NOW_MS + asked as u64 * 3_600_000;
        assert_eq!(live.recheck(&authenticator, later).await, [0; 0]);
        assert_eq!(application.asked(), asked + 1);
    }
    application.says("sid=a", 401, "");
    assert_eq!(live.recheck(&authenticator, NOW_MS + 1_000_000_000).await, [7]);
}

#[tokio::test]
async fn tells_apart_users_who_came_with_the_same_cookie_one_after_another() {
    let application = Application::start().await;
    application.says("sid=a", 200, r#"{"userId":"42"}"#);
    let authenticator =
        application.authenticator("/session", |introspect| introspect.cache_secs = 0);
    let live = LiveSessions::default();
    let _first = watched(&live, &authenticator, "sid=a", 1, &["broadcast"]).await;
    application.says("sid=a", 200, r#"{"userId":"43"}"#);
    let _second = watched(&live, &authenticator, "sid=a", 2, &["broadcast"]).await;
    assert_eq!(live.recheck(&authenticator, NOW_MS + 30_000).await, [1]);
}

#[test]
fn shows_no_credential_in_its_debug_form() {
    let cookies = Cookies::parse([b"sid=canary".as_slice()]);
    let credential = SessionCredential::gather(&["sid"], &[], &cookies, &[]).unwrap();
    let live = LiveSessions::default();
    let _watch = live.watch(&credential, &User::new("42").unwrap(), 1, &[], NOW_MS);
    let shown = format!("{credential:?} {live:?} {cookies:?}");
    assert!(!shown.contains("canary"), "{shown}");
}

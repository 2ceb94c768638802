//! Everything that can be wrong with a request: each wrong is answered with its own status and
//! code, none is a fault of the server's, and none leaves a trace in the log.

use std::io::Write;
use std::time::Instant;

use jsonwebtoken::{Algorithm, Header};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::raw::Raw;
use crate::support::tokens::{mint, sign, token};
use crate::support::{API_KEY, PATIENCE, Server, TOKEN_SECRET, tidings, unix_ms};

const PUBLISH_KEY: &str = "tk_publishQ7wE2rT9yU4iO1pA6sD3fG8hJ5kL0z";
const MINT_KEY: &str = "tk_mintX9cV4bN7mQ2wE5rT8yU1iO6pA3sD0fGhJ";
/// Another secret than the server's.
const OTHER_SECRET: &str = "mN8bV5cX2zL0kJ7hG4fD1sA9pO6iU3yT5rE8wQ";

fn server() -> Server {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(
        file,
        r#"
        api_key = "{API_KEY}"
        event_bytes_max = 1024
        request_bytes_max = 8192
        batch_events_max = 5
        head_timeout_secs = 1
        idle_timeout_secs = 1
        body_timeout_secs = 1
        streams.topics_per_subscriber_max = 3
        tokens.secret = "{TOKEN_SECRET}"
        keys = [
            {{ name = "orders", secret = "{PUBLISH_KEY}", scopes = ["publish"] }},
            {{ name = "login", secret = "{MINT_KEY}", scopes = ["token"] }},
        ]
        "#
    )
    .unwrap();
    let mut command = tidings();
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(file.path());
    // The file is read before the server says that it listens.
    Server::spawn(command)
}

/// A request, and the answer it deserves.
struct Row {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    status: u16,
    code: &'static str,
}

impl Row {
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With another credential than the API key, or none.
    fn by(mut self, credential: &str) -> Self {
        self.headers.retain(|(name, _)| *name != "authorization");
        match credential {
            "" => self,
            credential => self.with("authorization", credential),
        }
    }

    fn of_type(mut self, content_type: &str) -> Self {
        self.headers.retain(|(name, _)| *name != "content-type");
        match content_type {
            "" => self,
            content_type => self.with("content-type", content_type),
        }
    }
}

fn row(method: Method, path: &str, status: u16, code: &'static str) -> Row {
    let row = Row { method, path: path.to_owned(), headers: Vec::new(), body: None, status, code };
    row.with("authorization", format!("Bearer {API_KEY}"))
}

fn get(path: &str, status: u16, code: &'static str) -> Row {
    row(Method::GET, path, status, code)
}

fn post(body: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Row {
    let mut row = row(Method::POST, "/api/events", status, code);
    row.body = Some(body.into());
    row.with("content-type", "application/json")
}

/// Both subscriber endpoints refuse the same queries alike.
fn subscribing(rows: &mut Vec<Row>, query: &str, status: u16, code: &'static str) {
    for path in ["/api/sse", "/api/polling"] {
        rows.push(get(&format!("{path}?{query}"), status, code));
    }
}

fn topics(rows: &mut Vec<Row>) {
    let long_segment = "s".repeat(65);
    let long_topic = ["segment-of-32-bytes-for-the-test"; 8].join("/");
    let wrong = [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "a,b",
        "$hub",
        "a/b/c/d/e/f/g/h/i",
        &long_segment,
        &long_topic,
        "a%00b",
        "a%0Ab",
        "a%0D%0Adata:%20x",
        "a%7Fb",
        "a%C2%85b",
    ];
    for topic in wrong {
        subscribing(rows, &format!("topic={topic}"), 400, "invalid-topic");
        let topic = percent_encoding::percent_decode_str(topic).decode_utf8().unwrap();
        rows.push(post(json!({ "topic": topic }).to_string(), 400, "invalid-topic"));
        let among_others = json!({ "topics": ["fine", topic] });
        rows.push(post(among_others.to_string(), 400, "invalid-topic"));
    }
    for pattern in ["a*", "*a/b", "a/**/b", "**/a", "***", "a/*b*"] {
        subscribing(rows, &format!("topic={pattern}"), 400, "invalid-topic");
    }
    for pattern in ["*", "a/*", "**", "a/**"] {
        rows.push(post(json!({ "topic": pattern }).to_string(), 400, "invalid-topic"));
    }
    subscribing(rows, "topic=a&topic=b&topic=c&topic=d", 400, "too-many-topics");
    subscribing(rows, "topics=a,b", 400, "invalid-query");
    subscribing(rows, "topic=%FF", 400, "invalid-query");
    subscribing(rows, "topic=a%C3%28", 400, "invalid-query");
}

fn queries(rows: &mut Vec<Row>) {
    let wrong_cursors = [
        "1",
        "abc",
        "k7q2m9x1",
        "k7q2m9x1-",
        "-1",
        "k7q2m9x1-x",
        "k7q2m9x1-01",
        "k7q2m9x1--1",
        "k7q2m9x1-%2B1",
        "k7q2m9x1-1%20",
        "k7q2m9x1-1-1",
        "K7Q2M9X1-1",
        "k7q2m9xl-1",
        "k7q2m9x-1",
        "k7q2m9x12-1",
        "k7q2m9x1-18446744073709551616",
        "k7q2m9x1-1%0Adata:x",
    ];
    for cursor in wrong_cursors {
        subscribing(rows, &format!("topic=a&lastEventId={cursor}"), 400, "invalid-cursor");
    }
    for header in ["x", "k7q2m9x1-01", "k7q2m9x1-1, k7q2m9x1-2", "é"] {
        for path in ["/api/sse", "/api/polling"] {
            // Before a cursor in the query, though that one is right.
            let path = format!("{path}?topic=a&lastEventId=k7q2m9x1-1");
            rows.push(get(&path, 400, "invalid-cursor").with("last-event-id", header));
        }
    }
    for alias in ["cursor=x", "since=x"] {
        rows.push(get(&format!("/api/polling?topic=a&{alias}"), 400, "invalid-cursor"));
    }
    let wrong = [
        "lastEventId=k7q2m9x1-1&lastEventId=k7q2m9x1-1",
        "lastEventId=k7q2m9x1-1&cursor=k7q2m9x1-2",
        "types=",
        "types=a,,b",
        "types=a,tidings.gap",
        "types=a%20b",
        "rewind=",
        "rewind=-1",
        "rewind=x",
        "rewind=5w",
        "rewind=s",
        "rewind=1.5m",
        "rewind=ALL",
        "rewind=100001",
        "rewind=99999999999999999999",
        "rewind=9999999999999999999h",
        "rewind=1&rewind=2",
        "wait=-1",
        "wait=x",
        "wait=",
        "wait=31",
        "wait=1.5",
        "wait=99999999999999999999",
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=%2B5",
        "limit=1&limit=1",
    ];
    for query in wrong {
        rows.push(get(&format!("/api/polling?topic=a&{query}"), 400, "invalid-query"));
    }
    rows.push(get("/api/sse?topic=a&rewind=5w", 400, "invalid-query"));
    rows.push(get("/api/sse?topic=a&types=", 400, "invalid-query"));
}

fn credentials(rows: &mut Vec<Row>) {
    let now = unix_ms() / 1000;
    let claims =
        json!({ "sub": "42", "aud": "tidings", "iat": now, "exp": now + 3600, "jti": "1" });
    let mut header = Header::new(Algorithm::HS256);
    header.typ = Some("tidings+jwt".to_owned());
    let signed = |change: &dyn Fn(&mut Value)| {
        let mut claims = claims.clone();
        change(&mut claims);
        sign(&header, &claims, TOKEN_SECRET)
    };
    let good = token("42", &[], &[]);
    let (message, _) = good.rsplit_once('.').unwrap();
    let (head, rest) = good.split_once('.').unwrap();
    let none = {
        use base64::Engine;
        let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let head = engine.encode(r#"{"alg":"none","typ":"tidings+jwt"}"#);
        format!("{head}.{}.", rest.split_once('.').unwrap().0)
    };
    let mut untyped = Header::new(Algorithm::HS256);
    untyped.typ = Some("JWT".to_owned());
    let expired = signed(&|claims| claims["exp"] = json!(now - 1));
    let refused = [
        none,
        sign(&untyped, &claims, TOKEN_SECRET),
        sign(&header, &claims, OTHER_SECRET),
        signed(&|claims| claims["exp"] = json!((now + 60).to_string())),
        signed(&|claims| drop(claims.as_object_mut().unwrap().remove("exp"))),
        signed(&|claims| claims["aud"] = json!("another")),
        signed(&|claims| claims["sub"] = json!("")),
        signed(&|claims| claims["sub"] = json!(42)),
        signed(&|claims| claims["iat"] = json!(now + 3600)),
        signed(&|claims| claims["subscribe"] = json!("**")),
        signed(&|claims| claims["subscribe"] = json!(["a*"])),
        format!("{message}."),
        format!("{message}.{}", "A".repeat(43)),
        format!("{head}..{}", good.rsplit_once('.').unwrap().1),
        good[..good.len() - 2].to_owned(),
        "x.y.z".to_owned(),
        "x".to_owned(),
        "a".repeat(9000),
    ];
    for token in &refused {
        let (path, bearer) = ("/api/sse", format!("Bearer {token}"));
        rows.push(get(path, 401, "unauthenticated").by(&bearer));
        rows.push(get(&format!("{path}?token={token}"), 401, "unauthenticated").by(""));
        rows.push(post(r#"{"topic":"a"}"#, 401, "unauthenticated").by(&bearer));
    }
    let bearer = format!("Bearer {expired}");
    rows.push(get("/api/sse", 401, "token-expired").by(&bearer));
    rows.push(get(&format!("/api/polling?token={expired}"), 401, "token-expired").by(""));
    rows.push(post(r#"{"topic":"a"}"#, 401, "token-expired").by(&bearer));

    let wrong = [
        "Bearer",
        "Bearer ",
        API_KEY,
        "Basic dXNlcjpwYXNz",
        "Bearer tk_unknown",
        &format!("Bearer {API_KEY}x"),
        &format!("Bearer {}", &API_KEY[..API_KEY.len() - 1]),
        &format!("Bearer {API_KEY} {API_KEY}"),
        &format!("Bearer {API_KEY},"),
        &format!("Digest {API_KEY}"),
        &format!("Bearer {}", API_KEY.to_uppercase()),
    ];
    for authorization in wrong {
        rows.push(get("/api/sse?topic=a", 401, "unauthenticated").by(authorization));
        rows.push(post(r#"{"topic":"a"}"#, 401, "unauthenticated").by(authorization));
    }
    // None at all; and credentials where they are not promised.
    rows.push(get("/api/sse?topic=a", 401, "unauthenticated").by(""));
    rows.push(get("/api/polling?topic=a", 401, "unauthenticated").by(""));
    rows.push(post(r#"{"topic":"a"}"#, 401, "unauthenticated").by(""));
    rows.push(get("/api/sse?userId=42", 401, "unauthenticated").by(""));
    rows.push(get(&format!("/api/sse?token={API_KEY}"), 401, "unauthenticated").by(""));
    let publisher = token("42", &[], &["a"]);
    let mut by_query = post(r#"{"topic":"a"}"#, 401, "unauthenticated").by("");
    by_query.path = format!("/api/events?token={publisher}");
    rows.push(by_query);
    // An invalid credential is never passed over for a good one that is weaker.
    let path = format!("/api/sse?token={good}");
    rows.push(get(&path, 401, "unauthenticated").by("Bearer tk_unknown"));
    rows.push(get(&path, 401, "unauthenticated").by("Basic dXNlcjpwYXNz"));
    // Before the rest of the query is looked at.
    rows.push(get("/api/sse?topic=//&lastEventId=x", 401, "unauthenticated").by(""));

    let bearer = format!("Bearer {good}");
    rows.push(get(&path, 400, "ambiguous-credentials").by(&bearer));
    let twice = format!("/api/sse?token={good}&token={good}");
    rows.push(get(&twice, 400, "ambiguous-credentials").by(""));
    rows.push(get("/api/sse", 400, "ambiguous-credentials").with("authorization", bearer.clone()));

    // Known, and not allowed.
    for topic in ["user/43", "user/*", "**", "orders/1", "user", "user/42/x"] {
        let path = format!("/api/sse?topic=broadcast&topic={topic}");
        rows.push(get(&path, 403, "forbidden-topic").by(&bearer));
    }
    rows.push(get("/api/sse", 403, "forbidden").by(&format!("Bearer {PUBLISH_KEY}")));
    rows.push(get("/api/sse?topic=a", 403, "forbidden-topic").by(&format!("Bearer {PUBLISH_KEY}")));
    rows.push(get("/api/polling", 403, "forbidden").by(&format!("Bearer {MINT_KEY}")));
    rows.push(post(r#"{"topic":"a"}"#, 403, "forbidden").by(&format!("Bearer {MINT_KEY}")));
    rows.push(post(r#"{"topic":"user/42"}"#, 403, "forbidden").by(&bearer));
    let publisher = format!("Bearer {}", token("42", &["**"], &["chat/*"]));
    for topic in ["a", "chat", "chat/1/2", "user/42", "broadcast"] {
        let body = json!({ "topic": topic }).to_string();
        rows.push(post(body, 403, "forbidden-topic").by(&publisher));
    }
    let body = r#"{"topic":"chat/1","broadcast":true}"#;
    rows.push(post(body, 403, "forbidden-topic").by(&publisher));
    let long_lived = mint("42", |request| request.meta = None);
    let body = r#"{"user":"42"}"#;
    rows.push(post(body, 403, "forbidden").by(&format!("Bearer {long_lived}")));
}

fn bodies(rows: &mut Vec<Row>) {
    let wrong: [&[u8]; 29] = [
        b"",
        b" ",
        b"{",
        b"null",
        b"42",
        b"\"a\"",
        b"true",
        b"[]",
        b"[",
        b"[{\"topic\":\"a\"},]",
        b"{\"topic\":\"a\"} {\"topic\":\"b\"}",
        b"{\"topic\":\"a\"}x",
        b"{'topic':'a'}",
        b"{topic:\"a\"}",
        b"{\"topic\":\"a\",}",
        b"{\"topic\":\"a\",\"unknown\":1}",
        b"{\"Topic\":\"a\"}",
        b"{\"topic\":\"a\",\"topic\":\"a\"}",
        b"{\"topic\":42}",
        b"{\"topics\":\"a\"}",
        b"{\"topics\":[1]}",
        b"{\"topics\":null}",
        b"{\"topic\":\"a\",\"broadcast\":\"yes\"}",
        b"{\"topic\":\"a\",\"ttlSecs\":-1}",
        b"{\"topic\":\"a\",\"ttlSecs\":1.5}",
        b"{\"topic\":\"a\",\"text\":42}",
        b"{\"topic\":\"a\",\"data\":NaN}",
        b"\xEF\xBB\xBF{\"topic\":\"a\"}",
        b"{\"topic\":\"\xFF\"}",
    ];
    for body in wrong {
        rows.push(post(body, 400, "invalid-body"));
    }
    // Pasted into the wrong place, or long: neither is repeated.
    let long = "x".repeat(7000);
    for body in [
        json!(API_KEY),
        json!({ "topic": "a", "broadcast": API_KEY }),
        json!({ "topic": "a", "ttlSecs": format!("\"{API_KEY}") }),
        json!(long.clone()),
        json!({ "topic": "a", "broadcast": long.clone() }),
        json!({ "topic": "a", long: 1 }),
    ] {
        rows.push(post(body.to_string(), 400, "invalid-body"));
    }
    let nobody = post(vec![b' '; 3_000_000], 401, "unauthenticated").by("");
    rows.push(nobody);
    rows.push(post("\n \n", 400, "invalid-body").of_type("application/x-ndjson"));
    let wrong = [
        json!({}),
        json!({ "data": 1 }),
        json!({ "topics": [] }),
        json!({ "topics": [], "users": [], "broadcast": false }),
        json!({ "user": "" }),
        json!({ "users": ["42", ""] }),
        json!({ "user": "u".repeat(65) }),
        json!({ "user": "/".repeat(22) }),
        json!({ "topic": "a", "data": 1, "text": "x" }),
        json!({ "topic": "a", "data": null, "text": "x" }),
        json!({ "topic": "a", "ttlSecs": 0 }),
        json!({ "topic": "a", "type": "" }),
        json!({ "topic": "a", "type": "t".repeat(65) }),
        json!({ "topic": "a", "type": "a b" }),
        json!({ "topic": "a", "type": "a,b" }),
        json!({ "topic": "a", "type": "a\ndata: x" }),
        json!({ "topic": "a", "type": "a\rb" }),
        json!({ "topic": "a", "type": "a\0" }),
        json!({ "topic": "a", "type": "a\u{200b}" }),
        json!({ "topic": "a", "type": "tidings.connected" }),
        json!({ "topic": "a", "type": "tidings." }),
        json!({ "topics": (0..101).map(|n| format!("t/{n}")).collect::<Vec<_>>() }),
    ];
    for body in wrong {
        rows.push(post(body.to_string(), 400, "invalid-event"));
    }
    for key in ["", " ", "a b", "ä", "a\n", &"k".repeat(256)] {
        let body = json!({ "topic": "a", "key": key }).to_string();
        rows.push(post(body, 400, "invalid-idempotency-key"));
    }
    for key in ["", "a b", "ä", &"k".repeat(256)] {
        let row = post(r#"{"topic":"a"}"#, 400, "invalid-idempotency-key");
        rows.push(row.with("idempotency-key", key));
    }
    let twice = post(r#"{"topic":"a"}"#, 400, "invalid-idempotency-key");
    rows.push(twice.with("idempotency-key", "1").with("idempotency-key", "1"));
    let two = post(r#"{"topic":"a","key":"1"}"#, 400, "invalid-idempotency-key");
    rows.push(two.with("idempotency-key", "2"));

    let data = "x".repeat(1025 - 2);
    rows.push(post(json!({ "topic": "a", "data": data }).to_string(), 413, "event-too-large"));
    let text = "x".repeat(1025);
    rows.push(post(json!({ "topic": "a", "text": text }).to_string(), 413, "event-too-large"));
    rows.push(post(vec![b' '; 8193], 413, "body-too-large"));
    rows.push(post(vec![b' '; 3_000_000], 413, "body-too-large"));
    let six = vec![json!({ "topic": "a" }); 6];
    rows.push(post(json!(six).to_string(), 413, "batch-too-large"));
    let six = r#"{"topic":"a"}"#.to_owned() + "\n";
    let six = six.repeat(6);
    rows.push(post(six, 413, "batch-too-large").of_type("application/x-ndjson"));

    for content_type in
        ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json", "é"]
    {
        let row = post(r#"{"topic":"a"}"#, 415, "unsupported-media-type");
        rows.push(row.of_type(content_type));
    }
    let twice = post(r#"{"topic":"a"}"#, 415, "unsupported-media-type");
    rows.push(twice.with("content-type", "application/x-ndjson"));
    for encoding in ["gzip", "br", "deflate", "identity, gzip", "x"] {
        let row = post(r#"{"topic":"a"}"#, 415, "unsupported-media-type");
        rows.push(row.with("content-encoding", encoding));
    }
}

fn routes(rows: &mut Vec<Row>) {
    for path in
        ["/", "/api", "/api/", "/api/sse/", "/API/SSE", "/api/event", "/admins", "//api/sse"]
    {
        rows.push(get(path, 404, "not-found"));
    }
    for path in ["/healthz/x", "/api/../api/ssex", "/api/sse/tokens", "/.env"] {
        rows.push(get(path, 404, "not-found"));
    }
    let reading = ["/api/sse", "/api/polling", "/healthz", "/readyz", "/openapi.json"];
    for path in reading {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::TRACE] {
            rows.push(row(method, path, 405, "method-not-allowed"));
        }
    }
    for method in ["GET", "PUT", "DELETE", "PATCH", "PROPFIND", "post"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        rows.push(row(method.clone(), "/api/events", 405, "method-not-allowed"));
        rows.push(row(method, "/api/sse/token", 405, "method-not-allowed"));
    }
}

#[tokio::test]
async fn every_bad_request_gets_its_own_answer_and_leaves_no_trace() {
    let mut server = server();
    let mut rows = Vec::new();
    topics(&mut rows);
    queries(&mut rows);
    credentials(&mut rows);
    bodies(&mut rows);
    routes(&mut rows);
    assert!(rows.len() >= 400, "{}", rows.len());
    let api = Api::new(&server.url());
    let mut wrong = Vec::new();
    for row in rows {
        let name = format!("{} {} {:?} {}", row.method, row.path, row.headers, shown(&row));
        if let Err(complaint) = check(&api, &server.url(), row).await {
            wrong.push(format!("{name}\n    {complaint}"));
        }
    }
    assert!(wrong.is_empty(), "{} answers are wrong:\n{}", wrong.len(), wrong.join("\n"));
    raw_bytes(&server);
    slow(&server);

    // A connection of its own: those of before are idle and may be closed by now.
    let polled = Api::new(&server.url()).poll("topic=**&rewind=all").await;
    assert_eq!(polled["events"], json!([]));
    assert!(polled["cursor"].as_str().unwrap().ends_with("-0"), "{polled}");
    // Alive, and ending as it should.
    server.signal("INT");
    assert_eq!(server.wait(), Some(0));
}

fn shown(row: &Row) -> String {
    let body = row.body.as_deref().unwrap_or_default();
    String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned()
}

async fn check(api: &Api, url: &str, row: Row) -> Result<(), String> {
    let mut request = api.client.request(row.method, format!("{url}{}", row.path));
    let mut credentials = Vec::new();
    for (name, value) in row.headers {
        if name == "authorization" {
            credentials.extend(value.split(' ').skip(1).map(str::to_owned));
        }
        let value = reqwest::header::HeaderValue::from_bytes(value.as_bytes()).unwrap();
        request = request.header(name, value);
    }
    if let Some((_, token)) = row.path.split_once("token=") {
        credentials.push(token.split('&').next().unwrap().to_owned());
    }
    if let Some(body) = row.body {
        request = request.body(body);
    }
    let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
    if status != row.status {
        // Its body may be a stream that never ends.
        return Err(format!("status: {status} {headers:?}"));
    }
    let text = answer.text().await.map_err(|error| error.to_string())?;
    let expect = |what: &str, is: bool| {
        if is { Ok(()) } else { Err(format!("{what}: {status} {headers:?} {text}")) }
    };
    expect("content type", header("content-type") == "application/problem+json")?;
    expect("caching", header("cache-control") == "no-store")?;
    let problem: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
    expect("code", problem["code"] == row.code)?;
    expect("status inside", problem["status"] == row.status)?;
    expect("type", problem["type"] == format!("urn:tidings:problem:{}", row.code))?;
    for sentence in ["title", "detail"] {
        expect(sentence, problem[sentence].as_str().is_some_and(|text| !text.is_empty()))?;
    }
    expect("a challenge", (row.status == 401) == header("www-authenticate").starts_with("Bearer"))?;
    expect("Allow", (row.status == 405) != header("allow").is_empty())?;
    expect("a bound on the answer", text.len() < 1000)?;
    for credential in credentials.iter().filter(|credential| credential.len() > 8) {
        expect("silence about credentials", !text.contains(credential.as_str()))?;
    }
    Ok(())
}

/// What no HTTP library would send.
fn raw_bytes(server: &Server) {
    let key = format!("Authorization: Bearer {API_KEY}\r\nContent-Type: application/json\r\n");
    let body = "{\"topic\":\"a\"}";
    let chunks = format!("d\r\n{body}\r\n0\r\n\r\n");
    let post = |headers: &str, body: &str| {
        format!("POST /api/events HTTP/1.1\r\nHost: h\r\n{key}{headers}\r\n{body}")
    };
    let get = |headers: &str| format!("GET /healthz HTTP/1.1\r\n{headers}\r\n");
    let chunked = "Transfer-Encoding: chunked\r\n";
    let rows = [
        ("two lengths", post("Content-Length: 13\r\nContent-Length: 12\r\n", body), 400),
        ("a list of lengths", post("Content-Length: 13, 12\r\n", body), 400),
        ("a signed length", post("Content-Length: +13\r\n", body), 400),
        ("a negative length", post("Content-Length: -1\r\n", body), 400),
        ("a length in hex", post("Content-Length: 0xd\r\n", body), 400),
        ("a length past 64 bits", post("Content-Length: 99999999999999999999\r\n", body), 400),
        ("twice chunked", post(&format!("{chunked}{chunked}"), &chunks), 400),
        ("chunked chunked", post("Transfer-Encoding: chunked, chunked\r\n", &chunks), 400),
        ("not chunked", post("Transfer-Encoding: xchunked\r\n", &chunks), 400),
        ("chunked and gzip", post("Transfer-Encoding: gzip, chunked\r\n", &chunks), 400),
        ("chunked not last", post("Transfer-Encoding: chunked, gzip\r\n", &chunks), 400),
        ("chunked after a tab", post("Transfer-Encoding: \x0bchunked\r\n", &chunks), 400),
        ("a chunk of no length", post(chunked, "zz\r\nx\r\n0\r\n\r\n"), 400),
        ("a chunk past 64 bits", post(chunked, "fffffffffffffffff\r\nx\r\n"), 400),
        ("a space before the colon", get("Host : h\r\n"), 400),
        ("a folded header", get("Host: h\r\nX-A: b\r\n c\r\n"), 400),
        ("NUL in a header", get("Host: h\r\nX-A: a\0b\r\n"), 400),
        ("no Host", get(""), 400),
        ("two Hosts", get("Host: a\r\nHost: b\r\n"), 400),
        ("no HTTP", "hello\r\n\r\n".to_owned(), 400),
        ("a version there is not", "GET /healthz HTTP/3.0\r\nHost: h\r\n\r\n".to_owned(), 400),
        ("a space in the path", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 400),
        ("too large a head", get(&format!("Host: h\r\nX: {}\r\n", "x".repeat(20_000))), 431),
        (
            "too long a path",
            format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(20_000)),
            431,
        ),
        ("too many headers", get(&format!("Host: h\r\n{}", "X: y\r\n".repeat(200))), 431),
    ];
    for (name, request, status) in rows {
        let mut socket = Raw::connect(&server.address);
        // What follows a request that cannot be understood must never be taken for another.
        socket.send(request + &post("Content-Length: 13\r\n", body));
        let answer = socket.read_to_end();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{name}: {answer:?}");
    }
}

/// A proxy in front may have gone by the length. Chunks go before it (RFC 9112, 6.3), and what
/// follows is not read.
#[test]
fn a_length_beside_chunks_ends_the_connection() {
    let server = server();
    let key = format!("Authorization: Bearer {API_KEY}\r\nContent-Type: application/json\r\n");
    let (length, chunked) = ("Content-Length: 4\r\n", "Transfer-Encoding: chunked\r\n");
    for headers in [format!("{length}{chunked}"), format!("{chunked}{length}")] {
        let mut socket = Raw::connect(&server.address);
        socket.send(format!(
            "POST /api/events HTTP/1.1\r\nHost: h\r\n{key}{headers}\r\n\
             d\r\n{{\"topic\":\"a\"}}\r\n0\r\n\r\n\
             GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
        ));
        let answer = socket.read_to_end();
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer:?}");
        assert!(answer.contains("connection: close"), "{answer:?}");
    }
}

/// What comes too slowly, or not at all.
fn slow(server: &Server) {
    let began = Instant::now();
    let mut heads = [
        Raw::connect(&server.address),
        Raw::connect(&server.address),
        Raw::connect(&server.address),
    ];
    heads[1].send("GET /healthz HTTP/1.1\r\nHost: h\r\nX: ");
    heads[2].send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET /he");
    assert!(heads[2].read_until("{\"status\":\"ok\"}").starts_with("HTTP/1.1 200 "));
    let mut body = Raw::connect(&server.address);
    body.send(format!(
        "POST /api/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {API_KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{{\"topic\":"
    ));
    for mut head in heads {
        let answer = head.read_to_end();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    }
    let answer = body.read_to_end();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("body-timeout"), "{answer:?}");
    assert!(began.elapsed() < PATIENCE);
    // Broken off in the middle of its body.
    let mut broken = Raw::connect(&server.address);
    broken.send(format!(
        "POST /api/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {API_KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{{\"topic\":\"a\"}}"
    ));
}

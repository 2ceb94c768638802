//! What other sites make browsers do: hosts that are not ours, requests that come with a cookie; and
//! the listener that operators have for themselves.

use reqwest::Method;
use rstest::rstest;
use serde_json::json;

use crate::support::api::{Api, Stream, json};
use crate::support::raw::Raw;
use crate::support::tokens::token;
use crate::support::{API_KEY, Server, tidings};

const APP: &str = "https://app.example.com";

/// Every route, and some that are none.
const ROUTES: [(&str, &str); 15] = [
    ("GET", "/api/sse?topic=a"),
    ("HEAD", "/api/sse?topic=a"),
    ("GET", "/api/polling?topic=a"),
    ("POST", "/api/events"),
    ("POST", "/api/rate-limit"),
    ("POST", "/api/revocations"),
    ("DELETE", "/api/admin/connections/0123456789abcdef"),
    ("GET", "/api/admin/connections"),
    ("GET", "/api/admin/topics"),
    ("GET", "/api/admin/topics/a/events"),
    ("GET", "/api/admin/stats"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("OPTIONS", "/api/events"),
    ("PUT", "/nowhere"),
];

#[rstest]
#[case::elsewhere("evil.example.com", true)]
#[case::a_longer_name("live.example.com.evil.com", true)]
#[case::an_address("127.0.0.1", true)]
#[case::localhost("localhost", true)]
#[case::another_port("ops.example.com", true)]
#[case::nonsense("live.example.com@evil", true)]
#[case::empty("", true)]
#[case::ours("live.example.com", false)]
#[case::ours_in_capitals("LIVE.Example.COM", false)]
#[case::ours_with_a_port("live.example.com:4000", false)]
#[case::ours_with_its_port("ops.example.com:8443", false)]
#[tokio::test]
async fn a_foreign_host_is_misdirected_on_every_route(#[case] host: &str, #[case] foreign: bool) {
    let server = Server::start(&[("HOSTS", "live.example.com,ops.example.com:8443")]);
    let api = Api::new(&server.url());
    for (method, path) in ROUTES {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = api.client.request(method.clone(), format!("{}{path}", server.url()));
        let answer = request.header("host", host).bearer_auth(API_KEY).send().await.unwrap();
        assert_eq!(answer.status() == 421, foreign, "{method} {path}: {}", answer.status());
        if foreign && method != Method::HEAD {
            assert_eq!(json(answer).await["code"], "misdirected-request", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_host_counts_however_it_is_named() {
    let server = Server::start(&[("HOSTS", "live.example.com")]);
    let status = |request: &str| {
        let mut raw = Raw::connect(&server.address);
        raw.send(request);
        raw.read_until("\r\n").split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(status("GET /healthz HTTP/1.0\r\n\r\n"), "421");
    assert_eq!(status("GET /healthz HTTP/1.0\r\nHost: live.example.com\r\n\r\n"), "200");
    let target = |target: &str, host: &str| {
        status(&format!("GET http://{target}/healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    };
    assert_eq!(target("live.example.com", "live.example.com"), "200");
    assert_eq!(target("evil.example.com", "live.example.com"), "421");
    assert_eq!(target("live.example.com", "evil.example.com"), "421");

    // HTTP/2 names it in the target.
    let two = |url: String| async move {
        let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
        client.get(url).send().await.unwrap().status()
    };
    assert_eq!(two(format!("{}/healthz", server.url())).await, 421);
    let by_address = Server::start(&[("HOSTS", "127.0.0.1")]);
    assert_eq!(two(format!("{}/healthz", by_address.url())).await, 200);
}

/// Cross-site requests are the table in the server itself; this is that it is asked.
#[rstest]
#[case::none(None, false)]
#[case::another(Some("https://evil.example.com"), false)]
#[case::of_the_application(Some(APP), true)]
#[tokio::test]
async fn a_cookie_changes_nothing_from_another_site(
    #[case] origin: Option<&str>,
    #[case] is_ours: bool,
) {
    let server = Server::start(&[("CORS__ORIGINS", APP)]);
    let api = Api::new(&server.url());
    let ask = |method: &str, path: &str, with: &[(&str, &str)], size: usize| {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = api.client.request(method, format!("{}{path}", server.url()));
        for (name, value) in with.iter().copied().chain(origin.map(|origin| ("origin", origin))) {
            request = request.header(name, value);
        }
        if size > 0 {
            request = request.header("content-type", "application/json").body("x".repeat(size));
        }
        async move { request.send().await.unwrap() }
    };
    let (cookie, key) = (("cookie", "tidings_token=x"), format!("Bearer {API_KEY}"));
    for (method, path) in ROUTES {
        let safe = ["GET", "HEAD", "OPTIONS"].contains(&method);
        let is_forbidden = !safe && !is_ours;
        // Enough that whoever does not read it would cut the answer off.
        let size = if is_forbidden { 300_000 } else { 0 };
        let answer = ask(method, path, &[cookie], size).await;
        assert_eq!(answer.status() == 403, is_forbidden, "{method} {path}: {}", answer.status());
        if is_forbidden {
            assert_eq!(json(answer).await["code"], "forbidden-origin");
        }
        for with in
            [&[("authorization", key.as_str())][..], &[("authorization", &key), cookie], &[]]
        {
            let answer = ask(method, path, with, 0).await;
            assert_ne!(answer.status(), 403, "{method} {path} {with:?}");
        }
    }
}

#[tokio::test]
async fn its_own_pages_may_use_the_cookie() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let status = async |origin: &str, with: &[(&str, &str)]| {
        let mut request = api.post_as_nobody("{}").header("cookie", "a=b").header("origin", origin);
        for (name, value) in with {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap().status().as_u16()
    };
    let host = ("host", "Live.example.com");
    // 401: it is let through, and a cookie is no credential here.
    assert_eq!(status(&server.url(), &[]).await, 401);
    assert_eq!(status("http://live.example.com", &[host]).await, 401);
    assert_eq!(status("https://live.example.com", &[host]).await, 401);
    assert_eq!(status("https://live.example.com:8443", &[host]).await, 403);
    assert_eq!(status("https://live.example.com.evil.com", &[host]).await, 403);
    assert_eq!(status("ftp://live.example.com", &[host]).await, 403);
}

/// A server with a listener for operators, and where that is.
fn with_admin_listener(settings: &[(&str, &str)]) -> (Server, String) {
    let server = Server::start(&[&[("ADMIN_LISTEN", "127.0.0.1:0")], settings].concat());
    let url = admin_url(&server);
    (server, url)
}

fn admin_url(server: &Server) -> String {
    let line = server.wait_for_log("listening for operators");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    format!("http://{}", line["fields"]["address"].as_str().unwrap())
}

#[rstest]
#[case::at_the_root("")]
#[case::below("/live/v1")]
#[tokio::test]
async fn operators_have_a_listener_of_their_own(#[case] base: &str) {
    let (server, admin_url) = with_admin_listener(&[("BASE_PATH", base)]);
    let (public, admin) = (Api::new(&server.url()), Api::new(&admin_url));
    for path in ["/healthz", "/readyz", "/openapi.json"] {
        for api in [&public, &admin] {
            let answer = api.get_as_nobody(&format!("{base}{path}")).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
        }
    }
    let mut stream = Stream::open(public.get(&format!("{base}/api/sse?topic=a"))).await;
    let connection = stream.next().await.unwrap().json()["connection"].as_str().unwrap().to_owned();
    let close = format!("{base}/api/admin/connections/{connection}");
    let revoke = format!("{base}/api/revocations");
    let subject = json!({ "user": "ann" });

    // Nothing of it is where everybody is; here there are the events too, for the dashboard, and
    // nothing else of theirs.
    let answer = public.delete(&close).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &json(answer).await["code"]), (404, &json!("not-found")));
    assert_eq!(public.post_to(&revoke).json(&subject).send().await.unwrap().status(), 404);
    for path in ["/admin", "/admin/"] {
        let answer = public.get(&format!("{base}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
    }
    for path in ["/api/sse/token", "/api/rate-limit"] {
        let answer = admin.post_to(&format!("{base}{path}")).body("{}").send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
    }
    for path in ["/api/sse?topic=a", "/api/polling?topic=a"] {
        let answer = admin.get_as_nobody(&format!("{base}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
    }
    let mut watching = Stream::open(admin.get(&format!("{base}/api/sse?topic=a"))).await;
    watching.next_of("tidings.connected").await;
    let event = json!({ "topic": "a", "type": "note", "data": 1 });
    let events = format!("{base}/api/events");
    assert_eq!(admin.post_to(&events).json(&event).send().await.unwrap().status(), 201);
    assert_eq!(watching.next_of("note").await.json(), 1);
    // Behind the key all the same.
    let nobody = admin.client.delete(format!("{admin_url}{close}")).send().await.unwrap();
    assert_eq!(nobody.status(), 401);
    assert_eq!(admin.post_to(&revoke).json(&subject).send().await.unwrap().status(), 200);
    assert_eq!(admin.delete(&close).send().await.unwrap().status(), 204);
    assert_eq!(stream.next_of("tidings.closing").await.json()["reason"], "revoked");
    // Who is revoked there is refused here.
    let ann = public.get_as_nobody(&format!("{base}/api/polling"));
    let refused = ann.bearer_auth(token("ann", &[], &[])).send().await.unwrap();
    assert_eq!(json(refused).await["code"], "revoked");
}

#[tokio::test]
async fn without_one_they_are_where_everybody_is() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let subject = json!({ "user": "ann" });
    assert_eq!(api.post_to("/api/revocations").json(&subject).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn the_listener_of_operators_is_guarded_and_drained_like_the_other() {
    let settings = [("HOSTS", "ops.example.com"), ("STREAMS__DRAIN_DELAY_SECS", "0")];
    let (mut server, admin_url) = with_admin_listener(&settings);
    let client = reqwest::Client::new();
    let status = async |host: &str| {
        let request = client.get(format!("{admin_url}/healthz")).header("host", host);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((status("ops.example.com").await, status("evil.example.com").await), (200, 421));
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    assert!(client.get(format!("{admin_url}/healthz")).send().await.is_err());
}

#[tokio::test]
async fn a_development_node_has_its_page_on_the_one_listener_only() {
    let mut command = tidings();
    command.args(["serve", "--listen", "127.0.0.1:0", "--dev"]);
    command.env("TIDINGS_ADMIN_LISTEN", "127.0.0.1:0");
    let server = Server::spawn(command);
    let status = async |url: &str| reqwest::get(format!("{url}/")).await.unwrap().status().as_u16();
    assert_eq!((status(&server.url()).await, status(&admin_url(&server)).await), (200, 404));
}

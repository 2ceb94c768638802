//! Whose address it is: wrong credentials and open streams count for the client behind a proxy that is
//! trusted, and nobody can choose another.

use reqwest::{RequestBuilder, Response};
use rstest::rstest;
use serde_json::json;

use crate::support::api::{Api, json};
use crate::support::raw::Raw;
use crate::support::tokens::{mint, sign, token};
use crate::support::{self, Server, TOKEN_SECRET};

const WRONG_KEY: &str = "tk_wrongwrongwrongwrongwrongwrongwrongwrong";
const APP: &str = "https://app.example.com";

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
}

/// A wrong credential of each kind.
fn wrong(api: &Api) -> Vec<RequestBuilder> {
    let forged = token("ann", &[], &[]) + "x";
    vec![
        api.get_as_nobody("/api/sse").bearer_auth(WRONG_KEY),
        api.get_as_nobody("/api/polling").bearer_auth(&forged),
        api.get_as_nobody(&format!("/api/sse?token={forged}")),
        api.get_as_nobody("/api/sse").header("authorization", "Basic YTpi"),
        api.post_as_nobody(r#"{"topic":"a"}"#).bearer_auth(WRONG_KEY),
        api.post_as_nobody("[]").header("authorization", "nonsense"),
        api.get_as_nobody(&format!("/api/polling?token={WRONG_KEY}")),
    ]
}

#[tokio::test]
async fn an_address_has_so_many_wrong_credentials_and_a_good_one_always_passes() {
    const POLICY: &str = "\"auth-failures\";q=7;w=60";
    let server = Server::start(&[("LIMITS__AUTH_FAILURES__LIMIT", "7"), ("CORS__ORIGINS", APP)]);
    let api = Api::new(&server.url());
    let expired = {
        let now_secs = support::unix_ms() / 1000;
        let claims = json!({ "aud": "tidings", "sub": "ann", "jti": "t", "iat": now_secs - 60,
            "exp": now_secs - 1 });
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        header.typ = Some("tidings+jwt".to_owned());
        sign(&header, &claims, TOKEN_SECRET)
    };
    let revoked = mint("bob", |request| request.sid = Some("gone".to_owned()));
    let body = json!({ "session": "gone" });
    assert_eq!(api.post_to("/api/revocations").json(&body).send().await.unwrap().status(), 200);
    // Nobody is guessing: none, one that was good once, too many.
    let harmless = || {
        let polling = || api.get_as_nobody("/api/polling");
        let both = api.get_as_nobody("/api/polling?token=x").bearer_auth("y");
        [
            (polling(), 401, "unauthenticated"),
            (polling().bearer_auth(&expired), 401, "token-expired"),
            (polling().bearer_auth(&revoked), 401, "revoked"),
            (both, 400, "ambiguous-credentials"),
        ]
    };
    for round in 0..2 {
        for _ in 0..3 {
            for (request, status, code) in harmless() {
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), status, "{code}");
                assert_eq!(json(answer).await["code"], code);
            }
        }
        assert_eq!(wrong(&api).len(), 7);
        for request in wrong(&api) {
            let answer = request.header("origin", APP).send().await.unwrap();
            assert_eq!(header(&answer, "access-control-allow-origin"), APP);
            if round == 0 {
                assert_eq!(answer.status(), 401, "{}", answer.url());
                assert!(answer.headers().contains_key("www-authenticate"));
                assert!(!answer.headers().contains_key("ratelimit"));
            } else {
                assert!(!answer.headers().contains_key("www-authenticate"));
                let exposed = header(&answer, "access-control-expose-headers").to_owned();
                assert!(exposed.contains("ratelimit") && exposed.contains("retry-after"));
                assert_eq!(header(&answer, "ratelimit-policy"), POLICY);
                let secs = header(&answer, "retry-after").to_owned();
                assert_eq!(header(&answer, "ratelimit"), format!("\"auth-failures\";r=0;t={secs}"));
                assert_eq!(answer.status(), 429);
                assert_eq!(json(answer).await["code"], "rate-limited");
            }
        }
        // Whoever shares the address goes on.
        let ann = token("ann", &[], &[]);
        assert_eq!(api.get("/api/polling?topic=a").send().await.unwrap().status(), 200);
        let request = api.get_as_nobody("/api/polling").bearer_auth(&ann);
        assert_eq!(request.send().await.unwrap().status(), 200);
        assert_eq!(api.get_as_nobody("/healthz").send().await.unwrap().status(), 200);
        api.publish(r#"{"topic":"a"}"#).await;
    }
}

/// Asks many times with a wrong key, each time with other headers, on one connection; counts the
/// answers with 401 and those with 429.
fn wrong_answers(server: &Server, headers: impl IntoIterator<Item = String>) -> (usize, usize) {
    let mut raw = Raw::connect(&server.address);
    let (mut unauthenticated, mut limited) = (0, 0);
    for headers in headers {
        raw.send(format!(
            "GET /api/polling HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {WRONG_KEY}\r\n\
             {headers}\r\n\r\n"
        ));
        let head = raw.read_until("\r\n\r\n");
        unauthenticated += usize::from(head.starts_with("HTTP/1.1 401 "));
        limited += usize::from(head.starts_with("HTTP/1.1 429 "));
        raw.read_until("}");
    }
    (unauthenticated, limited)
}

#[test]
fn a_forged_forwarding_header_from_a_stranger_changes_nothing() {
    let server = Server::start(&[
        ("LIMITS__AUTH_FAILURES__LIMIT", "5"),
        ("TRUSTED_PROXIES", "192.0.2.1,fd00::/8"),
    ]);
    let forged = (0..20).flat_map(|number| {
        [
            format!("X-Forwarded-For: 198.51.100.{number}"),
            format!("X-Forwarded-For: 198.51.100.{number}, 192.0.2.1"),
            format!("Forwarded: for=198.51.100.{number}"),
            format!("X-Real-IP: 198.51.100.{number}"),
            format!("X-Client-IP: 198.51.100.{number}\r\nTrue-Client-IP: 198.51.100.{number}"),
        ]
    });
    assert_eq!(wrong_answers(&server, forged), (5, 95));
}

/// nginx, as most set it up, writes `X-Forwarded-For` and hands a client's own `Forwarded` on. Others
/// do it the other way round.
#[rstest]
#[case("X-Forwarded-For: 203.0.113.9", "Forwarded: for=")]
#[case("Forwarded: for=203.0.113.9", "X-Forwarded-For: ")]
fn a_client_gains_nothing_by_the_header_that_its_proxy_does_not_write(
    #[case] by_proxy: &str,
    #[case] by_client: &str,
) {
    let server =
        Server::start(&[("LIMITS__AUTH_FAILURES__LIMIT", "5"), ("TRUSTED_PROXIES", "127.0.0.1")]);
    let forged = (0..50).map(|number| format!("{by_client}198.51.100.{number}\r\n{by_proxy}"));
    // They all count as the proxy's own.
    assert_eq!(wrong_answers(&server, forged), (5, 45));
    let honest = (0..10).map(|_| by_proxy.to_owned());
    assert_eq!(wrong_answers(&server, honest), (5, 5));
}

#[test]
fn ten_thousand_addresses_of_a_subnet_are_one_and_each_spelling_too() {
    let server =
        Server::start(&[("LIMITS__AUTH_FAILURES__LIMIT", "5"), ("TRUSTED_PROXIES", "127.0.0.1")]);
    let subnet = (0..10_000_u64).map(|number| {
        let host = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let words: Vec<_> =
            host.chunks(2).map(|word| format!("{:02x}{:02x}", word[0], word[1])).collect();
        format!("X-Forwarded-For: 198.51.100.7, 2001:db8:0:1:{}", words.join(":"))
    });
    assert_eq!(wrong_answers(&server, subnet), (5, 9995));
    let spellings = [
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-For: ::ffff:203.0.113.9",
        "X-Forwarded-For: [::ffff:203.0.113.9]:1",
        "X-Forwarded-For: 203.0.113.9:52000",
        "X-Forwarded-For: 198.51.100.7,203.0.113.9",
        "X-Forwarded-For: 198.51.100.8\r\nX-Forwarded-For: 203.0.113.9",
        "Forwarded: for=203.0.113.9",
        "Forwarded: for=198.51.100.9;by=1, For=\"203.0.113.9:7\";proto=https",
        "X-Forwarded-For: 203.0.113.9\r\nForwarded: for=203.0.113.9",
    ];
    assert_eq!(wrong_answers(&server, spellings.map(str::to_owned)), (5, 4));
    let others = (0..50).map(|number| format!("X-Forwarded-For: 203.0.113.{}", number + 10));
    assert_eq!(wrong_answers(&server, others), (50, 0));
}

#[tokio::test]
async fn the_streams_of_an_address_are_those_of_the_client_behind_the_proxy() {
    let server = Server::start(&[
        ("LIMITS__CONNECTIONS_PER_ADDRESS", "2"),
        ("TRUSTED_PROXIES", "127.0.0.0/8"),
    ]);
    let api = Api::new(&server.url());
    let ask = |client: &str| api.get("/api/sse?topic=a").header("x-forwarded-for", client).send();
    let mut streams = Vec::new();
    for client in ["203.0.113.9", "::ffff:203.0.113.9", "2001:db8::1", "2001:db8::2"] {
        streams.push(ask(client).await.unwrap());
        assert_eq!(streams.last().unwrap().status(), 200, "{client}");
    }
    for client in ["203.0.113.9", "198.51.100.7, 203.0.113.9", "2001:db8::3"] {
        let answer = ask(client).await.unwrap();
        assert_eq!(answer.status(), 429, "{client}");
        assert_eq!(json(answer).await["code"], "too-many-connections");
    }
    assert_eq!(ask("203.0.113.10").await.unwrap().status(), 200);
}

//! Every way a request can arrive: HTTP/1.0, 1.1 and 2, over TLS or not, in one piece or byte by
//! byte, alone or after others. A stream is the same stream over all of them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tokio_rustls::rustls;

use crate::support::{API_KEY, PATIENCE, Server};

/// A raw connection.
struct Wire {
    socket: TcpStream,
    got: String,
}

impl Wire {
    fn open(server: &Server) -> Self {
        let socket = TcpStream::connect(&server.address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, got: String::new() }
    }

    fn send(&mut self, bytes: &str) {
        self.socket.write_all(bytes.as_bytes()).unwrap();
    }

    /// Reads up to and with `end`, from where the last reading ended.
    fn read_to(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.got.find(end) {
                let rest = self.got.split_off(at + end.len());
                return std::mem::replace(&mut self.got, rest);
            }
            let mut buffer = [0; 4096];
            let count = self.socket.read(&mut buffer).unwrap();
            assert!(count > 0, "closed before {end:?}, after {:?}", self.got);
            self.got.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    }

    /// Waits for the other side to close; what it still said.
    fn read_to_end(mut self) -> String {
        let mut buffer = [0; 4096];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return self.got,
                Ok(count) => self.got.push_str(std::str::from_utf8(&buffer[..count]).unwrap()),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return self.got,
                Err(error) => panic!("not closed: {error}"),
            }
        }
    }
}

/// A request for a stream of the topic `news`.
fn stream_request(version: &str, credential: &str) -> String {
    format!(
        "GET /api/sse?topic=news HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {credential}\r\n\r\n"
    )
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
const HEALTHY: &str = r#"{"status":"ok"}"#;

/// Publishes to `news`.
async fn publish(client: &reqwest::Client, url: &str, data: &str) -> Value {
    let request = client.post(format!("{url}/api/events")).bearer_auth(API_KEY);
    let answer = request.json(&json!({ "topic": "news", "data": data })).send().await.unwrap();
    answer.error_for_status().unwrap().json().await.unwrap()
}

/// Publishes to `news` where nothing is asynchronous.
fn publish_now(server: &Server, data: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(publish(&reqwest::Client::new(), &server.url(), data));
}

/// Reads a body until it has said this; all that it said.
async fn hear(answer: &mut reqwest::Response, what: &str) -> String {
    let hearing = async {
        let mut got = String::new();
        while !got.contains(what) {
            let bytes = answer.chunk().await.unwrap();
            let bytes = bytes.unwrap_or_else(|| panic!("ended before {what:?}: {got:?}"));
            got.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        got
    };
    tokio::time::timeout(PATIENCE, hearing).await.unwrap_or_else(|_| panic!("never said: {what}"))
}

#[test]
fn the_head_of_a_stream_has_these_headers_and_no_others() {
    let server = Server::start(&[("CORS__ORIGINS", "https://app.example.com")]);
    let mut wire = Wire::open(&server);
    wire.send(&format!(
        "GET /api/sse?topic=news HTTP/1.1\r\nHost: x\r\nOrigin: https://app.example.com\r\n\
         Authorization: Bearer {API_KEY}\r\n\r\n"
    ));
    let head = wire.read_to("\r\n\r\n");
    let mut lines = head.trim_end().split("\r\n");
    assert_eq!(lines.next(), Some("HTTP/1.1 200 OK"));
    let mut headers: Vec<&str> = lines.filter(|line| !line.starts_with("date: ")).collect();
    headers.sort_unstable();
    let mut expected = vec![
        "access-control-allow-credentials: true",
        "access-control-allow-origin: https://app.example.com",
        "access-control-expose-headers: etag,retry-after,ratelimit-policy,ratelimit,tidings-warning",
        "cache-control: no-store",
        "content-type: text/event-stream; charset=utf-8",
        "referrer-policy: no-referrer",
        "vary: origin, access-control-request-method, access-control-request-headers",
        "x-accel-buffering: no",
        "x-content-type-options: nosniff",
    ];
    // The end of the body is told by the end of the connection, or chunk by chunk by the library.
    let by_library = std::env::var("TEST_OWN_SOCKETS").is_ok_and(|own| own == "false");
    expected.push(if by_library { "transfer-encoding: chunked" } else { "connection: close" });
    expected.sort_unstable();
    assert_eq!(headers, expected);
    let date = head.split("\r\n").find_map(|line| line.strip_prefix("date: ")).unwrap();
    let age = std::time::SystemTime::now().duration_since(httpdate::parse_http_date(date).unwrap());
    assert!(age.unwrap() < PATIENCE, "{date}");
}

#[test]
fn a_stream_over_http_1_0_is_neither_chunked_nor_held_back() {
    let server = Server::start(&[]);
    let mut wire = Wire::open(&server);
    wire.send(&stream_request("1.0", API_KEY));
    let head = wire.read_to("\r\n\r\n");
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    wire.read_to("event: tidings.connected\n");
    publish_now(&server, "hello");
    wire.read_to("data: \"hello\"\n\n");
}

#[test]
fn a_stream_may_follow_other_requests_on_its_connection() {
    let server = Server::start(&[]);
    let stream = stream_request("1.1", API_KEY);
    let refused = stream_request("1.1", "tk_wrongwrongwrongwrongwrongwrongwrongwrong");
    let missing = "GET /api/sse-not HTTP/1.1\r\nHost: x\r\n\r\n";
    for before in [HEALTH, &refused, missing, &HEALTH.repeat(3), &format!("{refused}{HEALTH}")] {
        let statuses = before.matches("HTTP/1.1\r\n").count();
        for at_once in [true, false] {
            let mut wire = Wire::open(&server);
            if at_once {
                wire.send(&format!("{before}{stream}"));
            } else {
                wire.send(before);
            }
            for _ in 0..statuses {
                wire.read_to("HTTP/1.1 ");
                wire.read_to("}");
            }
            if !at_once {
                wire.send(&stream);
            }
            let head = wire.read_to("\r\n\r\n");
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{before:?}: {head}");
            wire.read_to("event: tidings.connected\n");
            publish_now(&server, "after");
            wire.read_to("data: \"after\"\n");
        }
    }
}

#[test]
fn a_refused_stream_leaves_the_connection_as_the_client_asked() {
    let server = Server::start(&[]);
    let mut wire = Wire::open(&server);
    wire.send("GET /api/sse HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(wire.read_to("\r\n\r\n").starts_with("HTTP/1.1 401 "));
    wire.read_to("}");
    wire.send(HEALTH);
    wire.read_to(HEALTHY);

    let mut wire = Wire::open(&server);
    wire.send("GET /api/sse HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(wire.read_to("\r\n\r\n").to_lowercase().contains("connection: close"));
    assert!(wire.read_to_end().ends_with('}'));
}

#[test]
fn a_request_may_come_byte_by_byte_or_be_split_anywhere() {
    let server = Server::start(&[]);
    let stream = stream_request("1.1", API_KEY);
    for (request, answer) in [(&*stream, "event: tidings.connected\n"), (HEALTH, HEALTHY)] {
        let mut dribbling = Wire::open(&server);
        for byte in request.as_bytes() {
            dribbling.socket.write_all(&[*byte]).unwrap();
        }
        dribbling.read_to(answer);
        for at in 1..request.len() {
            let mut wire = Wire::open(&server);
            wire.send(&request[..at]);
            wire.send(&request[at..]);
            wire.read_to(answer);
        }
    }
}

#[test]
fn a_head_that_is_not_finished_in_time_ends_the_connection() {
    let server = Server::start(&[("HEAD_TIMEOUT_SECS", "1")]);
    let begun = Instant::now();
    let beginnings = [
        "",
        "G",
        "GET /api/sse HTTP/1.1\r\nHost: x\r\n",
        "POST /api/events HTTP/1.1\r\n",
        "PRI *",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n",
        "HEAD",
    ];
    let wires = beginnings.map(|beginning| {
        let mut wire = Wire::open(&server);
        wire.send(beginning);
        wire
    });
    for (wire, beginning) in wires.into_iter().zip(beginnings) {
        assert_eq!(wire.read_to_end(), "", "{beginning:?}");
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(3), "took {took:?}");
}

#[test]
fn an_over_long_head_is_431() {
    let server = Server::start(&[("HEAD_BYTES_MAX", "8192")]);
    for target in ["/api/sse", "/healthz"] {
        let mut wire = Wire::open(&server);
        wire.send(&format!("GET {target} HTTP/1.1\r\nHost: x\r\nX-Long: {}", "x".repeat(9000)));
        assert!(wire.read_to("\r\n").starts_with("HTTP/1.1 431 "), "{target}");
        let mut wire = Wire::open(&server);
        let many = "x: y\r\n".repeat(101);
        wire.send(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n{many}\r\n"));
        assert!(wire.read_to("\r\n").starts_with("HTTP/1.1 431 "), "{target}");
    }
}

#[test]
fn whoever_has_asked_for_nothing_does_not_hold_up_the_end() {
    let mut server = Server::start(&[("STREAMS__DRAIN_DELAY_SECS", "0")]);
    let silent = Wire::open(&server);
    let mut begun = Wire::open(&server);
    begun.send("GET /api/sse HTTP/1.1\r\n");
    // They were accepted before this one was.
    let mut last = Wire::open(&server);
    last.send(HEALTH);
    last.read_to(HEALTHY);
    let told = Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(3), "took {:?}", told.elapsed());
    assert_eq!(silent.read_to_end(), "");
}

#[tokio::test]
async fn http_2_by_prior_knowledge_streams_publishes_and_polls_on_one_connection() {
    let server = Server::start(&[]);
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let request = client.get(format!("{}/api/sse?topic=news", server.url())).bearer_auth(API_KEY);
    let mut stream = request.send().await.unwrap().error_for_status().unwrap();
    assert_eq!(stream.version(), http::Version::HTTP_2);
    assert!(!stream.headers().contains_key("connection"));
    hear(&mut stream, "event: tidings.connected\n").await;

    let published = publish(&client, &server.url(), "over two").await;
    let id = published["results"][0]["id"].as_str().or(published["id"].as_str()).unwrap();
    let heard = hear(&mut stream, "data: \"over two\"\n\n").await;
    assert!(heard.contains(&format!("id: {id}\n")), "{heard}");

    let url = format!("{}/api/polling?topic=news&rewind=all", server.url());
    let polled: Value =
        client.get(url).bearer_auth(API_KEY).send().await.unwrap().json().await.unwrap();
    assert_eq!(polled["events"][0]["id"], *id);
}

#[tokio::test]
async fn both_protocols_stream_over_tls() {
    let files = tempfile::tempdir().unwrap();
    let certificate = write_certificate(files.path());
    let server = start_with_tls(files.path(), &[]);
    let url = format!("https://localhost:{}", server.address.rsplit_once(':').unwrap().1);
    for version in [http::Version::HTTP_11, http::Version::HTTP_2] {
        let client = tls_client(&certificate, version);
        let request = client.get(format!("{url}/api/sse?topic=news")).bearer_auth(API_KEY);
        let mut stream = request.send().await.unwrap().error_for_status().unwrap();
        assert_eq!(stream.version(), version);
        hear(&mut stream, "event: tidings.connected\n").await;
        publish(&client, &url, "in secret").await;
        hear(&mut stream, "data: \"in secret\"\n\n").await;
    }
}

#[tokio::test]
async fn a_replaced_certificate_is_taken_on_reload_and_streams_stay() {
    let files = tempfile::tempdir().unwrap();
    let old = write_certificate(files.path());
    let server = start_with_tls(files.path(), &[]);
    let url = format!("https://localhost:{}", server.address.rsplit_once(':').unwrap().1);
    let before = tls_client(&old, http::Version::HTTP_2);
    let request = before.get(format!("{url}/api/sse?topic=news")).bearer_auth(API_KEY);
    let mut stream = request.send().await.unwrap().error_for_status().unwrap();
    hear(&mut stream, "event: tidings.connected\n").await;

    let new = write_certificate(files.path());
    server.signal("HUP");
    server.wait_for_log("reloaded");
    let after = tls_client(&new, http::Version::HTTP_11);
    publish(&after, &url, "still here").await;
    hear(&mut stream, "data: \"still here\"\n\n").await;
    let health = format!("{url}/healthz");
    let strict = tls_client(&old, http::Version::HTTP_11);
    assert!(strict.get(&health).send().await.is_err(), "new connections see the new certificate");

    // A bad file changes nothing.
    std::fs::write(files.path().join("cert.pem"), "not a certificate").unwrap();
    server.signal("HUP");
    server.wait_for_log("not reloaded");
    let again = tls_client(&new, http::Version::HTTP_11);
    assert_eq!(again.get(&health).send().await.unwrap().status(), 200);
    publish(&again, &url, "and still").await;
    hear(&mut stream, "data: \"and still\"\n\n").await;
}

#[tokio::test]
async fn a_handshake_or_a_request_that_never_comes_ends_a_tls_connection() {
    let files = tempfile::tempdir().unwrap();
    let certificate = write_certificate(files.path());
    let server = start_with_tls(files.path(), &[("HEAD_TIMEOUT_SECS", "1")]);
    let begun = Instant::now();
    let silent = Wire::open(&server);
    let mut half = Wire::open(&server);
    // The beginning of a record that says it is longer.
    half.socket.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();

    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = tokio::net::TcpStream::connect(&server.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut shaken = connector.connect("localhost".try_into().unwrap(), socket).await.unwrap();
    let mut buffer = [0];
    let read = tokio::io::AsyncReadExt::read(&mut shaken, &mut buffer);
    // Closed with or without a goodbye.
    let read = tokio::time::timeout(PATIENCE, read).await.expect("it is closed");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    let ends = [silent, half].map(|wire| std::thread::spawn(|| wire.read_to_end()));
    for end in ends {
        assert_eq!(end.join().unwrap(), "");
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "took {:?}", begun.elapsed());
}

/// A certificate for localhost, in files as the settings name them.
fn write_certificate(folder: &Path) -> CertifiedKey<rcgen::KeyPair> {
    let certificate = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), certificate.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), certificate.signing_key.serialize_pem()).unwrap();
    certificate
}

fn start_with_tls(folder: &Path, settings: &[(&str, &str)]) -> Server {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let files = [("TLS__CERT", cert.to_str().unwrap()), ("TLS__KEY", key.to_str().unwrap())];
    Server::start(&[&files[..], settings].concat())
}

/// A client that trusts this certificate alone.
fn tls_client(
    certificate: &CertifiedKey<rcgen::KeyPair>,
    version: http::Version,
) -> reqwest::Client {
    let root = reqwest::Certificate::from_der(certificate.cert.der()).unwrap();
    let builder = reqwest::Client::builder().tls_certs_only([root]);
    let builder = if version == http::Version::HTTP_11 { builder.http1_only() } else { builder };
    builder.build().unwrap()
}

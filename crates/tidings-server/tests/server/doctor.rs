//! `tidings doctor` before a real nginx with one fault each: it names the fault, prints the line
//! that mends it, and finds nothing once the line is there.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use rstest::rstest;
use serde_json::Value;

use crate::support::nginx::Nginx;
use crate::support::tokens::token;
use crate::support::{self, API_KEY, Server};

/// A page's origin that the servers here let in.
const ORIGIN: &str = "https://app.example";
/// As the guide for proxies has it.
const RIGHT: &str =
    "proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host;";

/// What the doctor said: its exit code, its report as programs get it.
struct Diagnosis {
    code: Option<i32>,
    report: Value,
    output: Output,
}

impl Diagnosis {
    /// With an API key in the environment, and these arguments.
    fn of(url: &str, arguments: &[&str]) -> Self {
        Self::with(url, arguments, &[("TIDINGS_API_KEY", API_KEY)])
    }

    fn with(url: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let output = run(url, &[&["--json"], arguments].concat(), environment);
        let text = String::from_utf8_lossy(&output.stdout);
        let report = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text}{}", stderr(&output)));
        Self { code: output.status.code(), report, output }
    }

    fn checks(&self, verdict: &str) -> Vec<&Value> {
        let checks = self.report["checks"].as_array().unwrap().iter();
        checks.filter(|check| check["verdict"] == verdict).collect()
    }

    fn faults(&self) -> Vec<&str> {
        self.checks("fault").iter().map(|check| check["fault"].as_str().unwrap()).collect()
    }

    /// The check of this name.
    fn check(&self, name: &str) -> &Value {
        let mut checks = self.report["checks"].as_array().unwrap().iter();
        checks.find(|check| check["check"] == name).unwrap_or_else(|| panic!("{:#}", self.report))
    }

    /// Asserts that these faults were found and no others, and that the exit code says so.
    fn assert_faults(&self, expected: &[&str]) {
        assert_eq!(self.faults(), expected, "{:#}", self.report);
        let code = i32::from(!expected.is_empty());
        assert_eq!(self.code, Some(code), "{:#}{}", self.report, stderr(&self.output));
        assert_eq!(self.report["ok"], expected.is_empty());
    }

    /// What is to be changed in nginx for the first fault.
    fn nginx_advice(&self) -> &str {
        self.checks("fault")[0]["advice"]["nginx"].as_str().unwrap()
    }
}

fn run(url: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = support::tidings();
    command.arg("doctor").arg(url).args(arguments).envs(environment.iter().copied());
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Most of a look is waiting, so two are had in the time of one.
fn both<T: Send>(one: impl FnOnce() -> T + Send, other: impl FnOnce() -> T) -> (T, T) {
    thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        (one.join().unwrap(), other)
    })
}

/// A server that beats every second, so that little waiting shows much.
fn quick_server() -> Server {
    Server::start(&[("STREAMS__HEARTBEAT_SECS", "1"), ("CORS__ORIGINS", ORIGIN)])
}

/// A location's lines with this one in the place of those it contradicts.
fn mended(location: &str, line: &str) -> String {
    let name = |statement: &str| {
        let words: Vec<_> = statement.split_whitespace().collect();
        let names = if words[0] == "proxy_set_header" { 2 } else { 1 };
        words[..names].join(" ")
    };
    let statements = location.split(';').map(str::trim).filter(|statement| !statement.is_empty());
    let kept = statements.filter(|statement| name(statement) != name(line.trim_end_matches(';')));
    kept.chain([line.trim_end_matches(';')]).map(|statement| [statement, "; "].concat()).collect()
}

#[rstest]
#[case::buffering(
    "", "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;",
    &["buffered"], "proxy_buffering off;"
)]
#[case::compressing(
    "", "gzip_types text/event-stream; gzip_min_length 1; gzip_proxied any; proxy_http_version \
         1.1;",
    &["compressed"], "gzip off;"
)]
#[case::taking_the_cursor_away(
    "", "proxy_set_header Last-Event-ID \"\";",
    &["last-event-id-stripped"], "proxy_set_header Last-Event-ID $http_last_event_id;"
)]
#[case::taking_the_credential_away(
    "", "proxy_set_header Authorization \"\";",
    &["authorization-stripped"], "proxy_set_header Authorization $http_authorization;"
)]
#[case::hiding_the_allowed_origin(
    "", "proxy_hide_header Access-Control-Allow-Origin;",
    &["cors-origin", "cors-origin"], "proxy_pass_header Access-Control-Allow-Origin;"
)]
#[case::keeping_answers(
    "proxy_cache_path {folder}/cache keys_zone=answers:1m;",
    "proxy_cache answers; proxy_cache_valid 200 1m; proxy_ignore_headers Cache-Control;",
    &["cached"], "proxy_cache off;"
)]
#[case::saying_that_answers_may_be_kept(
    "", "expires 1h;", &["cache-control-changed"], "expires off;"
)]
fn names_the_fault_of_an_nginx_and_the_line_that_mends_it(
    #[case] http: &str,
    #[case] location: &str,
    #[case] expected: &[&str],
    #[case] line: &str,
) {
    let server = quick_server();
    let diagnose = |lines: &str| {
        let site = format!("location / {{ proxy_pass http://tidings; {lines} }}");
        let nginx = Nginx::start_with(&server.address, http, "", &site);
        Diagnosis::of(&nginx.url, &["--idle-secs", "2", "--origin", ORIGIN])
    };
    let (ill, well) = both(|| diagnose(location), || diagnose(&mended(location, line)));
    ill.assert_faults(expected);
    assert!(ill.nginx_advice().contains(line), "{}", ill.nginx_advice());
    assert_eq!(ill.report["proxy"], "nginx");
    well.assert_faults(&[]);
}

#[test]
fn says_when_silence_is_cut_and_by_what() {
    // No heartbeat comes before nginx has had enough.
    let server = Server::start(&[("STREAMS__HEARTBEAT_SECS", "30")]);
    // Three times the heartbeat.
    let (short, long) = ("proxy_read_timeout 3s;", "proxy_read_timeout 90s;");
    let diagnose = |lines: &str, idle_secs: &str| {
        let site = format!("location / {{ proxy_pass http://tidings; {lines} }}");
        let nginx = Nginx::start_with(&server.address, "", "", &site);
        Diagnosis::of(&nginx.url, &["--idle-secs", idle_secs])
    };
    let (ill, well) = both(|| diagnose(short, "25"), || diagnose(long, "5"));
    well.assert_faults(&[]);
    ill.assert_faults(&["idle-cut", "polling-cut"]);
    let text = ill.check("idle-stream")["text"].as_str().unwrap();
    assert!(text.contains("of silence: the connection was closed (FIN)"), "{text}");
    assert!(text.contains("heartbeat comes after 30.0 s"), "{text}");
    assert_eq!(ill.nginx_advice(), long);
    let text = ill.check("long-poll")["text"].as_str().unwrap();
    assert!(text.contains("504 Gateway Timeout with a page of HTML"), "{text}");
}

#[test]
fn finds_nothing_wrong_with_what_the_guide_says_and_leaves_nothing_out() {
    let server = quick_server();
    let nginx = Nginx::start(&server, "keepalive 8;", RIGHT);
    let diagnose = |url: &str| Diagnosis::of(url, &["--idle-secs", "3", "--origin", ORIGIN]);
    let (behind, before) = both(|| diagnose(&nginx.url), || diagnose(&server.url()));
    for well in [behind, before] {
        well.assert_faults(&[]);
        assert_eq!(well.checks("unchecked").len(), 0, "{:#}", well.report);
        assert_eq!(well.checks("warning").len(), 0, "{:#}", well.report);
        let names: Vec<_> = well.checks("good").iter().map(|check| &check["check"]).collect();
        for expected in [
            "reached",
            "http-version",
            "clock",
            "credential",
            "compression",
            "first-byte",
            "last-event-id",
            "query",
            "events",
            "polling",
            "cache",
            "cors-preflight",
            "cors",
            "idle-stream",
            "long-poll",
        ] {
            assert!(names.iter().any(|name| *name == expected), "{expected} in {names:?}");
        }
    }
}

#[rstest]
#[case::origin_twice(
    "location / { proxy_pass http://tidings; add_header Access-Control-Allow-Origin \
     https://app.example always; }",
    &["cors-twice", "cors-twice"], "add_header Access-Control-Allow-"
)]
#[case::query(
    "location / { rewrite ^(.*)$ $1? break; proxy_pass http://tidings; }",
    &["query-stripped"], "$request_uri"
)]
#[case::another_address(
    "location / { proxy_pass http://127.0.0.1:1; }", &["bad-gateway"], "address of `listen`"
)]
#[case::redirect("return 308 https://elsewhere.example$request_uri;", &["redirected"], "return \
                                                                                        301")]
#[case::sign_in(
    "location / { default_type text/html; return 200 '<title>Sign in</title><input \
     type=\"password\">'; }",
    &["not-tidings"], "proxy_pass http://127.0.0.1:4000;"
)]
#[case::no_such_path("location / { return 404; }", &["wrong-path"], "no path after the port")]
#[case::forbidden("location / { deny all; }", &["proxy-refuses"], "deny")]
fn names_what_is_wrong_with_a_site(
    #[case] site: &str,
    #[case] expected: &[&str],
    #[case] advice: &str,
) {
    let server = quick_server();
    let nginx = Nginx::start_with(&server.address, "", "", site);
    let ill = Diagnosis::of(&nginx.url, &["--idle-secs", "1", "--origin", ORIGIN]);
    ill.assert_faults(expected);
    assert!(ill.nginx_advice().contains(advice), "{}", ill.nginx_advice());
    assert_eq!(ill.report["proxy"], "nginx");
    assert!(ill.report["signature"].as_str().unwrap().starts_with("nginx/"));
}

#[test]
fn finds_tidings_at_the_root_when_a_path_leads_elsewhere() {
    let server = quick_server();
    let site = "location / { proxy_pass http://tidings; } location /live/ { return 404; }";
    let nginx = Nginx::start_with(&server.address, "", "", site);
    let ill = Diagnosis::of(&format!("{}/live", nginx.url), &[]);
    ill.assert_faults(&["wrong-path"]);
    let text = ill.check("reached")["text"].as_str().unwrap();
    assert!(text.contains(&format!("Tidings is at {}: give that URL", nginx.url)), "{text}");
    // An endpoint's URL is as good as the base.
    let url = format!("{}/api/sse?topic=a", nginx.url);
    Diagnosis::of(&url, &["--idle-secs", "0"]).assert_faults(&[]);
}

#[test]
fn notices_that_requests_reach_two_servers() {
    let (one, other) = (quick_server(), quick_server());
    let upstream = format!("server {};", other.address);
    let nginx = Nginx::start(&one, &upstream, "");
    let ill = Diagnosis::of(&nginx.url, &["--idle-secs", "1"]);
    assert!(ill.faults().contains(&"two-logs"), "{:#}", ill.report);
}

#[test]
fn a_token_is_enough_and_its_streams_are_within_the_servers_own_limit() {
    let mut command = support::tidings();
    command.args(["serve", "--listen", "127.0.0.1:0"]).env("TIDINGS_API_KEY", API_KEY);
    command.env("TIDINGS_TOKEN_SECRET", support::TOKEN_SECRET);
    command.env("TIDINGS_STREAMS__HEARTBEAT_SECS", "1");
    let server = Server::spawn_with_limits(command);
    let nginx = Nginx::start(&server, "", RIGHT);
    let chatter = token("42", &["chat/7"], &["chat/7"]);
    let arguments = ["--idle-secs", "2", "--topic", "chat/7", "--token", &chatter];
    let well = Diagnosis::with(&nginx.url, &arguments, &[]);
    well.assert_faults(&[]);
    assert_eq!(well.check("events")["verdict"], "good", "{:#}", well.report);
    assert!(well.check("credential")["text"].as_str().unwrap().contains("as user 42"));

    // One that may not publish leaves that out and the rest in; nor is the key of the environment
    // used.
    let reader = token("43", &[], &[]);
    let arguments = ["--idle-secs", "2", "--token", &reader];
    let well = Diagnosis::of(&nginx.url, &arguments);
    well.assert_faults(&[]);
    assert_eq!(well.check("events")["verdict"], "unchecked");
    assert_eq!(well.check("query")["verdict"], "good");
}

#[test]
fn a_token_whose_header_is_taken_away_goes_on_in_the_query() {
    let server = quick_server();
    let nginx = Nginx::start(&server, "", "proxy_set_header Authorization \"\";");
    let token = token("42", &["doctor/**"], &[]);
    let ill = Diagnosis::with(&nginx.url, &["--idle-secs", "2", "--token", &token], &[]);
    ill.assert_faults(&["authorization-stripped"]);
    assert_eq!(ill.check("first-byte")["verdict"], "good", "{:#}", ill.report);
}

#[rstest]
#[case::none(&[], "unchecked")]
#[case::unknown(&["--api-key", "tk_nobodyknowsthiskeyoftwentyfourandmore"], "fault")]
fn a_credential_that_is_not_good_ends_the_look(#[case] arguments: &[&str], #[case] verdict: &str) {
    let server = quick_server();
    let found = Diagnosis::with(&server.url(), arguments, &[]);
    assert_eq!(found.check("credential")["verdict"], verdict, "{:#}", found.report);
    assert_eq!(found.check("reached")["verdict"], "good");
    assert_eq!(found.code, Some(i32::from(verdict == "fault")));
}

#[test]
fn a_credential_is_never_printed_even_when_a_proxy_says_it() {
    let server = quick_server();
    let site = "return 302 https://elsewhere.example/?was=$http_authorization;";
    let nginx = Nginx::start_with(&server.address, "", "", site);
    for arguments in [&["--json"][..], &[]] {
        let output = run(&nginx.url, arguments, &[("TIDINGS_API_KEY", API_KEY)]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
        assert!(told.contains("[credential]"), "{told}");
        assert!(!told.contains(API_KEY), "{told}");
    }
}

#[test]
fn people_read_ticks_and_the_guessed_proxys_line_first() {
    let server = quick_server();
    let nginx = Nginx::start(&server, "", "proxy_set_header Last-Event-ID \"\";");
    let output = run(&nginx.url, &["--idle-secs", "1"], &[("TIDINGS_API_KEY", API_KEY)]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.iter().any(|line| line.starts_with("  ✓ first byte ")), "{text}");
    let at = lines.iter().position(|line| line.starts_with("  ✗ Last-Event-ID")).expect(&text);
    let advice = lines[at + 1..].iter().find(|line| line.contains("nginx  ")).expect(&text);
    assert!(advice.contains("proxy_set_header Last-Event-ID $http_last_event_id;"), "{text}");
    for proxy in ["Apache", "Caddy", "HAProxy", "Traefik", "Cloudflare", "AWS ALB"] {
        assert!(lines[at..].iter().any(|line| line.trim_start().starts_with(proxy)), "{text}");
    }
    assert!(text.trim_end().contains("Not all is well: 1 fault, "), "{text}");
    assert!(!text.contains('\u{1b}') && stderr(&output).is_empty(), "{text}{}", stderr(&output));

    let only = ["--idle-secs", "0", "--proxy", "caddy"];
    let output = run(&nginx.url, &only, &[("TIDINGS_API_KEY", API_KEY)]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Caddy  ") && !text.contains("nginx  "), "{text}");
}

#[test]
fn an_address_where_nobody_listens_is_told() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ill = Diagnosis::of(&format!("http://127.0.0.1:{port}"), &[]);
    ill.assert_faults(&["unreachable"]);
    assert!(ill.check("reached")["text"].as_str().unwrap().contains("refused"), "{:#}", ill.report);
}

#[rstest]
#[case::no_url(&[])]
#[case::no_scheme(&["live.example.com"])]
#[case::origin_with_a_path(&["http://127.0.0.1:1", "--origin", "https://a.example/b"])]
#[case::proxy_that_is_none(&["http://127.0.0.1:1", "--proxy", "squid"])]
fn wrong_usage_exits_with_2(#[case] arguments: &[&str]) {
    let output = support::tidings().arg("doctor").args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(!output.stderr.is_empty());
}

/// A certificate for this machine that ends in so many days; written to `cert.pem` and `key.pem`.
fn write_certificate(folder: &Path, days: i64) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let day = Duration::from_hours(24);
    let now = std::time::SystemTime::now();
    params.not_before = (now - 30 * day).into();
    let distance = day * u32::try_from(days.unsigned_abs()).unwrap();
    params.not_after = if days < 0 { now - distance } else { now + distance }.into();
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}

#[rstest]
#[case::good_for_long(90, true, "good", "HTTP/2")]
#[case::ends_soon(5, true, "warning", "HTTP/2")]
#[case::has_ended(-2, true, "fault", "")]
#[case::is_not_trusted(90, false, "fault", "")]
fn looks_at_the_certificate(
    #[case] days: i64,
    #[case] is_trusted: bool,
    #[case] verdict: &str,
    #[case] version: &str,
) {
    let folder = tempfile::tempdir().unwrap();
    write_certificate(folder.path(), days);
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let server = Server::start(&[("TLS__CERT", cert), ("TLS__KEY", key)]);
    let port = server.address.rsplit_once(':').unwrap().1;
    // The system's certificates are others, when this one is not to be trusted.
    let other = tempfile::tempdir().unwrap();
    write_certificate(other.path(), 90);
    let other = other.path().join("cert.pem");
    let trusted = if is_trusted { cert } else { other.to_str().unwrap() };
    let environment = [("TIDINGS_API_KEY", API_KEY), ("SSL_CERT_FILE", trusted)];
    let url = format!("https://localhost:{port}");
    let found = Diagnosis::with(&url, &["--idle-secs", "0"], &environment);
    assert_eq!(found.check("certificate")["verdict"], verdict, "{:#}", found.report);
    if verdict == "fault" {
        found.assert_faults(&["certificate"]);
    } else {
        found.assert_faults(&[]);
        assert_eq!(found.check("http-version")["text"], version);
    }
}

#[rstest]
#[case::http_2("ssl http2", "good", None)]
#[case::http_1("ssl", "warning", Some("http2 on; (before 1.25.1: listen 443 ssl http2;)"))]
fn tells_which_http_a_browser_would_speak_to_nginx(
    #[case] listen: &str,
    #[case] verdict: &str,
    #[case] advice: Option<&str>,
) {
    let folder = tempfile::tempdir().unwrap();
    write_certificate(folder.path(), 90);
    let cert = folder.path().join("cert.pem");
    let key = folder.path().join("key.pem");
    let server = quick_server();
    let site = format!(
        "listen 127.0.0.1:{{port}} {listen}; ssl_certificate {}; ssl_certificate_key {};
         location / {{ proxy_pass http://tidings; {RIGHT} }}",
        cert.display(),
        key.display()
    );
    let nginx = Nginx::start_with(&server.address, "", "", &site);
    let environment = [("TIDINGS_API_KEY", API_KEY), ("SSL_CERT_FILE", cert.to_str().unwrap())];
    let found = Diagnosis::with(&nginx.url, &["--idle-secs", "2"], &environment);
    found.assert_faults(&[]);
    let version = found.check("http-version");
    assert_eq!(version["verdict"], verdict, "{:#}", found.report);
    assert_eq!(version["advice"]["nginx"].as_str(), advice);
}

/// What a [`Middlebox`] does with what comes back from the server.
#[derive(Clone, Copy)]
enum Manner {
    /// Collects, and hands on this often.
    Lumps(Duration),
    /// Cuts every connection when it is this old, however much comes on it.
    Lives(Duration),
}

/// Something between that knows bytes alone. It ends with the process, as do its threads, which
/// wait for sockets that end before it.
struct Middlebox {
    url: String,
}

impl Middlebox {
    fn start(server: &Server, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let address = server.address.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&address) else { break };
                carry(client, server, manner);
            }
        });
        Self { url }
    }
}

fn carry(client: TcpStream, server: TcpStream, manner: Manner) {
    let (mut from_client, mut to_server) =
        (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    let (sender, pieces) = mpsc::channel::<Vec<u8>>();
    let mut from_server = server.try_clone().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from_server.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        let mut client = client;
        let opened = Instant::now();
        while let Some(bytes) = next_bytes(&pieces, manner, opened) {
            if client.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    });
}

/// What is handed on next; nothing when the connection is to end.
fn next_bytes(
    pieces: &mpsc::Receiver<Vec<u8>>,
    manner: Manner,
    opened: Instant,
) -> Option<Vec<u8>> {
    match manner {
        Manner::Lives(age) => pieces.recv_timeout(age.checked_sub(opened.elapsed())?).ok(),
        Manner::Lumps(interval) => {
            let mut bytes = pieces.recv().ok()?;
            let until = Instant::now() + interval;
            while let Ok(more) =
                pieces.recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                bytes.extend(more);
            }
            Some(bytes)
        }
    }
}

#[test]
fn notices_that_events_come_in_lumps() {
    let server = Server::start(&[]);
    let between = Middlebox::start(&server, Manner::Lumps(Duration::from_millis(800)));
    // The publisher's answers are held back as well; it does not wait for them.
    let ill = Diagnosis::of(&between.url, &["--idle-secs", "0"]);
    ill.assert_faults(&["lumps"]);
}

#[test]
fn tells_a_bound_on_the_whole_answer_from_one_on_silence() {
    let server = quick_server();
    let between = Middlebox::start(&server, Manner::Lives(Duration::from_secs(6)));
    let ill = Diagnosis::of(&between.url, &["--idle-secs", "60"]);
    assert_eq!(ill.check("idle-stream")["fault"], "age-cut", "{:#}", ill.report);
    let text = ill.check("idle-stream")["text"].as_str().unwrap();
    assert!(text.contains("although heartbeats came: the connection was closed (FIN)"), "{text}");
}

//! Every scenario runs to its end on a real server process, the floor, and loses nothing; what is
//! lost, is noticed.
#![cfg(target_os = "linux")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const GENERATOR: &str = env!("CARGO_BIN_EXE_tidings-bench");

/// The generator, with nothing of the surroundings in it.
fn generator() -> Command {
    let mut command = Command::new(GENERATOR);
    for name in ["TIDINGS_URL", "TIDINGS_API_KEY", "TIDINGS_TOKEN", "TIDINGS_TOKEN_SECRET"] {
        command.env_remove(name);
    }
    command
}

fn measure(arguments: &[&str]) -> Output {
    let quick = ["--rounds", "1", "--seconds", "0.1", "--json"];
    generator().args(arguments).args(quick).output().expect("the generator starts")
}

fn document(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

/// A floor of its own process, ended with the test.
struct Floor {
    child: Child,
    url: String,
}

impl Floor {
    fn start() -> Self {
        let mut child = generator()
            .arg("floor-server")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the generator starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped"))
            .read_line(&mut line)
            .expect("the floor says where it listens");
        Self { child, url: format!("http://{}", line.trim()) }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_scenario_runs_on_the_floor_and_loses_nothing() {
    let sizes = ["--listeners", "20", "--idle", "20", "--connections", "20", "--events", "300"];
    let output = measure(&[&["all", "--floor-only"], &sizes[..]].concat());
    let document = document(&output);
    assert!(output.status.success(), "{document:#}");
    let runs = document["runs"].as_array().expect("runs");
    let names: Vec<&str> = runs.iter().filter_map(|run| run["scenario"].as_str()).collect();
    assert_eq!(
        names,
        ["fanout", "fanout", "latency", "idle", "idle", "connect", "storm", "replay"]
    );
    for run in runs {
        assert_eq!((&run["lost"], &run["repeated"]), (&0.into(), &0.into()), "{run:#}");
        for (name, value) in run["median"]["floor"].as_object().expect("the floor's medians") {
            let value = value.as_f64().unwrap_or(f64::NAN);
            assert!(value.is_finite() && value >= 0.0, "{name} is {value} in {run:#}");
        }
    }
    let per_receive = |run: &Value| run["median"]["floor"]["events_per_receive"].as_f64();
    assert!(per_receive(&runs[0]) >= Some(1.0), "{:#}", runs[0]);
}

/// The floor spoken to as a foreign server, whose publish body is the event itself.
#[test]
fn a_server_described_by_templates_is_measured_beside_the_floor() {
    let server = Floor::start();
    let pid = server.child.id().to_string();
    let output = measure(&[
        "fanout",
        "--listeners=20",
        "--waiting=1,4",
        "--floor",
        "--batch=pipeline",
        "--subscribe-path=/streams/{topic}",
        "--publish-path=/publish/{topic}",
        "--publish-type=text/plain",
        "--publish-body=data: {payload}\n\n",
        "--url",
        &server.url,
        "--pid",
        &pid,
    ]);
    let document = document(&output);
    assert!(output.status.success(), "{document:#}");
    for run in document["runs"].as_array().expect("runs") {
        assert_eq!(run["frame_bytes"], "data: \n\n".len() + 128, "{run:#}");
        assert!(run["ratio"]["cpu_per_delivery_ns"].as_f64() > Some(0.0), "{run:#}");
    }
}

/// A server that hands on the first event and then one that came before: a repeat, and a loss.
#[test]
fn lost_and_repeated_events_fail_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || faulty_server(&listener));
    let own = std::process::id().to_string();
    let arguments = ["latency", "--listeners=1", "--rate=50", "--batch=pipeline"];
    let output = measure(
        &[&arguments[..], &["--publish-body={payload}", "--url", &url, "--pid", &own]].concat(),
    );
    let document = document(&output);
    assert_eq!(output.status.code(), Some(1), "{document:#}");
    let run = &document["runs"][0];
    // Five events in a tenth of a second: the third is left out, the fourth comes twice.
    assert_eq!((&run["lost"], &run["repeated"]), (&1.into(), &1.into()), "{run:#}");
}

/// Serves one listener. Of the events after the first, which is the warm-up, it leaves out the
/// third and sends the fourth twice.
fn faulty_server(listener: &TcpListener) {
    let (mut stream, mut publisher) = (None::<TcpStream>, None::<TcpStream>);
    while stream.is_none() || publisher.is_none() {
        let (mut socket, _) = listener.accept().expect("the generator connects");
        let mut first = [0; 4];
        // A look at whether anyone listens sends nothing.
        if socket.peek(&mut first).unwrap_or(0) == 0 {
            continue;
        }
        if &first == b"POST" {
            publisher = Some(socket);
        } else {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            socket.write_all(head.as_bytes()).expect("the listener reads");
            stream = Some(socket);
        }
    }
    let (mut stream, mut publisher) = (stream.expect("set"), publisher.expect("set"));
    for number in 0.. {
        let Some(body) = read_request(&mut publisher) else { return };
        let times = [1, 1, 1, 0, 2].get(number).copied().unwrap_or(1);
        for _ in 0..times {
            stream.write_all(format!("data: {body}\n\n").as_bytes()).expect("the listener reads");
        }
        publisher.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("the publisher reads");
    }
}

fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let head = loop {
        let mut byte = [0];
        socket.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
        if bytes.ends_with(b"\r\n\r\n") {
            break String::from_utf8(bytes).expect("a head is text");
        }
    };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "))?;
    let mut body = vec![0; length.parse().expect("a number")];
    socket.read_exact(&mut body).ok()?;
    Some(String::from_utf8(body).expect("a payload is text"))
}

#[test]
fn a_server_that_refuses_is_named_with_what_it_said() {
    let server = Floor::start();
    let pid = server.child.id().to_string();
    // The floor answers whatever is not GET or POST with 400; a broken path makes it one.
    let output = measure(&[
        "connect",
        "--connections=5",
        "--subscribe-path=/a b c",
        "--url",
        &server.url,
        "--pid",
        &pid,
    ]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("refused a stream") && errors.contains("400"), "{errors}");
}

#[test]
fn nothing_but_this_machine_is_measured_unless_asked() {
    let output = measure(&["connect", "--url", "http://192.0.2.1:4000", "--pid", "1"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("not this machine"), "{errors}");
}

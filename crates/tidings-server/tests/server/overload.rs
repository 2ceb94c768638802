//! Too much of everything: readers that never read, more streams than there may be, no descriptors
//! left. Whoever behaves must not notice, and memory must not grow with those who do not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use socket2::{Domain, Socket, Type};

use crate::support::{API_KEY, CROWDS, PATIENCE, Server, TOKEN_SECRET, tidings, until};

const STALLED: usize = 2000;
const HEALTHY: usize = 50;
const EVENTS: usize = 200;
const EVENT_BYTES: usize = 10_000;

/// Lifts the bounds that tests from one address would meet.
const UNBOUNDED: [(&str, &str); 2] =
    [("LIMITS__CONNECTIONS_PER_ADDRESS", "0"), ("LIMITS__CONNECTIONS_PER_USER", "0")];

/// Longer than a test is patient: whoever is seen to be gone was not found so by writing to it.
const SELDOM: (&str, &str) = ("STREAMS__HEARTBEAT_SECS", "300");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_never_read_cost_no_memory_and_delay_nobody() {
    let _turn = CROWDS.lock().await;
    let stall = [("STREAMS__WRITE_STALL_SECS", "2"), ("LOG__BYTES_MAX", "4194304")];
    let server = Server::start(&[&UNBOUNDED[..], &stall].concat());
    let stalled: Vec<TcpStream> = (0..STALLED).map(|_| open_and_never_read(&server)).collect();
    let healthy: Vec<_> = (0..HEALTHY).map(|_| tokio::spawn(count_events(server.url()))).collect();
    for reader in &stalled {
        // The kernel has it: the stream is open.
        reader.peek(&mut [0]).unwrap();
    }
    let mut arrived: Vec<_> = Vec::new();
    for reader in healthy {
        arrived.push(reader.await.unwrap());
    }
    let before = memory_bytes(server.pid());
    let kernel_before = kernel_memory_bytes();

    let publisher = reqwest::Client::new();
    let mut slowest = Duration::ZERO;
    for number in 1..=EVENTS {
        publish(&publisher, &server, &"x".repeat(EVENT_BYTES)).await;
        let sent = Instant::now();
        for reader in &mut arrived {
            let event = reader.wait_for(|&count| count >= number);
            tokio::time::timeout(PATIENCE, event).await.expect("the event arrives").unwrap();
        }
        slowest = slowest.max(sent.elapsed());
    }
    let grown = memory_bytes(server.pid()).saturating_sub(before);
    let of_kernel = kernel_memory_bytes().saturating_sub(kernel_before);
    println!(
        "memory grew by {} KiB, sockets take {} MiB, slowest event {slowest:?}",
        grown / 1024,
        of_kernel >> 20
    );
    assert!(grown < 40 << 20, "memory grew by {} MiB", grown >> 20);
    // The kernel's share counts as well: some 100 KiB each, and not every event of the last minute.
    assert!(of_kernel < 512 << 20, "sockets take {} MiB", of_kernel >> 20);
    // Each event is written to 2,050 sockets at the most, in an unoptimised build.
    assert!(slowest < Duration::from_secs(2), "an event took {slowest:?}");

    // All who stalled are closed, and nobody else. What the kernel still holds for them would take
    // minutes to arrive through their small windows, so they are not asked.
    let begun = Instant::now();
    until("all stalled readers are closed", || descriptors(server.pid()) < HEALTHY * 2);
    println!("all stalled readers closed within {:?}", begun.elapsed());
    drop(stalled);
    publish(&publisher, &server, "after").await;
    for reader in &mut arrived {
        let last = reader.wait_for(|&count| count > EVENTS);
        tokio::time::timeout(PATIENCE, last).await.expect("it is still there").unwrap();
    }
}

/// A reader in time: how many events it has, as they come.
async fn count_events(url: String) -> tokio::sync::watch::Receiver<usize> {
    let answer = get_stream(&reqwest::Client::new(), &url).await;
    let (sender, receiver) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        let mut body = answer.bytes_stream();
        let mut got = Vec::new();
        while let Some(Ok(bytes)) = body.next().await {
            got.extend_from_slice(&bytes);
            while let Some(end) = got.windows(2).position(|window| window == b"\n\n") {
                let is_event = got[..end].windows(8).any(|window| window == b"\ndata: \"");
                sender.send_modify(|count| *count += usize::from(is_event));
                got.drain(..end + 2);
            }
        }
    });
    receiver
}

#[tokio::test]
async fn the_node_a_user_and_an_address_have_so_many_streams_and_no_more() {
    for (limit, status, of_user) in [
        ("CONNECTIONS_PER_NODE", 503, false),
        ("CONNECTIONS_PER_ADDRESS", 429, false),
        ("CONNECTIONS_PER_USER", 429, true),
    ] {
        let limit_name = format!("LIMITS__{limit}");
        let server = Server::start(&[(&limit_name, "3"), SELDOM]);
        let credential = if of_user { token("ann") } else { API_KEY.to_owned() };
        let client = reqwest::Client::new();
        let ask = || {
            let request = client.get(format!("{}/api/sse", server.url()));
            request.bearer_auth(&credential).send()
        };
        let mut streams = Vec::new();
        for _ in 0..3 {
            streams.push(ask().await.unwrap().error_for_status().unwrap());
        }
        let refused = ask().await.unwrap();
        assert_eq!(refused.status(), status, "{limit}");
        assert!(refused.headers().contains_key("retry-after"), "{limit}");
        let problem: serde_json::Value = refused.json().await.unwrap();
        assert_eq!(problem["code"], "too-many-connections", "{limit}");
        assert!(problem["detail"].as_str().unwrap().contains(&limit.to_lowercase()), "{problem}");
        if of_user {
            // Another user has places of its own.
            let request = client.get(format!("{}/api/sse", server.url()));
            streams.push(request.bearer_auth(token("bob")).send().await.unwrap());
            assert_eq!(streams.pop().unwrap().status(), 200);
        }

        streams.pop();
        let left = Instant::now();
        loop {
            let again = ask().await.unwrap();
            if again.status() == 200 {
                break;
            }
            assert_eq!(again.status(), status, "{limit}");
            assert!(left.elapsed() < PATIENCE, "{limit}: no place was given back");
        }
    }
}

#[tokio::test]
async fn whoever_hangs_up_gives_its_place_back_at_once() {
    let full = [&UNBOUNDED[..], &[("LIMITS__CONNECTIONS_PER_NODE", "100"), SELDOM]].concat();
    let server = Server::start(&full);
    for _ in 0..3 {
        let mut streams: Vec<_> = (0..100).map(|_| open_and_never_read(&server)).collect();
        for stream in &mut streams {
            assert_eq!(status(stream), "200");
        }
        assert_eq!(status(&mut open_and_never_read(&server)), "503");
        drop(streams);
        let left = Instant::now();
        let mut again = Vec::new();
        while again.len() < 100 {
            let mut stream = open_and_never_read(&server);
            if status(&mut stream) == "200" {
                again.push(stream);
            }
            assert!(left.elapsed() < PATIENCE, "only {} places were given back", again.len());
        }
        drop(again);
        until("the node is empty", || status(&mut open_and_never_read(&server)) == "200");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_peer_that_is_gone_without_a_word_gives_its_place_back() {
    const HEARTBEAT: Duration = Duration::from_secs(1);
    let settings = [("LIMITS__CONNECTIONS_PER_NODE", "1"), ("STREAMS__HEARTBEAT_SECS", "1")];
    let server = Server::start(&[&UNBOUNDED[..], &settings].concat());
    let mut stream = open_and_never_read(&server);
    assert_eq!(status(&mut stream), "200");
    // From here on its kernel drops whatever comes, as a machine would that has lost its power.
    let drop_all = [socket2::SockFilter::new(BPF_RETURN, 0, 0, 0)];
    socket2::SockRef::from(&stream).attach_filter(&drop_all).unwrap();
    let gone = Instant::now();
    until("its place is free", || status(&mut open_and_never_read(&server)) == "200");
    println!("gone for {:?}", gone.elapsed());
    // Two heartbeats and five seconds, and as much for a busy machine.
    assert!(gone.elapsed() < 4 * HEARTBEAT + Duration::from_secs(10), "{:?}", gone.elapsed());
}

/// `BPF_RET | BPF_K` of linux/filter.h: how many bytes of a segment to keep.
#[cfg(target_os = "linux")]
const BPF_RETURN: u16 = 0x06;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_descriptors_serves_whom_it_has_and_recovers() {
    let mut command = Command::new("sh");
    let binary = tidings();
    command.args(["-c", "ulimit -n 128; exec \"$0\" serve --listen 127.0.0.1:0"]);
    command.arg(binary.get_program());
    for (name, value) in binary.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("TIDINGS_API_KEY", API_KEY).env("TIDINGS_TOKEN_SECRET", TOKEN_SECRET);
    for (name, value) in UNBOUNDED.iter().chain(&[("HEAD_TIMEOUT_SECS", "60")]) {
        command.env(format!("TIDINGS_{name}"), value);
    }
    let server = Server::spawn(command);

    let mut reader = count_events(server.url()).await;
    // HTTP/2, so that there is one connection for all requests: with HTTP/1 the client may open another
    // while the one it has is not quite free, and that one waits behind the crowd for a minute.
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let health = |client: reqwest::Client| client.get(format!("{}/healthz", server.url())).send();
    assert_eq!(health(client.clone()).await.unwrap().status(), 200);
    publish(&client, &server, "before").await;
    reader.wait_for(|&count| count == 1).await.unwrap();

    let address: SocketAddr = server.address.parse().unwrap();
    let crowd: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    server.wait_for_log("cannot accept a connection");
    // On the connections it has, which the client keeps alive.
    for number in 2..=10 {
        publish(&client, &server, "meanwhile").await;
        let waiting = Instant::now();
        reader.wait_for(|&count| count == number).await.unwrap();
        assert!(waiting.elapsed() < Duration::from_secs(1));
        assert_eq!(health(client.clone()).await.unwrap().status(), 200);
    }

    drop(crowd);
    let freed = Instant::now();
    let fresh = get_stream(&reqwest::Client::new(), &server.url()).await;
    assert_eq!(fresh.status(), 200);
    println!("accepts again after {:?}", freed.elapsed());
    assert!(freed.elapsed() < Duration::from_secs(2), "took {:?}", freed.elapsed());
}

#[test]
fn whoever_floods_its_stream_with_input_holds_up_nobody() {
    let server = Server::start(&UNBOUNDED);
    let sent = AtomicUsize::new(0);
    let floods: Vec<TcpStream> = (0..4).map(|_| open_and_never_read(&server)).collect();
    std::thread::scope(|scope| {
        for flood in &floods {
            flood.set_write_timeout(Some(PATIENCE)).unwrap();
            let sent = &sent;
            scope.spawn(move || {
                let mut flood = flood;
                // Ends when the socket is shut down below.
                while let Ok(count) = flood.write(&vec![b'x'; 1 << 16]) {
                    sent.fetch_add(count, Ordering::Relaxed);
                }
            });
        }
        until("the flood is on", || sent.load(Ordering::Relaxed) > 1 << 20);
        for _ in 0..20 {
            let asked = Instant::now();
            let mut stream = open_and_never_read(&server);
            assert_eq!(status(&mut stream), "200");
            assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        }
        for flood in &floods {
            let _ = flood.shutdown(std::net::Shutdown::Both);
        }
    });
}

/// Opens a stream with the smallest buffer there is, and leaves it at that.
fn open_and_never_read(server: &Server) -> TcpStream {
    let address: SocketAddr = server.address.parse().unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET /api/sse?topic=broadcast HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n\r\n"
    )
    .unwrap();
    stream
}

/// The three digits of the answer's status.
fn status(stream: &mut TcpStream) -> String {
    let mut line = [0; 12];
    stream.read_exact(&mut line).unwrap();
    String::from_utf8_lossy(&line[9..]).into_owned()
}

async fn get_stream(client: &reqwest::Client, url: &str) -> reqwest::Response {
    let request = client.get(format!("{url}/api/sse?topic=broadcast")).bearer_auth(API_KEY);
    let answer = tokio::time::timeout(PATIENCE, request.send()).await.unwrap().unwrap();
    answer.error_for_status().unwrap()
}

async fn publish(client: &reqwest::Client, server: &Server, data: &str) {
    let request = client.post(format!("{}/api/events", server.url())).bearer_auth(API_KEY);
    let event = serde_json::json!({ "topic": "broadcast", "data": data });
    request.json(&event).send().await.unwrap().error_for_status().unwrap();
}

fn token(user: &str) -> String {
    let mut command = tidings();
    command.env("TIDINGS_TOKEN_SECRET", TOKEN_SECRET).args(["token", "new", "--user", user]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What the kernel holds for TCP sockets, all of them.
fn kernel_memory_bytes() -> usize {
    let sockets = std::fs::read_to_string("/proc/net/sockstat").unwrap();
    let line = sockets.lines().find(|line| line.starts_with("TCP:")).unwrap();
    let pages = line.split_whitespace().last().unwrap();
    pages.parse::<usize>().unwrap() * 4096
}

/// Files and sockets that the process has open.
fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// What the process holds of the machine's memory.
fn memory_bytes(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

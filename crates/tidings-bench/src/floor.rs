//! The floor: the least that a server of event streams can do. It accepts, answers every GET with
//! the same head, keeps the sockets in a slab, and on a POST writes each event of the body to each
//! of them with one bare non-blocking `send()`. No parsing, no topics, no log, no second try: what a
//! socket does not take at once is lost, and the load generator sees it.
//!
//! `POST /replay` keeps a body and `GET /replay` writes it back in one blocking loop: the floor of a
//! replay.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::{Context, Result};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;

const ACCEPT: Token = Token(usize::MAX);
const EVENTS_AT_ONCE: usize = 1024;
const BUFFER_BYTES: usize = 64 * 1024;

const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\
    content-type: text/event-stream; charset=utf-8\r\ncache-control: no-store\r\n\r\n";
const DONE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const NO: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

#[allow(clippy::box_collection, reason = "the many that listen must not pay for the few that ask")]
enum Connection {
    /// Sends requests; what has come of the next one.
    Asking(TcpStream, Box<Vec<u8>>),
    /// Gets every event from here on.
    Listening(TcpStream),
}

/// Serves until it is ended from outside. `ready` is told the address it listens on.
pub(crate) fn serve(
    listen: SocketAddr,
    ready: impl FnOnce(SocketAddr) -> io::Result<()>,
) -> Result<()> {
    let mut poll = Poll::new().context("cannot make a poll")?;
    let mut listener =
        TcpListener::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    poll.registry().register(&mut listener, ACCEPT, Interest::READABLE)?;
    ready(listener.local_addr()?)?;

    let mut floor = Floor {
        connections: Slab::new(),
        replay: Vec::new(),
        buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
    };
    let mut events = Events::with_capacity(EVENTS_AT_ONCE);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other.context("cannot wait for sockets")?,
        }
        for event in &events {
            match event.token() {
                ACCEPT => floor.accept(&listener, poll.registry())?,
                Token(key) => floor.read(key),
            }
        }
    }
}

struct Floor {
    connections: Slab<Connection>,
    replay: Vec<u8>,
    buffer: Box<[u8]>,
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener, registry: &Registry) -> Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("cannot accept a connection"),
            };
            stream.set_nodelay(true)?;
            let entry = self.connections.vacant_entry();
            registry.register(&mut stream, Token(entry.key()), Interest::READABLE)?;
            entry.insert(Connection::Asking(stream, Box::default()));
        }
    }

    fn read(&mut self, key: usize) {
        loop {
            let Some(connection) = self.connections.get_mut(key) else { return };
            let (Connection::Asking(stream, _) | Connection::Listening(stream)) = connection;
            let read = match stream.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => break,
            };
            if let Connection::Asking(_, request) = connection {
                request.extend_from_slice(&self.buffer[..read]);
                self.answer(key);
            }
            // Less than there was room for: the socket is empty, and more will be a new event.
            if read < self.buffer.len() {
                return;
            }
        }
        self.connections.try_remove(key);
    }

    /// Answers all the requests that have come on a connection.
    fn answer(&mut self, key: usize) {
        while let Some(Connection::Asking(stream, bytes)) = self.connections.get_mut(key) {
            let Some(request) = Request::read(bytes) else { return };
            let body = bytes[request.head_bytes..request.bytes].to_vec();
            bytes.drain(..request.bytes);
            match request.kind {
                Kind::Listen => {
                    let _ = stream.write(STREAM_HEAD);
                    if let Connection::Asking(stream, _) = self.connections.remove(key) {
                        // The slot just left is the next to be taken: the key stays the same.
                        self.connections.insert(Connection::Listening(stream));
                    }
                }
                Kind::Publish => {
                    self.publish(&body);
                    self.say(key, DONE);
                }
                Kind::KeepReplay => {
                    self.replay = body;
                    self.say(key, DONE);
                }
                Kind::Replay => {
                    if let Connection::Asking(stream, _) = self.connections.remove(key) {
                        // Fails where the reader has gone, which is its right.
                        let _ = write_all_blocking(stream, STREAM_HEAD, &self.replay);
                    }
                }
                Kind::Unknown => self.say(key, NO),
            }
        }
    }

    fn say(&mut self, key: usize, answer: &[u8]) {
        if let Some(Connection::Asking(stream, _)) = self.connections.get_mut(key) {
            let _ = stream.write(answer);
        }
    }

    fn publish(&mut self, body: &[u8]) {
        let mut rest = body;
        while let Some(end) = memchr::memmem::find(rest, b"\n\n") {
            let (event, others) = rest.split_at(end + 2);
            rest = others;
            for (_, connection) in &mut self.connections {
                if let Connection::Listening(stream) = connection {
                    // One send, and no second try.
                    let _ = stream.write(event);
                }
            }
        }
    }
}

fn write_all_blocking(stream: TcpStream, head: &[u8], bytes: &[u8]) -> io::Result<()> {
    let mut stream = std::net::TcpStream::from(stream);
    stream.set_nonblocking(false)?;
    stream.write_all(head)?;
    stream.write_all(bytes)
}

enum Kind {
    Listen,
    Publish,
    KeepReplay,
    Replay,
    Unknown,
}

struct Request {
    kind: Kind,
    head_bytes: usize,
    bytes: usize,
}

impl Request {
    /// The first request in `bytes`, once all of it has come.
    fn read(bytes: &[u8]) -> Option<Self> {
        let head_bytes = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        let kind = match request.parse(bytes) {
            Ok(_) => match (request.method, request.path) {
                (Some("GET"), Some("/replay")) => Kind::Replay,
                (Some("GET"), _) => Kind::Listen,
                (Some("POST"), Some("/replay")) => Kind::KeepReplay,
                (Some("POST"), _) => Kind::Publish,
                _ => Kind::Unknown,
            },
            Err(_) => Kind::Unknown,
        };
        let length = request
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok())
            .unwrap_or(0);
        let bytes_needed = head_bytes + length;
        (bytes.len() >= bytes_needed).then_some(Self { kind, head_bytes, bytes: bytes_needed })
    }
}

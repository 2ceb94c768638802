//! Many listeners and a few publishers in one event loop on one thread: sockets are registered
//! once, edge-triggered, and read into one buffer that all share. It counts what comes and knows
//! nothing of scenarios.
//!
//! A read that brings less than the buffer holds has emptied the socket, so there is no second
//! `read()` to be told so; epoll(7) allows that for streams.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::http::{Dechunker, Framing, read_head};
use crate::publisher::Publisher;
use crate::stamp::{Heard, Tracker};
use crate::timer::Timer;

const BUFFER_BYTES: usize = 64 * 1024;
const EVENTS_AT_ONCE: usize = 1024;
/// Bytes of the first listener's stream that are kept, to learn ids and frames from.
const PROBE_BYTES: usize = 16 * 1024;
/// Connections from one address to one server; the kernel's default range of ports holds 28,232.
pub(crate) const PER_SOURCE: usize = 25_000;
/// With nothing coming for this long, nothing more will.
const STALL: Duration = Duration::from_secs(10);
const TURN: Duration = Duration::from_millis(100);
const REFUSAL_BYTES_SHOWN: usize = 400;

const TIMER: Token = Token(1 << 40);
const PUBLISHERS: usize = 1 << 41;

/// Everything that is connected to one target.
pub(crate) struct Swarm {
    poll: Poll,
    events: Events,
    began: Instant,
    address: SocketAddr,
    sources: usize,
    buffer: Box<[u8]>,
    listeners: Vec<Listener>,
    pub(crate) publishers: Vec<Publisher>,
    timer: Option<Timer>,
    pub(crate) seen: Seen,
}

/// What has been seen so far, all listeners together.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) heard: Heard,
    /// `read()` calls on streams that brought something.
    pub(crate) reads: u64,
    pub(crate) bytes: u64,
    /// Streams whose response head has come.
    pub(crate) streaming: usize,
    /// Streams that the server ended.
    pub(crate) ended: usize,
    /// The end of the first listener's stream.
    pub(crate) probe: Vec<u8>,
    /// Ticks of the timer.
    pub(crate) ticks: u64,
    answers: u64,
}

struct Listener {
    stream: TcpStream,
    tracker: Tracker,
    phase: Phase,
}

enum Phase {
    Connecting(Vec<u8>),
    Head(Vec<u8>),
    Plain,
    Chunked(Dechunker),
    Ended,
}

impl Swarm {
    pub(crate) fn new(address: SocketAddr, sources: usize) -> Result<Self> {
        Ok(Self {
            poll: Poll::new().context("cannot make a poll")?,
            events: Events::with_capacity(EVENTS_AT_ONCE),
            began: Instant::now(),
            address,
            sources: sources.max(1),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            listeners: Vec::new(),
            publishers: Vec::new(),
            timer: None,
            seen: Seen::default(),
        })
    }

    /// Nanoseconds since this swarm was made: the clock of all stamps.
    pub(crate) fn now_ns(&self) -> u64 {
        nanoseconds(self.began)
    }

    /// Adds a kept connection to publish on.
    pub(crate) fn add_publisher(&mut self) -> Result<()> {
        let mut stream = self.socket(0)?;
        let token = Token(PUBLISHERS + self.publishers.len());
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, token, both)?;
        self.publishers.push(Publisher::new(stream));
        Ok(())
    }

    pub(crate) fn start_timer(&mut self, period: Duration) -> Result<()> {
        self.timer = Some(Timer::start(self.poll.registry(), TIMER, period)?);
        Ok(())
    }

    /// Opens a stream with each request, at most `at_once` waiting for their response head at any
    /// time, and returns when all of them stream. `next` is the sequence number each must hear first.
    pub(crate) fn connect(
        &mut self,
        requests: Vec<Vec<u8>>,
        at_once: usize,
        next: Option<u32>,
    ) -> Result<()> {
        let goal = self.seen.streaming + requests.len();
        let mut requests = requests.into_iter();
        let mut waiting_since = Instant::now();
        let mut before = self.seen.streaming;
        while self.seen.streaming < goal {
            while goal - self.seen.streaming - requests.len() < at_once {
                let Some(request) = requests.next() else { break };
                self.open(request, Tracker::new(next))?;
            }
            self.turn(TURN)?;
            if self.seen.streaming != before {
                before = self.seen.streaming;
                waiting_since = Instant::now();
            } else if waiting_since.elapsed() > STALL {
                bail!("{} of the streams did not begin in {STALL:?}", goal - before);
            }
        }
        Ok(())
    }

    /// Closes every stream at once, as a network that goes away would.
    pub(crate) fn drop_listeners(&mut self) {
        self.listeners.clear();
        self.seen.streaming = 0;
    }

    /// Whether every listener has heard all up to `next`, without it.
    pub(crate) fn all_expect(&self, next: u32) -> bool {
        self.listeners.iter().all(|listener| listener.tracker.next() == Some(next))
    }

    /// Forgets what was seen; from here on every listener must hear `next` first.
    pub(crate) fn begin(&mut self, next: u32) {
        for listener in &mut self.listeners {
            listener.tracker = Tracker::new(Some(next));
        }
        let streaming = self.seen.streaming;
        let probe = std::mem::take(&mut self.seen.probe);
        self.seen = Seen { streaming, probe, ..Seen::default() };
    }

    /// Turns until `done` says so. Gives up, and says so, once nothing has come for a while.
    pub(crate) fn until(&mut self, mut done: impl FnMut(&Self) -> bool) -> Result<bool> {
        let mut before = self.progress();
        let mut since = Instant::now();
        while !done(self) {
            if self.seen.ended > 0 {
                bail!("the server ended {} streams during the run", self.seen.ended);
            }
            self.turn(TURN)?;
            if self.progress() != before {
                before = self.progress();
                since = Instant::now();
            } else if since.elapsed() > STALL {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn progress(&self) -> (u64, u64, u64) {
        (self.seen.bytes, self.seen.answers, self.seen.ticks)
    }

    /// Waits once for sockets and does all that there is to do.
    pub(crate) fn turn(&mut self, wait: Duration) -> Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other.context("cannot wait for sockets")?,
        }
        for event in &self.events {
            match event.token() {
                TIMER => self.seen.ticks += self.timer.as_ref().map_or(0, Timer::ticks),
                Token(number) if number >= PUBLISHERS => {
                    let publisher = &mut self.publishers[number - PUBLISHERS];
                    publisher.flush()?;
                    if event.is_readable() {
                        publisher.read(&mut self.buffer)?;
                        self.seen.answers += 1;
                    }
                }
                Token(number) => {
                    if let Some(listener) = self.listeners.get_mut(number) {
                        let probe = number == 0;
                        listener.turn(
                            event,
                            &mut self.buffer,
                            self.began,
                            probe,
                            &mut self.seen,
                        )?;
                    }
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, request: Vec<u8>, tracker: Tracker) -> Result<()> {
        let number = self.listeners.len();
        let mut stream = self.socket(number % self.sources)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(number), both)?;
        let phase = Phase::Connecting(request);
        let mut listener = Listener { stream, tracker, phase };
        // Over loopback the connection is often there already.
        listener.ask()?;
        self.listeners.push(listener);
        Ok(())
    }

    /// A socket that is connecting, from the nth loopback address.
    fn socket(&self, source: usize) -> Result<TcpStream> {
        let make = || -> io::Result<TcpStream> {
            let domain = Domain::for_address(self.address);
            let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
            socket.set_nonblocking(true)?;
            socket.set_tcp_nodelay(true)?;
            // Closing resets the connection: no port stays in TIME_WAIT for the next round.
            socket.set_linger(Some(Duration::ZERO))?;
            if source > 0 && self.address.ip().is_loopback() && self.address.is_ipv4() {
                let ip = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + narrow(source));
                socket.bind(&SocketAddr::new(IpAddr::V4(ip), 0).into())?;
            }
            match socket.connect(&self.address.into()) {
                Err(error)
                    if error.raw_os_error()
                        != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
                {
                    Err(error)
                }
                _ => Ok(TcpStream::from_std(socket.into())),
            }
        };
        make().with_context(|| format!("cannot connect to {}", self.address))
    }
}

impl Listener {
    fn turn(
        &mut self,
        event: &Event,
        buffer: &mut [u8],
        began: Instant,
        probe: bool,
        seen: &mut Seen,
    ) -> Result<()> {
        if matches!(self.phase, Phase::Connecting(_)) {
            if let Some(error) = self.stream.take_error()? {
                return Err(error).context("a stream could not connect");
            }
            self.ask()?;
        }
        if !event.is_readable() || matches!(self.phase, Phase::Connecting(_) | Phase::Ended) {
            return Ok(());
        }
        loop {
            let read = match self.stream.read(buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // A reset is an end as well.
                Err(_) => 0,
            };
            if read == 0 {
                if let Phase::Head(_) = self.phase {
                    bail!("the server closed a connection instead of answering");
                }
                self.phase = Phase::Ended;
                seen.ended += 1;
                return Ok(());
            }
            seen.reads += 1;
            seen.bytes += read as u64;
            self.take(&buffer[..read], nanoseconds(began), probe, seen)?;
            if read < buffer.len() {
                return Ok(());
            }
        }
    }

    fn ask(&mut self) -> Result<()> {
        let Phase::Connecting(request) = &self.phase else { return Ok(()) };
        match self.stream.write(request) {
            Ok(written) if written == request.len() => {
                self.phase = Phase::Head(Vec::new());
                Ok(())
            }
            Ok(_) => bail!("a fresh socket does not take a whole request"),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error).context("cannot ask for a stream"),
        }
    }

    fn take(&mut self, bytes: &[u8], now_ns: u64, probe: bool, seen: &mut Seen) -> Result<()> {
        let tracker = &mut self.tracker;
        let mut body = |body: &[u8], seen: &mut Seen| {
            tracker.feed(body, now_ns, &mut seen.heard);
            if probe {
                seen.probe.extend_from_slice(body);
                let surplus = seen.probe.len().saturating_sub(PROBE_BYTES);
                seen.probe.drain(..surplus);
            }
        };
        match &mut self.phase {
            Phase::Plain => body(bytes, seen),
            Phase::Chunked(dechunker) => {
                dechunker.feed(bytes, |part| body(part, seen))?;
            }
            Phase::Head(head) => {
                head.extend_from_slice(bytes);
                let Some(read) = read_head(head)? else { return Ok(()) };
                if read.status != 200 {
                    let shown = &head[..head.len().min(REFUSAL_BYTES_SHOWN)];
                    bail!("the server refused a stream:\n{}", String::from_utf8_lossy(shown));
                }
                let rest = head.split_off(read.bytes);
                self.phase = match read.framing {
                    Framing::Chunked => {
                        let mut dechunker = Dechunker::default();
                        dechunker.feed(&rest, |part| body(part, seen))?;
                        Phase::Chunked(dechunker)
                    }
                    Framing::UntilClose | Framing::Length(_) => {
                        body(&rest, seen);
                        Phase::Plain
                    }
                };
                seen.streaming += 1;
            }
            Phase::Connecting(_) | Phase::Ended => {}
        }
        Ok(())
    }
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).expect("a run ends within 500 years")
}

fn narrow(source: usize) -> u32 {
    u32::try_from(source).expect("there are few source addresses")
}

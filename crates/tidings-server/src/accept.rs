//! Connections in: accepts sockets and reads the head of the first request of each.
//!
//! A plain HTTP/1.1 request for a stream is answered here, and its bare socket goes to a shard.
//! Every other connection, with the bytes already read put back in front, goes to hyper. What a
//! request means is not known here: the routes decide, for both.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use bytes::{Buf, Bytes, BytesMut};
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::delivery::Delivery;
use crate::guarded::Guarded;
use crate::head::{self, StreamRequest};
use crate::http::{OwnSocket, Peer, Stalled};
use crate::rewound::Rewound;
use crate::tls::Tls;

/// How long to leave the listener alone when a socket cannot be had, as when the process has no
/// file descriptors left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Bytes read at once of a request's head: most fit.
const HEAD_READ_BYTES: usize = 2048;
/// Bytes that the kernel takes of a socket ahead of what its peer has room for. Without a bound it
/// takes megabytes for each reader that never reads: gigabytes for a thousand, where the log has it
/// all already.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 64 * 1024;
/// Connections that wait to be accepted; the system may have a lower bound of its own.
const BACKLOG: u32 = 1024;
/// Requests, streams among them, that one HTTP/2 connection may have open.
const H2_STREAMS_MAX: u32 = 100;

/// What a new connection's peer may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// For a TLS handshake, and then for the head of the first request.
    pub(crate) head: Duration,
    /// For the head of another, from the end of the one before.
    pub(crate) idle: Duration,
    /// For a full socket to take another byte.
    pub(crate) write_stall: Duration,
    /// For a peer to acknowledge what was sent.
    pub(crate) peer_gone: Duration,
}

/// Takes connections in, and serves the routes on them.
#[derive(Clone, Debug)]
pub(crate) struct Acceptor {
    pub(crate) router: Router,
    /// The path of streams.
    pub(crate) stream_path: Arc<str>,
    /// Who takes the sockets of streams; nobody leaves them to hyper.
    pub(crate) delivery: Option<Arc<Delivery>>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) head_bytes_max: usize,
    /// A reload may change these.
    pub(crate) timeouts: Arc<ArcSwap<Timeouts>>,
    /// Turns true when the node stops: whoever has not asked for anything yet is not waited for.
    pub(crate) draining: watch::Receiver<bool>,
}

impl Acceptor {
    /// Accepts until dropped; what it accepted lives on among `connections`.
    pub(crate) async fn run(self, listener: TcpListener, connections: Arc<GracefulShutdown>) {
        let acceptor = Arc::new(self);
        let mut is_failing = false;
        // By whoever made the listener; a reload may change it.
        let mut prepared_for = acceptor.timeouts.load().peer_gone;
        loop {
            let timeouts = **acceptor.timeouts.load();
            if prepared_for != timeouts.peer_gone {
                prepared_for = timeouts.peer_gone;
                if let Err(error) = prepare(&SockRef::from(&listener), timeouts) {
                    warn!(%error, "cannot set up the listening socket; its connections go without");
                }
            }
            match listener.accept().await {
                Ok((socket, peer)) => {
                    is_failing = false;
                    let acceptor = Arc::clone(&acceptor);
                    let watcher = connections.watcher();
                    // What is spawned is moved, so what is long and rare in it is boxed.
                    tokio::spawn(async move {
                        if let Err(error) = acceptor.serve(socket, peer, watcher).await {
                            debug!(error = %error, "a connection ended with an error");
                        }
                    });
                }
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    // Once for as long as it lasts.
                    if !std::mem::replace(&mut is_failing, true) {
                        warn!(%error, "cannot accept a connection; trying again");
                    }
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    async fn serve(
        &self,
        mut socket: TcpStream,
        peer: SocketAddr,
        watcher: Watcher,
    ) -> anyhow::Result<()> {
        let timeouts = **self.timeouts.load();
        if let Some(tls) = &self.tls {
            return Box::pin(self.serve_tls(tls, socket, timeouts, peer, watcher)).await;
        }
        let mut read = BytesMut::new();
        let first = self.in_time(self.read_head(&mut socket, &mut read)).await;
        let Some(first) = first else { return Ok(()) };
        let delivery = self.delivery.as_ref().filter(|delivery| delivery.shards().are_running());
        let rest = match (first?, delivery) {
            (Some(request), Some(delivery)) => {
                read.advance(request.head_bytes);
                let keep_alive = request.keep_alive;
                match self.offer_socket(request, peer, delivery, socket).await? {
                    // The socket is the shard's.
                    None => return Ok(()),
                    Some(_) if !keep_alive => return Ok(()),
                    Some(kept) => socket = kept,
                }
                read
            }
            _ => read,
        };
        let stalled = Stalled::default();
        let socket = Guarded::new(socket, timeouts.write_stall, Arc::clone(&stalled.0));
        let stream = Rewound::new(rest.freeze(), socket);
        Box::pin(self.leave_to_hyper(stream, peer, stalled, watcher)).await
    }

    async fn serve_tls(
        &self,
        tls: &Tls,
        socket: TcpStream,
        timeouts: Timeouts,
        peer: SocketAddr,
        watcher: Watcher,
    ) -> anyhow::Result<()> {
        let mut read = BytesMut::new();
        let stalled = Stalled::default();
        let socket = Guarded::new(socket, timeouts.write_stall, Arc::clone(&stalled.0));
        let handshake = tls.acceptor().accept(socket);
        let Some(stream) = self.in_time(handshake).await else { return Ok(()) };
        let mut stream = stream?;
        let first = self.in_time(self.read_head(&mut stream, &mut read)).await;
        let Some(first) = first else { return Ok(()) };
        first?;
        self.leave_to_hyper(Rewound::new(read.freeze(), stream), peer, stalled, watcher).await
    }

    /// What comes of a client's first steps; nothing when it takes too long over them.
    async fn in_time<T>(&self, steps: impl Future<Output = T>) -> Option<T> {
        let mut draining = self.draining.clone();
        tokio::select! {
            outcome = timeout(self.timeouts.load().head, steps) => outcome.ok(),
            _ = draining.wait_for(|draining| *draining) => None,
        }
    }

    /// Reads the whole first head, also one that hyper is to look at, which would wait for its end
    /// as long as a connection may idle, or for ever while it could still become HTTP/2. Returns it
    /// if it asks for a stream.
    async fn read_head(
        &self,
        socket: &mut (impl AsyncRead + Unpin),
        read: &mut BytesMut,
    ) -> io::Result<Option<StreamRequest>> {
        let mut seen = 0;
        loop {
            read.reserve(HEAD_READ_BYTES);
            let is_over = socket.read_buf(read).await? == 0 || read.len() > self.head_bytes_max;
            // A head ends with a line: one that comes byte by byte is not parsed for each of them.
            let may_be_done = is_over || seen == 0 || read[seen..].contains(&b'\n');
            seen = read.len();
            if !may_be_done {
                continue;
            }
            match head::look_at(read, &self.stream_path) {
                head::Look::Stream(request) => return Ok(Some(*request)),
                head::Look::Other => return Ok(None),
                head::Look::Unfinished if is_over => return Ok(None),
                head::Look::Unfinished => {}
            }
        }
    }

    /// Asks the routes. A stream's socket goes to a shard; any other answer is written, and the
    /// socket comes back for the next request.
    async fn offer_socket(
        &self,
        request: StreamRequest,
        peer: SocketAddr,
        delivery: &Delivery,
        mut socket: TcpStream,
    ) -> anyhow::Result<Option<TcpStream>> {
        let StreamRequest { mut request, keep_alive, .. } = request;
        let own_socket = OwnSocket::default();
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(own_socket.clone());
        let Ok(response) = self.router.clone().oneshot(request.map(|()| Body::empty())).await;
        let (parts, body) = response.into_parts();
        if let Some(stream) = own_socket.take() {
            let head = head::answer(&parts, head::Framing::UntilClose);
            let first_bytes = [&head[..], stream.greeting()].concat();
            // At once, so that the client need not wait for the shard's turn.
            let written = match socket.try_write(&first_bytes) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error.into()),
            };
            let rest = Bytes::copy_from_slice(&first_bytes[written..]);
            delivery.shards().hand_over(socket.into_std()?, rest, stream);
            return Ok(None);
        }
        let body = body.collect().await?.to_bytes();
        let framing = head::Framing::Length { bytes: body.len(), keep_alive };
        socket.write_all(&head::answer(&parts, framing)).await?;
        socket.write_all(&body).await?;
        Ok(Some(socket))
    }

    /// HTTP/1 or HTTP/2, whichever the client begins with.
    async fn leave_to_hyper(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        peer: SocketAddr,
        stalled: Stalled,
        watcher: Watcher,
    ) -> anyhow::Result<()> {
        let service = self.router.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            request.extensions_mut().insert(stalled.clone());
            request
        });
        let service = TowerToHyperService::new(service);
        let timeouts = self.timeouts.load();
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(timeouts.idle)
            .max_buf_size(self.head_bytes_max);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(H2_STREAMS_MAX)
            .max_header_list_size(u32::try_from(self.head_bytes_max).unwrap_or(u32::MAX))
            .keep_alive_interval(timeouts.peer_gone)
            .keep_alive_timeout(timeouts.write_stall);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        watcher.watch(connection).await.map_err(|error| anyhow::anyhow!(error))
    }
}

/// Listens on an address. Its sockets are prepared before the first peer can connect.
pub(crate) fn listen(address: SocketAddr, timeouts: Timeouts) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Or a node that is started again has to wait for the connections of the one before.
    socket.set_reuseaddr(true)?;
    prepare(&SockRef::from(&socket), timeouts)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What every accepted socket inherits: set once here, it costs no call for each of them.
fn prepare(socket: &SockRef<'_>, timeouts: Timeouts) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(timeouts.peer_gone))?;
        socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
    }
    Ok(())
}

/// Whether only the one connection failed, and the next is as good as any.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

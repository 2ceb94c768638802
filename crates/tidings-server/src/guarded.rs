//! A socket that fails when it has been full for too long, and says so to whoever writes to it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutStream;

#[derive(Debug)]
pub(crate) struct Guarded {
    inner: Pin<Box<TimeoutStream<TcpStream>>>,
    is_stalled: Arc<AtomicBool>,
}

impl Guarded {
    /// Fails once it has taken nothing for so long, after `is_stalled` is set.
    pub(crate) fn new(
        socket: TcpStream,
        write_stall: Duration,
        is_stalled: Arc<AtomicBool>,
    ) -> Self {
        let mut socket = TimeoutStream::new(socket);
        socket.set_write_timeout(Some(write_stall));
        Self { inner: Box::pin(socket), is_stalled }
    }

    fn noticed<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &outcome
            && error.kind() == io::ErrorKind::TimedOut
        {
            self.is_stalled.store(true, Ordering::Relaxed);
        }
        outcome
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner.as_mut().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.inner.as_mut().poll_write(cx, bytes);
        self.noticed(outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = self.inner.as_mut().poll_flush(cx);
        self.noticed(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = self.inner.as_mut().poll_shutdown(cx);
        self.noticed(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.inner.as_mut().poll_write_vectored(cx, parts);
        self.noticed(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

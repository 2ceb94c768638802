//! One kept connection that requests are written to and answers read from. Knows nothing of what
//! is published.

use std::io::{self, Read as _, Write as _};

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;

use crate::http::Answers;

/// Bytes of a refusal that are worth showing.
const REFUSAL_BYTES_SHOWN: usize = 300;

#[derive(Debug)]
pub(crate) struct Publisher {
    stream: TcpStream,
    unsent: Vec<u8>,
    sent: usize,
    answers: Answers,
    /// Requests that have been answered with success.
    pub(crate) answered: u64,
    /// Requests that have been made.
    pub(crate) asked: u64,
}

impl Publisher {
    pub(crate) fn new(stream: TcpStream) -> Self {
        let answers = Answers::default();
        Self { stream, unsent: Vec::new(), sent: 0, answers, answered: 0, asked: 0 }
    }

    /// Sends requests as far as the socket takes them; the rest follows when it can.
    pub(crate) fn ask(&mut self, requests: u64, write: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        write(&mut self.unsent);
        self.asked += requests;
        self.flush()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.answered == self.asked
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        while self.sent < self.unsent.len() {
            match self.stream.write(&self.unsent[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
                    ) =>
                {
                    return Ok(());
                }
                Err(error) => return Err(error).context("cannot write to the publish connection"),
            }
        }
        self.unsent.clear();
        self.sent = 0;
        Ok(())
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<()> {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => bail!("the server closed the publish connection"),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("cannot read the publish connection"),
            };
            let mut refusal = None;
            let answered = &mut self.answered;
            self.answers.feed(&buffer[..read], |status, body| {
                *answered += 1;
                // A batch may be accepted and its events refused one by one.
                let refused = !(200..300).contains(&status)
                    || memchr::memmem::find(body, b"{\"error\":").is_some();
                if refused && refusal.is_none() {
                    let shown = &body[..body.len().min(REFUSAL_BYTES_SHOWN)];
                    refusal = Some(format!("{status}: {}", String::from_utf8_lossy(shown)));
                }
            })?;
            if let Some(refusal) = refusal {
                bail!("the server refused to publish, {refusal}");
            }
            if read < buffer.len() {
                return Ok(());
            }
        }
    }
}

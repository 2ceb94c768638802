//! As much HTTP/1.1 as a load generator reads: response heads, chunked bodies and the answers on a
//! connection that is kept. Works on bytes as they come and knows nothing of sockets or events.

use anyhow::{Context, Result, bail};

/// Longer heads are not an answer to anything that was asked.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 64;

/// What matters of a response head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Bytes up to and with the empty line.
    pub(crate) bytes: usize,
    pub(crate) framing: Framing,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Chunked,
    Length(usize),
    UntilClose,
}

/// Reads a head from the beginning of `bytes`; none where it has not all come.
pub(crate) fn read_head(bytes: &[u8]) -> Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes).context("the server's answer is not HTTP/1.1")? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        httparse::Status::Partial => bail!("the server's response head has no end"),
    };
    let status = response.code.context("a complete response has a status")?;
    let header = |name: &str| {
        response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(
            |header| {
                std::str::from_utf8(header.value).unwrap_or_default().trim().to_ascii_lowercase()
            },
        )
    };
    let framing = if header("transfer-encoding").is_some_and(|coding| coding.ends_with("chunked")) {
        Framing::Chunked
    } else if let Some(length) = header("content-length") {
        Framing::Length(length.parse().context("the server's content-length is not a number")?)
    } else if status == 204 || status == 304 {
        Framing::Length(0)
    } else {
        Framing::UntilClose
    };
    Ok(Some(Head { status, bytes: length, framing }))
}

/// Takes the chunked coding off a body, in whatever pieces it comes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dechunker {
    state: Chunk,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Chunk {
    /// Within the digits of a size.
    #[default]
    Nothing,
    Size(u64),
    /// Behind the digits, before the line's end.
    Extension(u64),
    Data(u64),
    /// The line end behind a chunk's data.
    DataEnd,
    /// Trailer lines behind the last chunk; whether the present one is empty so far.
    Trailer(bool),
    Ended,
}

impl Dechunker {
    pub(crate) fn ended(&self) -> bool {
        self.state == Chunk::Ended
    }

    /// Hands the body's own bytes to `each` and returns how many bytes it took; fewer than there
    /// are only where the body has ended.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) -> Result<usize> {
        let mut at = 0;
        while at < bytes.len() && !self.ended() {
            if let Chunk::Data(left) = self.state {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                each(&bytes[at..at + here]);
                at += here;
                let left = left - here as u64;
                self.state = if left == 0 { Chunk::DataEnd } else { Chunk::Data(left) };
                continue;
            }
            self.state = self.state.step(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }
}

impl Chunk {
    fn step(self, byte: u8) -> Result<Self> {
        let digit = || char::from(byte).to_digit(16).map(u64::from);
        Ok(match (self, byte) {
            (Self::Nothing, _) => match digit() {
                Some(digit) => Self::Size(digit),
                None => bail!("the server sent a chunk without a size"),
            },
            (Self::Size(0) | Self::Extension(0), b'\n') => Self::Trailer(true),
            (Self::Size(size) | Self::Extension(size), b'\n') => Self::Data(size),
            (Self::Size(size), _) => match digit() {
                Some(digit) if size < 1 << 40 => Self::Size(size << 4 | digit),
                Some(_) => bail!("the server sent a chunk of more than a terabyte"),
                None => Self::Extension(size),
            },
            (Self::Extension(size), _) => Self::Extension(size),
            (Self::DataEnd, b'\n') => Self::Nothing,
            (Self::DataEnd, b'\r') => Self::DataEnd,
            (Self::DataEnd, _) => bail!("the server's chunk is longer than it said"),
            (Self::Trailer(true), b'\n') => Self::Ended,
            (Self::Trailer(_), b'\n') => Self::Trailer(true),
            (Self::Trailer(empty), b'\r') => Self::Trailer(empty),
            (Self::Trailer(_), _) => Self::Trailer(false),
            (Self::Data(_) | Self::Ended, _) => unreachable!("handled by `feed`"),
        })
    }
}

/// The answers on one kept connection, in order.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    unread: Vec<u8>,
}

impl Answers {
    /// Calls `each` with the status and body of each answer that is now complete.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(u16, &[u8])) -> Result<()> {
        self.unread.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(head) = read_head(&self.unread[at..])? {
            let body = &self.unread[at + head.bytes..];
            let taken = match head.framing {
                Framing::Length(length) if body.len() >= length => {
                    each(head.status, &body[..length]);
                    length
                }
                Framing::Chunked => {
                    let (mut dechunker, mut plain) = (Dechunker::default(), Vec::new());
                    let taken = dechunker.feed(body, |part| plain.extend_from_slice(part))?;
                    if !dechunker.ended() {
                        break;
                    }
                    each(head.status, &plain);
                    taken
                }
                Framing::Length(_) => break,
                Framing::UntilClose => bail!(
                    "the server closes the connection after an answer; publishing needs one that is kept"
                ),
            };
            at += head.bytes + taken;
        }
        self.unread.drain(..at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_is_the_same_wherever_a_read_ends() {
        let coded = b"5\r\nhello\r\n1;x=y\r\n,\r\nA\r\n0123456789\r\n0\r\nt: v\r\n\r\nNEXT";
        for split in 0..=coded.len() {
            let (mut dechunker, mut plain) = (Dechunker::default(), Vec::new());
            let mut taken = 0;
            for part in [&coded[..split], &coded[split..]] {
                taken += dechunker
                    .feed(part, |part| plain.extend_from_slice(part))
                    .expect("well formed");
            }
            assert_eq!(plain, b"hello,0123456789", "split at {split}");
            assert_eq!(taken, coded.len() - "NEXT".len(), "split at {split}");
        }
    }

    #[test]
    fn answers_are_the_same_wherever_a_read_ends() {
        let wire = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nab\
            HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nc\r\n0\r\n\r\n\
            HTTP/1.1 204 No Content\r\n\r\n";
        for split in 0..=wire.len() {
            let (mut answers, mut seen) = (Answers::default(), Vec::new());
            for part in [&wire[..split], &wire[split..]] {
                answers
                    .feed(part, |status, body| seen.push((status, body.to_vec())))
                    .expect("well formed");
            }
            let expected =
                vec![(201, b"ab".to_vec()), (200, b"c".to_vec()), (204, Vec::<u8>::new())];
            assert_eq!(seen, expected, "split at {split}");
        }
    }

    #[test]
    fn what_is_not_http_is_refused() {
        assert!(read_head(b"SSH-2.0-OpenSSH\r\n").is_err());
        assert!(Dechunker::default().feed(b"xyz\r\n", |_| ()).is_err());
    }
}

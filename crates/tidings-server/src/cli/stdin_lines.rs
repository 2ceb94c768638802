//! The lines of standard input as they arrive, read by a thread of their own.
//!
//! A thread, because reading standard input blocks and cannot be called off: a task of the runtime
//! would keep an interrupted command from ending until the next line. The thread ends with its
//! input, when nobody takes its lines, or with the process.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use tokio::sync::mpsc;

/// Bytes of a line. Far more than a hub takes for an event, and enough to say so properly.
const LINE_BYTES_MAX: u64 = 1024 * 1024;
/// Lines that wait to be taken; then the writer at the other end of the pipe waits.
const WAITING_LINES_MAX: usize = 256;

/// Lines without their ends. What is not UTF-8 is replaced.
pub(crate) struct StdinLines {
    lines: mpsc::Receiver<io::Result<String>>,
}

impl StdinLines {
    /// Begins to read.
    pub(crate) fn open() -> io::Result<Self> {
        Self::read(io::stdin())
    }

    fn read(source: impl Read + Send + 'static) -> io::Result<Self> {
        let (sender, lines) = mpsc::channel(WAITING_LINES_MAX);
        std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
            let mut source = BufReader::new(source);
            while let Some(line) = next_line(&mut source).transpose() {
                let last = line.is_err();
                if sender.blocking_send(line).is_err() || last {
                    break;
                }
            }
        })?;
        Ok(Self { lines })
    }

    /// The next line; none at the end of the input.
    pub(crate) async fn next(&mut self) -> Option<io::Result<String>> {
        self.lines.recv().await
    }

    /// The next line, if it is there already.
    pub(crate) fn waiting(&mut self) -> Option<io::Result<String>> {
        self.lines.try_recv().ok()
    }
}

fn next_line(source: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    source.take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_some() {
        line.pop_if(|last| *last == b'\r');
    } else if line.len() as u64 > LINE_BYTES_MAX {
        let text = format!("a line has more than {LINE_BYTES_MAX} bytes");
        return Err(io::Error::new(ErrorKind::InvalidData, text));
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_in_order_without_their_ends() {
        let mut lines = StdinLines::read(&b"a\nb\r\n\n\xff \r c\nlast"[..]).unwrap();
        let mut found = Vec::new();
        while let Some(line) = lines.next().await {
            found.push(line.unwrap());
        }
        assert_eq!(found, ["a", "b", "", "\u{fffd} \r c", "last"]);
    }

    #[tokio::test]
    async fn a_line_that_never_ends_is_an_error_and_the_last_one() {
        let mut lines = StdinLines::read(io::repeat(b'x')).unwrap();
        assert!(lines.next().await.unwrap().is_err());
        assert!(lines.next().await.is_none());
    }
}

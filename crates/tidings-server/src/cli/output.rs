//! Standard output, one line at a time, and the news that nobody reads it any more.

use std::io::{self, ErrorKind, Write};

/// Whether anybody still reads what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Readers {
    /// As far as is known.
    Listening,
    /// The pipe is closed (`| head`): a reason to end, not an error.
    Gone,
}

/// Writes a line to standard output, at once.
pub(crate) fn print_line(line: &str) -> io::Result<Readers> {
    write_line(&mut io::stdout().lock(), line)
}

fn write_line(out: &mut impl Write, line: &str) -> io::Result<Readers> {
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => Ok(Readers::Listening),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Readers::Gone),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_news_and_anything_else_an_error() {
        assert_eq!(write_line(&mut Failing(ErrorKind::BrokenPipe), "a").unwrap(), Readers::Gone);
        assert!(write_line(&mut Failing(ErrorKind::StorageFull), "a").is_err());
    }
}

//! A bare socket: what is sent and what comes back, byte for byte.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::PATIENCE;

/// A connection to a server that nothing reads or writes on its own.
pub struct Raw {
    socket: TcpStream,
    unread: Vec<u8>,
}

impl Raw {
    pub fn connect(address: &str) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { socket, unread: Vec::new() }
    }

    /// A connection whose own side takes only a few bytes before its reader has read them.
    pub fn connect_narrow(address: &str) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let address: SocketAddr = address.parse().unwrap();
        socket.connect(&address.into()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket: socket.into(), unread: Vec::new() }
    }

    pub fn send(&mut self, text: impl AsRef<[u8]>) {
        // A server that has closed already says why in what it answered.
        let _ = self.socket.write_all(text.as_ref());
    }

    /// Everything up to and with this text.
    pub fn read_until(&mut self, end: &str) -> String {
        loop {
            let found = self.unread.windows(end.len()).position(|part| part == end.as_bytes());
            if let Some(start) = found {
                let text = self.unread.drain(..start + end.len()).collect();
                return String::from_utf8(text).unwrap();
            }
            assert!(
                self.fill().unwrap() > 0,
                "the connection ended before {end:?}: {}",
                String::from_utf8_lossy(&self.unread)
            );
        }
    }

    /// Passes over everything up to and with this text, however much that is.
    pub fn skip_until(&mut self, end: &str) {
        loop {
            let found = self.unread.windows(end.len()).position(|part| part == end.as_bytes());
            if let Some(start) = found {
                self.unread.drain(..start + end.len());
                return;
            }
            let passed = self.unread.len().saturating_sub(end.len() - 1);
            self.unread.drain(..passed);
            assert!(self.fill().unwrap() > 0, "the connection ended before {end:?}");
        }
    }

    /// Everything until the server closes.
    pub fn read_to_end(&mut self) -> String {
        loop {
            match self.fill() {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!(
                    "the connection does not end ({error}): {}",
                    String::from_utf8_lossy(&self.unread)
                ),
            }
        }
        String::from_utf8_lossy(&std::mem::take(&mut self.unread)).into_owned()
    }

    fn fill(&mut self) -> std::io::Result<usize> {
        let mut bytes = vec![0; 65536];
        let read = self.socket.read(&mut bytes)?;
        self.unread.extend_from_slice(&bytes[..read]);
        Ok(read)
    }
}

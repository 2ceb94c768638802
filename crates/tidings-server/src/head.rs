//! The head of a request for a stream, and of an answer that we write ourselves.
//!
//! Only the plainest request is taken: HTTP/1.1, GET, without a body. Anything else, and anything
//! odd, is for hyper to read or to refuse: there is one opinion about what a bad request is.

use std::time::SystemTime;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method, Request, Uri, header, response};

/// Headers of one request; hyper allows as many.
const HEADERS_MAX: usize = 100;
/// What an HTTP/2 client begins with (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A request for a stream.
#[derive(Debug)]
pub(crate) struct StreamRequest {
    pub(crate) request: Request<()>,
    /// Bytes of its head.
    pub(crate) head_bytes: usize,
    /// Whether another request may follow an answer that is not a stream.
    pub(crate) keep_alive: bool,
}

/// What the beginning of a connection is.
#[derive(Debug)]
pub(crate) enum Look {
    /// A request for a stream.
    Stream(Box<StreamRequest>),
    /// Something else, with its whole head, or nothing that can be read.
    Other,
    /// Too little to say.
    Unfinished,
}

/// Looks at what was read so far.
pub(crate) fn look_at(read: &[u8], stream_path: &str) -> Look {
    if HTTP2_PREFACE.starts_with(read) && read.len() < HTTP2_PREFACE.len() {
        return Look::Unfinished;
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(read) {
        Ok(httparse::Status::Complete(head_bytes)) => {
            stream_request(&parsed, head_bytes, stream_path)
                .map_or(Look::Other, |request| Look::Stream(Box::new(request)))
        }
        Ok(httparse::Status::Partial) => Look::Unfinished,
        Err(_) => Look::Other,
    }
}

fn stream_request(
    parsed: &httparse::Request<'_, '_>,
    head_bytes: usize,
    stream_path: &str,
) -> Option<StreamRequest> {
    let uri: Uri = parsed.path?.parse().ok()?;
    if parsed.version != Some(1) || parsed.method != Some("GET") || uri.path() != stream_path {
        return None;
    }
    let mut request = Request::builder().method(Method::GET).uri(uri).body(()).ok()?;
    let mut hosts = 0;
    let mut keep_alive = true;
    for parsed in &*parsed.headers {
        let name = HeaderName::from_bytes(parsed.name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(parsed.value).ok()?;
        match name {
            header::CONTENT_LENGTH
            | header::TRANSFER_ENCODING
            | header::UPGRADE
            | header::EXPECT => return None,
            header::CONNECTION => keep_alive &= !has_close(&value),
            header::HOST => hosts += 1,
            _ => {}
        }
        request.headers_mut().append(name, value);
    }
    (hosts == 1).then_some(StreamRequest { request, head_bytes, keep_alive })
}

fn has_close(connection: &HeaderValue) -> bool {
    connection.to_str().is_ok_and(|value| {
        value.split(',').any(|option| option.trim().eq_ignore_ascii_case("close"))
    })
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By its length.
    Length { bytes: usize, keep_alive: bool },
    /// By the end of the connection: then every subscriber's bytes are the same, with no length
    /// between them.
    UntilClose,
}

/// The bytes of an answer's head.
pub(crate) fn answer(parts: &response::Parts, framing: Framing) -> Bytes {
    let mut head = BytesMut::with_capacity(512);
    head.put_slice(b"HTTP/1.1 ");
    head.put_slice(parts.status.as_str().as_bytes());
    head.put_u8(b' ');
    head.put_slice(parts.status.canonical_reason().unwrap_or_default().as_bytes());
    head.put_slice(b"\r\n");
    for (name, value) in &parts.headers {
        if name != header::CONTENT_LENGTH && name != header::CONNECTION {
            put_header(&mut head, name.as_str(), value.as_bytes());
        }
    }
    let date = httpdate::fmt_http_date(SystemTime::now());
    put_header(&mut head, "date", date.as_bytes());
    let closes = match framing {
        Framing::UntilClose => true,
        Framing::Length { bytes, keep_alive } => {
            put_header(&mut head, "content-length", bytes.to_string().as_bytes());
            !keep_alive
        }
    };
    if closes {
        put_header(&mut head, "connection", b"close");
    }
    head.put_slice(b"\r\n");
    head.freeze()
}

fn put_header(head: &mut BytesMut, name: &str, value: &[u8]) {
    head.put_slice(name.as_bytes());
    head.put_slice(b": ");
    head.put_slice(value);
    head.put_slice(b"\r\n");
}

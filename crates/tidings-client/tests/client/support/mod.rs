//! A hub that follows a script: every connection gets the next reply, whatever it asks for, and
//! what it asked is kept. It listens on a free port and ends with the test.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Method and target, as in `GET /api/sse?topic=a`.
    pub(crate) line: String,
    /// The header lines.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: String,
}

impl Request {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// What a connection is answered.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    bytes: String,
    hold: bool,
}

impl Reply {
    /// An answer with a status, header lines and a body, after which the connection is closed.
    pub(crate) fn new(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        let bytes = format!(
            "HTTP/1.1 {status} Scripted\r\ncontent-length: {length}\r\nconnection: close\r\n\
             {headers}\r\n{body}"
        );
        Self { bytes, hold: false }
    }

    /// A JSON answer.
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::new(status, "content-type: application/json\r\n", body)
    }

    /// A problem with this code.
    pub(crate) fn problem(status: u16, code: &str) -> Self {
        let body = format!(
            "{{\"type\":\"about:blank\",\"title\":\"Scripted\",\"status\":{status},\
             \"code\":\"{code}\",\"detail\":\"as the script says\"}}"
        );
        Self::new(status, "content-type: application/problem+json\r\n", &body)
    }

    /// A stream that says this and ends.
    pub(crate) fn stream(body: &str) -> Self {
        let bytes = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
             connection: close\r\n\r\n{body}"
        );
        Self { bytes, hold: false }
    }

    /// A stream that says this and then nothing, for as long as the client stays.
    pub(crate) fn silent_stream(body: &str) -> Self {
        Self { hold: true, ..Self::stream(body) }
    }

    /// No answer at all: the request is read and the connection closed.
    pub(crate) fn nothing() -> Self {
        Self { bytes: String::new(), hold: false }
    }
}

/// The hub.
pub(crate) struct ScriptedHub {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: tokio::task::JoinHandle<()>,
}

impl ScriptedHub {
    /// Starts. After the last reply every request is answered with 204.
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        let mut replies = replies.into_iter().collect::<Vec<_>>().into_iter();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let reply = replies.next().unwrap_or_else(|| Reply::new(204, "", ""));
                connections.spawn(answer(socket, reply, Arc::clone(&kept)));
            }
        });
        Self { url, requests, task }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What has been asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for ScriptedHub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut socket: TcpStream, reply: Reply, kept: Arc<Mutex<Vec<Request>>>) {
    let Some(request) = read(&mut socket).await else { return };
    kept.lock().unwrap().push(request);
    if socket.write_all(reply.bytes.as_bytes()).await.is_err() {
        return;
    }
    if reply.hold {
        // The client leaving is the only way out.
        socket.read_u8().await.ok();
    }
}

async fn read(socket: &mut TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(socket);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let line = lines.first()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
    reader.read_exact(&mut body).await.ok()?;
    Some(Request { line, headers, body: String::from_utf8(body).unwrap() })
}

//! A mail server as far as a sender sees one (RFC 5321), in the clear or with TLS from the start.

#![allow(unreachable_pub, reason = "what a test may use of this")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::support::PATIENCE;

pub const USERNAME: &str = "tidings";
pub const PASSWORD: &str = "canaryPasswordT5rJpL1mYh7c";

/// A mail that was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub from: String,
    pub to: Vec<String>,
    /// Header and body, line by line.
    pub lines: Vec<String>,
    pub signed_in: bool,
}

impl Taken {
    pub fn header(&self, name: &str) -> &str {
        let header = self.lines.iter().take_while(|line| !line.is_empty());
        let mut values = header.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        values.next().unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

/// A running server. It ends with the test's runtime.
pub struct MailServer {
    pub port: u16,
    mails: mpsc::UnboundedReceiver<Taken>,
}

impl MailServer {
    /// Answers the first recipients with these lines, and takes all others.
    pub async fn start(tls: Option<TlsAcceptor>, answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, mails) = mpsc::unbounded_channel();
        let answers: VecDeque<_> = answers.iter().map(|&answer| answer.to_owned()).collect();
        let answers = Arc::new(Mutex::new(answers));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (sender, answers, tls) = (sender.clone(), Arc::clone(&answers), tls.clone());
                tokio::spawn(async move {
                    // Whoever hangs up in the middle has not sent a mail.
                    match tls {
                        None => drop(converse(socket, &sender, &answers).await),
                        Some(tls) => {
                            if let Ok(socket) = tls.accept(socket).await {
                                drop(converse(socket, &sender, &answers).await);
                            }
                        }
                    }
                });
            }
        });
        Self { port, mails }
    }

    /// The next mail.
    pub async fn next(&mut self) -> Taken {
        let next = timeout(PATIENCE, self.mails.recv()).await;
        next.expect("no mail came").expect("the server runs")
    }

    /// Mails that came and were not looked at yet.
    pub fn rest(&mut self) -> Vec<Taken> {
        std::iter::from_fn(|| self.mails.try_recv().ok()).collect()
    }
}

async fn converse(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    mails: &mpsc::UnboundedSender<Taken>,
    answers: &Mutex<VecDeque<String>>,
) -> std::io::Result<()> {
    let mut socket = BufStream::new(socket);
    let mut mail = Taken::default();
    say(&mut socket, "220 mail.example.com").await?;
    while let Some(line) = line(&mut socket).await? {
        let (verb, rest) = line.split_at(line.len().min(4));
        let answer = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => "250-mail.example.com\r\n250-AUTH PLAIN\r\n250 8BITMIME".to_owned(),
            "AUTH" => {
                let given = rest.trim().strip_prefix("PLAIN ").unwrap_or_default();
                let expected = STANDARD.encode(format!("\0{USERNAME}\0{PASSWORD}"));
                mail.signed_in = given == expected;
                // Some servers say what they were told.
                if mail.signed_in { "235 welcome".to_owned() } else { format!("535 not {given}") }
            }
            "MAIL" => {
                mail.from = between_brackets(rest);
                "250 ok".to_owned()
            }
            "RCPT" => {
                let answer = answers.lock().unwrap().pop_front();
                if answer.is_none() {
                    mail.to.push(between_brackets(rest));
                }
                answer.unwrap_or_else(|| "250 ok".to_owned())
            }
            "DATA" => {
                say(&mut socket, "354 go on").await?;
                loop {
                    match self::line(&mut socket).await? {
                        None => return Ok(()),
                        Some(line) if line == "." => break,
                        Some(line) => mail.lines.push(line),
                    }
                }
                let signed_in = mail.signed_in;
                let _ = mails.send(std::mem::take(&mut mail));
                mail.signed_in = signed_in;
                "250 taken".to_owned()
            }
            "QUIT" => {
                say(&mut socket, "221 bye").await?;
                return Ok(());
            }
            "RSET" | "NOOP" => "250 ok".to_owned(),
            _ => "502 not known".to_owned(),
        };
        say(&mut socket, &answer).await?;
    }
    Ok(())
}

async fn say(socket: &mut (impl AsyncWrite + Unpin), answer: &str) -> std::io::Result<()> {
    socket.write_all(format!("{answer}\r\n").as_bytes()).await?;
    socket.flush().await
}

async fn line(socket: &mut (impl AsyncBufReadExt + Unpin)) -> std::io::Result<Option<String>> {
    let mut line = String::new();
    let read = socket.read_line(&mut line).await?;
    Ok((read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
}

fn between_brackets(text: &str) -> String {
    let (_, rest) = text.split_once('<').unwrap_or_default();
    rest.split('>').next().unwrap_or_default().to_owned()
}

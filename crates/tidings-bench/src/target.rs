//! What is measured and how it is spoken to: where it listens, how one subscribes and publishes
//! there, which processes do its work. Builds request bytes; sends nothing.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};

use crate::process::Processes;
use crate::stamp;
use crate::token::Minter;

/// A server under test, or the floor.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) processes: Processes,
    pub(crate) speech: Speech,
}

/// How a target is spoken to.
#[derive(Debug)]
pub(crate) enum Speech {
    /// As the options say.
    Server(Box<Profile>),
    /// Events go to the floor as the bytes it is to send.
    Floor(Template),
}

/// How a server wants to be asked. `{topic}`, `{user}`, `{token}` and `{payload}` are filled in.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) subscribe_path: String,
    pub(crate) publish_path: String,
    pub(crate) publish_type: String,
    pub(crate) publish_body: String,
    pub(crate) batch: Batch,
    pub(crate) headers: Vec<String>,
    /// What publishing is authorised by, and subscribing where nothing else is given.
    pub(crate) api_key: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) minter: Option<Minter>,
}

/// How many events are published at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Batch {
    /// One request with a line for each event.
    Ndjson,
    /// One request for each, written together (HTTP pipelining).
    Pipeline,
}

/// The events of one publish.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Events<'a> {
    pub(crate) topic: &'a str,
    pub(crate) first_sequence: u32,
    pub(crate) count: u32,
    pub(crate) meant_at_ns: u64,
    pub(crate) payload_bytes: usize,
}

/// One stream that is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) topic: &'a str,
    pub(crate) user: &'a str,
    pub(crate) last_event_id: Option<&'a str>,
}

impl Target {
    pub(crate) fn is_floor(&self) -> bool {
        matches!(self.speech, Speech::Floor(_))
    }

    /// Whether each subscriber has a token of its own.
    pub(crate) fn mints(&self) -> bool {
        matches!(&self.speech, Speech::Server(profile) if profile.minter.is_some())
    }

    pub(crate) fn subscribe_request(&self, wish: Wish<'_>) -> Vec<u8> {
        let (path, authorization, headers) = match &self.speech {
            // The floor keeps no events; who resumes there gets what was left for it.
            Speech::Floor(_) => {
                let path = if wish.last_event_id.is_some() { "/replay" } else { "/" };
                (path.to_owned(), None, &[][..])
            }
            Speech::Server(profile) => {
                let minted =
                    profile.minter.as_ref().map(|minter| minter.mint(wish.user, wish.topic));
                let credential = minted.or_else(|| profile.token.clone());
                let path = profile
                    .subscribe_path
                    .replace("{topic}", wish.topic)
                    .replace("{user}", wish.user)
                    .replace("{token}", credential.as_deref().unwrap_or_default());
                let in_path = profile.subscribe_path.contains("{token}");
                let header = credential.or_else(|| profile.api_key.clone());
                (path, header.filter(|_| !in_path), profile.headers.as_slice())
            }
        };
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        head += "Accept: text/event-stream\r\n";
        add_headers(&mut head, authorization.as_deref(), headers);
        if let Some(id) = wish.last_event_id {
            for part in ["Last-Event-ID: ", id, "\r\n"] {
                head += part;
            }
        }
        head += "\r\n";
        head.into_bytes()
    }

    /// Appends the request or requests that publish these events; how many answers will come.
    pub(crate) fn publish_request(&self, events: Events<'_>, out: &mut Vec<u8>) -> u64 {
        let sequences = events.first_sequence..events.first_sequence + events.count;
        match &self.speech {
            Speech::Floor(template) => {
                let mut body = Vec::new();
                for sequence in sequences {
                    template.write(&mut body, sequence, events.meant_at_ns);
                }
                self.post("/", "text/event-stream", None, &[], &body, out);
                1
            }
            Speech::Server(profile) => {
                let bodies = sequences.map(|sequence| {
                    let mut payload = Vec::with_capacity(events.payload_bytes);
                    stamp::write_payload(
                        &mut payload,
                        sequence,
                        events.meant_at_ns,
                        events.payload_bytes,
                    );
                    let payload = String::from_utf8(payload).expect("payloads are ASCII");
                    // The topic first: a payload holds no braces that are ours.
                    profile
                        .publish_body
                        .replace("{topic}", events.topic)
                        .replace("{payload}", &payload)
                });
                let path = profile.publish_path.replace("{topic}", events.topic);
                let key = profile.api_key.as_deref();
                if profile.batch == Batch::Ndjson && events.count > 1 {
                    let lines = bodies.collect::<Vec<_>>().join("\n");
                    let kind = "application/x-ndjson";
                    self.post(&path, kind, key, &profile.headers, lines.as_bytes(), out);
                    return 1;
                }
                for body in bodies {
                    let kind = &profile.publish_type;
                    self.post(&path, kind, key, &profile.headers, body.as_bytes(), out);
                }
                events.count.into()
            }
        }
    }

    /// Appends a POST.
    pub(crate) fn post(
        &self,
        path: &str,
        content_type: &str,
        key: Option<&str>,
        headers: &[String],
        body: &[u8],
        out: &mut Vec<u8>,
    ) {
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\n",
            self.address,
            body.len()
        );
        add_headers(&mut head, key, headers);
        head += "\r\n";
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(body);
    }
}

fn add_headers(head: &mut String, credential: Option<&str>, headers: &[String]) {
    if let Some(credential) = credential {
        for part in ["Authorization: Bearer ", credential, "\r\n"] {
            *head += part;
        }
    }
    for header in headers {
        *head += header;
        *head += "\r\n";
    }
}

/// An event's bytes on the wire around its stamp, so that the floor sends the same as the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Template {
    /// What Tidings writes, for when there is no server to learn from.
    pub(crate) fn usual(payload_bytes: usize) -> Self {
        let mut wire =
            b"id: k7q2m9x1-104200\ntopic: bench/k7q2m9/1\ntime: 1795458000000\ndata: ".to_vec();
        stamp::write_payload(&mut wire, 0, 0, payload_bytes);
        wire.extend_from_slice(b"\n\n");
        Self::learn(&wire).expect("a whole event")
    }

    /// Takes the last whole event of a stream.
    pub(crate) fn learn(stream: &[u8]) -> Option<Self> {
        let end = memchr::memmem::rfind(stream, b"\n\n")? + 2;
        let mark = memchr::memrchr(stamp::MARK, &stream[..end])?;
        let start = memchr::memmem::rfind(&stream[..mark], b"\n\n").map_or(0, |at| at + 2);
        let end = mark + memchr::memmem::find(&stream[mark..], b"\n\n")? + 2;
        Some(Self {
            before: stream[start..mark].to_vec(),
            after: stream.get(mark + stamp::STAMP_BYTES..end)?.to_vec(),
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.before.len() + stamp::STAMP_BYTES + self.after.len()
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>, sequence: u32, meant_at_ns: u64) {
        out.extend_from_slice(&self.before);
        stamp::write_stamp(out, sequence, meant_at_ns);
        out.extend_from_slice(&self.after);
    }
}

/// The `id:` of the last whole block of a stream that has one.
pub(crate) fn last_event_id(stream: &[u8]) -> Option<String> {
    let end = memchr::memmem::rfind(stream, b"\n\n")?;
    let text = String::from_utf8_lossy(&stream[..end]);
    let id = text.lines().rev().find_map(|line| line.strip_prefix("id:"))?;
    Some(id.trim().to_owned())
}

/// The address of `http://host:port`. Anything but this machine must be allowed by name.
pub(crate) fn address_of(url: &str, remote_allowed: bool) -> Result<SocketAddr> {
    use std::net::ToSocketAddrs as _;
    let rest = url.strip_prefix("http://").context(
        "the URL must begin with http://; TLS is not measured here, and would be most of the cost",
    )?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    ensure!(
        rest.trim_end_matches('/') == authority,
        "a path belongs into --subscribe-path and --publish-path, not into the URL"
    );
    let named = if authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let mut addresses = named.to_socket_addrs().with_context(|| format!("cannot resolve {url}"))?;
    // A name that means both families means the older one to most servers.
    let first = addresses.next().with_context(|| format!("{url} has no address"))?;
    let address =
        if first.is_ipv4() { first } else { addresses.find(SocketAddr::is_ipv4).unwrap_or(first) };
    let here = match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    };
    ensure!(
        here || remote_allowed,
        "{address} is not this machine; a load generator can take a server down, so say --yes-remote \
         if it is yours"
    );
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_learned_from_what_a_server_sent() {
        let mut wire = b"retry: 2000\n\nid: a-1\ndata: ".to_vec();
        stamp::write_payload(&mut wire, 1, 5, 128);
        wire.extend_from_slice(b"\n\nid: a-2\ndata: ");
        stamp::write_payload(&mut wire, 2, 6, 128);
        wire.extend_from_slice(b"\n\nid: a-2\n\nid: a-3\nda");
        let template = Template::learn(&wire).expect("there are two events");
        let mut again = Vec::new();
        template.write(&mut again, 2, 6);
        assert_eq!(again.len(), template.bytes());
        assert!(again.starts_with(b"id: a-2\ndata: {") && again.ends_with(b"\"}\n\n"));
        assert!(memchr::memmem::find(&wire, &again).is_some());
        assert_eq!(last_event_id(&wire).as_deref(), Some("a-2"));
    }

    #[test]
    fn only_this_machine_is_measured_unless_asked() {
        let rows = [
            ("http://127.0.0.1:4000", false, true),
            ("http://127.0.0.1:4000/", false, true),
            ("http://127.0.0.1", false, true),
            ("http://[::1]:4000", false, true),
            ("http://192.0.2.1:4000", false, false),
            ("http://192.0.2.1:4000", true, true),
            ("https://127.0.0.1:4000", false, false),
            ("http://127.0.0.1:4000/base", false, false),
            ("127.0.0.1:4000", false, false),
        ];
        for (url, remote_allowed, good) in rows {
            assert_eq!(address_of(url, remote_allowed).is_ok(), good, "{url}");
        }
    }
}

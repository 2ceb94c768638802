//! Whether Tidings is there at all: the first request, and what it says when something else
//! answers.
//!
//! Judges refusals for the other checks too. What streams need is not known here.

use std::time::Duration;

use http::{StatusCode, Version};

use super::advice::Fault;
use super::answer::{Answer, Broken, Page};
use super::report::Finding;
use super::target::{Show, Target};

const CHECK: &str = "reached";
const CREDENTIAL: &str = "credential";

/// How far the first requests got.
pub(super) struct Reached {
    /// The last answer; Tidings' own when `is_tidings`.
    pub(super) answer: Option<Answer>,
    pub(super) is_tidings: bool,
    /// There is one when the credential lets subscribe.
    pub(super) page: Option<Page>,
    /// The credential gets through this way.
    pub(super) show: Show,
    /// The topic may be subscribed to; otherwise the credential's own topics are listened to.
    pub(super) has_topic: bool,
    pub(super) findings: Vec<Finding>,
}

impl Reached {
    fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }
}

/// Polls once for this topic, and again in another way where that tells more.
pub(super) async fn check(target: &Target, topic: &str) -> Reached {
    let mut reached = Reached {
        answer: None,
        is_tidings: false,
        page: None,
        show: Show::Header,
        has_topic: true,
        findings: Vec::new(),
    };
    let asked = target.poll(&[("topic", topic)], Show::Header, Duration::ZERO).await;
    let answer = match asked {
        Ok(answer) => answer,
        Err(broken) => {
            reached.add(unreached(&broken));
            return reached;
        }
    };
    reached.answer = Some(answer.clone());
    if answer.page().is_none() && answer.refusal().is_none() {
        let (fault, mut text) = foreign(&answer);
        if fault == Fault::WrongPath && !target.path().is_empty() {
            let root = target.at_root();
            let asked = root.poll(&[("topic", topic)], Show::Nothing, Duration::ZERO).await;
            if asked.is_ok_and(|answer| answer.page().is_some() || answer.refusal().is_some()) {
                text = format!("{text}; Tidings is at {}: give that URL", root.url());
            }
        }
        reached.add(Finding::fault(CHECK, fault, text));
        return reached;
    }
    if let Some(finding) = elsewhere(&answer) {
        reached.add(finding);
        return reached;
    }
    reached.is_tidings = true;
    let by = super::proxy::Edge::of(&answer.head.headers).name();
    let by = by.map_or("no proxy shows itself".to_owned(), |name| format!("through {name}"));
    let took_ms = answer.took.as_millis();
    reached.add(Finding::good(CHECK, format!("Tidings answers in {took_ms} ms, {by}")));
    credential(target, topic, answer, &mut reached).await;
    reached
}

async fn credential(target: &Target, topic: &str, answer: Answer, reached: &mut Reached) {
    if let Some(page) = answer.page() {
        reached.add(Finding::good(CREDENTIAL, let_in(target, &page)));
        reached.page = Some(page);
        return;
    }
    let Some(refusal) = answer.refusal() else { return };
    if target.subscriber.is_none() {
        let why = "give --api-key (scopes admin and publish) or --token";
        reached.add(Finding::unchecked(CREDENTIAL, why));
        return;
    }
    match refusal.code.as_str() {
        "unauthenticated" if came_without_credential(&answer) => {
            let text =
                "a credential was sent and none arrived: the Authorization header is taken away";
            reached.add(Finding::fault("Authorization", Fault::AuthorizationStripped, text));
            if !target.has_token() {
                return;
            }
            let asked = target.poll(&[("topic", topic)], Show::Query, Duration::ZERO).await;
            if let Some(page) = asked.ok().and_then(|answer| answer.page()) {
                let text = format!("{} when the token is in the query", let_in(target, &page));
                reached.add(Finding::good(CREDENTIAL, text));
                reached.show = Show::Query;
                reached.page = Some(page);
            }
        }
        "forbidden-topic" => {
            let asked = target.poll(&[], Show::Header, Duration::ZERO).await;
            if let Some(page) = asked.ok().and_then(|answer| answer.page()) {
                reached.add(Finding::good(CREDENTIAL, let_in(target, &page)));
                reached.has_topic = false;
                reached.page = Some(page);
            }
        }
        "forbidden" => {
            let why =
                "this API key may not subscribe; give one with the scope admin too, or a --token";
            reached.add(Finding::unchecked(CREDENTIAL, why));
        }
        "rate-limited" => {
            let why = format!("{} Look again in a minute", refusal.detail);
            reached.add(Finding::unchecked(CREDENTIAL, why));
        }
        code => {
            let text = format!("Tidings refuses it, {code}: {}", refusal.detail);
            reached.add(Finding::fault(CREDENTIAL, Fault::Credential, text));
        }
    }
}

/// Which HTTP a browser would speak, too.
pub(super) fn version(target: &Target, version: Version) -> Finding {
    const CHECK: &str = "HTTP version";
    let name = match version {
        Version::HTTP_2 => return Finding::good(CHECK, "HTTP/2"),
        Version::HTTP_3 => return Finding::good(CHECK, "HTTP/3"),
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    };
    if target.is_loopback() && !target.is_secure() {
        return Finding::good(CHECK, format!("{name}, on this machine alone"));
    }
    let why = if target.is_secure() {
        "HTTP/2 was offered and not taken"
    } else {
        "browsers speak HTTP/2 over TLS alone"
    };
    let text =
        format!("{name}: {why}. A browser has six connections to a host, and six tabs use them up");
    Finding::warning(CHECK, Fault::HttpOne, text)
}

/// A refusal of a stream or of a poll, once Tidings has been reached.
pub(super) fn refused(answer: &Answer) -> (Fault, String) {
    match answer.refusal() {
        Some(refusal) => {
            let text = format!("Tidings refuses it, {}: {}", refusal.code, refusal.detail);
            (Fault::Credential, text)
        }
        None => foreign(answer),
    }
}

/// Tidings answered, and says that it is not meant, or not now.
fn elsewhere(answer: &Answer) -> Option<Finding> {
    let refusal = answer.refusal()?;
    let fault = match refusal.code.as_str() {
        "misdirected-request" => Fault::WrongHost,
        "not-found" => Fault::WrongPath,
        "unavailable" => Fault::BadGateway,
        _ => return None,
    };
    Some(Finding::fault(
        CHECK,
        fault,
        format!("Tidings answers {}: {}", refusal.code, refusal.detail),
    ))
}

/// Something answered that is not Tidings.
fn foreign(answer: &Answer) -> (Fault, String) {
    let head = &answer.head;
    let edge = super::proxy::Edge::of(&head.headers).name();
    let edge = edge.map_or("a proxy".to_owned(), |name| name);
    let what = answer.describe();
    match head.status {
        status if status.is_redirection() => {
            let target = head.text("location").unwrap_or("nowhere in particular");
            (Fault::Redirected, format!("{edge} redirects ({status}) to {target}"))
        }
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            (Fault::BadGateway, format!("{edge} answers {what}: it does not reach Tidings"))
        }
        status if (520..=530).contains(&status.as_u16()) => {
            (Fault::BadGateway, format!("{edge} answers {what}: it does not reach Tidings"))
        }
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED
        | StatusCode::TOO_MANY_REQUESTS => {
            (Fault::ProxyRefuses, format!("{edge} answers {what}, and not Tidings"))
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE => {
            (Fault::WrongPath, format!("{edge} answers {what}: Tidings is not at this path"))
        }
        _ => {
            let body = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
            let login = body.contains("type=\"password\"") || body.contains("type=password");
            let login = if login { ", to sign in" } else { "" };
            (Fault::NotTidings, format!("{edge} answers {what}{login}, and not Tidings"))
        }
    }
}

fn unreached(broken: &Broken) -> Finding {
    let fault = match broken {
        Broken::Certificate(_) => Fault::Certificate,
        Broken::Connect(_) | Broken::Silent(_) | Broken::Off(..) => Fault::Unreachable,
    };
    let check = if fault == Fault::Certificate { "certificate" } else { CHECK };
    Finding::fault(check, fault, broken.to_string())
}

/// By RFC 6750 (3.1) a challenge has an `error` when a credential came.
fn came_without_credential(answer: &Answer) -> bool {
    let challenge = answer.head.text("www-authenticate");
    challenge.is_some_and(|challenge| !challenge.contains("error="))
}

fn let_in(target: &Target, page: &Page) -> String {
    match &page.user {
        Some(user) => format!("let in as user {user}"),
        None if target.has_token() => "let in".to_owned(),
        None => "let in by an API key".to_owned(),
    }
}

//! `[auth.session.introspect]`: asking the application who a request comes from.
//!
//! One question for all requests that ask the same at the same time, and an answer that holds for a
//! short while. When the application does not answer, nobody is let in: the one exception is whoever
//! it has vouched for just now.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, StatusCode};
use serde_json::{Map, Value};
use tidings_hub::Pattern;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::warn;

use super::credential::{Digest, SessionCredential};
use super::{LoadError, Session, SessionError};
use crate::config::{self, HttpUrl};
use crate::identity::claims::is_name;
use crate::identity::{Cookies, META_BYTES_MAX, PATTERNS_MAX, User};
use crate::outbound::{self, ANSWER_TIMEOUT, OutboundError};

/// Answers that are remembered.
const VERDICTS_MAX: u64 = 20_000;
/// Questions that are asked at the same time.
const QUESTIONS_MAX: usize = 64;
/// Bytes in an answer: two lists of patterns of the longest, and room.
const ANSWER_BYTES_MAX: usize = 65_536;
/// How often it is said in the log that the application does not answer.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// What the application says: who is signed in, or that nobody is.
pub(super) type Verdict = Option<Arc<Session>>;

/// Asks one address, and remembers what it said.
pub(crate) struct Introspector {
    url: HttpUrl,
    client: Client,
    cookies: Vec<String>,
    headers: Vec<String>,
    recheck: Duration,
    verdicts: Cache<Digest, Verdict>,
    questions: Semaphore,
    warned: Mutex<Option<Instant>>,
}

impl Introspector {
    /// Who asks the address of these settings, if they name one.
    pub(super) fn load(settings: &config::Introspect) -> Result<Option<Self>, LoadError> {
        let Some(url) = &settings.url else { return Ok(None) };
        if !url.is_private() {
            warn!(
                "auth.session.introspect.url is plain http to another machine: whoever is between \
                 can read its cookies and say who is signed in"
            );
        }
        let lifetimes = Lifetimes {
            session: Duration::from_secs(settings.cache_secs),
            refusal: Duration::from_secs(settings.refusal_cache_secs),
        };
        Ok(Some(Self {
            url: url.clone(),
            client: outbound::client(url).map_err(LoadError::Client)?,
            cookies: settings.cookies.iter().map(ToString::to_string).collect(),
            headers: settings.headers.iter().map(ToString::to_string).collect(),
            recheck: Duration::from_secs(settings.recheck_secs),
            verdicts: Cache::builder().max_capacity(VERDICTS_MAX).expire_after(lifetimes).build(),
            questions: Semaphore::new(QUESTIONS_MAX),
            warned: Mutex::default(),
        }))
    }

    /// What of a request is asked with; nothing when it has nothing that could be a session.
    pub(super) fn credential(
        &self,
        cookies: &Cookies<'_>,
        headers: &[(&str, &[u8])],
    ) -> Option<SessionCredential> {
        let cookie_names: Vec<_> = self.cookies.iter().map(String::as_str).collect();
        SessionCredential::gather(&cookie_names, &self.header_names(), cookies, headers)
    }

    pub(super) fn header_names(&self) -> Vec<&str> {
        self.headers.iter().map(String::as_str).collect()
    }

    /// How long an open stream goes without its session being asked for again.
    pub(super) fn recheck_every(&self) -> Duration {
        self.recheck
    }

    /// Who is signed in, as the application said a moment ago or says now.
    pub(super) async fn session(
        &self,
        credential: &SessionCredential,
        now_ms: u64,
    ) -> Result<Arc<Session>, SessionError> {
        let question = self.ask(credential, now_ms);
        let verdict = self.verdicts.try_get_with(credential.digest(), question).await;
        let verdict = verdict.map_err(|error| SessionError::Unavailable((*error).clone()))?;
        let session = verdict.ok_or(SessionError::Unknown)?;
        if session.until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            return Err(SessionError::Expired);
        }
        Ok(session)
    }

    /// What the application says now, whatever it said before.
    pub(super) async fn ask_again(
        &self,
        credential: &SessionCredential,
        now_ms: u64,
    ) -> Result<Verdict, OutboundError> {
        let verdict = self.ask(credential, now_ms).await?;
        self.verdicts.insert(credential.digest(), verdict.clone()).await;
        Ok(verdict)
    }

    async fn ask(
        &self,
        credential: &SessionCredential,
        now_ms: u64,
    ) -> Result<Verdict, OutboundError> {
        let verdict = self.question(credential, now_ms).await;
        if let Err(error) = &verdict {
            self.warn(error);
        }
        verdict
    }

    async fn question(
        &self,
        credential: &SessionCredential,
        now_ms: u64,
    ) -> Result<Verdict, OutboundError> {
        let turn = timeout(ANSWER_TIMEOUT, self.questions.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            let busy = format!("{QUESTIONS_MAX} questions are open already");
            return Err(OutboundError::Answer(busy));
        };
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in credential.headers() {
            let unusable = || OutboundError::Answer(format!("'{name}' cannot be handed on"));
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable())?;
            let mut value = HeaderValue::from_bytes(value).map_err(|_| unusable())?;
            // Whatever logs requests down there is not to show it.
            value.set_sensitive(true);
            headers.append(name, value);
        }
        let request = self.client.get(self.url.url().clone()).headers(headers);
        let (status, body) = outbound::ask(request, ANSWER_BYTES_MAX).await?;
        match status {
            StatusCode::OK => read(&body, now_ms).map(|session| Some(Arc::new(session))),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(None),
            other => Err(OutboundError::Answer(format!("the answer is {other}"))),
        }
    }

    fn warn(&self, error: &OutboundError) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|last| last.elapsed() >= WARN_EVERY) {
            *warned = Some(Instant::now());
            warn!("the application does not say who is signed in, so nobody is let in: {error}");
        }
    }
}

/// How long an answer holds.
struct Lifetimes {
    session: Duration,
    refusal: Duration,
}

impl Lifetimes {
    fn of(&self, verdict: &Verdict) -> Duration {
        if verdict.is_some() { self.session } else { self.refusal }
    }
}

impl Expiry<Digest, Verdict> for Lifetimes {
    fn expire_after_create(
        &self,
        _digest: &Digest,
        verdict: &Verdict,
        _now: Instant,
    ) -> Option<Duration> {
        Some(self.of(verdict))
    }

    fn expire_after_update(
        &self,
        _digest: &Digest,
        verdict: &Verdict,
        _now: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        Some(self.of(verdict))
    }
}

/// The application's answer. What may be left out may be `null` too, which some languages write for
/// what is not there. A fault names the member and not what is in it.
///
/// The session counts as issued when the question was asked: the application has vouched for it since
/// whatever was revoked before.
fn read(body: &[u8], asked_at_ms: u64) -> Result<Session, OutboundError> {
    let wrong = |what: String| OutboundError::Answer(format!("the answer's {what}"));
    let must_be = |member: &str, kind: &str| wrong(format!("{member} must be {kind}"));
    let Ok(Value::Object(mut answer)) = serde_json::from_slice(body) else {
        return Err(OutboundError::Answer("the answer is no JSON object".to_owned()));
    };
    answer.retain(|_, value| !value.is_null());
    let name = |member: &str| match answer.get(member) {
        None => Ok(None),
        Some(Value::String(text)) if is_name(text) => Ok(Some(text.clone())),
        Some(_) => Err(must_be(member, "a text of 1 to 128 bytes")),
    };
    let patterns = |member: &str| -> Result<Vec<Pattern>, OutboundError> {
        let kind = "a list of at most 100 topics or patterns";
        let values = match answer.get(member) {
            None => return Ok(Vec::new()),
            Some(Value::Array(values)) if values.len() <= PATTERNS_MAX => values,
            Some(_) => return Err(must_be(member, kind)),
        };
        let pattern = |value: &Value| {
            let text = value.as_str().ok_or_else(|| must_be(member, kind))?;
            Pattern::new(text).map_err(|error| wrong(format!("{member} has what is none: {error}")))
        };
        values.iter().map(pattern).collect()
    };
    let user = answer.get("userId").and_then(Value::as_str);
    let user = user.ok_or_else(|| must_be("userId", "a text"))?;
    Ok(Session {
        user: User::new(user).map_err(|error| wrong(format!("userId will not do: {error}")))?,
        sid: name("sessionId")?,
        subscribe: patterns("subscribe")?,
        publish: patterns("publish")?,
        role: name("role")?,
        meta: meta(answer.get("meta"))
            .ok_or_else(|| must_be("meta", "an object of at most 1 KiB"))?,
        issued_at_ms: Some(asked_at_ms),
        until_ms: match answer.get("expiresAt") {
            None => None,
            Some(value) => Some(
                value
                    .as_u64()
                    .ok_or_else(|| must_be("expiresAt", "a whole number of milliseconds"))?,
            ),
        },
    })
}

#[expect(clippy::option_option, reason = "wrong, absent, or there")]
fn meta(value: Option<&Value>) -> Option<Option<Map<String, Value>>> {
    match value {
        None => Some(None),
        Some(value @ Value::Object(meta)) if value.to_string().len() <= META_BYTES_MAX => {
            Some(Some(meta.clone()))
        }
        Some(_) => None,
    }
}

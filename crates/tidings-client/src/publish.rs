//! Publishing, with retries that cannot publish twice.
//!
//! A timeout or a 5xx leaves open whether the hub took an event, so every event carries an
//! idempotency key, made up here where the caller gave none; with it the hub answers a repetition
//! with the first answer. What an event should say is not known here.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use tidings_hub::Cursor;

use crate::backoff::{Backoff, BackoffBounds};
use crate::credential::Credential;
use crate::http::{Hub, SetupError, explain};
use crate::new_event::NewEvent;
use crate::problem::Problem;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How long retries go on unless set otherwise.
const RETRY_FOR_DEFAULT: Duration = Duration::from_secs(30);
/// The longest that retries may go on: a hub remembers keys for ten minutes, and a repetition after
/// that would be published again.
const RETRY_FOR_MAX: Duration = Duration::from_mins(9);
/// Bytes of an answer: a thousand ids, or a thousand problems.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Events in one request that a hub takes.
pub const PUBLISH_EVENTS_MAX: usize = 1000;

/// Publishes to one hub. Cloning shares the connections.
#[derive(Clone, Debug)]
pub struct Publisher {
    hub: Hub,
    credential: Credential,
    secret: Arc<Mutex<Option<Arc<str>>>>,
    backoff: BackoffBounds,
    retry_for: Duration,
}

/// The hub's word that it has an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The event's id: a subscriber that starts after it receives what was published later.
    #[serde(deserialize_with = "crate::event::cursor", serialize_with = "crate::event::as_text")]
    pub id: Cursor,
    /// What the event survives: `memory` nothing, `disk` a crash, and so on.
    pub durability: String,
}

/// Why a request to publish failed as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The hub refused; nothing was published, and trying again without a change does not help.
    #[error("the hub refused to publish: {0}")]
    Refused(Problem),
    /// The retries were used up. Whether the events were published is not known; publishing them
    /// again is safe only with the same keys.
    #[error("publishing failed after {attempts} attempts: {reason}; whether it arrived is unknown")]
    GaveUp {
        /// How many.
        attempts: u32,
        /// How the last one failed.
        reason: String,
    },
    /// An event cannot be written as JSON.
    #[error("the event cannot be written as JSON: {0}")]
    Encode(String),
    /// The answer is not a hub's.
    #[error("this does not speak the Tidings protocol: {0}; check the URL")]
    Protocol(String),
}

/// How a request is written.
#[derive(Clone, Copy)]
enum Form {
    One,
    Array,
    Lines,
}

enum Failure {
    Retry { reason: String, asked: Option<Duration> },
    Unauthenticated(Problem),
    End(PublishError),
}

#[derive(Deserialize)]
struct Results {
    results: Vec<ItemResult>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ItemResult {
    Published(Published),
    Refused { error: Problem },
}

impl Publisher {
    /// A publisher for the hub at this URL.
    pub fn new(url: &str, credential: Credential) -> Result<Self, SetupError> {
        Ok(Self {
            hub: Hub::new(url)?,
            credential,
            secret: Arc::default(),
            backoff: BackoffBounds { min: Duration::from_millis(100), ..BackoffBounds::default() },
            retry_for: RETRY_FOR_DEFAULT,
        })
    }

    /// How long retries go on, 30 seconds unless set; at most nine minutes, since a hub remembers
    /// keys for ten. Zero means one attempt.
    #[must_use]
    pub fn retry_for(mut self, time: Duration) -> Self {
        self.retry_for = time.min(RETRY_FOR_MAX);
        self
    }

    /// How long to wait between attempts.
    #[must_use]
    pub fn backoff(mut self, bounds: BackoffBounds) -> Self {
        self.backoff = bounds;
        self
    }

    /// Publishes one event.
    pub async fn publish(&self, event: &NewEvent) -> Result<Published, PublishError> {
        let body = encode(event)?;
        self.with_retries(async |secret: Option<Arc<str>>| {
            let response = self.post(Form::One, body.clone(), secret.as_deref()).await?;
            read(response).await
        })
        .await
    }

    /// Publishes events, up to [`PUBLISH_EVENTS_MAX`], in order and in one request (JSON array).
    /// Each is taken or refused by itself; the results are in the events' order.
    ///
    /// An event that is refused for now is tried again, and may then come after later ones.
    pub async fn publish_many(
        &self,
        events: &[NewEvent],
    ) -> Result<Vec<Result<Published, Problem>>, PublishError> {
        self.publish_each(events, Form::Array).await
    }

    /// The same as [`publish_many`](Self::publish_many), written as NDJSON.
    pub async fn publish_ndjson(
        &self,
        events: &[NewEvent],
    ) -> Result<Vec<Result<Published, Problem>>, PublishError> {
        self.publish_each(events, Form::Lines).await
    }

    async fn publish_each(
        &self,
        events: &[NewEvent],
        form: Form,
    ) -> Result<Vec<Result<Published, Problem>>, PublishError> {
        let bodies = events.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        let mut results: Vec<Option<Result<Published, Problem>>> = vec![None; bodies.len()];
        if bodies.is_empty() {
            return Ok(Vec::new());
        }
        let done = self
            .with_retries(async |secret: Option<Arc<str>>| {
                let open: Vec<usize> = (0..bodies.len())
                    .filter(|index| !matches!(&results[*index], Some(result) if is_final(result)))
                    .collect();
                let body = join(form, open.iter().map(|index| bodies[*index].as_str()));
                let response = self.post(form, body, secret.as_deref()).await?;
                let answer: Results = read(response).await?;
                if answer.results.len() != open.len() {
                    let counts = (answer.results.len(), open.len());
                    let error = format!("{} results for {} events", counts.0, counts.1);
                    return Err(Failure::End(PublishError::Protocol(error)));
                }
                for (index, result) in open.into_iter().zip(answer.results) {
                    results[index] = Some(match result {
                        ItemResult::Published(published) => Ok(published),
                        ItemResult::Refused { error } => Err(error),
                    });
                }
                let temporary = results.iter().flatten().find(|result| !is_final(result));
                match temporary {
                    Some(Err(problem)) => Err(Failure::Retry {
                        reason: problem.to_string(),
                        asked: problem.retry_after,
                    }),
                    _ => Ok(()),
                }
            })
            .await;
        match done {
            Ok(()) => {}
            // Some were taken, or all were answered: the results say more than the error would.
            Err(PublishError::GaveUp { .. }) if results.iter().all(Option::is_some) => {}
            Err(error) => return Err(error),
        }
        Ok(results.into_iter().map(|result| result.expect("every event was answered")).collect())
    }

    async fn with_retries<T>(
        &self,
        mut attempt: impl AsyncFnMut(Option<Arc<str>>) -> Result<T, Failure>,
    ) -> Result<T, PublishError> {
        let give_up_at = Instant::now() + self.retry_for;
        let mut backoff = Backoff::new(self.backoff);
        backoff.set_base(self.backoff.min.saturating_mul(4));
        let mut renewed = false;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let outcome = match self.secret().await {
                Ok(secret) => attempt(secret).await,
                Err(error) => Err(Failure::Retry {
                    reason: format!("no token could be had: {error}"),
                    asked: None,
                }),
            };
            let (reason, asked) = match outcome {
                Ok(done) => return Ok(done),
                Err(Failure::Unauthenticated(_)) if self.credential.is_renewable() && !renewed => {
                    renewed = true;
                    self.set_secret(None);
                    continue;
                }
                Err(Failure::Unauthenticated(problem)) => {
                    return Err(PublishError::Refused(problem));
                }
                Err(Failure::End(error)) => return Err(error),
                Err(Failure::Retry { reason, asked }) => (reason, asked),
            };
            let wait = backoff.failed(Instant::now(), asked, fastrand::f64());
            if Instant::now() + wait > give_up_at {
                return Err(PublishError::GaveUp { attempts, reason });
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn secret(&self) -> Result<Option<Arc<str>>, crate::TokenError> {
        let kept = self.secret.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if kept.is_some() {
            return Ok(kept);
        }
        let fresh = self.credential.secret().await?;
        self.set_secret(fresh.clone());
        Ok(fresh)
    }

    fn set_secret(&self, secret: Option<Arc<str>>) {
        *self.secret.lock().unwrap_or_else(PoisonError::into_inner) = secret;
    }

    async fn post(
        &self,
        form: Form,
        body: String,
        secret: Option<&str>,
    ) -> Result<Response, Failure> {
        let kind = match form {
            Form::One | Form::Array => "application/json",
            Form::Lines => "application/x-ndjson",
        };
        let mut request = self
            .hub
            .http
            .post(self.hub.url("api/events"))
            .timeout(ANSWER_WITHIN)
            .header(CONTENT_TYPE, kind)
            .body(body);
        if let Some(secret) = secret {
            request = request.bearer_auth(secret);
        }
        let response = request.send().await.map_err(unreachable)?;
        if matches!(response.status(), StatusCode::OK | StatusCode::CREATED) {
            return Ok(response);
        }
        let problem = Problem::read(response).await;
        Err(match problem.status {
            401 => Failure::Unauthenticated(problem),
            _ if problem.is_temporary() => {
                Failure::Retry { reason: problem.to_string(), asked: problem.retry_after }
            }
            _ => Failure::End(PublishError::Refused(problem)),
        })
    }
}

fn is_final(result: &Result<Published, Problem>) -> bool {
    !matches!(result, Err(problem) if problem.is_temporary())
}

fn unreachable(error: reqwest::Error) -> Failure {
    Failure::Retry { reason: explain(error), asked: None }
}

async fn read<T: for<'de> Deserialize<'de>>(mut response: Response) -> Result<T, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            let error = format!("its answer has more than {ANSWER_BYTES_MAX} bytes");
            return Err(Failure::End(PublishError::Protocol(error)));
        }
    }
    serde_json::from_slice(&body).map_err(|error| {
        let error = format!("its answer cannot be read: {error}");
        Failure::End(PublishError::Protocol(error))
    })
}

/// Writes an event once, so that every attempt sends the same bytes under the same key.
fn encode(event: &NewEvent) -> Result<String, PublishError> {
    let encoded = match event.key {
        Some(_) => serde_json::to_string(event),
        None => serde_json::to_string(&NewEvent { key: Some(new_key()), ..event.clone() }),
    };
    encoded.map_err(|error| PublishError::Encode(error.to_string()))
}

fn join<'a>(form: Form, bodies: impl Iterator<Item = &'a str>) -> String {
    let bodies: Vec<&str> = bodies.collect();
    match form {
        Form::One => bodies.concat(),
        Form::Array => format!("[{}]", bodies.join(",")),
        // JSON's own line breaks are white space between tokens; inside strings they are escaped.
        Form::Lines => bodies
            .iter()
            .flat_map(|body| [body.replace(['\n', '\r'], " "), "\n".to_owned()])
            .collect(),
    }
}

/// A key nobody else makes up: 128 bits drawn once per process from the system's randomness (by way
/// of the standard library's hash keys), and a count.
fn new_key() -> String {
    static PROCESS: OnceLock<String> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let process = PROCESS.get_or_init(|| {
        let draw = |salt: u64| {
            let mut hasher = RandomState::new().build_hasher();
            hasher.write_u64(salt);
            hasher.finish()
        };
        format!("{:016x}{:016x}", draw(1), draw(2))
    });
    format!("{process}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_made_up_differ_and_given_ones_are_kept() {
        let event = NewEvent::text("a").topic("a");
        let key = |event: &NewEvent| {
            let body: NewEvent = serde_json::from_str(&encode(event).unwrap()).unwrap();
            body.key.unwrap()
        };
        assert_ne!(key(&event), key(&event));
        assert_eq!(key(&event.key("mine")), "mine");
    }

    #[test]
    fn ndjson_has_one_line_per_event_whatever_its_data_looks_like() {
        let data = serde_json::value::RawValue::from_string("{\n\"a\":\r\n1}".to_owned()).unwrap();
        let body = encode(&NewEvent::raw(data).topic("a")).unwrap();
        let joined = join(Form::Lines, [body.as_str(), body.as_str()].into_iter());
        assert_eq!(joined.lines().count(), 2);
        for line in joined.lines() {
            serde_json::from_str::<NewEvent>(line).unwrap();
        }
    }
}

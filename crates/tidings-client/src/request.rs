//! One request of a subscriber and what came of it: a stream, a page, or a failure that says
//! whether to try again. It knows the wire and nothing of the subscriber's past.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;
use tidings_hub::Cursor;

use crate::credential::Credential;
use crate::event::{Connected, Event, Gap};
use crate::http::{Hub, explain};
use crate::problem::Problem;
use crate::subscription::{Interruption, SubscribeError, Transport};

/// How long an answer may take to begin, beyond the wait that a long poll asks for.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long a page may take to arrive once it has begun.
const PAGE_WITHIN: Duration = Duration::from_mins(1);
/// How long a long poll asks the hub to wait, seconds.
const WAIT_SECS: u64 = 25;
/// Events asked for in one page: the most a hub gives, since each request counts against a limit.
const PAGE_EVENTS_MAX: usize = 1000;
/// Bytes of a page: a thousand events of the default 64 KiB.
const PAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What to ask for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) hub: Hub,
    pub(crate) transport: Transport,
    /// `topic`, `types` and, until there is a cursor, `rewind`.
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) credential: Credential,
    /// The secret of last time; without one the credential is asked.
    pub(crate) secret: Option<Arc<str>>,
}

/// What came of it, and the secret that was shown.
pub(crate) struct Outcome {
    pub(crate) secret: Option<Arc<str>>,
    pub(crate) answer: Result<Answer, Failure>,
}

/// A good answer.
pub(crate) enum Answer {
    Stream(Response),
    Page(Box<Page>),
    /// 204: the hub wants no more requests.
    NoMore,
}

/// An answer of the polling endpoint.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page {
    pub(crate) events: Vec<Event>,
    #[serde(deserialize_with = "crate::event::cursor")]
    pub(crate) cursor: Cursor,
    pub(crate) has_more: bool,
    pub(crate) resumed: bool,
    pub(crate) gap: Option<Gap>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    pub(crate) poll_after_ms: Option<u64>,
}

impl Page {
    /// What a stream would have said first.
    pub(crate) fn connected(&self, offered: Option<Cursor>) -> Connected {
        let before_first = self
            .events
            .first()
            .map(|first| Cursor { position: first.id.position.previous(), ..first.id });
        let cursor = match (&self.gap, offered) {
            (Some(gap), _) => gap.cursor,
            (None, Some(offered)) if self.resumed => offered,
            (None, _) => before_first.unwrap_or(self.cursor),
        };
        Connected {
            connection: None,
            user: self.user.clone(),
            method: None,
            topics: Vec::new(),
            cursor,
            resumed: self.resumed,
            heartbeat_secs: None,
            expires_at: None,
        }
    }
}

/// A bad answer, or none.
pub(crate) enum Failure {
    /// It may work later.
    Retry(Interruption),
    /// It may work with a fresh token.
    Unauthenticated(Problem),
    /// It will not work.
    End(SubscribeError),
}

impl Request {
    pub(crate) async fn send(self) -> Outcome {
        let secret = match &self.secret {
            Some(secret) => Some(Arc::clone(secret)),
            None => match self.credential.secret().await {
                Ok(secret) => secret,
                Err(error) => {
                    let reason = Interruption::Token(error.to_string());
                    return Outcome { secret: None, answer: Err(Failure::Retry(reason)) };
                }
            },
        };
        let answer = self.answer(secret.as_deref()).await;
        Outcome { secret, answer }
    }

    async fn answer(&self, secret: Option<&str>) -> Result<Answer, Failure> {
        let (accept, wait) = match self.transport {
            Transport::Sse => ("text/event-stream", 0),
            Transport::LongPoll => ("application/json", WAIT_SECS),
            Transport::Poll => ("application/json", 0),
        };
        let mut request = self.hub.http.get(self.url(wait)).header(ACCEPT, accept);
        if let Some(cursor) = self.cursor {
            request = request.header("last-event-id", cursor.to_string());
        }
        if let Some(secret) = secret {
            request = request.bearer_auth(secret);
        }
        let within = ANSWER_WITHIN + Duration::from_secs(wait);
        let response = tokio::time::timeout(within, request.send())
            .await
            .map_err(|_| Failure::Retry(Interruption::NoAnswer { within }))?
            .map_err(unreachable)?;
        self.judge(response).await
    }

    fn url(&self, wait: u64) -> Url {
        let mut url = self.hub.url(match self.transport {
            Transport::Sse => "api/sse",
            Transport::LongPoll | Transport::Poll => "api/polling",
        });
        let mut query: Vec<(&str, String)> = self.query.clone();
        if self.transport != Transport::Sse {
            query.push(("wait", wait.to_string()));
            query.push(("limit", PAGE_EVENTS_MAX.to_string()));
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn judge(&self, response: Response) -> Result<Answer, Failure> {
        match response.status() {
            StatusCode::NO_CONTENT => Ok(Answer::NoMore),
            StatusCode::OK => {
                let (endpoint, expected) = match self.transport {
                    Transport::Sse => ("stream", "text/event-stream"),
                    Transport::LongPoll | Transport::Poll => ("polling", "application/json"),
                };
                let kind = response.headers().get(CONTENT_TYPE);
                let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
                let essence = kind.split(';').next().unwrap_or_default().trim();
                if !essence.eq_ignore_ascii_case(expected) {
                    let error = format!("the {endpoint} endpoint answered with {kind:?}");
                    return Err(Failure::End(SubscribeError::Protocol(error)));
                }
                match self.transport {
                    Transport::Sse => Ok(Answer::Stream(response)),
                    Transport::LongPoll | Transport::Poll => read_page(response).await,
                }
            }
            _ => {
                let problem = Problem::read(response).await;
                Err(match problem.status {
                    401 => Failure::Unauthenticated(problem),
                    _ if problem.is_temporary() => Failure::Retry(Interruption::Refused(problem)),
                    _ => Failure::End(SubscribeError::Refused(problem)),
                })
            }
        }
    }
}

async fn read_page(mut response: Response) -> Result<Answer, Failure> {
    let mut body = Vec::new();
    let read = async {
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > PAGE_BYTES_MAX {
                let error = format!("a page has more than {PAGE_BYTES_MAX} bytes");
                return Err(Failure::End(SubscribeError::Protocol(error)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(())
    };
    tokio::time::timeout(PAGE_WITHIN, read)
        .await
        .map_err(|_| Failure::Retry(Interruption::NoAnswer { within: PAGE_WITHIN }))??;
    match serde_json::from_slice(&body) {
        Ok(page) => Ok(Answer::Page(Box::new(page))),
        Err(error) => {
            let error = format!("the polling endpoint's answer cannot be read: {error}");
            Err(Failure::End(SubscribeError::Protocol(error)))
        }
    }
}

fn unreachable(error: reqwest::Error) -> Failure {
    Failure::Retry(Interruption::Network(explain(error)))
}

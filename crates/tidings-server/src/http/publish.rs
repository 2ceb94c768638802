//! `POST /api/events`: publish one event or many.
//!
//! A request is read in three steps: its text into drafts, each draft into a valid event that the
//! principal may publish, and all valid ones into the broker. One event's fault is its own.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use tidings_hub::{Event, EventError, EventType, Payload, Topic};
use utoipa::ToSchema;

use super::body::{self, MediaType, complaint};
use super::problem::Problem;
use super::query::quoted;
use super::{Hub, Peer, Shared, json, who};
use crate::broker::{Failure, Fingerprint, IdempotencyKey, Outcome, Publication};
use crate::identity::{Principal, user_topic};
use crate::traces;

/// Characters of an idempotency key.
const KEY_CHARS_MAX: usize = 255;
/// When to publish again what the log could not take.
const BROKER_RETRY_AFTER_SECS: u32 = 1;
/// When to try again where that takes somebody's doing.
const BROKEN_RETRY_AFTER_SECS: u32 = 30;
/// Everyone's topic.
const BROADCAST: &str = "broadcast";

/// An event as a publisher writes it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Event)]
pub(super) struct Draft<'a> {
    /// Topics to publish to.
    #[serde(borrow, default)]
    topics: Vec<Cow<'a, str>>,
    /// One topic to publish to.
    #[serde(borrow)]
    topic: Option<Cow<'a, str>>,
    /// Users whose own topics to publish to.
    #[serde(borrow, default)]
    users: Vec<Cow<'a, str>>,
    /// One user whose own topic to publish to.
    #[serde(borrow)]
    user: Option<Cow<'a, str>>,
    /// Whether to publish to everyone.
    #[serde(default)]
    broadcast: bool,
    /// 1 to 64 visible characters; `message` when left out.
    #[serde(borrow)]
    r#type: Option<Cow<'a, str>>,
    /// Any JSON; `null` when left out.
    #[serde(borrow, default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>)]
    data: Option<&'a RawValue>,
    /// In place of `data`, a string carried raw.
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    /// Seconds it stays in the log, when that is shorter than the log's own age.
    #[schema(minimum = 1)]
    ttl_secs: Option<u32>,
    /// Makes a retry safe: the same key with the same body is published once.
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
}

/// A `null` that is there is data; one that is not there is not.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// What became of one event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum PublishResult {
    /// It is stored.
    Stored {
        /// Its cursor.
        id: String,
        /// What that means: `memory` survives nothing.
        durability: &'static str,
    },
    /// It is not, and why.
    Refused {
        /// The reason.
        error: Problem,
    },
}

/// What became of each event, in order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PublishResults {
    results: Vec<PublishResult>,
}

/// Publish one event or many.
#[utoipa::path(post, path = "/api/events", tag = "publish",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a retry of the whole request safe for 10 minutes.")),
    request_body(description = "One event, an array of up to 1,000, or (`application/x-ndjson`) one a line.",
        content((Draft<'_> = "application/json"), (String = "application/x-ndjson"))),
    responses(
        (status = 201, description = "One event: stored.", body = PublishResult),
        (status = 200, description = "Many: what became of each.", body = PublishResults),
        (status = 400, description = "`invalid-body`, `invalid-event`, `invalid-topic`, `invalid-idempotency-key`, `ambiguous-credentials`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthenticated`, `token-expired`, `revoked`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`, `forbidden-topic`", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "`body-timeout`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`idempotency-conflict`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`event-too-large`, `body-too-large`, `batch-too-large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported-media-type`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: what orders and keeps events cannot be reached", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "`no-room`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = []), ("token" = [])))]
pub(super) async fn publish(
    State(hub): State<Shared>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    mut body: Body,
) -> Result<Response, Problem> {
    let asked = who::Asked::plainly(&headers, peer);
    let mut trace = hub.traces.request();
    let answer = publish_body(&hub, asked, &mut body, &mut trace).await;
    trace.answers(answer.as_ref().map_or_else(Problem::status, Response::status));
    if answer.is_err() {
        body::discard(&mut body, &headers).await;
    }
    answer
}

async fn publish_body(
    hub: &Hub,
    asked: who::Asked<'_>,
    body: &mut Body,
    trace: &mut traces::Request,
) -> Result<Response, Problem> {
    let headers = asked.headers;
    let (principal, bounds) = {
        let settings = hub.settings.load_full();
        let config = &settings.config;
        // No cookie publishes: it would go along with a form on anybody's page.
        let principal = who::authenticate(hub, &settings, asked).await?;
        let bounds = Bounds {
            event_bytes_max: config.event_bytes_max,
            batch_events_max: config.batch_events_max,
            request_bytes_max: config.request_bytes_max,
            body_timeout: Duration::from_secs(config.body_timeout_secs),
        };
        (principal, bounds)
    };
    if !principal.grant.publishes() {
        return Err(Problem::forbidden(
            "Publishing needs an API key with the scope publish, or a token with a publish grant.",
        ));
    }
    trace.is_let_in(headers);
    let media_type = body::media_type(headers)?;
    let header_key = header_key(headers)?;
    let advice = "that is request_bytes_max, send it in parts";
    let body = body::read(body, bounds.request_bytes_max, advice, bounds.body_timeout).await?;
    let received_ns = hub.metrics.now_ns();
    let text =
        std::str::from_utf8(&body).map_err(|_| Problem::invalid_body("The body is not UTF-8."))?;
    let drafts = Drafts::split(text, media_type, bounds.batch_events_max)?;

    let header_key = header_key.as_deref();
    let gate = Gate { principal: &principal, bounds, header_key, text, received_ns, trace };
    let many = matches!(drafts, Drafts::Many(_));
    let mut publications = Vec::new();
    let mut refusals = Vec::new();
    for (index, draft) in drafts.as_slice().iter().enumerate() {
        match gate.admit(index, draft) {
            Ok(publication) => publications.push(publication),
            Err(problem) => {
                trace.refuses_one();
                if !many {
                    return Err(problem);
                }
                refusals.push((index, problem));
            }
        }
    }
    trace.appends();
    let outcomes = hub.broker.publish(publications).await;
    trace.appended();
    if header_key.is_some() && outcomes.contains(&Outcome::Conflict) {
        return Err(conflict());
    }
    let durability = hub.broker.durability();
    let mut results: Vec<_> = outcomes.into_iter().map(|o| result(o, durability)).collect();
    // In ascending order, so that each lands at its own index.
    for (index, error) in refusals {
        results.insert(index, PublishResult::Refused { error });
    }
    if many {
        // These are not in the status, and are counted here.
        for result in &results {
            if let PublishResult::Refused { error } = result {
                hub.metrics.refused(error.code());
            }
        }
        let results = PublishResults { results };
        return Ok(json(to_vec(&results), "no-store"));
    }
    match results.pop().expect("one event has one result") {
        PublishResult::Refused { error } => Err(error),
        stored @ PublishResult::Stored { .. } => {
            let mut response = json(to_vec(&stored), "no-store");
            *response.status_mut() = StatusCode::CREATED;
            Ok(response)
        }
    }
}

#[derive(Clone, Copy)]
struct Bounds {
    event_bytes_max: usize,
    batch_events_max: usize,
    request_bytes_max: usize,
    body_timeout: Duration,
}

/// The texts of the events in a body.
enum Drafts<'a> {
    One([&'a str; 1]),
    Many(Vec<&'a str>),
}

impl<'a> Drafts<'a> {
    fn split(text: &'a str, media_type: MediaType, events_max: usize) -> Result<Self, Problem> {
        let many: Vec<&str> = match media_type {
            MediaType::Json if text.trim_start().starts_with('[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| {
                    let complaint = complaint(&error);
                    Problem::invalid_body(format!("The body is not a JSON array: {complaint}."))
                })?;
                items.into_iter().map(RawValue::get).collect()
            }
            MediaType::Json => return Ok(Self::One([text])),
            MediaType::Ndjson => text.lines().filter(|line| !line.trim().is_empty()).collect(),
        };
        if many.is_empty() {
            return Err(Problem::invalid_body("There is no event in the body."));
        }
        if many.len() > events_max {
            return Err(Problem::batch_too_large(format!(
                "{} events are in the body; batch_events_max is {events_max}. Send them in parts.",
                many.len()
            )));
        }
        Ok(Self::Many(many))
    }

    fn as_slice(&self) -> &[&'a str] {
        match self {
            Self::One(one) => one,
            Self::Many(many) => many,
        }
    }
}

/// What a draft must pass to be published.
struct Gate<'a> {
    principal: &'a Principal,
    bounds: Bounds,
    header_key: Option<&'a str>,
    text: &'a str,
    received_ns: u64,
    trace: &'a traces::Request,
}

impl Gate<'_> {
    fn admit(&self, index: usize, draft_text: &str) -> Result<Publication, Problem> {
        let draft: Draft<'_> = serde_json::from_str(draft_text).map_err(|error| {
            Problem::invalid_body(format!("This is not an event: {}.", complaint(&error)))
        })?;
        let key = self.key(index, draft.key.as_deref(), draft_text)?;
        let topics = topics(&draft)?;
        for topic in &topics {
            if !self.principal.grant.may_publish(topic) {
                let topic = quoted(topic.as_str());
                return Err(Problem::forbidden_topic(format!("You may not publish to {topic}.")));
            }
        }
        let payload = match (draft.data, draft.text) {
            (Some(_), Some(_)) => {
                return Err(Problem::invalid_event("An event has 'data' or 'text', not both."));
            }
            (_, Some(text)) => Payload::text(&text),
            (Some(data), None) => Payload::json(data),
            (None, None) => Payload::json(RawValue::NULL),
        };
        let event_type = match draft.r#type {
            Some(name) => EventType::new(&name).map_err(|error| event_problem(&error))?,
            None => EventType::default(),
        };
        let event =
            Event::new(event_type, topics, payload, draft.ttl_secs, self.bounds.event_bytes_max)
                .map_err(|error| event_problem(&error))?;
        let passage = self.trace.publication(&event);
        Ok(Publication { event, key, received_ns: self.received_ns, passage })
    }

    /// The key of one event: its own, or the request's, which covers the whole body.
    fn key(
        &self,
        index: usize,
        own: Option<&str>,
        draft_text: &str,
    ) -> Result<Option<IdempotencyKey>, Problem> {
        let (text, index, covered) = match (self.header_key, own) {
            (None, None) => return Ok(None),
            (None, Some(own)) => (check_key(own)?, 0, draft_text),
            (Some(header), None) => (header, index, self.text),
            (Some(header), Some(own)) if own == header => (header, index, self.text),
            (Some(_), Some(_)) => {
                return Err(Problem::invalid_key(
                    "The event's 'key' and the Idempotency-Key header are not the same; send one.",
                ));
            }
        };
        let publisher = publisher(self.principal);
        let fingerprint = fingerprint(covered);
        Ok(Some(IdempotencyKey { publisher, text: text.into(), index, fingerprint }))
    }
}

/// Whose idempotency keys these are: an API key's by its name, a user's by their id.
fn publisher(principal: &Principal) -> Arc<str> {
    match (&principal.user, &principal.name) {
        (Some(user), _) => format!("user:{}", user.id()).into(),
        (None, Some(name)) => format!("key:{name}").into(),
        (None, None) => "".into(),
    }
}

fn topics(draft: &Draft<'_>) -> Result<Vec<Topic>, Problem> {
    let named = draft.topics.iter().chain(&draft.topic).map(|name| {
        Topic::new(name).map_err(|error| {
            Problem::invalid_topic(format!("{} is no topic: {error}.", quoted(name)))
        })
    });
    let users = draft.users.iter().chain(&draft.user).map(|user| {
        user_topic(user).map_err(|error| {
            Problem::invalid_event(format!("{} is no user id: {error}.", quoted(user)))
        })
    });
    let broadcast = draft
        .broadcast
        .then(|| Ok(Topic::new(BROADCAST).expect("the name of everyone's topic is a topic")));
    named.chain(users).chain(broadcast).collect()
}

fn header_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::invalid_key("Send one Idempotency-Key header."));
    }
    let text = value.to_str().map_err(|_| bad_key())?;
    check_key(text).map(|text| Some(text.to_owned()))
}

fn check_key(text: &str) -> Result<&str, Problem> {
    let length = (1..=KEY_CHARS_MAX).contains(&text.len());
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if length && visible { Ok(text) } else { Err(bad_key()) }
}

fn bad_key() -> Problem {
    Problem::invalid_key(format!(
        "An idempotency key is 1 to {KEY_CHARS_MAX} visible ASCII characters."
    ))
}

fn conflict() -> Problem {
    Problem::idempotency_conflict(
        "This key was used within the last minutes for something else. A retry repeats the body \
         to the letter; something new takes a new key.",
    )
}

/// What a publisher is told when the broker has failed it.
fn not_stored(failure: Failure) -> Problem {
    let again = "Publish it again; with a key, that is safe in any case.";
    match failure {
        Failure::Unreachable => Problem::unavailable(
            format!("The log cannot be reached, and the event is not stored. {again}"),
            BROKER_RETRY_AFTER_SECS,
        ),
        Failure::Unknown => Problem::unavailable(
            format!("The log has not answered: the event may be stored or not. {again}"),
            BROKER_RETRY_AFTER_SECS,
        ),
        Failure::Broken => Problem::unavailable(
            "The log takes nothing more on this node; its operator has to look after it.",
            BROKEN_RETRY_AFTER_SECS,
        ),
        Failure::NoRoom => Problem::no_room(format!("The log has no room for the event. {again}"))
            .retry_after(BROKEN_RETRY_AFTER_SECS),
    }
}

fn event_problem(error: &EventError) -> Problem {
    let detail = format!("This is not an event: {error}.");
    match error {
        EventError::TooLarge { .. } => Problem::event_too_large(detail),
        _ => Problem::invalid_event(detail),
    }
}

fn result(outcome: Outcome, durability: &'static str) -> PublishResult {
    match outcome {
        Outcome::Stored(cursor) => PublishResult::Stored { id: cursor.to_string(), durability },
        Outcome::Conflict => PublishResult::Refused { error: conflict() },
        Outcome::Failed(failure) => PublishResult::Refused { error: not_stored(failure) },
    }
}

fn fingerprint(text: &str) -> Fingerprint {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn to_vec(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("structs with text keys")
}

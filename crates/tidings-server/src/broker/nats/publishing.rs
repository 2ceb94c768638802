//! From publications to acknowledgements: many on their way at once, a request's own together and in
//! order.
//!
//! NATS stores a message once for each id in its window. Which answer a second one gets is in the
//! message that was stored; what this node has read of late it knows by itself.

use std::error::Error as _;

use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::{self, ErrorCode};
use tidings_hub::{Cursor, Position};
use tokio::time::{Instant, timeout_at};

use super::super::idempotency::Seen;
use super::super::{APPLIED_WITHIN, Failure, IdempotencyKey, Outcome, Publication, record};
use super::departures::Departure;
use super::layout::Kind;
use super::session::Session;
use super::{Shared, envelope};

/// Where a publication is.
enum Sent {
    /// Its outcome is known already.
    Done(Outcome),
    /// With its number among this node's.
    OnItsWay(u64, PublishAckFuture),
}

pub(super) async fn publish(
    shared: &Shared,
    session: &Session,
    mut publications: Vec<Publication>,
) -> Vec<Outcome> {
    for publication in &mut publications {
        publication.key = publication.key.as_ref().map(envelope::shared);
    }
    let [first, rest @ ..] = &publications[..] else { return Vec::new() };
    if rest.is_empty() || !have_one_key(&publications) {
        return publish_together(shared, session, &publications).await;
    }
    // A key that was used for another request refuses all of this one, also an event whose number that
    // one did not have. NATS sees each by itself, so the first goes ahead.
    let mut outcomes = publish_together(shared, session, std::slice::from_ref(first)).await;
    match outcomes[0] {
        Outcome::Stored(_) => outcomes.extend(publish_together(shared, session, rest).await),
        refused => outcomes.resize(publications.len(), refused),
    }
    outcomes
}

/// Whether all are numbers of one request.
fn have_one_key(publications: &[Publication]) -> bool {
    let texts = || publications.iter().map(|one| one.key.as_ref().map(|key| &key.text));
    texts().all(|text| text.is_some()) && texts().is_sorted_by(|one, next| one == next)
}

async fn publish_together(
    shared: &Shared,
    session: &Session,
    publications: &[Publication],
) -> Vec<Outcome> {
    let begun_ns = shared.replica.clock.uptime_ns();
    let read = shared.replica.newest();
    let sent = send(shared, session, publications).await;
    let deadline = Instant::now() + shared.timeout;
    let (mut outcomes, mut types) = (Vec::with_capacity(sent.len()), Vec::new());
    let mut failed = 0;
    for (publication, sent) in publications.iter().zip(sent) {
        let (outcome, is_new) = match sent {
            Sent::Done(outcome) => (outcome, false),
            Sent::OnItsWay(number, ack) => {
                let ack = tokio::select! {
                    biased;
                    ack = timeout_at(deadline, ack.into_future()) => ack.ok(),
                    () = session.has_ended() => None,
                };
                let concluded = conclude(shared, session, publication, ack).await;
                if !concluded.1 {
                    shared.departures.take(number);
                }
                concluded
            }
        };
        let (outcome, is_new) = match outcome {
            // A place that was taken before: somebody has put another stream there meanwhile.
            Outcome::Stored(cursor) if is_new && is_taken(cursor, read) => {
                session.end();
                (Outcome::Failed(Failure::Unknown), false)
            }
            _ => (outcome, is_new),
        };
        match outcome {
            Outcome::Stored(_) if is_new => types.push(publication.event.event_type().as_str()),
            Outcome::Stored(_) => shared.replica.metrics.deduplicated(),
            Outcome::Failed(_) => failed += 1,
            Outcome::Conflict => {}
        }
        outcomes.push(outcome);
    }
    let took_ns = shared.replica.clock.uptime_ns().saturating_sub(begun_ns);
    if !types.is_empty() {
        shared.replica.metrics.appended(types.into_iter(), took_ns);
    }
    if failed > 0 {
        shared.replica.metrics.append_failed(failed);
    }
    let newest = outcomes.iter().rev().find_map(|outcome| match outcome {
        Outcome::Stored(cursor) => Some(*cursor),
        Outcome::Conflict | Outcome::Failed(_) => None,
    });
    if let Some(newest) = newest {
        shared.replica.reach(newest, APPLIED_WITHIN).await;
    }
    outcomes
}

/// Whether a cursor is one that this node has passed.
fn is_taken(cursor: Cursor, read: Cursor) -> bool {
    cursor.epoch == read.epoch && cursor.position <= read.position
}

async fn send(shared: &Shared, session: &Session, publications: &[Publication]) -> Vec<Sent> {
    let deadline = Instant::now() + shared.timeout;
    let subject = shared.layout.subject(session.epoch, Kind::Event);
    let turn = timeout_at(deadline, session.sending.lock()).await;
    let mut sent = Vec::with_capacity(publications.len());
    for publication in publications {
        let known = publication.key.as_ref().and_then(|key| look_up(shared, key));
        sent.push(match known {
            Some(outcome) => Sent::Done(outcome),
            None if turn.is_err() => Sent::Done(Outcome::Failed(Failure::Unreachable)),
            None => {
                let (number, message) = message(shared, session, publication);
                let sending = session.context.send_publish(subject.clone(), message);
                let failure = match timeout_at(deadline, sending).await {
                    Ok(Ok(ack)) => {
                        sent.push(Sent::OnItsWay(number, ack));
                        continue;
                    }
                    Ok(Err(error)) => failure(&error),
                    // It waits for others still, and goes nowhere now.
                    Err(_) => Failure::Unreachable,
                };
                shared.departures.take(number);
                Sent::Done(Outcome::Failed(failure))
            }
        });
    }
    sent
}

fn message(shared: &Shared, session: &Session, publication: &Publication) -> (u64, PublishMessage) {
    let Publication { event, key, received_ns, passage } = publication;
    let departure = Departure { received_ns: *received_ns, passage: passage.clone() };
    let number = shared.departures.depart(departure);
    let line = record::encode(event, shared.replica.clock.now().unix_ms);
    let headers = envelope::write(key.as_ref(), session.epoch, &shared.node, number);
    (number, PublishMessage::build().payload(line.into()).headers(headers))
}

fn look_up(shared: &Shared, key: &IdempotencyKey) -> Option<Outcome> {
    let uptime_ms = shared.replica.clock.now().uptime_ms;
    match shared.keys().look_up(key, uptime_ms) {
        Seen::Never => None,
        Seen::Same(cursor) => Some(Outcome::Stored(cursor)),
        Seen::Different => Some(Outcome::Conflict),
    }
}

/// What an answer means, and whether the event was stored by it.
async fn conclude(
    shared: &Shared,
    session: &Session,
    publication: &Publication,
    ack: Option<Result<PublishAck, PublishError>>,
) -> (Outcome, bool) {
    match ack {
        None => (Outcome::Failed(Failure::Unknown), false),
        Some(Ok(ack)) => {
            let position = Position::new(ack.sequence);
            let stored = Outcome::Stored(Cursor { epoch: session.epoch, position });
            match &publication.key {
                Some(key) if ack.duplicate => {
                    (repeated(shared, session, key, ack.sequence, stored).await, false)
                }
                _ => (stored, true),
            }
        }
        Some(Err(error)) => {
            if error.kind() == PublishErrorKind::StreamNotFound {
                // Nobody listens to its subject: the log is gone, or is another.
                session.end();
            }
            (Outcome::Failed(failure(&error)), false)
        }
    }
}

/// The outcome of a key that was used before.
async fn repeated(
    shared: &Shared,
    session: &Session,
    key: &IdempotencyKey,
    sequence: u64,
    stored: Outcome,
) -> Outcome {
    let Ok(stream) = session.context.get_stream_no_info(&shared.layout.log).await else {
        return Outcome::Failed(Failure::Unknown);
    };
    match stream.get_raw_message(sequence).await {
        Ok(first) => match envelope::print(&first.headers) {
            Some(print) if print != key.fingerprint => Outcome::Conflict,
            _ => stored,
        },
        Err(error)
            if error.kind() == jetstream::stream::LastRawMessageErrorKind::NoMessageFound =>
        {
            // It is not there any more, to be compared or to be read: but it was stored.
            stored
        }
        Err(_) => Outcome::Failed(Failure::Unknown),
    }
}

fn failure(error: &PublishError) -> Failure {
    const NO_ROOM: [ErrorCode; 4] = [
        ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
        ErrorCode::INSUFFICIENT_RESOURCES,
        ErrorCode::STORAGE_RESOURCES_EXCEEDED,
        ErrorCode::MEMORY_RESOURCES_EXCEEDED,
    ];
    match error.kind() {
        PublishErrorKind::StreamNotFound | PublishErrorKind::MaxAckPending => Failure::Unreachable,
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => Failure::Unknown,
        PublishErrorKind::MaxPayloadExceeded => Failure::NoRoom,
        PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::WrongLastSequence
        | PublishErrorKind::Other => {
            let code = error
                .source()
                .and_then(|source| source.downcast_ref::<jetstream::Error>())
                .map(jetstream::Error::error_code);
            match code {
                Some(code) if NO_ROOM.contains(&code) => Failure::NoRoom,
                Some(ErrorCode::CLUSTER_NOT_AVAILABLE) => Failure::Unreachable,
                Some(_) => Failure::Broken,
                None => Failure::Unknown,
            }
        }
    }
}

//! Sends what is published, as much as waits in one call, and several calls at once: while Redis works
//! on one, the next is on its way.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::{Cmd, Value};
use tidings_hub::{Cursor, Position};
use tokio::sync::mpsc;

use super::super::Failure;
use super::entry::Mark;
use super::failure::{Cause, judge};
use super::queue::{Answer, Answers, Item, Kind, Request};
use super::session::Session;
use super::shared::Shared;

/// Publications in one call, unless a single request has more.
const SENT_AT_ONCE_MAX: usize = 256;
/// Bytes of them, unless a single request has more.
const SENT_AT_ONCE_BYTES_MAX: usize = 1_048_576;
/// Calls that may be without an answer.
const CALLS_MAX: usize = 4;

/// Sends until the session ends; why.
pub(super) async fn write(
    shared: Arc<Shared>,
    session: Arc<Session>,
    requests: Arc<tokio::sync::Mutex<mpsc::Receiver<Request>>>,
) -> Cause {
    // The session before has ended, or is about to.
    let mut requests = requests.lock().await;
    let mut calls = FuturesUnordered::new();
    loop {
        tokio::select! {
            request = requests.recv(), if calls.len() < CALLS_MAX => {
                let Some(request) = request else { return Cause::Stopping };
                let batch = gather(request, &mut requests);
                if !batch.is_empty() {
                    calls.push(publish(&shared, &session, batch));
                }
            }
            Some(ended) = calls.next(), if !calls.is_empty() => {
                if let Err(cause) = ended {
                    return cause;
                }
            }
        }
    }
}

/// A request, and as many more as wait and fit.
fn gather(first: Request, requests: &mut mpsc::Receiver<Request>) -> Vec<Request> {
    let (mut items, mut bytes) = (0, 0);
    let mut batch = Vec::new();
    let mut next = Some(first);
    while let Some(request) = next {
        if request.send() {
            items += request.items.len();
            bytes += request.items.iter().map(|item| item.record.len()).sum::<usize>();
            batch.push(request);
        }
        let has_room = items < SENT_AT_ONCE_MAX && bytes < SENT_AT_ONCE_BYTES_MAX;
        next = if has_room { requests.try_recv().ok() } else { None };
    }
    batch
}

/// One call, and its answers to whom they belong. An error ends the session.
async fn publish(shared: &Shared, session: &Session, batch: Vec<Request>) -> Result<(), Cause> {
    let mut marks = Vec::new();
    for item in batch.iter().flat_map(|request| &request.items) {
        let number = shared.number();
        marks.push(Mark::new(&shared.node, number, item.received_ns));
        shared.passages.put(number, &item.passage);
    }
    let is_plain = |item: &Item| item.key.is_none() && matches!(item.kind, Kind::Event(_));
    let are_plain = batch.iter().flat_map(|request| &request.items).all(is_plain);
    let call = if are_plain {
        append_call(shared, session, &batch, &marks)
    } else {
        publish_call(shared, session, &batch, &marks)
    };
    let answer = call.query_async::<Vec<Value>>(&mut session.commands.clone()).await;
    let answers = match answer {
        Ok(values) => match read(values, session, are_plain.then_some(marks.len())) {
            Ok(answers) => answers,
            Err(cause) => {
                // Of another log, nothing was stored in it.
                let failure = match cause {
                    Cause::AnotherLog => Failure::Unreachable,
                    _ => Failure::Unknown,
                };
                give_up(batch, failure);
                return Err(cause);
            }
        },
        Err(error) => {
            let (failure, ends) = judge(&error);
            give_up(batch, failure);
            if ends {
                return Err(error.into());
            }
            shared.complain(&error);
            return Ok(());
        }
    };
    if answers.len() != marks.len() {
        give_up(batch, Failure::Unknown);
        return Err(Cause::Answer("what became of publications"));
    }
    for (answer, mark) in answers.iter().zip(&marks) {
        // It does not come back.
        if !matches!(answer, Answer::Stored(_))
            && let Some((number, _)) = mark.of(&shared.node)
        {
            shared.passages.take(number);
        }
    }
    let newest = answers.iter().zip(marks).rev().find_map(|(answer, mark)| match answer {
        Answer::Stored(cursor) => Some((*cursor, mark)),
        Answer::Before(_) | Answer::Conflict => None,
    });
    if let Some((cursor, mark)) = newest {
        shared.claim(cursor, mark);
    }
    let mut answers = answers.into_iter();
    for request in batch {
        let of_request: Answers = Ok(answers.by_ref().take(request.items.len()).collect());
        request.answer(of_request);
    }
    Ok(())
}

/// Of events that need nothing but a place.
fn append_call(shared: &Shared, session: &Session, batch: &[Request], marks: &[Mark]) -> Cmd {
    let names = &shared.names;
    let mut call = session.scripts.append(&[names.log.as_str(), names.meta.as_str()]);
    call.arg(session.epoch.as_str()).arg(shared.events_max);
    for (item, mark) in batch.iter().flat_map(|request| &request.items).zip(marks) {
        call.arg("n").arg(mark.as_str()).arg("e").arg(&item.record);
    }
    call
}

/// Of anything.
fn publish_call(shared: &Shared, session: &Session, batch: &[Request], marks: &[Mark]) -> Cmd {
    let names = &shared.names;
    let items = || batch.iter().flat_map(|request| &request.items);
    let keys: Vec<_> = items().filter_map(|item| Some(names.key(item.key.as_ref()?))).collect();
    let fixed = [names.log.as_str(), names.meta.as_str(), names.revoked.as_str()];
    let mut call = session.scripts.publish(&fixed, &keys);
    call.arg(session.epoch.as_str()).arg(shared.events_max).arg(shared.key_window_ms);
    let mut key_number = 0;
    for (item, mark) in items().zip(marks) {
        match &item.kind {
            Kind::Event(_) => call.arg("e"),
            Kind::Revocation(_) => call.arg("r"),
        };
        call.arg(mark.as_str()).arg(&item.record);
        match (&item.key, &item.kind) {
            (Some(key), _) => {
                key_number += 1;
                call.arg(key_number).arg(&key.fingerprint[..16]).arg(key.index);
            }
            (None, Kind::Revocation(until_ms)) => {
                call.arg(0).arg(until_ms).arg(0);
            }
            (None, Kind::Event(_)) => {
                call.arg(0).arg("").arg(0);
            }
        }
    }
    call
}

fn give_up(batch: Vec<Request>, failure: Failure) {
    for request in batch {
        request.answer(Err(failure));
    }
}

/// The answers of a call. One of so many that need nothing but a place says where the first is.
fn read(values: Vec<Value>, session: &Session, plain: Option<usize>) -> Result<Vec<Answer>, Cause> {
    const MALFORMED: Cause = Cause::Answer("what became of publications");
    let mut values = values.into_iter();
    match values.next() {
        Some(Value::BulkString(epoch)) if epoch == session.epoch.as_str().as_bytes() => {}
        Some(Value::BulkString(_)) => return Err(Cause::AnotherLog),
        _ => return Err(MALFORMED),
    }
    let answer = |value| match value {
        Value::Int(-1) => Ok(Answer::Conflict),
        Value::Int(position) => {
            let position = u64::try_from(position).map_err(|_| MALFORMED)?;
            let position = Position::new(position);
            Ok(Answer::Stored(Cursor { epoch: session.epoch, position }))
        }
        Value::BulkString(cursor) => {
            let cursor = std::str::from_utf8(&cursor).ok().and_then(|text| text.parse().ok());
            cursor.map(Answer::Before).ok_or(MALFORMED)
        }
        _ => Err(MALFORMED),
    };
    let Some(count) = plain else { return values.map(answer).collect() };
    match values.next().map(answer).transpose()? {
        Some(Answer::Stored(first)) => {
            let positions = (0..count as u64).map(|after| first.position.get() + after);
            let cursors =
                positions.map(|position| Cursor { position: Position::new(position), ..first });
            Ok(cursors.map(Answer::Stored).collect())
        }
        _ => Err(MALFORMED),
    }
}

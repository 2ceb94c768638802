//! Small values that nodes share and each may change: read, decided on, and written only if nobody else
//! has written meanwhile. What the values mean is not known here.

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use tokio::time::timeout;

use super::super::Failure;
use super::Shared;
use super::session::Session;

/// How often others may be quicker. Each time one of them has got on.
const TRIES_MAX: usize = 100;

/// What is decided about a value.
#[derive(Debug)]
pub(super) enum Change<T> {
    /// It stays.
    Keep(T),
    /// It becomes this.
    Write(Vec<u8>, T),
}

/// Changes the value of a key. `decide` may be asked more than once, each time with what it is then.
pub(super) async fn change<T>(
    shared: &Shared,
    session: &Session,
    key: &str,
    decide: impl FnMut(&[u8]) -> Change<T>,
) -> Result<T, Failure> {
    let changing = change_until_done(shared, session, key, decide);
    tokio::select! {
        changed = timeout(shared.timeout, changing) => changed.unwrap_or(Err(Failure::Unknown)),
        () = session.has_ended() => Err(Failure::Unknown),
    }
}

async fn change_until_done<T>(
    shared: &Shared,
    session: &Session,
    key: &str,
    mut decide: impl FnMut(&[u8]) -> Change<T>,
) -> Result<T, Failure> {
    let state = &shared.layout.state;
    let subject = format!("{state}.{key}");
    let stream = session.context.get_stream_no_info(state).await;
    let stream = stream.map_err(|_| Failure::Unreachable)?;
    for _ in 0..TRIES_MAX {
        let (sequence, value) = match stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => (message.sequence, message.payload),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                (0, bytes::Bytes::new())
            }
            Err(_) => return Err(Failure::Unreachable),
        };
        let (value, decided) = match decide(&value) {
            Change::Keep(decided) => return Ok(decided),
            Change::Write(value, decided) => (value, decided),
        };
        let message =
            PublishMessage::build().payload(value.into()).expected_last_subject_sequence(sequence);
        let sent = session.context.send_publish(subject.clone(), message).await;
        match sent.map_err(|_| Failure::Unreachable)?.await {
            Ok(_) => return Ok(decided),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {}
            Err(_) => return Err(Failure::Unknown),
        }
    }
    Err(Failure::Unreachable)
}

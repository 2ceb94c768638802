//! Takes the log in as it grows, on a connection of its own. Redis gives consecutive positions, so a hole
//! is what was trimmed before this node had read it.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Value, cmd};
use tidings_hub::{Cursor, Epoch, Position};
use tokio::time::timeout;
use tracing::warn;

use super::super::record;
use super::super::replica::Arrival;
use super::dial::read;
use super::entry::{Content, Entry, entries, news};
use super::failure::Cause;
use super::session::Session;
use super::shared::Shared;

/// Entries read at once, each of which has what was published at once: up to a megabyte.
const READ_AT_ONCE_MAX: usize = 64;
/// How long Redis waits for news before it says that there is none. It is what shows that it is there.
const WAITS_MS: u64 = 1000;

/// Begins with a log that this node does not know. The first time, all that the log holds is taken in
/// before anyone can read here.
pub(super) async fn enter(
    shared: &Shared,
    connection: &mut MultiplexedConnection,
    log: Cursor,
    is_first: bool,
) -> Result<(), Cause> {
    let mut first = cmd("XRANGE");
    first.arg(&shared.names.log).arg("-").arg("+").arg("COUNT").arg(1);
    let first = entries(first.query_async(connection).await?)?;
    let first = first.first().map_or(log.position.next(), |entry| entry.position);
    shared.replica.begin_again(Cursor { epoch: log.epoch, position: first.previous() });
    adopt_revocations(shared, connection).await?;
    if is_first {
        loop {
            let newest = shared.replica.newest().position;
            let mut page = cmd("XRANGE");
            page.arg(&shared.names.log).arg(format!("({newest}-0")).arg("+");
            page.arg("COUNT").arg(READ_AT_ONCE_MAX);
            let page = entries(page.query_async(connection).await?)?;
            if page.is_empty() {
                break;
            }
            take_in(shared, log.epoch, page, Audience::Nobody);
        }
        shared.replica.expire();
    }
    let newest = shared.replica.newest();
    shared.claim(newest, super::entry::Mark::default());
    Ok(())
}

/// Reads until the session ends; why.
pub(super) async fn follow(
    shared: Arc<Shared>,
    session: Arc<Session>,
    mut connection: MultiplexedConnection,
) -> Cause {
    let patience = Duration::from_millis(WAITS_MS) + shared.timeout;
    // How far the log had come when it was last read.
    let mut reached = Position::START;
    loop {
        let newest = shared.replica.newest().position;
        let mut wait = cmd("XREAD");
        wait.arg("COUNT").arg(READ_AT_ONCE_MAX).arg("BLOCK").arg(WAITS_MS);
        wait.arg("STREAMS").arg(&shared.names.log).arg(format!("{newest}-0"));
        // Asked after it was read, so that what was read is of no other epoch.
        let mut state = cmd("HMGET");
        state.arg(&shared.names.meta).arg("epoch").arg("position");
        let mut exists = cmd("EXISTS");
        exists.arg(&shared.names.log);
        let mut round = redis::pipe();
        round.add_command(wait).add_command(state).add_command(exists);
        let answered = timeout(patience, round.query_async(&mut connection)).await;
        let (found, state, exists): (Value, Vec<Option<String>>, bool) = match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return error.into(),
            Err(_) => return Cause::Silent,
        };
        let [epoch, position] = state.as_slice() else {
            return Cause::Answer("how far the log has come");
        };
        if epoch.as_deref() != Some(session.epoch.as_str()) || !exists {
            return Cause::AnotherLog;
        }
        let entries = match news(found) {
            Ok(entries) => entries,
            Err(cause) => return cause,
        };
        let has_hole = if entries.is_empty() && reached > newest {
            // It was there a round ago, and is not any more.
            begin_after_hole(&shared, Cursor { epoch: session.epoch, position: reached });
            true
        } else {
            take_in(&shared, session.epoch, entries, Audience::Everyone)
        };
        if has_hole && let Err(cause) = adopt_revocations(&shared, &mut connection).await {
            return cause;
        }
        let position = position.as_deref().unwrap_or_default().parse().map(Position::new);
        reached = position.unwrap_or_default();
    }
}

/// Who is there to hear of what is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    Nobody,
    Everyone,
}

/// Takes entries in, in order; whether some before them are lost to this node.
fn take_in(shared: &Shared, epoch: Epoch, entries: Vec<Entry>, audience: Audience) -> bool {
    let replica = &shared.replica;
    let mut arrivals = Vec::with_capacity(entries.len());
    let mut newest = replica.newest().position;
    let mut has_hole = false;
    let mut claim = None;
    let flush = |arrivals: &mut Vec<Arrival>| {
        let arrivals = std::mem::take(arrivals);
        match audience {
            Audience::Nobody => replica.restore(arrivals),
            Audience::Everyone => replica.apply(arrivals),
        }
    };
    for Entry { position, mark, content } in entries {
        if position != newest.next() {
            flush(&mut arrivals);
            begin_after_hole(shared, Cursor { epoch, position: position.previous() });
            has_hole = true;
        }
        newest = position;
        match content {
            Content::Event(line) => match record::decode(&line) {
                Ok((event, time_ms)) => {
                    let own = mark.of(&shared.node);
                    let passage = own.map(|(number, _)| shared.passages.take(number));
                    let passage = passage.unwrap_or_default();
                    let received_ns = own.map(|(_, received_ns)| received_ns);
                    arrivals.push(Arrival { position, event, time_ms, received_ns, passage });
                }
                Err(error) => {
                    warn!(%position, %error, "an event in Redis cannot be read, and is passed over");
                }
            },
            Content::Revocation(json) => {
                // What came before it is heard before it. Where it was said, it is followed already, and
                // the streams it closes are counted there.
                flush(&mut arrivals);
                if mark.of(&shared.node).is_none() {
                    shared.revoke(&json);
                } else {
                    shared.remember(&json);
                }
            }
            Content::Other => {}
        }
        claim = Some(mark);
    }
    flush(&mut arrivals);
    if let Some(mark) = claim {
        replica.skip_to(newest);
        let cursor = Cursor { epoch, position: newest };
        shared.claim(cursor, mark);
    }
    has_hole
}

fn begin_after_hole(shared: &Shared, cursor: Cursor) {
    let newest = shared.replica.newest();
    warn!(from = %newest, to = %cursor, "events were trimmed in Redis before this node had read them");
    shared.replica.begin_again(cursor);
}

/// Follows all revocations there are.
async fn adopt_revocations(
    shared: &Shared,
    connection: &mut MultiplexedConnection,
) -> Result<(), Cause> {
    let now_ms = shared.replica.clock.now().unix_ms;
    let mut range = cmd("ZRANGEBYSCORE");
    range.arg(&shared.names.revoked).arg(format!("({now_ms}")).arg("+inf");
    let asked = timeout(shared.timeout, range.query_async(connection)).await;
    let value = asked.map_err(|_| Cause::Silent)??;
    for json in read::<Vec<String>>(value, "revocations")? {
        shared.revoke(&json);
    }
    Ok(())
}

//! A session: one connection, on which it was looked at whether the log is the one this node has read,
//! before anything is published or applied.
//!
//! The epoch of the log is its stream's own, so a stream that was lost and made anew has another. One
//! that has lost its end keeps it: then what this node has read last is not there, and the node gives
//! the log a new epoch itself.

use async_nats::jetstream::stream::{Info, LastRawMessageErrorKind, State};
use async_nats::jetstream::{Context, ContextBuilder};
use serde_json::json;
use tidings_hub::Epoch;
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};

use super::connection::Ended;
use super::follower::Place;
use super::layout::{Kind, Layout};
use super::trouble::Trouble;
use super::{PUBLISHES_IN_FLIGHT_MAX, Shared};

/// How often the log may turn out to be another while it is looked at.
const LOOKS_MAX: usize = 8;

/// A connection to the log.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) context: Context,
    pub(super) epoch: Epoch,
    /// Held while a request's events are sent, so that they stay together.
    pub(super) sending: Mutex<()>,
    ended: Ended,
}

impl Session {
    /// Connects, and finds the log or makes it; says what it holds.
    pub(super) async fn open(
        shared: &Shared,
        place: &Place,
        is_start: bool,
    ) -> Result<(Self, State), Trouble> {
        let ended = Ended::new(watch::Sender::new(false));
        let client = shared.servers.connect(&ended).await?;
        let context = ContextBuilder::new()
            .timeout(shared.timeout)
            .ack_timeout(shared.timeout)
            .max_ack_inflight(PUBLISHES_IN_FLIGHT_MAX)
            .backpressure_on_inflight(true)
            .build(client);
        let layout = &shared.layout;
        layout.make_shared(&context).await?;
        let (info, epoch) = find_log(layout, &context, place).await?;
        if is_start && let Err(trouble) = layout.fit_log(&context, &info).await {
            warn!(cause = %trouble, "the stream of the log keeps what it kept before");
        }
        Ok((Self { context, epoch, sending: Mutex::new(()), ended }, info.state))
    }

    /// It is not to be used any more.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Waits until it has ended.
    pub(super) async fn has_ended(&self) {
        // The sender is ours.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}

async fn find_log(
    layout: &Layout,
    context: &Context,
    place: &Place,
) -> Result<(Info, Epoch), Trouble> {
    let mut made = None;
    for _ in 0..LOOKS_MAX {
        let Some(info) = layout.find_log(context).await? else {
            layout.make_log(context, *made.insert(random_epoch())).await?;
            continue;
        };
        let epoch = layout.epoch_of(&info).ok_or_else(|| Trouble::Foreign(layout.log.clone()))?;
        if !is_as_read(layout, context, place, epoch, &info.state).await? {
            layout.renew_log(context, *made.insert(random_epoch())).await?;
            continue;
        }
        // Others notice by it; and once it is stored, so is what is published after it.
        if made.take_if(|made| *made == epoch).is_some() {
            if place.epoch.is_some() {
                warn!(%epoch, "the log has a new epoch: it was not there, or not as it was read");
            } else {
                info!(%epoch, "the log begins");
            }
            mark(layout, context, epoch).await?;
            continue;
        }
        return Ok((info, epoch));
    }
    Err(Trouble::Changed)
}

fn random_epoch() -> Epoch {
    Epoch::from_random(fastrand::u64(..))
}

/// Whether the log still has what this node has read of it, as far as can be seen.
async fn is_as_read(
    layout: &Layout,
    context: &Context,
    place: &Place,
    epoch: Epoch,
    state: &State,
) -> Result<bool, Trouble> {
    let failed = |error: String| Trouble::Api("looking for what was read last", error);
    if place.epoch != Some(epoch) {
        return Ok(true);
    }
    if state.last_sequence < place.read {
        return Ok(false);
    }
    let Some(stamp_ns) = place.stamp_ns else { return Ok(true) };
    if place.read < state.first_sequence {
        return Ok(true);
    }
    let stream =
        context.get_stream_no_info(&layout.log).await.map_err(|error| failed(error.to_string()))?;
    match stream.get_raw_message(place.read).await {
        Ok(message) => Ok(message.time.unix_timestamp_nanos() == stamp_ns),
        // Somebody has deleted it since.
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(true),
        Err(error) => Err(failed(error.to_string())),
    }
}

async fn mark(layout: &Layout, context: &Context, epoch: Epoch) -> Result<(), Trouble> {
    let failed = |error: String| Trouble::Api("beginning an epoch", error);
    let text = serde_json::to_vec(&json!({ "epoch": epoch.as_str() }));
    let text = text.map_err(|error| failed(error.to_string()))?;
    let sent = context.publish(layout.subject(epoch, Kind::Epoch), text.into()).await;
    let acknowledged = sent.map_err(|error| failed(error.to_string()))?.await;
    acknowledged.map(drop).map_err(|error| failed(error.to_string()))
}

//! What Tidings keeps in NATS: three streams and one subject, what they are called and how they are
//! set up. What is in them is known elsewhere.
//!
//! The epoch of the log is in the subjects of its stream, so it begins and ends with that stream, and
//! nothing can be published to a log that is not there any more: nobody listens to its subject.

use std::time::Duration;

use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{self, DiscardPolicy, Info, StorageType};
use async_nats::jetstream::{Context, ErrorCode};
use serde_json::{Value, json};
use tidings_hub::Epoch;

use super::trouble::Trouble;
use crate::config::{Config, NatsStorage};

/// Uses and counts that are kept, for each that `limits.keys_max` lets a node remember by itself; those
/// not written for longest go first. Not in bytes: NATS would set those aside.
const STATES_PER_KEY: usize = 2;
/// The longest window of a limit there may be.
const WINDOW_MAX: Duration = Duration::from_hours(24);
/// How long a count outlives the streams that it is of.
const COUNT_OUTLIVES: Duration = Duration::from_mins(10);
/// Longer than any credential lives.
const REVOCATION_MAX: Duration = Duration::from_hours(24 * 400);

/// What a message of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An event.
    Event,
    /// An event of the hub's own.
    Own,
    /// The first message of an epoch, by which everyone notices that there is one.
    Epoch,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Event, Self::Own, Self::Epoch];

    fn token(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Own => "own",
            Self::Epoch => "epoch",
        }
    }
}

/// The names and bounds of it all.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) log: String,
    pub(super) state: String,
    pub(super) revoked: String,
    /// Where nodes say that they live; it is not kept.
    pub(super) nodes: String,
    replicas: usize,
    storage: StorageType,
    bytes_max: i64,
    events_max: i64,
    age_max: Duration,
    keys_kept: Duration,
    counts_kept: Duration,
    states_max: i64,
    revocations_max: i64,
}

impl Layout {
    pub(super) fn new(config: &Config) -> Self {
        let nats = &config.nats;
        let log = nats.stream.as_str().to_owned();
        let bound = |max: u64| if max == 0 { -1 } else { i64::try_from(max).unwrap_or(-1) };
        let keys_kept = Duration::from_secs(config.idempotency.window_secs);
        let stream_age = Duration::from_secs(config.streams.age_max_secs);
        Self {
            state: format!("{log}_STATE"),
            revoked: format!("{log}_REVOKED"),
            nodes: format!("{log}_NODES"),
            log,
            replicas: nats.replicas,
            storage: match nats.storage {
                NatsStorage::File => StorageType::File,
                NatsStorage::Memory => StorageType::Memory,
            },
            bytes_max: bound(nats.bytes_max),
            events_max: bound(nats.events_max),
            // A key is remembered by its message.
            age_max: Duration::from_secs(config.log.age_max_secs).max(keys_kept),
            keys_kept,
            counts_kept: WINDOW_MAX.max(stream_age) + COUNT_OUTLIVES,
            states_max: i64::try_from(STATES_PER_KEY * config.limits.keys_max).unwrap_or(i64::MAX),
            revocations_max: i64::try_from(config.limits.revocations_max).unwrap_or(i64::MAX),
        }
    }

    /// Where a message of this kind goes.
    pub(super) fn subject(&self, epoch: Epoch, kind: Kind) -> String {
        format!("{}.{epoch}.{}", self.log, kind.token())
    }

    /// What a message is that came from there.
    pub(super) fn read_subject(&self, subject: &str) -> Option<(Epoch, Kind)> {
        let (epoch, token) = subject.strip_prefix(&self.log)?.strip_prefix('.')?.split_once('.')?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.token() == token)?;
        Some((epoch.parse().ok()?, kind))
    }

    fn log_subjects(&self, epoch: Epoch) -> Vec<String> {
        vec![format!("{}.{epoch}.*", self.log)]
    }

    /// The epoch of the log, by its stream; none when it is not one of ours.
    pub(super) fn epoch_of(&self, info: &Info) -> Option<Epoch> {
        let [subject] = &info.config.subjects[..] else { return None };
        let rest = subject.strip_prefix(&self.log)?.strip_prefix('.')?;
        rest.strip_suffix(".*")?.parse().ok()
    }

    /// The stream with the log, if there is one.
    pub(super) async fn find_log(&self, context: &Context) -> Result<Option<Info>, Trouble> {
        let asked = context.request(format!("STREAM.INFO.{}", self.log), &json!({})).await;
        match asked.map_err(|error| Trouble::Api("asking for the log", error.to_string()))? {
            Response::Ok(info) => Ok(Some(info)),
            Response::Err { error } if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                Ok(None)
            }
            Response::Err { error } => Err(Trouble::Api("asking for the log", error.to_string())),
        }
    }

    /// Makes the stream of the log, of this epoch, unless another node has been quicker.
    pub(super) async fn make_log(&self, context: &Context, epoch: Epoch) -> Result<(), Trouble> {
        let config = stream::Config {
            name: self.log.clone(),
            subjects: self.log_subjects(epoch),
            max_bytes: self.bytes_max,
            max_messages: self.events_max,
            max_age: self.age_max,
            duplicate_window: self.keys_kept,
            ..self.kept(self.storage)
        };
        make(context, config).await
    }

    /// Gives the log another epoch: what was published in the one before it is out of reach.
    pub(super) async fn renew_log(&self, context: &Context, epoch: Epoch) -> Result<(), Trouble> {
        self.change_log(context, |config| config["subjects"] = json!(self.log_subjects(epoch)))
            .await
    }

    /// Has the stream of the log keep as much as the settings say now.
    pub(super) async fn fit_log(&self, context: &Context, info: &Info) -> Result<(), Trouble> {
        let is = &info.config;
        let fits = is.max_bytes == self.bytes_max
            && is.max_messages == self.events_max
            && is.max_age == self.age_max
            && is.duplicate_window == self.keys_kept
            && is.num_replicas == self.replicas;
        if fits {
            return Ok(());
        }
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.change_log(context, |config| {
            config["max_bytes"] = json!(self.bytes_max);
            config["max_msgs"] = json!(self.events_max);
            config["max_age"] = json!(nanos(self.age_max));
            config["duplicate_window"] = json!(nanos(self.keys_kept));
            config["num_replicas"] = json!(self.replicas);
        })
        .await
    }

    /// As JSON, so that what a newer server or an operator has set stays as it is.
    async fn change_log(
        &self,
        context: &Context,
        change: impl FnOnce(&mut Value),
    ) -> Result<(), Trouble> {
        const ASKED: &str = "changing the stream of the log";
        let failed = |error: String| Trouble::Api(ASKED, error);
        let found = context.request(format!("STREAM.INFO.{}", self.log), &json!({})).await;
        let mut config = match found.map_err(|error| failed(error.to_string()))? {
            Response::Ok::<Value>(mut info) => info["config"].take(),
            Response::Err { error } => return Err(failed(error.to_string())),
        };
        change(&mut config);
        let changed = context.request(format!("STREAM.UPDATE.{}", self.log), &config).await;
        match changed.map_err(|error| failed(error.to_string()))? {
            Response::Ok::<Value>(_) => Ok(()),
            Response::Err { error } => Err(failed(error.to_string())),
        }
    }

    /// Makes the streams with what nodes share beside the log, unless they are there.
    pub(super) async fn make_shared(&self, context: &Context) -> Result<(), Trouble> {
        let state = stream::Config {
            name: self.state.clone(),
            subjects: vec![format!("{}.>", self.state)],
            max_messages: self.states_max,
            max_messages_per_subject: 1,
            max_age: self.counts_kept,
            // Neither outlives its use: uses leave their window, and counts are said anew.
            ..self.kept(StorageType::Memory)
        };
        make(context, state).await?;
        let revoked = stream::Config {
            name: self.revoked.clone(),
            subjects: vec![format!("{}.>", self.revoked)],
            max_messages: self.revocations_max,
            max_messages_per_subject: 1,
            max_age: REVOCATION_MAX,
            ..self.kept(self.storage)
        };
        make(context, revoked).await
    }

    fn kept(&self, storage: StorageType) -> stream::Config {
        stream::Config {
            max_bytes: -1,
            max_messages: -1,
            max_messages_per_subject: -1,
            max_consumers: -1,
            discard: DiscardPolicy::Old,
            num_replicas: self.replicas,
            storage,
            ..stream::Config::default()
        }
    }
}

/// One that is there already, set up in another way, is left as it is.
async fn make(context: &Context, config: stream::Config) -> Result<(), Trouble> {
    match context.create_stream(config).await {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            stream_error if is_there(&stream_error) => Ok(()),
            _ => Err(Trouble::Api("making a stream", error.to_string())),
        },
    }
}

fn is_there(error: &async_nats::jetstream::context::CreateStreamErrorKind) -> bool {
    use async_nats::jetstream::context::CreateStreamErrorKind::JetStream;
    matches!(error, JetStream(error) if error.error_code() == ErrorCode::STREAM_NAME_EXIST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_says_what_it_carries_and_in_which_epoch() {
        let layout = Layout::new(&Config::default());
        let epoch = Epoch::from_random(7);
        for kind in Kind::ALL {
            assert_eq!(layout.read_subject(&layout.subject(epoch, kind)), Some((epoch, kind)));
        }
        for subject in ["TIDINGS", "TIDINGS.x.event", "OTHER.aaaaaaah.event", "TIDINGS.aaaaaaah.x"]
        {
            assert_eq!(layout.read_subject(subject), None, "{subject}");
        }
    }
}

//! The broker that is a folder of this machine.
//!
//! Whoever publishes puts an order into one queue and waits. One thread takes all orders that wait,
//! writes what is in them at once, has it on the disk, and only then gives it to the hub and answers.
//! So nobody reads, and nobody is told, what a crash could take back.

mod commit;
mod entry;
mod folder;
mod inspection;
mod journal;
mod meta;
mod repair;
mod restore;
mod segment;
mod survey;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, bail, ensure};
use tidings_hub::{Cursor, Epoch, Event};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tracing::{error, info};

use super::replica::Replica;
use super::{Failure, Outcome, Publication};
use crate::config::{Config, Durability};
use crate::revocations::Revocation;
use folder::Folder;
use journal::Journal;
use meta::{Left, Meta};
use survey::{Survey, Verdict};
use writer::Writer;

pub(crate) use inspection::{Inspection, LogStats};

/// Orders that wait for the thread that writes; whoever has one more waits for a place.
const ORDERS_MAX: usize = 4096;
/// KiB of events in them.
const QUEUE_KIB_MAX: u32 = 65_536;
/// What an event takes beside its payload, more or less.
const EVENT_BYTES: usize = 256;
/// How often what is found in a folder is put right before that is given up.
const REPAIRS_MAX: usize = 3;

/// A log in a folder.
#[derive(Debug)]
pub(crate) struct Disk {
    orders: mpsc::Sender<Order>,
    room: Arc<Semaphore>,
    state: Arc<State>,
    replica: Arc<Replica>,
    durability: Durability,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread that writes is asked for.
#[derive(Debug)]
enum Order {
    Publish {
        publications: Vec<Publication>,
        /// When they were handed in, in nanoseconds of uptime.
        asked_ns: u64,
        room: OwnedSemaphorePermit,
        answer: oneshot::Sender<Vec<Outcome>>,
    },
    Revoke(Revocation, oneshot::Sender<Result<(), Failure>>),
    /// An event of the hub's own.
    Own(Event),
    /// The same, and somebody waits for it.
    Probe(Event, oneshot::Sender<Result<Cursor, Failure>>),
    /// To see which segments are not needed any more.
    Retire,
    Stop,
}

/// Whether events are taken, as the thread that writes has found last.
#[derive(Debug, Default)]
struct State(AtomicU8);

impl State {
    const NO_ROOM: u8 = 1;
    const BROKEN: u8 = 2;

    fn failure(&self) -> Option<Failure> {
        match self.0.load(Ordering::Acquire) {
            Self::NO_ROOM => Some(Failure::NoRoom),
            Self::BROKEN => Some(Failure::Broken),
            _ => None,
        }
    }

    fn set(&self, failure: Option<Failure>) {
        let state = match failure {
            None => 0,
            Some(Failure::NoRoom) => Self::NO_ROOM,
            Some(Failure::Broken | Failure::Unreachable | Failure::Unknown) => Self::BROKEN,
        };
        self.0.store(state, Ordering::Release);
    }
}

impl Disk {
    /// Takes the folder, brings back what is in it, and begins to write.
    pub(crate) fn open(path: &Path, config: &Config, replica: Replica) -> anyhow::Result<Self> {
        let begun_ns = replica.clock.uptime_ns();
        let folder = Folder::new(path);
        folder.make()?;
        let lock = folder.lock()?;
        let doing = || format!("cannot use the folder {}", path.display());
        folder.remove_unfinished().with_context(doing)?;
        let now_ms = replica.clock.now().unix_ms;
        let (survey, mut epoch) = settle(&folder, config.disk.durability, now_ms)?;
        let mut restored = restore::restore(&folder, &survey, epoch, config, &replica)?;
        if !restored.unreadable.is_empty() {
            // It was acknowledged, and nobody can be given it.
            epoch = new_epoch();
            for finding in &restored.unreadable {
                error!(place = finding.place, "an event is left out: {}", finding.what);
            }
            error!(%epoch, "the log goes on in a new epoch; readers are told of a gap");
            restored = restore::restore(&folder, &survey, epoch, config, &replica)?;
        }
        let journal = Journal::open(folder.clone(), &survey, &config.disk).with_context(doing)?;
        let durability = config.disk.durability;
        Meta::new(epoch, durability, false).write(&folder).with_context(doing)?;
        let took_ns = replica.clock.uptime_ns().saturating_sub(begun_ns);
        info!(
            folder = %path.display(),
            %epoch,
            segments = survey.segments.len(),
            events = restored.events,
            took_ms = took_ns / 1_000_000,
            "the log is open"
        );

        let (orders, waiting) = mpsc::channel(ORDERS_MAX);
        let (replica, state) = (Arc::new(replica), Arc::new(State::default()));
        let window_ms = config.idempotency.window_secs * 1000;
        let writer = Writer::new(
            journal,
            Arc::clone(&replica),
            restored,
            survey.reserved(),
            window_ms,
            Arc::clone(&state),
        );
        let epoch = Meta::new(epoch, durability, true);
        let writer = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.run(waiting, epoch, lock))
            .context("cannot start the thread that writes the log")?;
        Ok(Self {
            orders,
            room: Arc::new(Semaphore::new(QUEUE_KIB_MAX as usize)),
            state,
            replica,
            durability,
            writer: Mutex::new(Some(writer)),
        })
    }

    pub(super) async fn publish(&self, publications: Vec<Publication>) -> Vec<Outcome> {
        let count = publications.len();
        if count == 0 {
            return Vec::new();
        }
        let asked_ns = self.replica.clock.uptime_ns();
        let payloads = publications.iter().map(|it| it.event.payload().as_str().len());
        let kib = payloads.map(|bytes| bytes + EVENT_BYTES).sum::<usize>() / 1024 + 1;
        let kib = u32::try_from(kib).unwrap_or(QUEUE_KIB_MAX).min(QUEUE_KIB_MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await;
        let (answer, answered) = oneshot::channel();
        let failure = match room {
            Ok(room) => {
                let order = Order::Publish { publications, asked_ns, room, answer };
                match self.orders.send(order).await {
                    Ok(()) => match answered.await {
                        Ok(outcomes) => return outcomes,
                        Err(_) => Failure::Unknown,
                    },
                    Err(_) => self.gone(),
                }
            }
            Err(_) => self.gone(),
        };
        self.replica.metrics.append_failed(count as u64);
        vec![Outcome::Failed(failure); count]
    }

    pub(super) fn durability(&self) -> &'static str {
        match self.durability {
            Durability::Fsync => "fsync",
            Durability::Os => "os",
        }
    }

    pub(super) fn status(&self) -> &'static str {
        if self.state.failure().is_none() && !self.orders.is_closed() { "ok" } else { "down" }
    }

    pub(super) fn publish_own(&self, event: Event) {
        // Where thousands wait, one of these less is no loss.
        let _ = self.orders.try_send(Order::Own(event));
    }

    pub(super) async fn probe(&self, event: Event) -> Result<Cursor, &'static str> {
        let (answer, answered) = oneshot::channel();
        if self.orders.send(Order::Probe(event, answer)).await.is_err() {
            return Err(self.gone().as_str());
        }
        let answer = answered.await.unwrap_or(Err(Failure::Unknown));
        answer.map_err(Failure::as_str)
    }

    pub(super) async fn revoke(&self, revocation: Revocation) -> Result<(), Failure> {
        let (answer, answered) = oneshot::channel();
        if self.orders.send(Order::Revoke(revocation, answer)).await.is_err() {
            return Err(self.gone());
        }
        answered.await.unwrap_or(Err(Failure::Unknown))
    }

    pub(super) fn expire(&self) {
        self.replica.expire();
        // Where thousands wait, the next second will do.
        let _ = self.orders.try_send(Order::Retire);
    }

    /// What the folder holds is on the disk afterwards, and says that it was left in order.
    pub(super) async fn stop(&self) {
        let _ = self.orders.send(Order::Stop).await;
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let ended = tokio::task::spawn_blocking(move || writer.join().is_ok());
            if !matches!(ended.await, Ok(true)) {
                error!("the thread that writes the log has panicked");
            }
        }
    }

    /// Why nobody takes orders.
    fn gone(&self) -> Failure {
        self.state.failure().unwrap_or(Failure::Unreachable)
    }
}

/// Looks through the folder and puts right what is wrong with it. The epoch stays where all that was
/// acknowledged is there for certain.
fn settle(folder: &Folder, durability: Durability, now_ms: u64) -> anyhow::Result<(Survey, Epoch)> {
    let doing = || format!("cannot read the log in {}", folder.path().display());
    let repairing = || format!("cannot repair the log in {}", folder.path().display());
    let mut renewed = None;
    for _ in 0..REPAIRS_MAX {
        let survey = Survey::take(folder).with_context(doing)?;
        ensure!(
            !survey.segments.iter().any(|segment| segment.is_newer),
            "the log in {} was written by a newer version of Tidings: run that, or use another folder",
            folder.path().display()
        );
        match survey.verdict() {
            Verdict::New => {
                for segment in &survey.segments {
                    std::fs::remove_file(folder.segment(segment.number)).with_context(repairing)?;
                }
                return Ok((Survey { segments: Vec::new(), ..survey }, new_epoch()));
            }
            Verdict::Whole { is_cut: false, .. } => {
                let Left::Meta(meta) = &survey.left else {
                    unreachable!("without it no log is whole")
                };
                let epoch = renewed.unwrap_or_else(|| meta.epoch());
                return Ok((survey, epoch));
            }
            Verdict::Whole { end, .. } => {
                info!(
                    segment = segment::name(end.segment),
                    bytes = end.bytes,
                    "what was being written when the process ended was never acknowledged, and is cut off"
                );
                repair::cut(folder, &survey, end).with_context(repairing)?;
            }
            Verdict::Lost(findings) => {
                for finding in &findings {
                    error!("the log is damaged: {}: {}", finding.place, finding.what);
                }
                let epoch = new_epoch();
                // First of all: whatever comes next, nobody goes on in the old epoch.
                Meta::new(epoch, durability, false).write(folder).with_context(repairing)?;
                let (aside, end) =
                    repair::salvage(folder, &survey, now_ms).with_context(repairing)?;
                if end.segment > 0 {
                    commit::CommitFile::begin(folder, end).with_context(repairing)?;
                }
                error!(
                    %epoch,
                    aside = aside.map(|path| path.display().to_string()),
                    "the log goes on in a new epoch with all of it that can be read; readers are told \
                     of a gap"
                );
                if end.segment == 0 {
                    // Nothing is left of it.
                    let survey = Survey { segments: Vec::new(), ..survey };
                    return Ok((survey, epoch));
                }
                renewed = Some(epoch);
            }
        }
    }
    bail!("the log in {} changes while it is read", folder.path().display())
}

fn new_epoch() -> Epoch {
    Epoch::from_random(fastrand::u64(..))
}

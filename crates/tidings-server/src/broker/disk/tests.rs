//! What becomes of a log that something has happened to: every byte of a small one, one after the
//! other, and whatever a power cut may leave.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tidings_hub::{
    Cursor, Epoch, Event, EventType, Hub, LogBounds, PageBounds, Payload, Position, Topic,
};

use super::super::idempotency::{IdempotencyKey, Seen};
use super::super::replica::Replica;
use super::super::{Outcome, Publication};
use super::restore::{Restored, restore};
use super::{Disk, Folder, Inspection, settle};
use crate::clock::Clock;
use crate::config::{self, Config, Durability};
use crate::metrics::Metrics;
use crate::revocations::{Revocation, Revocations, Subject};
use crate::traces::{Passage, Traces};

/// The files of a folder, by name.
type Files = BTreeMap<String, Vec<u8>>;

/// A node's part that a log is fed to.
struct Node {
    hub: Arc<Mutex<Hub>>,
    revoked: Arc<Mutex<Vec<Revocation>>>,
}

impl Node {
    fn new() -> (Self, Replica) {
        let bounds = LogBounds {
            events_per_topic_max: 1000,
            bytes_max: 1 << 24,
            age_max_ms: 3_600_000,
            topics_remembered_max: 100,
        };
        let hub = Arc::new(Mutex::new(Hub::new(Epoch::from_random(1), bounds)));
        let revoked = Arc::new(Mutex::new(Vec::new()));
        let clock = Clock::start();
        let metrics = Arc::new(Metrics::new(clock, "node".into(), 0, &[], Traces::default()));
        let heard = Arc::clone(&revoked);
        let on_revoked = Box::new(move |revocation| heard.lock().unwrap().push(revocation));
        let replica = Replica::new(Arc::clone(&hub), clock, metrics, Box::new(|_| {}), on_revoked);
        (Self { hub, revoked }, replica)
    }

    /// What its readers can read: payloads by position.
    fn events(&self) -> BTreeMap<u64, String> {
        let hub = self.hub.lock().unwrap();
        let all = PageBounds { events_max: usize::MAX, bytes_max: usize::MAX };
        let start = Cursor { epoch: hub.epoch(), position: Position::START };
        let events = hub.tail(start, all).events.into_iter();
        events.map(|event| (event.position().get(), event.data().to_owned())).collect()
    }

    fn cursor(&self) -> Cursor {
        self.hub.lock().unwrap().cursor()
    }
}

fn config(segment_bytes: u64) -> Config {
    let disk = config::Disk { segment_bytes, ..config::Disk::default() };
    Config { disk, ..Config::default() }
}

fn open(folder: &Path, config: &Config) -> (Disk, Node) {
    let (node, replica) = Node::new();
    (Disk::open(folder, config, replica).unwrap(), node)
}

fn key(number: u64) -> IdempotencyKey {
    let fingerprint = [7; 32];
    IdempotencyKey {
        publisher: "key:a".into(),
        text: number.to_string().into(),
        index: 0,
        fingerprint,
    }
}

fn publication(number: u64) -> Publication {
    let payload = Payload::text(&format!("event {number}"));
    let topic = Topic::new("a").unwrap();
    let event = Event::new(EventType::default(), [topic], payload, None, 1000).unwrap();
    // Every other one has a key.
    let key = number.is_multiple_of(2).then(|| key(number));
    Publication { event, key, received_ns: 0, passage: Passage::default() }
}

async fn publish(disk: &Disk, number: u64) -> Cursor {
    match disk.publish(vec![publication(number)]).await[..] {
        [Outcome::Stored(cursor)] => cursor,
        ref outcomes => panic!("{outcomes:?}"),
    }
}

fn revocation() -> Revocation {
    let day = std::time::Duration::from_hours(24);
    let now_ms = crate::clock::unix_ms();
    Revocations::default().revoke(Subject::User("ann"), now_ms, day, 10).unwrap()
}

/// In memory, where there is such a place: nothing here is about what a disk does.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        return tempfile::tempdir_in(memory).unwrap();
    }
    tempfile::tempdir().unwrap()
}

fn files(folder: &Path) -> Files {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file() && !path.ends_with("lock"));
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.map(|path| (name(&path), fs::read(&path).unwrap())).collect()
}

fn is_segment(name: &str) -> bool {
    super::segment::number_of(name).is_some()
}

fn put(folder: &Path, files: &Files) {
    fs::remove_dir_all(folder).unwrap();
    fs::create_dir(folder).unwrap();
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

/// A log of a process that was killed, and what it had acknowledged.
struct Killed {
    files: Files,
    epoch: Epoch,
    acknowledged: BTreeMap<u64, String>,
    revocation: Revocation,
}

/// Segments so small that there are several.
const SEGMENT_BYTES: u64 = 200;

async fn killed(events: u64) -> Killed {
    let folder = folder();
    let (disk, node) = open(folder.path(), &config(SEGMENT_BYTES));
    let revocation = revocation();
    disk.revoke(revocation).await.unwrap();
    for number in 1..=events {
        publish(&disk, number).await;
    }
    let acknowledged = node.events();
    assert_eq!(acknowledged.len() as u64, events);
    // What lies there now is what is left when the process is killed now.
    let files = files(folder.path());
    let epoch = node.cursor().epoch;
    disk.stop().await;
    Killed { files, epoch, acknowledged, revocation }
}

/// What a node that starts with a folder has then.
struct Found {
    epoch: Epoch,
    events: BTreeMap<u64, String>,
    revoked: Vec<Revocation>,
    restored: Restored,
}

fn find(folder: &Path) -> Found {
    let (node, replica) = Node::new();
    let at = Folder::new(folder);
    let (survey, epoch) = settle(&at, Durability::Fsync, 5).unwrap();
    let restored = restore(&at, &survey, epoch, &Config::default(), &replica).unwrap();
    let revoked = node.revoked.lock().unwrap().clone();
    Found { epoch, events: node.events(), revoked, restored }
}

impl Killed {
    /// Starts with these files: either all is there that was acknowledged, or the epoch is another; and
    /// nothing is ever there that was not published. Returns whether the epoch has stayed.
    fn check(&self, folder: &Path, files: &Files, what: &str) -> bool {
        put(folder, files);
        let mut found = find(folder);
        for (position, payload) in &found.events {
            assert_eq!(self.acknowledged.get(position), Some(payload), "{what}");
        }
        let kept = found.epoch == self.epoch;
        if kept {
            assert_eq!(found.events, self.acknowledged, "{what}");
            assert_eq!(found.revoked, [self.revocation], "{what}");
            for number in (2..=self.acknowledged.len() as u64).step_by(2) {
                let seen = found.restored.keys.look_up(&key(number), 0);
                assert!(matches!(seen, Seen::Same(_)), "{what}: key {number} is {seen:?}");
            }
        }
        // Whatever was done about it is done for good.
        let again = find(folder);
        assert_eq!(again.events, found.events, "{what}");
        kept
    }
}

#[tokio::test]
async fn a_log_with_any_byte_changed_or_any_end_missing_serves_nothing_wrong() {
    let killed = killed(6).await;
    let folder = folder();
    let segments = killed.files.keys().filter(|name| is_segment(name)).count();
    assert!(segments > 2, "{segments}");
    assert!(killed.check(folder.path(), &killed.files, "as it was"));
    let mut kept = 0;
    for (name, bytes) in &killed.files {
        for at in 0..bytes.len() {
            let mut flipped = killed.files.clone();
            flipped.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
            kept += usize::from(killed.check(folder.path(), &flipped, &format!("{name}: {at}")));
            let mut cut = killed.files.clone();
            cut.get_mut(name).unwrap().truncate(at);
            let what = format!("{name}: only {at}");
            assert!(!killed.check(folder.path(), &cut, &what) || name == "meta", "{what}");
        }
    }
    // The line end of `meta` may as well be another white space.
    assert!(kept <= 1, "{kept} changes went unnoticed");
}

#[tokio::test]
async fn a_log_without_one_of_its_files_is_another_log() {
    let killed = killed(6).await;
    let folder = folder();
    for name in killed.files.keys().skip(1) {
        let mut files = killed.files.clone();
        files.remove(name);
        assert!(!killed.check(folder.path(), &files, name), "{name}");
    }
}

#[tokio::test]
async fn what_was_never_acknowledged_is_cut_off_and_all_else_stays() {
    let folder = folder();
    let (disk, node) = open(folder.path(), &config(SEGMENT_BYTES));
    for number in 1..=12 {
        publish(&disk, number).await;
    }
    let (before, acknowledged) = (files(folder.path()), node.events());
    let epoch = node.cursor().epoch;
    for number in 13..=20 {
        publish(&disk, number).await;
    }
    let (after, all) = (files(folder.path()), node.events());
    disk.stop().await;
    let work = self::folder();
    let ends = |name: &String, bytes: &Vec<u8>| before.get(name).map_or(0, Vec::len)..=bytes.len();
    let segments = after.iter().filter(|(name, bytes)| before.get(*name) != Some(bytes));
    let mut tried = 0;
    for (name, bytes) in segments.filter(|(name, _)| is_segment(name)) {
        for end in ends(name, bytes) {
            // Written up to here and acknowledged up to there; what comes later had not begun.
            let mut files = before.clone();
            let earlier = after.iter().filter(|(it, _)| is_segment(it) && *it < name);
            files.extend(earlier.map(|(name, bytes)| (name.clone(), bytes.clone())));
            files.insert(name.clone(), bytes[..end].to_vec());
            put(work.path(), &files);
            let found = find(work.path());
            assert_eq!(found.epoch, epoch, "{name} up to {end}");
            assert!(found.events.len() >= acknowledged.len(), "{name} up to {end}");
            assert!(found.events.iter().all(|(at, it)| all.get(at) == Some(it)));
            assert!(!work.path().join("damaged-5").exists());
            tried += 1;
        }
    }
    assert!(tried > 400, "{tried}");
}

#[tokio::test]
async fn after_a_power_cut_a_torn_end_is_not_taken_for_one_that_was_never_acknowledged() {
    let killed = killed(3).await;
    let folder = folder();
    put(folder.path(), &killed.files);
    super::meta::tests::leave_in_another_boot(&Folder::new(folder.path()));
    let files = files(folder.path());
    assert!(killed.check(folder.path(), &files, "whole"), "a whole log is what it was");
    let newest = files.keys().rfind(|name| is_segment(name)).unwrap();
    let mut torn = files.clone();
    torn.get_mut(newest).unwrap().extend_from_slice(&[0; 100]);
    assert!(!killed.check(folder.path(), &torn, "torn"));
    assert_eq!(find(folder.path()).events, killed.acknowledged, "and yet all is there");
}

#[tokio::test]
async fn keys_and_revocations_outlive_damage_and_what_is_damaged_is_kept_aside() {
    let killed = killed(6).await;
    let folder = folder();
    let mut files = killed.files.clone();
    let oldest = files.keys().find(|name| is_segment(name)).unwrap().clone();
    let bytes = files.get_mut(&oldest).unwrap();
    // The last entry of the first segment: what comes after it in the next is another file.
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    put(folder.path(), &files);
    assert!(!Inspection::of(folder.path()).unwrap().faults().is_empty());
    let (disk, node) = open(folder.path(), &config(SEGMENT_BYTES));
    let damaged = fs::read_dir(folder.path()).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        path.file_name()?.to_str()?.starts_with("damaged-").then_some(path)
    });
    assert_eq!(fs::read(damaged.unwrap().join(&oldest)).unwrap(), files[&oldest]);
    let epoch = node.cursor().epoch;
    assert_ne!(epoch, killed.epoch);
    assert_eq!(*node.revoked.lock().unwrap(), [killed.revocation]);
    let events = node.events();
    assert_eq!(events.len(), 5, "{events:?}");
    // Said again, it is the same event, and its cursor is one of the new epoch.
    let cursor = publish(&disk, 6).await;
    assert_eq!((cursor.epoch, node.events()), (epoch, events));
    assert!(node.events().contains_key(&cursor.position.get()));
    disk.stop().await;
    assert!(Inspection::of(folder.path()).unwrap().faults().is_empty());
}

#[tokio::test]
async fn segments_that_nothing_is_needed_of_are_deleted_and_revocations_stay() {
    let folder = folder();
    let mut config = config(4096);
    config.idempotency.window_secs = 0;
    let (node, replica) = Node::new();
    let disk = Disk::open(folder.path(), &config, replica).unwrap();
    let revocation = revocation();
    disk.revoke(revocation).await.unwrap();
    for round in 0..10 {
        let publications = (0..300).map(|number| publication(round * 300 + number)).collect();
        disk.publish(publications).await;
    }
    disk.expire();
    // Its answer comes after the deletion.
    disk.revoke(revocation).await.unwrap();
    let before = Inspection::of(folder.path()).unwrap().stats();
    // A topic holds 1,000 events.
    assert!((1000..1700).contains(&before.events), "{before:?}");
    let cursor = node.cursor();
    disk.stop().await;
    let found = find(folder.path());
    assert_eq!((found.epoch, &found.revoked[..]), (cursor.epoch, &[revocation][..]));
    assert_eq!(found.events, node.events());
}

#[tokio::test]
async fn the_bytes_of_all_segments_are_bounded() {
    let folder = folder();
    let mut config = config(4096);
    config.disk.bytes_max = 65_536;
    let (disk, _node) = open(folder.path(), &config);
    for round in 0..10 {
        disk.publish((0..100).map(|number| publication(round * 100 + number)).collect()).await;
    }
    let stats = Inspection::of(folder.path()).unwrap().stats();
    assert!(stats.bytes < 2 * 65_536, "{stats:?}");
    let first: Cursor = stats.first.unwrap().parse().unwrap();
    assert!(first.position > Position::new(1), "{first}");
    disk.stop().await;
    // The rest is a log like any other.
    assert!(Inspection::of(folder.path()).unwrap().faults().is_empty());
    assert_eq!(find(folder.path()).events.len() as u64, stats.events);
}

#[tokio::test]
async fn a_folder_is_one_process_s_alone() {
    let folder = folder();
    let (disk, _node) = open(folder.path(), &Config::default());
    let (_, replica) = Node::new();
    let refused = Disk::open(folder.path(), &Config::default(), replica).unwrap_err().to_string();
    assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    disk.stop().await;
    open(folder.path(), &Config::default()).0.stop().await;
}

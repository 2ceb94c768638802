//! What becomes of a stream on which nothing happens: whether heartbeats come, and when it is cut.

use std::time::{Duration, Instant};

use tidings_client::Block;

use super::Doctor;
use super::advice::Fault;
use super::opening::Opened;
use super::report::Finding;

const CHECK: &str = "idle stream";
/// How often progress is told.
const TICK: Duration = Duration::from_secs(1);
/// Heartbeats that are waited for unless told otherwise, and the longest that this may take.
const HEARTBEATS: f64 = 2.5;
const WATCH_MAX: Duration = Duration::from_mins(2);
/// How much later than promised a heartbeat may come on a busy machine.
const LATE_FACTOR: f64 = 1.5;
const LATE: Duration = Duration::from_secs(2);

/// How long to watch, when nobody said.
pub(super) fn watch_for(heartbeat_secs: u64) -> Duration {
    let heartbeats = Duration::from_secs(heartbeat_secs.min(WATCH_MAX.as_secs()));
    let watch = heartbeats.mul_f64(HEARTBEATS).as_secs() + 1;
    Duration::from_secs(watch).min(WATCH_MAX)
}

/// Watches the stream until it has been open for so long, or has ended.
pub(super) async fn check(doctor: &Doctor, opened: &mut Opened, watch: Duration) -> Finding {
    let until = opened.at + watch;
    let mut closing = None;
    loop {
        let open_secs = opened.at.elapsed().as_secs();
        doctor.progress.say(&format!(
            "watching a stream without events: {open_secs} of {} s (--idle-secs)",
            watch.as_secs()
        ));
        let told = opened.stream.next(until.min(Instant::now() + TICK)).await;
        match told.map(|told| told.block) {
            Some(Block::Event(event)) if event.r#type == "tidings.closing" => {
                closing = Some(event.data);
            }
            None if opened.stream.is_over() || Instant::now() >= until => break,
            _ => {}
        }
    }
    judge(opened, closing, watch)
}

fn judge(opened: &Opened, closing: Option<String>, watch: Duration) -> Finding {
    let stream = &opened.stream;
    let heartbeat = Duration::from_secs(opened.connected.heartbeat_secs);
    let last = stream.last_bytes.unwrap_or(opened.at);
    // Nothing but a heartbeat comes after so long a silence, unless the topics are busy.
    let heartbeats = stream.silences.iter().filter(|silence| **silence > heartbeat / 2).count();
    let silence_max = stream.silences.iter().max().copied().unwrap_or_default();
    let secs = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    if let Some((at, how)) = &stream.end {
        let (age, silence) = (*at - opened.at, at.saturating_duration_since(last));
        if let Some(closing) = closing {
            let why = format!("Tidings itself ended the stream after {}: {closing}", secs(age));
            return Finding::unchecked(CHECK, why);
        }
        let survived = silence_max + Duration::from_millis(500) >= silence;
        if heartbeats > 0 && survived {
            let text = format!(
                "cut after {}, although heartbeats came: {how}. Something bounds the whole answer",
                secs(age)
            );
            return Finding::fault(CHECK, Fault::AgeCut, text);
        }
        let text = format!(
            "cut after {} of silence: {how}. The first heartbeat comes after {}",
            secs(silence),
            secs(heartbeat)
        );
        return Finding::fault(CHECK, Fault::IdleCut, text);
    }
    let silence = silence_max.max(last.elapsed());
    if silence > heartbeat.mul_f64(LATE_FACTOR) + LATE {
        let text = format!(
            "{} of silence, although a heartbeat is due every {}: something collects them",
            secs(silence),
            secs(heartbeat)
        );
        return Finding::fault(CHECK, Fault::HeartbeatHeld, text);
    }
    let text = match heartbeats {
        0 => format!(
            "not cut in {}; a heartbeat would be due after {} (--idle-secs to watch longer)",
            secs(watch),
            secs(heartbeat)
        ),
        1 => format!("not cut in {}; 1 heartbeat came", secs(watch)),
        more => format!("not cut in {}; {more} heartbeats came", secs(watch)),
    };
    Finding::good(CHECK, text)
}

//! The user memory of a connection that is open and silent: what the server's processes hold more
//! after the last connection than after the first few, so that what is needed once is not counted.
//! The kernel's sockets are not in it; they are the same for every server.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Run;
use crate::figures::{self, Figures};
use crate::target::Wish;

/// Connections that are open before memory is first read, at most; a tenth of all if that is less.
const FIRST: usize = 1000;
const LOOK_EVERY: Duration = Duration::from_millis(500);
const SETTLE_WITHIN: Duration = Duration::from_secs(15);

pub(super) fn round(mut run: Run<'_>, connections: usize, own_topics: bool) -> Result<Figures> {
    let first = FIRST.min(connections / 10);
    open(&mut run, 0..first, own_topics)?;
    let before = settled_bytes(&mut run)?;
    open(&mut run, first..connections, own_topics)?;
    let after = settled_bytes(&mut run)?;
    // All of them must still be there.
    run.linger()?;
    anyhow::ensure!(run.swarm.seen.ended == 0, "the server ended {} streams", run.swarm.seen.ended);

    let mut figures = Figures::default();
    let added = figures::real((connections - first) as u64);
    let each = (figures::real(after) - figures::real(before)) / added;
    figures.add(figures::MEMORY_PER_CONNECTION, each);
    figures.add(figures::MEMORY, figures::real(after));
    Ok(figures)
}

fn open(run: &mut Run<'_>, which: std::ops::Range<usize>, own_topics: bool) -> Result<()> {
    let requests = which
        .map(|number| {
            let topic =
                if own_topics { format!("{}/{number}", run.topic) } else { run.topic.clone() };
            let user = format!("bench-{number}");
            run.target.subscribe_request(Wish { topic: &topic, user: &user, last_event_id: None })
        })
        .collect();
    run.open(requests, None)
}

/// The memory once it is the same for a while: allocators give back late.
fn settled_bytes(run: &mut Run<'_>) -> Result<u64> {
    run.target.processes.wait_for_rest()?;
    let begun = Instant::now();
    let mut before = run.target.processes.memory_bytes()?;
    loop {
        std::thread::sleep(LOOK_EVERY);
        let now = run.target.processes.memory_bytes()?;
        if now.abs_diff(before) < 16 * 1024 || begun.elapsed() > SETTLE_WITHIN {
            return Ok(now);
        }
        before = now;
    }
}

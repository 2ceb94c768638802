//! All listeners drop, events are published meanwhile, and all come back at once with the id they
//! had. Beside it, on the same server: as many fresh connects, and as many live deliveries one event
//! at a time. The floor keeps no events, so only that calm part is measured there.

use anyhow::{Context, Result};

use super::Run;
use crate::figures::{self, Figures};
use crate::target::last_event_id;

pub(super) fn round(mut run: Run<'_>, listeners: usize, missed: u32) -> Result<Figures> {
    let requests = run.requests(listeners, None);
    let watch = run.watch()?;
    run.open(requests, None)?;
    let connects_ns = run.taken(&watch)?.server_ns;
    let mut sequence = run.warm_up()?;

    run.swarm.begin(sequence);
    let watch = run.watch()?;
    let mut due = 0;
    for _ in 0..missed {
        let now_ns = run.swarm.now_ns();
        run.publish(0, sequence, 1, now_ns)?;
        sequence += 1;
        due += listeners as u64;
        run.swarm
            .until(|swarm| swarm.seen.heard.accounted() >= due && swarm.publishers[0].is_idle())?;
    }
    let calm_ns = connects_ns + run.taken(&watch)?.server_ns;
    let heard = &run.swarm.seen.heard;
    let mut figures = Figures {
        lost: heard.lost + due.saturating_sub(heard.accounted()),
        repeated: heard.repeated,
        ..Figures::default()
    };
    if run.target.is_floor() {
        figures.add(figures::CALM_CPU, calm_ns);
        return Ok(figures);
    }

    let id = last_event_id(&run.swarm.seen.probe)
        .context("the server's events have no id, so nobody can resume")?;
    run.swarm.drop_listeners();
    run.target.processes.wait_for_rest()?;
    for number in 0..missed {
        let now_ns = run.swarm.now_ns();
        run.publish(0, sequence + number, 1, now_ns)?;
    }
    run.swarm.until(|swarm| swarm.publishers[0].is_idle())?;
    run.target.processes.wait_for_rest()?;

    run.swarm.begin(sequence);
    let requests = run.requests(listeners, Some(&id));
    let watch = run.watch()?;
    run.open(requests, Some(sequence))?;
    run.swarm.until(|swarm| swarm.seen.heard.accounted() >= due)?;
    let taken = run.taken(&watch)?;
    run.linger()?;

    let heard = &run.swarm.seen.heard;
    figures.lost += heard.lost + due.saturating_sub(heard.accounted());
    figures.repeated += heard.repeated;
    figures.add(figures::STORM_TIME, taken.secs * 1e9);
    figures.add(figures::STORM_CPU, taken.server_ns);
    figures.add(figures::CALM_CPU, calm_ns);
    figures.add(figures::STORM_TO_CALM, taken.server_ns / calm_ns);
    figures.add(figures::MEMORY, figures::real(run.target.processes.memory_bytes()?));
    figures.add(figures::CLIENT_BUSY, taken.client_busy);
    Ok(figures)
}

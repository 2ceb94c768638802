//! Events at a fixed rate, and how long each listener waits for them: from the moment an event was
//! meant to leave, not from when the generator got round to it, so that a server which holds up its
//! publisher is charged for every event that was due meanwhile.

use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use super::Run;
use crate::figures::{self, Figures};

/// Three digits count, up to a minute.
const LONGEST_NS: u64 = 60_000_000_000;

pub(super) fn round(mut run: Run<'_>, listeners: usize, per_sec: u32) -> Result<Figures> {
    run.connect(listeners)?;
    let mut sequence = run.warm_up()?;

    let period = Duration::from_secs(1) / per_sec;
    let period_ns = u64::try_from(period.as_nanos()).context("the period is too long")?;
    let events = (run.setup.round.as_secs_f64() * f64::from(per_sec)).ceil().max(1.0);
    run.swarm.begin(sequence);
    run.swarm.seen.heard.delays_ns =
        Some(Histogram::new_with_bounds(1, LONGEST_NS, 3).context("the bounds are possible")?);
    let watch = run.watch()?;
    run.swarm.start_timer(period)?;
    let start_ns = run.swarm.now_ns();
    let mut published: u64 = 0;
    while figures::real(published) < events {
        if !run.swarm.until(|swarm| swarm.seen.ticks > published)? {
            break;
        }
        while published < run.swarm.seen.ticks && figures::real(published) < events {
            published += 1;
            run.publish(0, sequence, 1, start_ns + published * period_ns)?;
            sequence += 1;
        }
    }
    let due = published * listeners as u64;
    run.swarm
        .until(|swarm| swarm.seen.heard.accounted() >= due && swarm.publishers[0].is_idle())?;
    let taken = run.taken(&watch)?;
    run.linger()?;

    let heard = &mut run.swarm.seen.heard;
    let delays = heard.delays_ns.take().context("delays were asked for")?;
    let mut figures = Figures {
        lost: heard.lost + due.saturating_sub(heard.accounted()),
        repeated: heard.repeated,
        ..Figures::default()
    };
    let at = |quantile| figures::real(delays.value_at_quantile(quantile));
    figures.add(figures::DELAY_P50, at(0.5));
    figures.add(figures::DELAY_P99, at(0.99));
    figures.add(figures::DELAY_P999, at(0.999));
    figures.add(figures::DELAY_MAX, figures::real(delays.max()));
    figures.add(figures::CPU_PER_DELIVERY, taken.server_ns / figures::real(heard.in_order));
    figures.add(figures::CLIENT_BUSY, taken.client_busy);
    Ok(figures)
}

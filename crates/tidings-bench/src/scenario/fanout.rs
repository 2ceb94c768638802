//! One topic, many listeners: a few events are published at once, and the next ones when every
//! listener has them. The figure that counts is the server's CPU time per delivery.

use std::time::Instant;

use anyhow::Result;

use super::Run;
use crate::figures::{self, Figures};

pub(super) fn round(mut run: Run<'_>, listeners: usize, waiting: u32) -> Result<Figures> {
    run.connect(listeners)?;
    let mut sequence = run.warm_up()?;

    run.swarm.begin(sequence);
    let watch = run.watch()?;
    let begun = Instant::now();
    let mut due = 0;
    while begun.elapsed() < run.setup.round {
        let now_ns = run.swarm.now_ns();
        run.publish(0, sequence, waiting, now_ns)?;
        sequence += waiting;
        due += u64::from(waiting) * listeners as u64;
        let all = run
            .swarm
            .until(|swarm| swarm.seen.heard.accounted() >= due && swarm.publishers[0].is_idle())?;
        if !all {
            break;
        }
    }
    let taken = run.taken(&watch)?;
    let reads = run.swarm.seen.reads;
    run.linger()?;

    let heard = &run.swarm.seen.heard;
    let deliveries = figures::real(heard.in_order);
    let mut figures = Figures {
        lost: heard.lost + due.saturating_sub(heard.accounted()),
        repeated: heard.repeated,
        ..Figures::default()
    };
    figures.add(figures::CPU_PER_DELIVERY, taken.server_ns / deliveries);
    figures.add(figures::DELIVERIES, deliveries / taken.secs);
    figures.add(figures::PER_RECEIVE, deliveries / figures::real(reads));
    figures.add(figures::CLIENT_BUSY, taken.client_busy);
    Ok(figures)
}

//! How many events a server takes with nobody listening: batches, on a few connections, the next
//! one on each as soon as the last is answered.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{Run, Taken};
use crate::figures::{self, Figures};
use crate::publisher::Publisher;
use crate::target::Events;

pub(super) fn round(mut run: Run<'_>, batch: u32, publishers: usize) -> Result<Figures> {
    let (events, taken) = load(&mut run, batch, publishers)?;
    let events = figures::real(events);
    let mut figures = Figures::default();
    figures.add(figures::EVENTS, events / taken.secs);
    figures.add(figures::CPU_PER_EVENT, taken.server_ns / events);
    figures.add(figures::CLIENT_BUSY, taken.client_busy);
    Ok(figures)
}

/// Publishes for the time of a round: how many events, and what that took.
pub(super) fn load(run: &mut Run<'_>, batch: u32, publishers: usize) -> Result<(u64, Taken)> {
    let mut request = Vec::new();
    let events = Events {
        topic: &run.topic.clone(),
        first_sequence: 1,
        count: batch,
        meant_at_ns: run.swarm.now_ns(),
        payload_bytes: run.setup.payload_bytes,
    };
    let answers = run.target.publish_request(events, &mut request);
    for _ in 0..publishers {
        run.swarm.add_publisher()?;
    }

    let watch = run.watch()?;
    let begun = Instant::now();
    let mut batches: u64 = 0;
    loop {
        let going = begun.elapsed() < run.setup.round;
        for publisher in &mut run.swarm.publishers {
            if going && publisher.is_idle() {
                publisher.ask(answers, |out| out.extend_from_slice(&request))?;
                batches += 1;
            }
        }
        let answered = run.swarm.until(|swarm| {
            let mut publishers = swarm.publishers.iter();
            if going {
                publishers.any(Publisher::is_idle)
            } else {
                publishers.all(Publisher::is_idle)
            }
        })?;
        ensure!(answered, "the server no longer answers");
        if !going {
            break;
        }
    }
    let taken = run.taken(&watch)?;
    Ok((batches * u64::from(batch), taken))
}

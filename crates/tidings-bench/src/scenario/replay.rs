//! One reader that missed many events comes back, again and again: how fast it gets them. The floor
//! writes the same bytes in one loop of blocking `write()`s.

use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::Run;
use crate::figures::{self, Figures};
use crate::target::{Events, Speech, last_event_id};

/// Events published at a time while the history is made.
const BATCH: u32 = 500;

pub(super) fn round(mut run: Run<'_>, events: u32, payload_bytes: usize) -> Result<Figures> {
    let (first, id) = match &run.target.speech {
        Speech::Floor(_) => (1, None),
        Speech::Server(_) => {
            run.connect(1)?;
            let first = run.warm_up()?;
            let id = last_event_id(&run.swarm.seen.probe)
                .context("the server's events have no id, so nobody can resume")?;
            (first, Some(id))
        }
    };
    run.swarm.drop_listeners();
    run.publish_history(first, events, payload_bytes)?;
    run.target.processes.wait_for_rest()?;

    let mut figures = Figures::default();
    let (mut replays, mut bytes, mut secs, mut server_ns) = (0_u32, 0, 0.0, 0.0);
    let begun = Instant::now();
    while begun.elapsed() < run.setup.round || replays == 0 {
        run.swarm.drop_listeners();
        run.swarm.begin(first);
        let watch = run.watch()?;
        run.resume(1, Some(id.as_deref().unwrap_or_default()), Some(first))?;
        let all = run.swarm.until(|swarm| swarm.seen.heard.accounted() >= events.into())?;
        let taken = run.taken(&watch)?;
        let heard = &run.swarm.seen.heard;
        if !all || heard.lost > 0 {
            bail!(
                "of {events} events a reader that resumes gets {}; does the server keep that many? \
                 (tidings: log.events_per_topic_max)",
                heard.in_order
            );
        }
        figures.repeated += heard.repeated;
        bytes += run.swarm.seen.bytes;
        replays += 1;
        secs += taken.secs;
        server_ns += taken.server_ns;
    }
    let count = f64::from(events) * f64::from(replays);
    figures.add(figures::EVENTS, count / secs);
    figures.add(figures::BYTES_PER_SEC, figures::real(bytes) / secs);
    figures.add(figures::CPU_PER_EVENT, server_ns / count);
    Ok(figures)
}

impl Run<'_> {
    fn publish_history(&mut self, first: u32, events: u32, payload_bytes: usize) -> Result<()> {
        if self.swarm.publishers.is_empty() {
            self.swarm.add_publisher()?;
        }
        let meant_at_ns = self.swarm.now_ns();
        if let Speech::Floor(template) = &self.target.speech {
            let (mut history, mut request) = (Vec::new(), Vec::new());
            for sequence in first..first + events {
                template.write(&mut history, sequence, meant_at_ns);
            }
            self.target.post("/replay", "text/event-stream", None, &[], &history, &mut request);
            self.swarm.publishers[0].ask(1, |out| out.extend_from_slice(&request))?;
            self.swarm.until(|swarm| swarm.publishers[0].is_idle())?;
            return Ok(());
        }
        let mut done = 0;
        while done < events {
            let count = BATCH.min(events - done);
            let topic = self.topic.clone();
            let first_sequence = first + done;
            let batch = Events { topic: &topic, first_sequence, count, meant_at_ns, payload_bytes };
            self.publish_sized(0, batch)?;
            self.swarm.until(|swarm| swarm.publishers[0].is_idle())?;
            done += count;
        }
        Ok(())
    }
}

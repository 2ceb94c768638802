//! The one place that reads the clocks, so that everything else can be told the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tidings_hub::Moment;

/// Wall time and uptime, read together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    pub(crate) fn now(self) -> Moment {
        let uptime_ms = self.started.elapsed().as_millis();
        Moment {
            unix_ms: unix_ms(),
            uptime_ms: u64::try_from(uptime_ms).expect("an uptime below 500 million years"),
        }
    }

    /// Nanoseconds since the start, for what must not be rounded.
    pub(crate) fn uptime_ns(self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).expect("an uptime below 500 years")
    }
}

/// Milliseconds since the Unix epoch; a clock set before 1970 reads as 0.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

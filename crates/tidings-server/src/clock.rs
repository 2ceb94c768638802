//! The one place that reads the clocks, so that everything else can be told the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidings_hub::Moment;
use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

/// Uptime at the start. What was published before this process began is older than it, and none is
/// kept for longer than this.
const AT_START: Duration = Duration::from_hours(31 * 24);

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
        let uptime_ms = self.uptime().as_millis();
        Moment {
            unix_ms: unix_ms(),
            uptime_ms: u64::try_from(uptime_ms).expect("an uptime below 500 million years"),
        }
    }

    /// Nanoseconds since the start, for what must not be rounded.
    pub(crate) fn uptime_ns(self) -> u64 {
        u64::try_from(self.uptime().as_nanos()).expect("an uptime below 500 years")
    }

    /// How long this process runs.
    pub(crate) fn runs_for(self) -> Duration {
        self.started.elapsed()
    }

    fn uptime(self) -> Duration {
        AT_START + self.started.elapsed()
    }
}

/// Milliseconds since the Unix epoch; a clock set before 1970 reads as 0.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Nanoseconds since the Unix epoch; a clock set before 1970 reads as 0.
pub(crate) fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A moment in milliseconds since the Unix epoch, as RFC 3339 writes it.
pub(crate) fn rfc_3339(unix_ms: u64) -> String {
    const FORMAT: StaticFormatDescription =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000);
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(FORMAT).expect("a format without an offset, of a time that has all its parts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_to_the_millisecond() {
        assert_eq!(rfc_3339(1_795_428_000_007), "2026-11-23T10:00:00.007Z");
        assert_eq!(rfc_3339(0), "1970-01-01T00:00:00.000Z");
    }
}

//! A timer descriptor for fixed rates: it counts every tick that was due, also those that nobody
//! was free to see, so that a slow server is charged for them. Knows nothing of events.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// Ticks at a fixed period from the moment it is made.
#[derive(Debug)]
pub(crate) struct Timer {
    descriptor: OwnedFd,
}

impl Timer {
    pub(crate) fn start(registry: &Registry, token: Token, period: Duration) -> Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)
            .context("cannot make a timer descriptor")?;
        registry
            .register(&mut SourceFd(&descriptor.as_raw_fd()), token, Interest::READABLE)
            .context("cannot watch a timer descriptor")?;
        let period = Timespec {
            tv_sec: i64::try_from(period.as_secs()).context("the period is too long")?,
            tv_nsec: period.subsec_nanos().into(),
        };
        let every = Itimerspec { it_interval: period, it_value: period };
        timerfd_settime(&descriptor, TimerfdTimerFlags::empty(), &every)
            .context("cannot start a timer")?;
        Ok(Self { descriptor })
    }

    /// Ticks since it was last asked.
    pub(crate) fn ticks(&self) -> u64 {
        let mut count = [0; 8];
        match rustix::io::read(&self.descriptor, &mut count) {
            Ok(_) => u64::from_ne_bytes(count),
            Err(_) => 0,
        }
    }
}

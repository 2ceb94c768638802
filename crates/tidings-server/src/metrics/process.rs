//! What the process itself takes of the machine, as Linux has it under `/proc`.

/// What the process takes. Where it cannot be found out, it is not told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Process {
    pub(crate) cpu_secs: Option<f64>,
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) open_fds: Option<u64>,
}

impl Process {
    /// Of this moment: three small files, and a look through the file descriptors.
    #[cfg(target_os = "linux")]
    pub(crate) fn now() -> Self {
        Self { cpu_secs: cpu_secs(), resident_bytes: resident_bytes(), open_fds: open_fds() }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn now() -> Self {
        Self::default()
    }

    /// Without the file descriptors, of which there may be a hundred thousand to look through.
    #[cfg(target_os = "linux")]
    pub(crate) fn of_a_pulse() -> Self {
        Self { cpu_secs: cpu_secs(), resident_bytes: resident_bytes(), open_fds: None }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn of_a_pulse() -> Self {
        Self::default()
    }
}

#[cfg(target_os = "linux")]
#[allow(clippy::cast_precision_loss, reason = "ticks are hundredths of a second")]
fn cpu_secs() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // pid (name) state …, where the name may hold anything: user and system time are the 12th and
    // the 13th after it.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(target_os = "linux")]
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(target_os = "linux")]
fn open_fds() -> Option<u64> {
    // The one that lists them is among them.
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(count).ok()?.checked_sub(1)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_takes_is_seen() {
        let before = Process::now();
        assert!(before.resident_bytes.unwrap() > 1024 * 1024);
        let files: Vec<_> =
            (0..50).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        assert!(Process::now().open_fds.unwrap() >= 50);
        drop(files);
        let mut spun = 0_u64;
        while Process::now().cpu_secs.unwrap() <= before.cpu_secs.unwrap() {
            spun += 1;
        }
        assert!(spun > 0);
    }
}

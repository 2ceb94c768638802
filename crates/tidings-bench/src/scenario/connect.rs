//! How fast streams open: from a fresh socket to the response head, each with a credential of its
//! own where tokens are minted, made beforehand.

use anyhow::Result;

use super::Run;
use crate::figures::{self, Figures};

pub(super) fn round(mut run: Run<'_>, connections: usize) -> Result<Figures> {
    let requests = run.requests(connections, None);
    let watch = run.watch()?;
    run.open(requests, None)?;
    let taken = run.taken(&watch)?;

    let mut figures = Figures::default();
    let count = figures::real(connections as u64);
    figures.add(figures::CONNECTS, count / taken.secs);
    figures.add(figures::CPU_PER_CONNECT, taken.server_ns / count);
    figures.add(figures::CLIENT_BUSY, taken.client_busy);
    Ok(figures)
}

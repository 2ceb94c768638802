//! Traces in a binary without the feature `otlp`: the same names, and nothing behind them.
#![allow(clippy::unused_self, reason = "with the feature, there is something behind it")]

use http::{HeaderMap, StatusCode};
use tidings_hub::{Event, Position};
use tracing::warn;

use super::{ENDPOINT_VARIABLES, variable};
use crate::clock::Clock;
use crate::config::Otlp;

// Nothing is carried through the server for what is not there.
const _: () = assert!(size_of::<(Traces, Request, Passage)>() == 0);

#[derive(Clone, Debug, Default)]
pub(crate) struct Traces(());

impl Traces {
    /// That `[otlp]` is not set was seen to by the configuration.
    #[expect(clippy::unnecessary_wraps, reason = "with the feature, it can fail")]
    pub(crate) fn start(_: &Otlp, _: Clock) -> anyhow::Result<Self> {
        if let Some(name) = ENDPOINT_VARIABLES.iter().find(|name| variable(name).is_some()) {
            warn!("{name} is set, but this binary was built without traces (the feature `otlp`)");
        }
        Ok(Self(()))
    }

    pub(crate) fn request(&self) -> Request {
        Request(())
    }

    pub(crate) const fn are_under_way(&self) -> bool {
        false
    }

    pub(crate) fn heard(&self, _: Position, _: impl FnOnce() -> usize) {}

    pub(crate) fn landed(&self, _: Position, _: u64) {}

    pub(crate) fn settle(&self, _: u64) {}

    #[expect(clippy::unused_async, reason = "with the feature, it waits")]
    pub(crate) async fn finish(&self) {}
}

#[derive(Debug)]
pub(crate) struct Request(());

impl Request {
    pub(crate) fn is_let_in(&mut self, _: &HeaderMap) {}

    pub(crate) fn publication(&self, _: &Event) -> Passage {
        Passage(())
    }

    pub(crate) fn refuses_one(&self) {}

    pub(crate) fn appends(&self) {}

    pub(crate) fn appended(&self) {}

    pub(crate) fn answers(self, _: StatusCode) {}
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Passage(());

impl Passage {
    #[expect(clippy::unused_self, reason = "with traces it depends")]
    pub(crate) fn is_traced(&self) -> bool {
        false
    }

    pub(crate) fn departs(&self, _: Position, _: u64) {}
}

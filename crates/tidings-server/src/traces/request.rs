//! What a publish request and its publications carry of their trace: nothing, unless it is sampled.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tidings_hub::{Event, Position};

use super::otlp::Tracing;
use super::trace::Trace;

/// A publish request. Dropped unanswered, its spans end there and then.
#[derive(Default)]
pub(crate) struct Request {
    tracing: Option<Arc<Tracing>>,
    began_ns: u64,
    trace: Option<Arc<Trace>>,
}

impl Request {
    pub(super) fn begin(tracing: Option<Arc<Tracing>>) -> Self {
        let began_ns = tracing.as_ref().map_or(0, |tracing| tracing.clock.uptime_ns());
        Self { tracing, began_ns, trace: None }
    }

    /// Its sender may publish. Traced from here on, if `traceparent` or the dice say so: whoever may
    /// not publish has no say in what is exported.
    pub(crate) fn is_let_in(&mut self, headers: &HeaderMap) {
        let Some(tracing) = &self.tracing else { return };
        let propagator = TraceContextPropagator::new();
        // With nothing around it: the only parent there is is the sender's.
        let parent = propagator.extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let now_ns = tracing.clock.uptime_ns();
        self.trace = Trace::begin(&tracing.tracer, &parent, self.began_ns, now_ns).map(Arc::new);
    }

    /// One of its events goes to the broker.
    pub(crate) fn publication(&self, event: &Event) -> Passage {
        let Some((tracing, trace)) = self.sampled() else { return Passage::default() };
        trace.carries(event);
        Passage(Some((Arc::clone(tracing), Arc::clone(trace))))
    }

    /// One of its events is refused.
    pub(crate) fn refuses_one(&self) {
        if let Some((_, trace)) = self.sampled() {
            trace.refuses_one();
        }
    }

    /// The broker gets to work.
    pub(crate) fn appends(&self) {
        if let Some((tracing, trace)) = self.sampled() {
            trace.appends(tracing.clock.uptime_ns());
        }
    }

    /// The broker is done.
    pub(crate) fn appended(&self) {
        if let Some((tracing, trace)) = self.sampled() {
            trace.appended(tracing.clock.uptime_ns());
        }
    }

    pub(crate) fn answers(mut self, status: StatusCode) {
        self.end(Some(status));
    }

    fn end(&mut self, status: Option<StatusCode>) {
        if let (Some(tracing), Some(trace)) = (&self.tracing, self.trace.take()) {
            let now_ns = tracing.clock.uptime_ns();
            trace.appended(now_ns);
            trace.answers(status, now_ns);
        }
    }

    fn sampled(&self) -> Option<(&Arc<Tracing>, &Arc<Trace>)> {
        self.tracing.as_ref().zip(self.trace.as_ref())
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.end(None);
    }
}

/// What goes along with one publication.
#[derive(Clone, Default)]
pub(crate) struct Passage(Option<(Arc<Tracing>, Arc<Trace>)>);

impl Passage {
    /// Whether anything goes along.
    pub(crate) fn is_traced(&self) -> bool {
        self.0.is_some()
    }

    /// The event is stored. To be said before anyone can read it.
    pub(crate) fn departs(&self, position: Position, stored_ns: u64) {
        if let Some((tracing, trace)) = &self.0 {
            tracing.under_way.follow(position, stored_ns, trace);
        }
    }
}

impl fmt::Debug for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Passage(traced)" } else { "Passage" })
    }
}

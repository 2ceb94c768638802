//! One trace: a publish request that is sampled, and its three spans.
//!
//! `publish` is the request, `append` what the broker does of it, `deliver` the time from the first of
//! its events being stored to the last listener's socket. There are never more than these, however many
//! events a request carries.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span as _, SpanContext, SpanKind, Status, TraceContextExt as _};
use opentelemetry::trace::{SpanBuilder, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use tidings_hub::{Event, EventType, Position, Topic};

use http::StatusCode;

pub(super) struct Trace {
    tracer: SdkTracer,
    times: Times,
    publish: SpanContext,
    progress: Mutex<Progress>,
}

/// How uptime becomes wall time: anew for each trace, because a wall clock may be set.
#[derive(Clone, Copy)]
struct Times {
    uptime_ns: u64,
    wall: SystemTime,
}

/// How far it has come.
struct Progress {
    /// The span of the request, until it is answered.
    publish: Option<Span>,
    events: usize,
    refused: usize,
    bytes: usize,
    types: HashSet<EventType>,
    topics: HashSet<Topic>,
    /// While the broker is at work.
    append_began_ns: Option<u64>,
    stored: usize,
    first_stored_ns: u64,
    last_stored_ns: u64,
    position: Position,
    /// Events that are on their way.
    flying: usize,
    listeners: usize,
    written_ns: u64,
}

impl Trace {
    /// A request that began then; nothing if it is not sampled. `parent` is what it came with.
    pub(super) fn begin(
        tracer: &SdkTracer,
        parent: &Context,
        began_ns: u64,
        now_ns: u64,
    ) -> Option<Self> {
        let times = Times { uptime_ns: now_ns, wall: SystemTime::now() };
        let request = [
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("http.route", "/api/events"),
        ];
        let builder = SpanBuilder::from_name("publish")
            .with_kind(SpanKind::Server)
            .with_start_time(times.wall(began_ns))
            .with_attributes(request);
        let span = tracer.build_with_context(builder, parent);
        // One that is recorded and not sampled would go nowhere.
        if !span.span_context().is_sampled() {
            return None;
        }
        Some(Self {
            tracer: tracer.clone(),
            times,
            publish: span.span_context().clone(),
            progress: Mutex::new(Progress {
                publish: Some(span),
                events: 0,
                refused: 0,
                bytes: 0,
                types: HashSet::new(),
                topics: HashSet::new(),
                append_began_ns: None,
                stored: 0,
                first_stored_ns: 0,
                last_stored_ns: 0,
                position: Position::default(),
                flying: 0,
                listeners: 0,
                written_ns: 0,
            }),
        })
    }

    pub(super) fn carries(&self, event: &Event) {
        let mut progress = self.progress();
        progress.events += 1;
        progress.bytes += event.payload().as_str().len();
        progress.types.insert(event.event_type().clone());
        progress.topics.extend(event.topics().iter().cloned());
    }

    pub(super) fn refuses_one(&self) {
        self.progress().refused += 1;
    }

    pub(super) fn appends(&self, now_ns: u64) {
        self.progress().append_began_ns = Some(now_ns);
    }

    /// One of its events was stored, before anyone could read it.
    pub(super) fn departs(&self, position: Position, stored_ns: u64) {
        let mut progress = self.progress();
        if progress.stored == 0 {
            progress.first_stored_ns = stored_ns;
        }
        progress.stored += 1;
        progress.flying += 1;
        progress.last_stored_ns = progress.last_stored_ns.max(stored_ns);
        progress.written_ns = progress.written_ns.max(stored_ns);
        progress.position = progress.position.max(position);
    }

    pub(super) fn is_heard_by(&self, listeners: usize) {
        self.progress().listeners += listeners;
    }

    /// One of its events has reached its last listener.
    pub(super) fn lands(&self, written_ns: u64) {
        let mut progress = self.progress();
        progress.written_ns = progress.written_ns.max(written_ns);
        progress.flying = progress.flying.saturating_sub(1);
        self.deliver_if_over(&progress);
    }

    /// The broker is done. What it stored, it had done with when it was stored: the rest of its time
    /// it was handing on.
    pub(super) fn appended(&self, now_ns: u64) {
        let mut progress = self.progress();
        let Some(began_ns) = progress.append_began_ns.take() else { return };
        let ended_ns = if progress.stored > 0 { progress.last_stored_ns } else { now_ns };
        let mut attributes = vec![
            count("tidings.events", progress.events),
            count("tidings.stored", progress.stored),
        ];
        attributes.extend(progress.position());
        self.child("append", began_ns, ended_ns, attributes);
        self.deliver_if_over(&progress);
    }

    /// The request is answered, or was given up.
    pub(super) fn answers(&self, status: Option<StatusCode>, now_ns: u64) {
        let mut progress = self.progress();
        let Some(mut span) = progress.publish.take() else { return };
        span.set_attributes([
            count("tidings.events", progress.events),
            count("tidings.refused", progress.refused),
            count("tidings.types", progress.types.len()),
            count("tidings.topics", progress.topics.len()),
            count("tidings.bytes", progress.bytes),
        ]);
        if let Some(status) = status {
            let code = i64::from(status.as_u16());
            span.set_attribute(KeyValue::new("http.response.status_code", code));
            if status.is_server_error() {
                span.set_status(Status::error(""));
            }
        }
        span.end_with_timestamp(self.times.wall(now_ns));
    }

    /// When there is nothing more to come and nothing on its way.
    fn deliver_if_over(&self, progress: &Progress) {
        if progress.append_began_ns.is_some() || progress.flying > 0 || progress.stored == 0 {
            return;
        }
        let mut attributes = vec![
            count("tidings.events", progress.stored),
            count("tidings.listeners", progress.listeners),
        ];
        attributes.extend(progress.position());
        self.child("deliver", progress.first_stored_ns, progress.written_ns, attributes);
    }

    fn child(&self, name: &'static str, from_ns: u64, to_ns: u64, attributes: Vec<KeyValue>) {
        let parent = Context::new().with_remote_span_context(self.publish.clone());
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Internal)
            .with_start_time(self.times.wall(from_ns))
            .with_attributes(attributes);
        let mut span = self.tracer.build_with_context(builder, &parent);
        span.end_with_timestamp(self.times.wall(to_ns.max(from_ns)));
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// Where the last of its events stands, if any was stored.
    fn position(&self) -> Option<KeyValue> {
        let position = i64::try_from(self.position.get()).unwrap_or(i64::MAX);
        (self.stored > 0).then(|| KeyValue::new("tidings.position", position))
    }
}

impl Times {
    fn wall(self, uptime_ns: u64) -> SystemTime {
        if uptime_ns >= self.uptime_ns {
            self.wall + Duration::from_nanos(uptime_ns - self.uptime_ns)
        } else {
            self.wall - Duration::from_nanos(self.uptime_ns - uptime_ns)
        }
    }
}

fn count(name: &'static str, number: usize) -> KeyValue {
    KeyValue::new(name, i64::try_from(number).unwrap_or(i64::MAX))
}

//! Traces: the way of a publish request, from its first byte to the last listener's socket, as spans.
//!
//! A trace knows when things happened and how many there were; never what was in an event, which topics
//! it had or who sent it. With the feature `otlp` those that are sampled go to a collector. Without it
//! everything here is nothing, in memory and in time.

#[cfg(feature = "otlp")]
mod courier;
#[cfg(not(feature = "otlp"))]
mod off;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(feature = "otlp")]
mod request;
#[cfg(feature = "otlp")]
mod trace;
#[cfg(feature = "otlp")]
mod under_way;

#[cfg(not(feature = "otlp"))]
pub(crate) use off::{Passage, Request, Traces};
#[cfg(feature = "otlp")]
pub(crate) use otlp::Traces;
#[cfg(feature = "otlp")]
pub(crate) use request::{Passage, Request};

/// The standard's variables that say where traces go, the stronger first: one has the whole address,
/// the other what goes before `/v1/traces`.
const ENDPOINT_VARIABLES: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// A variable of the environment that is not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

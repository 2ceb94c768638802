//! `[otlp]`: where traces go, and which of them.
//!
//! Names and bounds, as in `sections`. Only a binary that was built with the feature `otlp` takes any
//! of these.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::source::Said;
use super::{Config, HttpUrl};

/// `[otlp]`: traces of publish requests, for an OpenTelemetry collector. Only for binaries that were
/// built with the feature `otlp`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// The collector, to whose `/v1/traces` spans are posted. Setting it turns traces on. Not set,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` does.
    #[schemars(extend("examples" = ["http://127.0.0.1:4318"]))]
    pub endpoint: Option<HttpUrl>,
    /// The part of the requests that is traced, among those whose `traceparent` does not decide it.
    /// Not set, `OTEL_TRACES_SAMPLER` says, and all are traced if that is not set either.
    #[schemars(range(min = 0, max = 1), extend("examples" = [0.01]))]
    pub ratio: Option<f64>,
    /// What traces call this service. Not set, `OTEL_SERVICE_NAME` does, or else it is `tidings`.
    #[schemars(length(min = 1, max = 256), extend("examples" = ["tidings"]))]
    pub service_name: Option<String>,
}

/// Tells what keeps a node from starting: a setting that this binary can do nothing with.
pub(super) fn unmet(
    config: &Config,
    said: &Said,
    complain: &mut dyn FnMut(&str, String, Option<String>),
) {
    if cfg!(feature = "otlp") || config.otlp == Otlp::default() {
        return;
    }
    let paths = ["otlp.endpoint", "otlp.ratio", "otlp.service_name"];
    for path in paths.into_iter().filter(|path| said.was_given(path)) {
        let what = "cannot be used: this binary was built without traces".to_owned();
        let line = "take it out, or build one with: cargo build --release --features jemalloc,otlp";
        complain(path, what, Some(line.to_owned()));
    }
}

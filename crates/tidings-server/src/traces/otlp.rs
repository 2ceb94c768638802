//! Where traces go and which of them: the settings and the standard's variables, as an exporter of
//! spans over OTLP/HTTP with a sampler before it.
//!
//! What a trace consists of is in `trace`, what is on its way in `under_way`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{InstrumentationScope, Key};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tidings_hub::Position;
use tracing::info;

use super::courier::Courier;
use super::request::Request;
use super::under_way::UnderWay;
use super::{ENDPOINT_VARIABLES, variable};
use crate::clock::Clock;
use crate::config::{HttpUrl, Otlp};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What a node is called where nobody says otherwise.
const SERVICE_NAME: &str = "tidings";
/// How long a batch may take to reach the collector, all tries together.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a node that stops waits for its last spans to go.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// A handle on the traces of a node. Cloning shares it. The default has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces(Option<Arc<Tracing>>);

/// A node whose traces go somewhere.
pub(super) struct Tracing {
    provider: SdkTracerProvider,
    pub(super) tracer: SdkTracer,
    pub(super) clock: Clock,
    pub(super) under_way: UnderWay,
}

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracing")
    }
}

impl Traces {
    /// Begins if it is said where traces go.
    pub(crate) fn start(otlp: &Otlp, clock: Clock) -> anyhow::Result<Self> {
        let Some(endpoint) = endpoint(otlp)? else { return Ok(Self::default()) };
        let courier = Courier::new(&endpoint, EXPORT_TIMEOUT).context("cannot export traces")?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(courier)
            .with_endpoint(endpoint.to_string())
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .context("cannot export traces")?;
        // What is not set here, the standard's variables or its defaults decide.
        let mut provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource(otlp.service_name.as_deref()));
        if let Some(ratio) = otlp.ratio {
            let others = Box::new(Sampler::TraceIdRatioBased(ratio));
            provider = provider.with_sampler(Sampler::ParentBased(others));
        }
        let provider = provider.build();
        let scope = InstrumentationScope::builder("tidings").with_version(VERSION).build();
        let tracer = provider.tracer_with_scope(scope);
        // Not the path or the query, which may hold a key.
        info!(host = endpoint.url().host_str(), "traces are exported");
        let under_way = UnderWay::default();
        Ok(Self(Some(Arc::new(Tracing { provider, tracer, clock, under_way }))))
    }

    /// A publish request that begins.
    pub(crate) fn request(&self) -> Request {
        Request::begin(self.0.clone())
    }

    /// Whether any event is on its way whose publication is traced. All that the others cost, on the
    /// way to their listeners, is this question.
    pub(crate) fn are_under_way(&self) -> bool {
        self.0.as_ref().is_some_and(|tracing| tracing.under_way.is_any())
    }

    /// So many listeners are about to be written an event: counted if it is traced. To be said before
    /// it has landed.
    pub(crate) fn heard(&self, position: Position, listeners: impl FnOnce() -> usize) {
        if let Some(tracing) = &self.0 {
            tracing.under_way.heard(position, listeners);
        }
    }

    /// An event was written to the last listener's socket, then.
    pub(crate) fn landed(&self, position: Position, written_ns: u64) {
        if let Some(tracing) = &self.0 {
            tracing.under_way.landed(position, written_ns);
        }
    }

    /// Gives up waiting for events that nobody says anything of. To be called about once a second.
    pub(crate) fn settle(&self, now_ns: u64) {
        if let Some(tracing) = &self.0 {
            tracing.under_way.settle(now_ns);
        }
    }

    /// Sends what was not sent yet; to be called when nothing is published any more.
    pub(crate) async fn finish(&self) {
        let Some(tracing) = &self.0 else { return };
        tracing.under_way.settle(u64::MAX);
        let provider = tracing.provider.clone();
        let shut_down = move || provider.shutdown_with_timeout(FINISH_WITHIN);
        // What could not be sent, the courier has told.
        let _ = tokio::task::spawn_blocking(shut_down).await;
    }
}

/// The whole address that spans are posted to; nothing when traces are off.
fn endpoint(otlp: &Otlp) -> anyhow::Result<Option<HttpUrl>> {
    let below = |base: &str| format!("{}/v1/traces", base.trim_end_matches('/'));
    let checked = |name: &str, url: String| {
        HttpUrl::try_from(url).map_err(|error| anyhow::anyhow!("{name} is wrong: {error}"))
    };
    if let Some(base) = &otlp.endpoint {
        return checked("otlp.endpoint", below(base.url().as_str())).map(Some);
    }
    let is_off = variable("OTEL_SDK_DISABLED")
        .is_some_and(|flag| flag.eq_ignore_ascii_case("true"))
        || variable("OTEL_TRACES_EXPORTER").is_some_and(|name| name == "none");
    if is_off {
        return Ok(None);
    }
    let [whole, base] = ENDPOINT_VARIABLES;
    if let Some(url) = variable(whole) {
        return checked(whole, url).map(Some);
    }
    variable(base).map(|url| checked(base, below(&url))).transpose()
}

/// Who the spans are from: `OTEL_RESOURCE_ATTRIBUTES`, and a name in any case.
fn resource(service_name: Option<&str>) -> Resource {
    let version = opentelemetry::KeyValue::new("service.version", VERSION);
    let named = Resource::builder().build().get(&Key::from_static_str("service.name"));
    let is_named = named.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let builder = Resource::builder().with_attribute(version);
    match service_name {
        Some(name) => builder.with_service_name(name.to_owned()).build(),
        None if is_named => builder.build(),
        None => builder.with_service_name(SERVICE_NAME).build(),
    }
}

//! From a request to an answer: one file per route family, and the one error table.
//!
//! Only this part knows axum and status codes. It translates: what is asked becomes a selection
//! and a start, what was decided becomes an answer.

mod admin;
mod body;
mod connections;
mod cors;
mod dashboard;
mod dev;
mod health;
mod limited;
mod metrics;
mod openapi;
mod polling;
mod problem;
mod publish;
mod query;
mod rate_limit;
mod revocations;
mod site;
mod sse;
mod stats;
mod tokens;
mod topic_events;
mod topics;
mod who;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::{ArcSwap, Guard};
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::{HeaderValue, Version, header};

use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::Config;
use crate::delivery::Delivery;
use crate::identity::{Authenticator, LiveSessions};
use crate::limits::{Limits, Quota, Subject, Verdict};
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::revocations::Revocations;
use crate::stats::Stats;
use crate::traces::Traces;
pub(crate) use problem::Problem;
use problem::Refused;
pub(crate) use sse::{OwnSocket, Peer, Stalled};

/// What the routes work with.
pub(crate) struct Hub {
    pub(crate) settings: ArcSwap<Settings>,
    pub(crate) broker: Arc<Broker>,
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) limits: Limits,
    pub(crate) live_sessions: LiveSessions,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) traces: Traces,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) stats: Stats,
    /// Requests that were let in for nothing but a `userId` parameter.
    pub(crate) insecure_user_ids: AtomicU64,
}

/// What a reload may change, swapped as one.
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) authenticator: Authenticator,
}

type Shared = Arc<Hub>;

impl Hub {
    fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// Takes one use of a limit, if there is one left: on all nodes where they share a broker.
    async fn take(&self, subject: Subject<'_>, quota: Quota, keys_max: usize) -> Verdict {
        if quota.limit == 0 {
            return Verdict::UNLIMITED;
        }
        if let Some(verdict) = self.broker.take(subject.shared(), quota).await {
            self.limits.count(subject, verdict);
            return verdict;
        }
        self.limits.take(subject, quota, keys_max, self.clock.uptime_ns())
    }
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    /// All there is.
    Everything,
    /// All but what is an operator's, which has a listener of its own.
    Public,
    /// What is an operator's.
    Admin,
}

/// All routes of a surface, under the base path.
pub(crate) fn router(hub: Arc<Hub>, surface: Surface) -> Router {
    let (base_path, dev) = {
        let settings = hub.settings();
        (settings.config.base_path.as_str().to_owned(), settings.config.dev)
    };
    let routes = match surface {
        Surface::Everything => shared_routes()
            .merge(event_routes())
            .merge(application_routes())
            .merge(admin_routes(surface)),
        Surface::Public => shared_routes().merge(event_routes()).merge(application_routes()),
        // With the way to the events, because the dashboard may talk to no other address.
        Surface::Admin => shared_routes().merge(event_routes()).merge(admin_routes(surface)),
    };
    let routes = match base_path.as_str() {
        "" => routes,
        base_path => Router::new().nest(base_path, routes),
    };
    let mut routes = routes
        .fallback(|| async { Problem::not_found("See /openapi.json for what there is.") })
        .layer(cors::layer(Arc::clone(&hub)));
    if dev && surface != Surface::Admin {
        // Not nested: a nested `/` would answer to the base path without its final `/`. And not for
        // other origins, whichever are allowed: the page has a token for everything.
        routes = routes.route(&format!("{base_path}/"), get(dev::page));
    }
    routes.layer(middleware::from_fn_with_state(Arc::clone(&hub), harden)).with_state(hub)
}

fn shared_routes() -> Router<Shared> {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/openapi.json", get(openapi::document))
}

fn event_routes() -> Router<Shared> {
    Router::new()
        .route("/api/sse", get(sse::stream))
        .route("/api/polling", get(polling::poll))
        .route("/api/events", post(publish::publish))
}

fn application_routes() -> Router<Shared> {
    Router::new()
        .route("/api/sse/token", post(tokens::mint))
        .route("/api/rate-limit", post(rate_limit::take))
}

fn admin_routes(surface: Surface) -> Router<Shared> {
    let exposition = match surface {
        Surface::Admin => get(metrics::exposition_for_anyone),
        Surface::Everything | Surface::Public => get(metrics::exposition),
    };
    Router::new()
        .route("/metrics", exposition)
        .route("/api/admin/sse-metrics", get(metrics::sse_metrics))
        .route("/api/revocations", post(revocations::revoke))
        .route("/admin", get(dashboard::folder))
        .route("/admin/", get(dashboard::page))
        .route("/admin/assets/{name}", get(dashboard::asset))
        .route("/api/admin/stats", get(stats::history))
        .route("/api/admin/topics", get(topics::list))
        .route("/api/admin/topics/{topic}/events", get(topic_events::list))
        .route("/api/admin/connections", get(connections::list))
        .route("/api/admin/connections/{connection}", delete(connections::close))
}

fn get<H, T>(handler: H) -> MethodRouter<Shared>
where
    H: axum::handler::Handler<T, Shared>,
    T: 'static,
{
    // GET answers HEAD too.
    on(MethodFilter::GET, handler).fallback(|| async { Problem::method_not_allowed("GET, HEAD") })
}

fn post<H, T>(handler: H) -> MethodRouter<Shared>
where
    H: axum::handler::Handler<T, Shared>,
    T: 'static,
{
    on(MethodFilter::POST, handler).fallback(|| async { Problem::method_not_allowed("POST") })
}

fn delete<H, T>(handler: H) -> MethodRouter<Shared>
where
    H: axum::handler::Handler<T, Shared>,
    T: 'static,
{
    on(MethodFilter::DELETE, handler).fallback(|| async { Problem::method_not_allowed("DELETE") })
}

/// Lets no request through that a proxy in front may have understood otherwise, that is for another
/// server, or that a page elsewhere has sent with somebody's cookie; and adds what every answer
/// carries: a URL may hold a token, so it is never sent on as a referrer.
async fn harden(State(hub): State<Shared>, request: Request, next: Next) -> Response {
    let mut response = match unambiguous(&request) {
        Ok(()) => {
            let judged = is_for_us(&hub.settings().config, &request);
            match judged {
                Ok(()) => next.run(request).await,
                Err(problem) => {
                    let (parts, mut body) = request.into_parts();
                    body::discard(&mut body, &parts.headers).await;
                    problem.into_response()
                }
            }
        }
        Err(problem) => problem.into_response(),
    };
    if let Some(&Refused(code)) = response.extensions().get() {
        hub.metrics.refused(code);
    }
    let headers = response.headers_mut();
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn is_for_us(config: &Config, request: &Request) -> Result<(), Problem> {
    site::allow_host(config, request.uri(), request.headers())?;
    site::allow_origin(config, request.method(), request.headers())
}

/// RFC 9112, 3.2 and 6.1: one host, and a body that ends in one way. The parser has seen to the
/// rest; a length beside chunks it ignores, and closes.
fn unambiguous(request: &Request) -> Result<(), Problem> {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Err(Problem::invalid_request("Send one Host header."));
    }
    let mut codings = request.headers().get_all(header::TRANSFER_ENCODING).iter();
    let chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if codings.next().is_some_and(|coding| !chunked(coding)) || codings.next().is_some() {
        return Err(Problem::invalid_request("The one Transfer-Encoding there may be is chunked."));
    }
    Ok(())
}

/// An answer in JSON.
fn json(body: Vec<u8>, cache_control: &'static str) -> Response {
    let headers =
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, cache_control)];
    (headers, body).into_response()
}

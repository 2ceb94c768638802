//! Where logs go: to stderr, as text on a terminal and as JSON everywhere else.
//!
//! `TIDINGS_LOG` chooses what is logged, in the form of `tracing`'s filters: `debug`, or
//! `tidings_server=trace,hyper=info`.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// The variable with the filter.
const FILTER_VARIABLE: &str = "TIDINGS_LOG";
/// What NATS's own library says of a connection is said by the broker, once.
const FILTER_DEFAULT: &str = "info,async_nats=off";

/// Starts logging. A filter that cannot be read is said to be so and not used.
pub(crate) fn start() {
    let text = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let text = if text.is_empty() { FILTER_DEFAULT } else { &text };
    let (filter, refused) = match EnvFilter::try_new(text) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(FILTER_DEFAULT), Some(error)),
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    if stderr().is_terminal() {
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        logs.with_ansi(colours).with_target(false).init();
    } else {
        logs.json().init();
    }
    if let Some(error) = refused {
        tracing::warn!(%error, "{FILTER_VARIABLE} is not a filter; logging at {FILTER_DEFAULT}");
    }
}

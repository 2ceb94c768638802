//! Tidings as the server of a run: how it is started so that a load from one address meets no cap
//! that is there for abuse. The one file here that knows Tidings' settings.

use std::path::Path;

use crate::process::Program;
use crate::run::{LogSpeech, OwnServer};

/// Caps off, and as many events kept as a replay asks for.
const SETTINGS: &[(&str, &str)] = &[
    ("TIDINGS_LIMITS__SSE__LIMIT", "0"),
    ("TIDINGS_LIMITS__CONNECTIONS_PER_NODE", "0"),
    ("TIDINGS_LIMITS__CONNECTIONS_PER_USER", "0"),
    ("TIDINGS_LIMITS__CONNECTIONS_PER_ADDRESS", "0"),
    ("TIDINGS_LOG__EVENTS_PER_TOPIC_MAX", "20000"),
    ("TIDINGS_LOG", "warn"),
];

/// A log that keeps all that a round publishes.
const LOG_SETTINGS: &[(&str, &str)] = &[
    ("TIDINGS_BROKER", "disk:{folder}/log"),
    ("TIDINGS_LOG__EVENTS_PER_TOPIC_MAX", "1000000"),
    ("TIDINGS_LOG__BYTES_MAX", "4294967296"),
    ("TIDINGS_DISK__BYTES_MAX", "68719476736"),
];

impl OwnServer {
    /// The `tidings` binary at this path, with credentials made up for the run.
    pub fn tidings(binary: &Path) -> Self {
        let secret = || format!("{:032x}{:032x}", fastrand::u128(..), fastrand::u128(..));
        let (api_key, token_secret) = (format!("tk_{}", secret()), secret());
        let mut environment = vec![
            ("TIDINGS_API_KEY".to_owned(), api_key.clone()),
            ("TIDINGS_TOKEN_SECRET".to_owned(), token_secret.clone()),
        ];
        let settings = SETTINGS.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        environment.extend(settings);
        let binary = binary.to_string_lossy().into_owned();
        let command = [&binary, "serve", "--listen", "{listen}"].map(str::to_owned).to_vec();
        let program = Program { command, environment };
        let settings =
            LOG_SETTINGS.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let stats = [&binary, "log", "stats", "--json", "--folder", "{folder}/log"];
        let log =
            LogSpeech { environment: settings.collect(), stats: stats.map(str::to_owned).to_vec() };
        Self { program, api_key, token_secret: Some(token_secret), log: Some(log) }
    }
}

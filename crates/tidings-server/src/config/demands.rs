//! What a node asks of its settings as a whole before it starts: secrets that are there and good,
//! bounds that fit each other, and with `--dev` a listener that only this machine reaches.

use std::collections::HashMap;

use super::source::Said;
use super::{
    Config, LegacyUserId, Problem, Provenance, Secret, alert_demands, otlp, session_demands,
};

/// The largest events that a log must have room for: one must not push out all the others.
const LARGEST_EVENTS_MIN: usize = 16;

/// Everything that keeps a node from starting with this configuration.
pub(super) fn unmet(config: &Config, said: &Said) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut complain = |setting: &str, what: String, write: Option<String>| {
        let (setting, provenance) = (setting.to_owned(), said.place(setting));
        problems.push(Problem { setting, provenance, what, write });
    };
    let weakness = |secret: &Secret| {
        if config.dev { secret.api_key_malformation() } else { secret.api_key_weakness() }
    };

    let tokens = &config.tokens;
    let has_key_set = tokens.jwks_url.is_some() || tokens.jwks_file.is_some();
    let has_session = config.auth.session.methods().next().is_some();
    match &tokens.secret {
        None if said.was_refused("tokens.secret") => {}
        // There is another way to prove who one is.
        None if has_key_set || has_session => {}
        None => {
            let what = "is missing: nobody could prove who they are".to_owned();
            let line = secret_line("tokens.secret", &Provenance::NotSet);
            complain("tokens.secret", what, Some(line));
        }
        Some(_) if config.dev => {}
        Some(secret) => {
            if let Some(weakness) = secret.signing_weakness() {
                let line = secret_line("tokens.secret", &said.place("tokens.secret"));
                complain("tokens.secret", weakness.into_owned(), Some(line));
            }
        }
    }

    match &config.api_key {
        None if said.was_refused("api_key") || said.was_refused("keys") => {}
        None if !config.keys.is_empty() => {}
        None => {
            let what = "is missing, and there are no [[keys]]: nobody could publish".to_owned();
            complain("api_key", what, Some(secret_line("api_key", &Provenance::NotSet)));
        }
        Some(secret) => {
            if let Some(weakness) = weakness(secret) {
                let line = secret_line("api_key", &said.place("api_key"));
                complain("api_key", weakness.into_owned(), Some(line));
            }
        }
    }

    let mut names = HashMap::new();
    let mut secrets = HashMap::new();
    if let Some(secret) = &config.api_key {
        secrets.insert(secret.expose(), "api_key".to_owned());
    }
    for (index, key) in config.keys.iter().enumerate() {
        let path = format!("keys[{index}]");
        if let Some(weakness) = weakness(&key.secret) {
            let line = secret_line("secret", &said.place(&path));
            complain(&path, format!("has a secret that {weakness}"), Some(line));
        }
        if let Some(other) = names.insert(key.name.as_str(), index) {
            complain(&path, format!("has the name of keys[{other}]; give each its own"), None);
        }
        if let Some(other) = secrets.insert(key.secret.expose(), path.clone()) {
            complain(&path, format!("has the same secret as {other}; give each its own"), None);
        }
    }

    for (index, address) in config.listen.iter().enumerate() {
        let path = format!("listen[{index}]");
        if config.listen[..index].contains(address) && address.port() != 0 {
            complain(&path, format!("repeats {address}"), None);
        }
        if config.dev && !address.ip().is_loopback() {
            let what = format!("is {address}, which other machines may reach; --dev does not");
            complain(&path, what, Some(format!("--listen 127.0.0.1:{}", address.port())));
        }
    }

    for (index, address) in config.admin_listen.iter().enumerate() {
        let path = format!("admin_listen[{index}]");
        if config.listen.contains(address) && address.port() != 0 {
            complain(&path, format!("is {address}, which listen has already"), None);
        }
        if !address.ip().is_loopback() && (config.dev || config.tls.cert.is_none()) {
            let what = format!("is {address}, which other machines may reach in the clear");
            let line = format!("admin_listen = [\"127.0.0.1:{}\"]", address.port());
            complain(&path, what, Some(line));
        }
    }

    let event_bytes_max = config.event_bytes_max;
    if config.request_bytes_max < event_bytes_max {
        let what = format!("is less than event_bytes_max, which is {event_bytes_max}");
        let line = format!("request_bytes_max = {}", event_bytes_max * 8);
        complain("request_bytes_max", what, Some(line));
    }
    if config.idempotency.keys_max < config.batch_events_max {
        // Or one request with a key could push out its own first answers.
        let what = format!("is less than batch_events_max, which is {}", config.batch_events_max);
        let line = format!("keys_max = {}", config.batch_events_max);
        complain("idempotency.keys_max", what, Some(line));
    }
    if config.log.bytes_max < event_bytes_max * LARGEST_EVENTS_MIN {
        let what = format!(
            "is less than {LARGEST_EVENTS_MIN} events of event_bytes_max, which is \
             {event_bytes_max}"
        );
        complain("log.bytes_max", what, Some(format!("bytes_max = {}", event_bytes_max * 1024)));
    }
    if tokens.jwks_url.is_some() && tokens.jwks_file.is_some() {
        let what = "is given beside tokens.jwks_url; keep one".to_owned();
        complain("tokens.jwks_file", what, None);
    }
    if has_key_set && tokens.issuer.is_none() && !said.was_refused("tokens.issuer") {
        let what = "is missing: a key set is one issuer's, and a token must say that it is from it";
        let line = "[tokens] issuer = \"https://…\", as the tokens' iss has it".to_owned();
        complain("tokens.issuer", what.to_owned(), Some(line));
    }
    if tokens.jwks_url.as_ref().is_some_and(|url| !url.is_private()) {
        let what = "is plain http to another machine: whoever is between could hand in other keys";
        complain("tokens.jwks_url", what.to_owned(), Some("jwks_url = \"https://…\"".to_owned()));
    }
    if config.auth.legacy_user_id_remote && config.auth.legacy_user_id == LegacyUserId::Off {
        let what = "has no effect while auth.legacy_user_id is \"off\"".to_owned();
        let line = "legacy_user_id_remote = false".to_owned();
        complain("auth.legacy_user_id_remote", what, Some(line));
    }
    session_demands::unmet(config, said, &mut complain);
    alert_demands::unmet(config, said, &mut complain);
    otlp::unmet(config, said, &mut complain);
    match (&config.tls.cert, &config.tls.key) {
        (Some(_), None) => complain("tls.cert", "is given without tls.key".to_owned(), None),
        (None, Some(_)) => complain("tls.key", "is given without tls.cert".to_owned(), None),
        (Some(_), Some(_)) | (None, None) => {}
    }
    problems
}

/// How to set a secret: never with an example that works.
pub(super) fn secret_line(path: &str, place: &Provenance) -> String {
    let (variable, value) = match path {
        "tokens.secret" => ("TIDINGS_TOKEN_SECRET", "$(openssl rand -base64 32)"),
        "auth.session.jwt.secret" => {
            ("TIDINGS_AUTH__SESSION__JWT__SECRET", "$(openssl rand -base64 32)")
        }
        "auth.session.authjs.secrets" => {
            ("TIDINGS_AUTH__SESSION__AUTHJS__SECRETS", "$(openssl rand -base64 32)")
        }
        "alerts.mail.password" => ("TIDINGS_ALERTS__MAIL__PASSWORD", "…"),
        _ => ("TIDINGS_API_KEY", "tk_$(openssl rand -hex 32)"),
    };
    match place {
        _ if path == "secret" => format!("secret = \"…\" with what this prints: echo \"{value}\""),
        Provenance::File { .. } if path.ends_with("secrets") => {
            format!("secrets = [\"…\"] with what this prints: echo \"{value}\"")
        }
        Provenance::File { .. } => {
            let name = path.rsplit('.').next().unwrap_or_default();
            format!("{name} = \"…\" with what this prints: echo \"{value}\"")
        }
        Provenance::Flag(flag) => format!("{flag} \"{value}\""),
        Provenance::Environment(file) if file.ends_with("_FILE") => {
            format!("echo \"{value}\" > \"${file}\"")
        }
        Provenance::Environment(_) | Provenance::NotSet => {
            format!("export {variable}=\"{value}\"")
        }
    }
}

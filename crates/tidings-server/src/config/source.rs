//! Where the configuration comes from, and how its layers become one [`Config`].
//!
//! Kept by a running node, so that a reload reads the same places again. Reading the file is the
//! only I/O; environment and randomness are handed in.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::catalogue::{Catalogue, Kind, Setting};
use super::layers::{Given, Layer};
use super::{Config, ConfigErrors, Problem, Provenance, Secret, demands};

/// What `--dev` makes of each rate limit that is not set.
const DEV_LIMIT: usize = 1000;

/// Settings given as flags, above everything else.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--listen`, each an address with its port; none given leaves the setting alone.
    pub listen: Vec<String>,
    /// `--secret` of the token commands: `tokens.secret`.
    pub token_secret: Option<Secret>,
}

/// The secrets a `--dev` node makes up, the same for all its reloads.
#[derive(Clone, Debug)]
pub struct DevSecrets {
    /// The API key with every scope.
    pub api_key: Secret,
    /// What tokens are signed with.
    pub token_secret: Secret,
}

impl DevSecrets {
    /// Secrets from 64 random bytes.
    pub fn from_random(bytes: &[u8; 64]) -> Self {
        let (api_key, token_secret) = bytes.split_at(32);
        Self {
            api_key: Secret::new(format!("tk_dev_{}", hex(api_key))),
            token_secret: Secret::new(hex(token_secret)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

/// The places a configuration is read from.
#[derive(Clone, Debug)]
pub struct ConfigSource {
    file: Option<PathBuf>,
    flags: Flags,
    environment: Vec<(OsString, OsString)>,
    dev: Option<DevSecrets>,
}

impl ConfigSource {
    /// Reads `file` if there is one, `environment` (only what begins with `TIDINGS_`) and `flags`.
    /// With `dev`, secrets that are missing are these.
    pub fn new(
        file: Option<PathBuf>,
        flags: Flags,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        dev: Option<DevSecrets>,
    ) -> Self {
        let ours = |name: &OsString| name.as_encoded_bytes().starts_with(b"TIDINGS_");
        let environment = environment.into_iter().filter(|(name, _)| ours(name)).collect();
        Self { file, flags, environment, dev }
    }

    /// The file, if there is one.
    pub fn file(&self) -> Option<&std::path::Path> {
        self.file.as_deref()
    }

    /// A configuration a node may run with, or everything that is wrong with it. Reads the file
    /// anew each time.
    pub fn load(&self) -> Result<Config, ConfigErrors> {
        let mut merge = self.merge();
        let mut config = merge.config();
        if let Some(secrets) = &self.dev {
            config.dev = true;
            config.api_key.get_or_insert_with(|| secrets.api_key.clone());
            config.tokens.secret.get_or_insert_with(|| secrets.token_secret.clone());
            // Whoever tries things out reloads a page more often than a user does.
            for (setting, limit) in [
                ("limits.sse.limit", &mut config.limits.sse.limit),
                ("limits.polling.limit", &mut config.limits.polling.limit),
                ("limits.auth_failures.limit", &mut config.limits.auth_failures.limit),
            ] {
                if merge.said.place(setting) == Provenance::NotSet {
                    *limit = DEV_LIMIT;
                }
            }
        }
        merge.problems.extend(demands::unmet(&config, &merge.said));
        merge.finish(config)
    }

    /// The settings alone: every value right, but a node could perhaps not start with them, as
    /// when a command needs only one of the secrets.
    pub fn settings(&self) -> Result<Config, ConfigErrors> {
        let merge = self.merge();
        let config = merge.config();
        merge.finish(config)
    }

    fn merge(&self) -> Merge {
        let catalogue = Catalogue::new();
        let mut layers = Vec::new();
        if let Some(file) = &self.file {
            layers.push(Layer::from_file(file, &catalogue));
        }
        layers.push(Layer::from_environment(&self.environment, &catalogue));
        if !self.flags.listen.is_empty() {
            layers.push(Layer::from_flag("listen", "--listen", json!(self.flags.listen)));
        }
        if let Some(secret) = &self.flags.token_secret {
            layers.push(Layer::from_flag("tokens.secret", "--secret", json!(secret.expose())));
        }
        let mut merge = Merge { tree: json!({}), said: Said::default(), problems: Vec::new() };
        for layer in layers {
            merge.problems.extend(layer.problems);
            for given in layer.given {
                let setting = catalogue.setting(&given.path).expect("layers give what exists");
                merge.add(setting, given);
            }
        }
        merge
    }
}

/// Where each setting was given, and which were given wrongly.
#[derive(Default)]
pub(super) struct Said {
    places: HashMap<String, Provenance>,
    refused: Vec<String>,
}

impl Said {
    /// Where a setting, or the list it is an element of, was given.
    pub(super) fn place(&self, path: &str) -> Provenance {
        let list = path.split('[').next().unwrap_or_default();
        let place = self.places.get(path).or_else(|| self.places.get(list));
        place.cloned().unwrap_or(Provenance::NotSet)
    }

    /// Whether a setting was given at all.
    pub(super) fn was_given(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// Whether a value was given and already refused, so that its absence is no news.
    pub(super) fn was_refused(&self, path: &str) -> bool {
        self.refused.iter().any(|refused| refused == path)
    }
}

/// The layers so far: what is right of them as a tree, and what is wrong.
struct Merge {
    tree: Value,
    said: Said,
    problems: Vec<Problem>,
}

impl Merge {
    fn config(&self) -> Config {
        serde_json::from_value(self.tree.clone()).expect("every value in the tree was tried alone")
    }

    fn finish(self, config: Config) -> Result<Config, ConfigErrors> {
        if self.problems.is_empty() { Ok(config) } else { Err(ConfigErrors(self.problems)) }
    }

    /// Tries a value alone, each element of a list by itself, and takes it in if it is right.
    fn add(&mut self, setting: &Setting, given: Given) {
        let before = self.problems.len();
        if let Some(what) = shape_problem(setting, &given.value) {
            self.complain(setting, &setting.path, &given.provenance, what);
        } else if let (Kind::List | Kind::Secrets | Kind::Tables, Value::Array(items)) =
            (setting.kind, &given.value)
        {
            for (index, item) in items.iter().enumerate() {
                let path = format!("{}[{index}]", setting.path);
                let place = given.elements.get(index).unwrap_or(&given.provenance);
                if let Some(what) = value_problem(setting, json!([item])) {
                    self.complain(setting, &path, place, what);
                }
                self.said.places.insert(path, place.clone());
            }
        } else if let Some(what) = value_problem(setting, given.value.clone()) {
            self.complain(setting, &setting.path, &given.provenance, what);
        }
        if self.problems.len() == before {
            put(&mut self.tree, &setting.path, given.value);
        } else {
            self.said.refused.push(setting.path.clone());
        }
        self.said.places.insert(given.path, given.provenance);
    }

    fn complain(&mut self, setting: &Setting, path: &str, place: &Provenance, what: String) {
        let value = if setting.example.is_null() { &setting.default } else { &setting.example };
        let write = line_to_write(setting, place, value);
        let provenance = place.clone();
        self.problems.push(Problem { setting: path.to_owned(), provenance, what, write });
    }
}

/// What is wrong with the kind or the size of a value.
fn shape_problem(setting: &Setting, value: &Value) -> Option<String> {
    let (least, most) = setting.bounds;
    let outside = |size: u64| size < least || size > most;
    match (setting.kind, value) {
        (Kind::Number, Value::Number(number)) => match number.as_u64() {
            Some(number) if !outside(number) => None,
            _ => Some(format!("must be a whole number from {least} to {most}, not {number}")),
        },
        (Kind::Number, _) => Some(format!("must be a whole number from {least} to {most}")),
        (Kind::Fraction, Value::Number(number)) => match number.as_f64() {
            #[expect(clippy::cast_precision_loss, reason = "bounds of fractions are small")]
            Some(value) if (least as f64..=most as f64).contains(&value) => None,
            _ => Some(format!("must be a number from {least} to {most}, not {number}")),
        },
        (Kind::Fraction, _) => Some(format!("must be a number from {least} to {most}")),
        (Kind::List | Kind::Secrets | Kind::Tables, Value::Array(items))
            if outside(items.len() as u64) =>
        {
            Some(format!("must have from {least} to {most} entries, not {}", items.len()))
        }
        (Kind::Text | Kind::Secret, Value::String(text)) if outside(text.len() as u64) => {
            Some(format!("must be from {least} to {most} characters long, not {}", text.len()))
        }
        (Kind::List | Kind::Secrets | Kind::Tables, Value::Array(_))
        | (Kind::Flag, Value::Bool(_))
        | (Kind::Text | Kind::Secret, Value::String(_)) => None,
        (Kind::Flag, _) => Some("must be true or false".to_owned()),
        (Kind::List | Kind::Secrets, _) => Some("must be a list, in brackets".to_owned()),
        (Kind::Tables, _) => Some(format!("must be tables, each under [[{}]]", setting.path)),
        (Kind::Text | Kind::Secret, _) => Some("must be a text, in quotes".to_owned()),
    }
}

/// What is wrong with a value for itself.
fn value_problem(setting: &Setting, value: Value) -> Option<String> {
    if let (Kind::Tables, Some(Value::Object(fields))) = (setting.kind, value.get(0)) {
        for field in &setting.fields {
            let problem = fields.get(field.name()).and_then(|value| shape_problem(field, value));
            if let Some(problem) = problem {
                return Some(format!("has a wrong {}: it {problem}", field.name()));
            }
        }
    }
    let mut alone = json!({});
    put(&mut alone, &setting.path, value);
    let error = serde_json::from_value::<Config>(alone).err()?.to_string();
    // The standard library's words for `localhost:4000`, which is the usual mistake.
    let error = error.replace(
        "invalid socket address syntax",
        "it takes an IP address and a port, as in 127.0.0.1:4000 or [::1]:4000",
    );
    Some(format!("is wrong: {error}"))
}

fn put(tree: &mut Value, path: &str, value: Value) {
    let place = path.split('.').fold(tree, |place, name| &mut place[name]);
    *place = value;
}

/// How to give a setting this value in the place it was given in.
fn line_to_write(setting: &Setting, place: &Provenance, value: &Value) -> Option<String> {
    if value.is_null() || setting.kind == Kind::Tables {
        return None;
    }
    if matches!(setting.kind, Kind::Secret | Kind::Secrets) {
        return Some(demands::secret_line(&setting.path, place));
    }
    let first = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    Some(match place {
        Provenance::Environment(variable) => format!("{variable}={}", first(value)),
        Provenance::Flag(flag) => format!("{flag} {}", first(value)),
        Provenance::File { .. } | Provenance::NotSet => {
            format!("{} = {}", setting.name(), super::document::toml_value(value))
        }
    })
}

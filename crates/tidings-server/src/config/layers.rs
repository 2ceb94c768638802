//! What was given where: the file, the environment and the flags, each as a list of values.
//!
//! Names are judged here (known or unknown); values are judged by the source,
//! which puts the layers on top of each other.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::catalogue::{Catalogue, Kind, Setting};
use super::{Problem, Provenance};

/// Bytes in a configuration file, and in a file that holds a secret.
const FILE_BYTES_MAX: u64 = 1_048_576;

/// Variables that other parts of Tidings read, and that are no settings.
const OTHER_VARIABLES: [&str; 5] =
    ["TIDINGS_CONFIG", "TIDINGS_LOG", "TIDINGS_TOKEN", "TIDINGS_TOKEN_FILE", "TIDINGS_URL"];

/// A value for a setting that exists.
pub(super) struct Given {
    pub(super) path: String,
    pub(super) value: Value,
    pub(super) provenance: Provenance,
    /// Where each element of a list was given, when that is known better.
    pub(super) elements: Vec<Provenance>,
}

/// One layer: what it gives and what is wrong with it.
#[derive(Default)]
pub(super) struct Layer {
    pub(super) given: Vec<Given>,
    pub(super) problems: Vec<Problem>,
}

impl Layer {
    /// The settings of a TOML file.
    pub(super) fn from_file(path: &Path, catalogue: &Catalogue) -> Self {
        let mut layer = Self::default();
        let file = |line| Provenance::File { path: Arc::new(path.to_owned()), line };
        let text = match read_bounded(path) {
            Ok(text) => text,
            Err(what) => {
                layer.problem("", file(1), format!("the file {what}"), None);
                return layer;
            }
        };
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in &errors {
            // The message without the quoted line, which may hold a secret.
            let line = line_of(&text, error.span().map_or(0, |span| span.start));
            layer.problem("", file(line), format!("is not TOML: {}", error.message()), None);
        }
        if errors.is_empty() {
            let mut reader =
                FileReader { text: &text, path: Arc::new(path.to_owned()), catalogue, layer };
            reader.table("", table.get_ref());
            layer = reader.layer;
        }
        layer
    }

    /// The settings of the environment: `TIDINGS_…` variables, others are passed over.
    pub(super) fn from_environment(
        environment: &[(OsString, OsString)],
        catalogue: &Catalogue,
    ) -> Self {
        let mut layer = Self::default();
        let mut variables: Vec<_> = environment
            .iter()
            .filter_map(|(name, value)| name.to_str().map(|name| (name, value)))
            .filter(|(name, _)| name.starts_with("TIDINGS_") && !OTHER_VARIABLES.contains(name))
            .collect();
        variables.sort_unstable();
        for (name, value) in variables {
            layer.variable(name, value, catalogue);
        }
        layer
    }

    /// A flag's values.
    pub(super) fn from_flag(path: &str, flag: &'static str, value: Value) -> Self {
        let provenance = Provenance::Flag(flag);
        let given = Given { path: path.to_owned(), value, provenance, elements: Vec::new() };
        Self { given: vec![given], problems: Vec::new() }
    }

    fn variable(&mut self, name: &str, value: &OsStr, catalogue: &Catalogue) {
        let provenance = Provenance::Environment(name.to_owned());
        let path = setting_path(name);
        let from_file = name.strip_suffix("_FILE").map(setting_path);
        let from_file = from_file.and_then(|path| catalogue.setting(&path));
        let (setting, text) = match (catalogue.setting(&path), from_file) {
            (Some(setting), _) => (setting, value.to_str().map(str::to_owned)),
            (None, Some(setting)) if setting.holds_secrets() => {
                match read_bounded(Path::new(value)) {
                    Ok(text) => (setting, Some(text.trim_end_matches(['\r', '\n']).to_owned())),
                    Err(what) => {
                        let what = format!("is to be read from a file that {what}");
                        self.problem(&setting.path, provenance, what, None);
                        return;
                    }
                }
            }
            (None, _) => {
                let nearest = catalogue.nearest_variable(name);
                let what = format!("is no variable of this version; the nearest is {nearest}");
                self.problem("", provenance, what, Some(format!("unset {name}")));
                return;
            }
        };
        let Some(text) = text else {
            self.problem(&setting.path, provenance, "is not UTF-8".into(), None);
            return;
        };
        if let Some(other) = self.given.iter().find(|given| given.path == setting.path) {
            let what = format!("is also given by {}; keep one", other.provenance);
            self.problem(&setting.path, provenance, what, Some(format!("unset {name}")));
            return;
        }
        let (path, value) = (setting.path.clone(), value_of(setting, &text));
        self.given.push(Given { path, value, provenance, elements: Vec::new() });
    }

    fn problem(
        &mut self,
        setting: &str,
        provenance: Provenance,
        what: String,
        write: Option<String>,
    ) {
        self.problems.push(Problem { setting: setting.to_owned(), provenance, what, write });
    }
}

/// `TIDINGS_LOG__BYTES_MAX` is `log.bytes_max`.
fn setting_path(variable: &str) -> String {
    match variable {
        "TIDINGS_TOKEN_SECRET" => "tokens.secret".to_owned(),
        _ => variable.trim_start_matches("TIDINGS_").to_lowercase().replace("__", "."),
    }
}

/// A text as the kind of value that the setting has. What does not fit stays a text, and is
/// complained about like any other wrong value.
fn value_of(setting: &Setting, text: &str) -> Value {
    match setting.kind {
        Kind::Text | Kind::Secret => text.into(),
        Kind::Flag => text.trim().parse::<bool>().map_or_else(|_| text.into(), Value::from),
        Kind::Fraction => text.trim().parse::<f64>().map_or_else(|_| text.into(), Value::from),
        Kind::Number => text.trim().parse::<u64>().map_or_else(|_| text.into(), Value::from),
        Kind::List | Kind::Secrets if !text.trim_start().starts_with('[') || is_address(text) => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
        }
        Kind::List | Kind::Secrets | Kind::Tables => {
            serde_json::from_str(text).unwrap_or_else(|_| text.into())
        }
    }
}

/// `[::1]:4000` and `[::1]` begin like a JSON list and are none.
fn is_address(text: &str) -> bool {
    let first = text.split(',').next().unwrap_or_default().trim();
    let bracketed = first.strip_prefix('[').and_then(|first| first.strip_suffix(']'));
    first.parse::<std::net::SocketAddr>().is_ok()
        || bracketed.is_some_and(|first| first.parse::<std::net::Ipv6Addr>().is_ok())
}

struct FileReader<'a> {
    text: &'a str,
    path: Arc<PathBuf>,
    catalogue: &'a Catalogue,
    layer: Layer,
}

impl FileReader<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let name = key.get_ref();
            let path =
                if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
            let here = self.at(key.span().start);
            match value.get_ref() {
                _ if self.catalogue.setting(&path).is_some() => self.setting(path, here, value),
                DeValue::Table(inner) if self.catalogue.is_section(&path) => {
                    self.table(&path, inner);
                }
                _ if self.catalogue.is_section(&path) => {
                    let write = Some(format!("[{path}]"));
                    self.layer.problem(&path, here, "is a section, not a value".into(), write);
                }
                _ => {
                    let nearest = self.catalogue.nearest(&path);
                    let what = format!("is no setting; the nearest is {nearest}");
                    self.layer.problem(&path, here, what, None);
                }
            }
        }
    }

    fn setting(&mut self, path: String, provenance: Provenance, value: &Spanned<DeValue<'_>>) {
        let elements = match value.get_ref() {
            DeValue::Array(array) => array.iter().map(|item| self.at(item.span().start)).collect(),
            _ => Vec::new(),
        };
        match Value::deserialize(ValueDeserializer::from(value.clone())) {
            Ok(value) => self.layer.given.push(Given { path, value, provenance, elements }),
            Err(_) => {
                self.layer.problem(&path, provenance, "has a value out of range".into(), None);
            }
        }
    }

    fn at(&self, byte: usize) -> Provenance {
        Provenance::File { path: Arc::clone(&self.path), line: line_of(self.text, byte) }
    }
}

fn line_of(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1
}

fn read_bounded(path: &Path) -> Result<String, String> {
    let describe = |error: std::io::Error| format!("cannot be read ({}): {error}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(describe)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(describe)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("is longer than {FILE_BYTES_MAX} bytes ({})", path.display()));
    }
    Ok(text)
}

//! Every setting there is: name, kind, bounds, default and words, read from the JSON Schema.
//!
//! One source for the loader (which names exist, what range), for the environment (how to read a
//! text) and for the default document, so that none of them can go stale.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::Config;

/// What a setting's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Secret,
    Number,
    /// A number that need not be whole.
    Fraction,
    Flag,
    List,
    /// A list of secrets.
    Secrets,
    /// A list of tables, `[[keys]]`.
    Tables,
}

/// One setting.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// Section and name, as in `log.bytes_max`.
    pub(super) path: String,
    pub(super) kind: Kind,
    pub(super) description: String,
    pub(super) default: Value,
    /// A value to show where there is no default.
    pub(super) example: Value,
    /// Least and most, of a number or of the length of a list.
    pub(super) bounds: (u64, u64),
    /// The settings of one of the tables.
    pub(super) fields: Vec<Setting>,
}

impl Setting {
    /// The last part of the path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }

    /// Whether it is a secret or has one in it, so that it may be read from a file.
    pub(super) fn holds_secrets(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::Secrets)
            || self.fields.iter().any(Self::holds_secrets)
    }

    /// The environment variable that sets it.
    pub(super) fn variable(&self) -> String {
        format!("TIDINGS_{}", self.path.to_uppercase().replace('.', "__"))
    }
}

/// The top level or one `[section]`, with its settings in the order of the struct.
#[derive(Clone, Debug)]
pub(super) struct Section {
    /// Empty for the top level.
    pub(super) path: String,
    pub(super) description: String,
    pub(super) settings: Vec<Setting>,
}

/// Every section, the top level first.
pub(super) struct Catalogue {
    pub(super) sections: Vec<Section>,
}

impl Catalogue {
    pub(super) fn new() -> Self {
        let mut settings = SchemaSettings::draft2020_12();
        settings.inline_subschemas = true;
        let schema = settings.into_generator().into_root_schema_for::<Config>();
        let root = schema.as_object().expect("the schema of a struct is an object");
        let mut sections = Vec::new();
        read_section("", root, &mut sections);
        Self { sections }
    }

    pub(super) fn setting(&self, path: &str) -> Option<&Setting> {
        self.settings().find(|setting| setting.path == path)
    }

    pub(super) fn is_section(&self, path: &str) -> bool {
        self.sections.iter().any(|section| section.path == path)
    }

    pub(super) fn settings(&self) -> impl Iterator<Item = &Setting> {
        self.sections.iter().flat_map(|section| &section.settings)
    }

    /// The name of a setting or section that comes closest to one that does not exist.
    pub(super) fn nearest(&self, path: &str) -> String {
        let sections = self.sections.iter().map(|section| section.path.as_str());
        let settings = self.settings().map(|setting| setting.path.as_str());
        nearest(path, sections.filter(|path| !path.is_empty()).chain(settings))
    }

    /// The environment variable that comes closest to one that does not exist.
    pub(super) fn nearest_variable(&self, variable: &str) -> String {
        let variables: Vec<_> = self.settings().map(Setting::variable).collect();
        let shorthand = std::iter::once("TIDINGS_TOKEN_SECRET");
        nearest(variable, variables.iter().map(String::as_str).chain(shorthand))
    }
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    known
        .min_by_key(|known| strsim::damerau_levenshtein(known, name))
        .unwrap_or_default()
        .to_owned()
}

fn read_section(path: &str, schema: &Map<String, Value>, sections: &mut Vec<Section>) {
    let index = sections.len();
    let description = text(schema, "description");
    sections.push(Section { path: path.to_owned(), description, settings: Vec::new() });
    for (name, property) in properties(schema) {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if property.contains_key("properties") {
            read_section(&path, property, sections);
        } else {
            sections[index].settings.push(read_setting(path, property));
        }
    }
}

fn read_setting(path: String, schema: &Map<String, Value>) -> Setting {
    let items = schema.get("items").and_then(Value::as_object);
    let fields: Vec<_> = items
        .into_iter()
        .flat_map(properties)
        .map(|(name, property)| read_setting(name.clone(), property))
        .collect();
    let kind = match type_name(schema) {
        "integer" => Kind::Number,
        "number" => Kind::Fraction,
        "boolean" => Kind::Flag,
        "array" if items.is_some_and(is_secret) => Kind::Secrets,
        "array" if fields.is_empty() => Kind::List,
        "array" => Kind::Tables,
        _ if is_secret(schema) => Kind::Secret,
        _ => Kind::Text,
    };
    let (least, most) = match kind {
        Kind::Number | Kind::Fraction => ("minimum", "maximum"),
        Kind::List | Kind::Secrets | Kind::Tables => ("minItems", "maxItems"),
        Kind::Text | Kind::Secret | Kind::Flag => ("minLength", "maxLength"),
    };
    let number = |name: &str| schema.get(name).and_then(Value::as_u64);
    let example = schema.get("examples").and_then(|examples| examples.get(0));
    Setting {
        kind,
        description: text(schema, "description"),
        default: schema.get("default").cloned().unwrap_or(Value::Null),
        example: example.cloned().unwrap_or(Value::Null),
        bounds: (number(least).unwrap_or(0), number(most).unwrap_or(u64::MAX)),
        fields,
        path,
    }
}

fn properties(schema: &Map<String, Value>) -> impl Iterator<Item = (&String, &Map<String, Value>)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .filter_map(|(name, property)| property.as_object().map(|property| (name, property)))
}

fn is_secret(schema: &Map<String, Value>) -> bool {
    text(schema, "format") == "password"
}

fn text(schema: &Map<String, Value>, name: &str) -> String {
    schema.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The type, looking past the `null` that an optional setting may also be.
fn type_name(schema: &Map<String, Value>) -> &str {
    match schema.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or_default()
        }
        _ => "",
    }
}

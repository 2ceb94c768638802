//! The commented configuration file that says what is so anyway.
//!
//! Made of the schema and the defaults, so that it is right by construction; what is optional and
//! has no default is shown behind a `#`.

use serde_json::Value;

use super::catalogue::{Catalogue, Kind, Section, Setting};

const LINE_CHARS_MAX: usize = 98;

/// A TOML file with every setting at its default, explained.
pub fn default_document() -> String {
    let mut document = String::new();
    let catalogue = Catalogue::new();
    for section in &catalogue.sections {
        write_section(&mut document, section);
    }
    for tables in catalogue.settings().filter(|setting| setting.kind == Kind::Tables) {
        write_tables(&mut document, tables);
    }
    document
}

fn write_section(document: &mut String, section: &Section) {
    if !document.is_empty() {
        document.push('\n');
    }
    comment(document, "# ", &section.description);
    if section.path.is_empty() {
        document.push('\n');
    } else {
        document.extend(["[", &section.path, "]\n"]);
    }
    for setting in section.settings.iter().filter(|setting| setting.kind != Kind::Tables) {
        comment(document, "# ", &describe(setting));
        let line = |value| format!("{} = {}\n", setting.name(), lines_of(setting, value));
        if setting.default.is_null() {
            document.push_str("# ");
            document.push_str(&line(&setting.example));
        } else {
            document.push_str(&line(&setting.default));
        }
        if section.path.is_empty() {
            document.push('\n');
        }
    }
    if section.path.is_empty() {
        document.pop();
    }
}

fn write_tables(document: &mut String, tables: &Setting) {
    document.push('\n');
    comment(document, "# ", &tables.description);
    document.extend(["# [[", &tables.path, "]]\n"]);
    for field in &tables.fields {
        comment(document, "#   # ", &field.description);
        let line = format!("#   {} = {}\n", field.name(), toml_value(&field.example));
        document.push_str(&line);
    }
}

fn describe(setting: &Setting) -> String {
    let (least, most) = setting.bounds;
    match setting.kind {
        Kind::Number | Kind::Fraction => format!("{} From {least} to {most}.", setting.description),
        Kind::Text | Kind::Secret | Kind::Flag | Kind::List | Kind::Secrets | Kind::Tables => {
            setting.description.clone()
        }
    }
}

/// Words behind a `#`, each paragraph filled to the width of a line.
fn comment(document: &mut String, prefix: &str, text: &str) {
    for (index, paragraph) in text.split("\n\n").enumerate() {
        if index > 0 {
            document.push_str(prefix.trim_end());
            document.push('\n');
        }
        let mut line = String::from(prefix.trim_end());
        for word in paragraph.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > LINE_CHARS_MAX {
                document.push_str(&line);
                document.push('\n');
                line = String::from(prefix.trim_end());
            }
            line.push(' ');
            line.push_str(word);
        }
        document.push_str(&line);
        document.push('\n');
    }
}

/// A value as TOML writes it; a list that is too long for a line has one of its own for each element.
fn lines_of(setting: &Setting, value: &Value) -> String {
    let line = toml_value(value);
    let Value::Array(items) = value else { return line };
    if setting.name().len() + " = ".len() + line.chars().count() <= LINE_CHARS_MAX {
        return line;
    }
    let items: Vec<_> = items.iter().map(toml_value).collect();
    format!("[\n    {},\n]", items.join(",\n    "))
}

/// A value as TOML writes it.
pub(super) fn toml_value(value: &Value) -> String {
    toml::Value::try_from(value).map(|value| value.to_string()).unwrap_or_default()
}

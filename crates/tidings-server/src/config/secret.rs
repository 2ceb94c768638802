//! A secret: a text that shows itself only to who asks for it by name.
//!
//! Owns what makes a secret too weak to start with. Where secrets come from is not known here.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes a signing secret has at least: as many as HS256 has in its digest (RFC 7518, 3.2).
pub(super) const SECRET_BYTES_MIN: usize = 32;
/// Bytes a secret has at most.
const SECRET_BYTES_MAX: usize = 1024;
/// What an API key begins with, so that it is told from a token at a glance.
pub(crate) const API_KEY_PREFIX: &str = "tk_";
/// Characters an API key has at least after its prefix.
const API_KEY_CHARS_MIN: usize = 32;
/// Different characters a secret has at least. 32 random hex digits have fewer once in 10^8.
const DISTINCT_MIN: usize = 8;

const REDACTED: &str = "[redacted]";

/// A text that is never shown by accident: `Debug`, `Display` and serialisation all redact it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Every caller is a place to look at.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Why this will not do for signing, if it will not.
    pub(super) fn signing_weakness(&self) -> Option<Cow<'static, str>> {
        let length = self.0.len();
        if length < SECRET_BYTES_MIN {
            return Some(format!("is {length} bytes long, fewer than {SECRET_BYTES_MIN}").into());
        }
        self.weakness()
    }

    /// Why this is not the form of an API key, if it is not.
    pub(super) fn api_key_malformation(&self) -> Option<Cow<'static, str>> {
        let Some(rest) = self.0.strip_prefix(API_KEY_PREFIX) else {
            return Some(format!("does not begin with {API_KEY_PREFIX}").into());
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        (!rest.bytes().all(plain)).then(|| "has characters other than A-Z a-z 0-9 _ -".into())
    }

    /// Why this will not do as an API key, if it will not.
    pub(super) fn api_key_weakness(&self) -> Option<Cow<'static, str>> {
        if let Some(malformation) = self.api_key_malformation() {
            return Some(malformation);
        }
        let rest = &self.0[API_KEY_PREFIX.len()..];
        if rest.len() < API_KEY_CHARS_MIN {
            return Some(
                format!(
                    "has {} characters after {API_KEY_PREFIX}, fewer than {API_KEY_CHARS_MIN}",
                    rest.len()
                )
                .into(),
            );
        }
        Self::new(rest).weakness()
    }

    fn weakness(&self) -> Option<Cow<'static, str>> {
        if self.0.len() > SECRET_BYTES_MAX {
            return Some(format!("is longer than {SECRET_BYTES_MAX} bytes").into());
        }
        if self.0.chars().any(char::is_control) {
            return Some("has a line break or another control character in it".into());
        }
        looks_made_up(&self.0).then(|| "is a placeholder or repeats itself".into())
    }
}

/// Whether a text looks typed by hand in a hurry: few different characters, one piece over and
/// over, a run of neighbours as in `abcdef`, or little beside words like `changeme`.
fn looks_made_up(text: &str) -> bool {
    const WORDS: [&str; 14] = [
        "changeme",
        "change",
        "replace",
        "placeholder",
        "password",
        "default",
        "example",
        "secret",
        "tidings",
        "please",
        "random",
        "token",
        "bytes",
        "test",
    ];
    let mut rest = text.to_lowercase();
    for word in WORDS {
        rest = rest.replace(word, "");
    }
    let bytes = rest.as_bytes();
    let distinct = bytes.iter().collect::<HashSet<_>>().len();
    let repeats =
        (1..=bytes.len() / 2).any(|period| bytes[period..] == bytes[..bytes.len() - period]);
    let neighbours = bytes.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 1).count();
    bytes.len() < SECRET_BYTES_MIN / 2
        || distinct < DISTINCT_MIN
        || repeats
        || neighbours * 2 > bytes.len()
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    /// By hand, because serde's own complaint about a wrong type quotes the value.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::new(text))
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
                Err(E::custom("a secret must be a string, in quotes"))
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom("a secret must be a string, in quotes"))
            }
            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
                Err(E::custom("a secret must be a string, in quotes"))
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom("a secret must be a string, in quotes"))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "password" })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::hex("9f1c4be07a3d5528e6b0c4d1a7f3982b64e05dce")]
    #[case::base64("q0Yk3uCzP8vNfW5tJr2XhB7LgMs9aEoD6iTnK1wQxR4=")]
    #[case::a_word_beside_entropy("prod-secret-9f1c4be07a3d5528e6b0c4d1a7f3982b")]
    fn accepts_a_signing_secret(#[case] text: &str) {
        assert_eq!(Secret::new(text).signing_weakness(), None);
    }

    #[rstest]
    #[case::empty("")]
    #[case::short("9f1c4be07a3d5528e6b0c4d1a7f3982")]
    #[case::word("changeme")]
    #[case::one_character("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
    #[case::repeated_words("changeme-changeme-changeme-changeme-changeme")]
    #[case::repeated_piece("q0Yk3uCzP8q0Yk3uCzP8q0Yk3uCzP8q0Yk3uCzP8")]
    #[case::keyboard("0123456789012345678901234567890123456789")]
    #[case::alphabet("abcdefghijklmnopqrstuvwxyz0123456789")]
    #[case::sentence("please-change-this-secret-token")]
    #[case::padded_words("secret-secret-password-test-changeme-1")]
    #[case::line_break("9f1c4be07a3d5528e6b0\nc4d1a7f3982b64e05dce")]
    fn refuses_a_signing_secret(#[case] text: &str) {
        assert!(Secret::new(text).signing_weakness().is_some());
    }

    #[rstest]
    #[case::no_prefix("9f1c4be07a3d5528e6b0c4d1a7f3982b64e05dce")]
    #[case::wrong_case("TK_9f1c4be07a3d5528e6b0c4d1a7f3982b64e05dce")]
    #[case::short("tk_9f1c4be07a3d5528e6b0c4d1a7f3982")]
    #[case::space("tk_9f1c4be07a3d5528 e6b0c4d1a7f3982b64e05dce")]
    #[case::repeated("tk_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")]
    fn refuses_an_api_key(#[case] text: &str) {
        assert!(Secret::new(text).api_key_weakness().is_some());
    }

    #[test]
    fn never_shows_itself() {
        let secret = Secret::new("canary");
        let shown = format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[rstest]
    #[case("271828")]
    #[case("true")]
    #[case("2.71828")]
    #[case("-271828")]
    fn is_not_quoted_by_the_complaint_about_its_type(#[case] json: &str) {
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        let complaint = serde_json::from_value::<Secret>(value).unwrap_err().to_string();
        assert!(!complaint.contains(json), "{complaint}");
    }
}

//! The address of a webhook: like a password, because who knows it may post there.
//!
//! It shows its host and nothing more, however it is written out.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

use super::HttpUrl;

/// An `https` URL, or an `http` one on this machine.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "super::Secret")]
pub struct WebhookUrl(HttpUrl);

impl WebhookUrl {
    /// The URL itself. Every caller is a place to look at.
    pub fn expose(&self) -> &HttpUrl {
        &self.0
    }

    /// The host alone, which may be shown.
    pub fn host(&self) -> &str {
        self.0.url().host_str().unwrap_or_default()
    }
}

impl TryFrom<super::Secret> for WebhookUrl {
    type Error = String;

    fn try_from(text: super::Secret) -> Result<Self, String> {
        let url = HttpUrl::try_from(text.expose().to_owned())?;
        if url.is_private() {
            Ok(Self(url))
        } else {
            Err("it is plain http to another machine: write https://".to_owned())
        }
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/[redacted]", self.0.url().scheme(), self.host())
    }
}

impl Serialize for WebhookUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

impl JsonSchema for WebhookUrl {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "WebhookUrl".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "password" })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::Secret;
    use super::*;

    #[rstest]
    #[case("https://hooks.example.com/canary", true)]
    #[case("http://127.0.0.1:3000/canary", true)]
    #[case("http://hooks.example.com/canary", false)]
    #[case("https://me:canary@hooks.example.com/", false)]
    #[case("hooks.example.com/canary", false)]
    fn takes_what_nobody_can_listen_in_on_and_shows_its_host_alone(
        #[case] text: &str,
        #[case] right: bool,
    ) {
        let built = WebhookUrl::try_from(Secret::new(text));
        assert_eq!(built.is_ok(), right);
        let shown = format!("{built:?} {}", serde_json::to_string(&built.clone().ok()).unwrap());
        assert!(!shown.contains("canary"), "{shown}");
    }
}

//! Settings that are more than a number or a text: each is checked by being built.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidings_hub::{Pattern, SEGMENT_BYTES_MAX};

/// What goes before every path: empty, or `/` and segments without a final `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline)]
pub struct BasePath(String);

impl BasePath {
    /// The path: empty, or beginning and not ending with `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BasePath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let segment_is_right = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        };
        let right = text.is_empty()
            || text.len() <= 256
                && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment_is_right));
        if right {
            Ok(Self(text))
        } else {
            Err(format!(
                "`{text}` must be empty, or begin and not end with `/` and have only A-Z a-z 0-9 \
                 - . _ ~ between, as in /live"
            ))
        }
    }
}

impl From<BasePath> for String {
    fn from(path: BasePath) -> Self {
        path.0
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What orders and keeps events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline)]
pub enum Broker {
    /// This process, as long as it lives.
    Memory,
    /// A folder of this machine.
    Disk(PathBuf),
    /// A Redis that several nodes share.
    Redis(BrokerUrl),
    /// A NATS with `JetStream` that several nodes share.
    Nats(BrokerUrl),
}

impl TryFrom<String> for Broker {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // Of what is wrong nothing is repeated: it may hold a password.
        match text.split(':').next().unwrap_or_default() {
            "memory" if text == "memory" => Ok(Self::Memory),
            "disk" => match text.strip_prefix("disk:") {
                Some(folder) if !folder.is_empty() => Ok(Self::Disk(folder.into())),
                _ => Err("names no folder; write it as in \"disk:./data\"".to_owned()),
            },
            "redis" | "rediss" | "redis-sentinel" | "rediss-sentinel" | "redis-cluster"
            | "rediss-cluster" => Ok(Self::Redis(BrokerUrl(text))),
            "nats" | "tls" => Ok(Self::Nats(BrokerUrl(text))),
            _ => {
                Err("is not \"memory\", \"disk:FOLDER\", \"redis://…\" or \"nats://…\"".to_owned())
            }
        }
    }
}

impl From<Broker> for String {
    fn from(broker: Broker) -> Self {
        match broker {
            Broker::Memory => "memory".to_owned(),
            Broker::Disk(folder) => format!("disk:{}", folder.display()),
            Broker::Redis(url) | Broker::Nats(url) => url.to_string(),
        }
    }
}

/// Where a broker is, and perhaps how to sign in to it: its text shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl(String);

impl BrokerUrl {
    /// All of it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        // Of several places each may have its own.
        let places = rest.split(',').map(|place| match place.rsplit_once('@') {
            Some((_, place)) => format!("…@{place}"),
            None => place.to_owned(),
        });
        write!(f, "{scheme}://{}", places.collect::<Vec<_>>().join(","))
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a bare `userId` parameter is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", rename_all = "lowercase")]
#[schemars(inline)]
pub enum LegacyUserId {
    /// Never.
    Off,
    /// When there is nothing stronger: anyone can claim to be anyone.
    Insecure,
}

impl TryFrom<String> for LegacyUserId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "off" => Ok(Self::Off),
            "insecure" => Ok(Self::Insecure),
            _ => Err("it is \"off\" or \"insecure\"".into()),
        }
    }
}

/// A topic or pattern in which `{user}`, standing for a whole segment, is the user's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline)]
pub struct TopicTemplate {
    text: String,
    /// The pattern, when it is the same for everyone: then everyone shares its text.
    shared: Option<Pattern>,
}

const USER: &str = "{user}";

impl TopicTemplate {
    /// Every user's own topic: `user/{user}`.
    pub fn user() -> Self {
        Self { text: "user/{user}".to_owned(), shared: None }
    }

    /// Everyone's topic: `broadcast`.
    pub fn broadcast() -> Self {
        Self { text: "broadcast".to_owned(), shared: "broadcast".parse().ok() }
    }

    /// The pattern for a user whose id is this one segment (already percent-encoded, at most 64
    /// bytes), or for nobody. `None` when it takes a user and there is none.
    ///
    /// # Panics
    ///
    /// When the user segment is not one: not encoded, or too long.
    pub fn fill(&self, user_segment: Option<&str>) -> Option<Pattern> {
        if let Some(shared) = &self.shared {
            return Some(shared.clone());
        }
        let filled = self.with_user(user_segment?);
        Some(Pattern::new(&filled).expect("checked with the longest user segment there can be"))
    }

    fn with_user(&self, user: &str) -> String {
        let segments =
            self.text.split('/').map(|segment| if segment == USER { user } else { segment });
        segments.collect::<Vec<_>>().join("/")
    }
}

impl TryFrom<String> for TopicTemplate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.split('/').any(|segment| segment != USER && segment.contains(['{', '}'])) {
            return Err(format!(
                "`{text}`: only `{{user}}` may stand in braces, as a whole segment"
            ));
        }
        let names_user = text.split('/').any(|segment| segment == USER);
        let template = Self { text, shared: None };
        let longest = template.with_user(&"u".repeat(SEGMENT_BYTES_MAX));
        let pattern =
            Pattern::new(&longest).map_err(|error| format!("`{}`: {error}", template.text))?;
        Ok(Self { shared: (!names_user).then_some(pattern), ..template })
    }
}

impl From<TopicTemplate> for String {
    fn from(template: TopicTemplate) -> Self {
        template.text
    }
}

impl fmt::Display for TopicTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", true)]
    #[case("/live", true)]
    #[case("/apps/live", true)]
    #[case("live", false)]
    #[case("/", false)]
    #[case("/live/", false)]
    #[case("//live", false)]
    #[case("/../live", false)]
    #[case("/li%20ve", false)]
    #[case("/{live}", false)]
    fn takes_a_base_path(#[case] text: &str, #[case] right: bool) {
        assert_eq!(BasePath::try_from(text.to_owned()).is_ok(), right);
    }

    #[rstest]
    #[case("user/{user}", Some("42"), Some("user/42"))]
    #[case("user/{user}", None, None)]
    #[case("broadcast", Some("42"), Some("broadcast"))]
    #[case("broadcast", None, Some("broadcast"))]
    #[case("teams/{user}/**", Some("a%2Fb"), Some("teams/a%2Fb/**"))]
    fn fills_in_the_user(
        #[case] text: &str,
        #[case] user: Option<&str>,
        #[case] filled: Option<&str>,
    ) {
        let template = TopicTemplate::try_from(text.to_owned()).unwrap();
        assert_eq!(template.fill(user).as_ref().map(Pattern::as_str), filled);
    }

    #[rstest]
    #[case("")]
    #[case("user/{id}")]
    #[case("user-{user}")]
    #[case("user/{user")]
    #[case("$hub")]
    #[case("a,b")]
    #[case("a/**/b")]
    fn refuses_a_template(#[case] text: &str) {
        assert!(TopicTemplate::try_from(text.to_owned()).is_err());
    }

    #[test]
    fn does_not_repeat_a_broker_url() {
        let complaint = Broker::try_from("amqp://me:canary@host".to_owned()).unwrap_err();
        assert!(!complaint.contains("canary"), "{complaint}");
        assert!(complaint.contains("disk:FOLDER"), "{complaint}");
    }
}

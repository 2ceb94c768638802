//! Names of cookies and headers that carry a session: each is checked by being built.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes in a name.
const NAME_BYTES_MAX: usize = 128;

/// The name of a cookie: a token of RFC 9110, 5.6.2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline)]
pub struct CookieName(String);

impl CookieName {
    /// The name, in the case it was given in: the names of cookies are told apart by it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CookieName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "tidings_token" {
            return Err("`tidings_token` is the cookie for tokens; name another".to_owned());
        }
        if is_token(&text) { Ok(Self(text)) } else { Err(format!("`{text}` names no cookie")) }
    }
}

impl From<CookieName> for String {
    fn from(name: CookieName) -> Self {
        name.0
    }
}

impl fmt::Display for CookieName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes in a node's name.
const NODE_NAME_BYTES_MAX: usize = 64;

/// A node's name, among those that share a log: visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline)]
pub struct NodeName(String);

impl NodeName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NodeName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_right = (1..=NODE_NAME_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_right {
            Ok(Self(text))
        } else {
            Err(format!("a node's name is 1 to {NODE_NAME_BYTES_MAX} visible ASCII characters"))
        }
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.0
    }
}

/// The name of a request header that may be handed on to the application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline)]
pub struct ForwardedHeader(String);

/// Headers that mean something to this connection alone, or that carry what has a place of its own.
const NOT_FORWARDED: [&str; 17] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl ForwardedHeader {
    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ForwardedHeader {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = text.to_ascii_lowercase();
        match name.as_str() {
            "cookie" => Err("name the cookies to hand on in `cookies`".to_owned()),
            "authorization" => {
                Err("`authorization` is for API keys and tokens, and is never handed on".to_owned())
            }
            name if NOT_FORWARDED.contains(&name) => {
                Err(format!("`{name}` belongs to one connection and is never handed on"))
            }
            name if is_token(name) => Ok(Self(name.to_owned())),
            _ => Err(format!("`{text}` names no header")),
        }
    }
}

impl From<ForwardedHeader> for String {
    fn from(name: ForwardedHeader) -> Self {
        name.0
    }
}

impl fmt::Display for ForwardedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_token(text: &str) -> bool {
    let is_char = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_char)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("sid", true)]
    #[case("__Secure-authjs.session-token", true)]
    #[case("", false)]
    #[case("a b", false)]
    #[case("a=b", false)]
    #[case("a;b", false)]
    #[case("sid\r\n", false)]
    #[case("sïd", false)]
    #[case("tidings_token", false)]
    #[case(&"a".repeat(129), false)]
    fn takes_the_name_of_a_cookie(#[case] name: &str, #[case] right: bool) {
        assert_eq!(CookieName::try_from(name.to_owned()).is_ok(), right);
    }

    #[rstest]
    #[case("live-1", true)]
    #[case("10.0.0.7:4000", true)]
    #[case("", false)]
    #[case("two words", false)]
    #[case("line\n", false)]
    #[case(&"a".repeat(65), false)]
    fn takes_the_name_of_a_node(#[case] name: &str, #[case] right: bool) {
        assert_eq!(NodeName::try_from(name.to_owned()).is_ok(), right);
    }

    #[rstest]
    #[case("X-Session", true)]
    #[case("cookie", false)]
    #[case("Cookie", false)]
    #[case("Authorization", false)]
    #[case("Host", false)]
    #[case("Transfer-Encoding", false)]
    #[case("x session", false)]
    #[case("", false)]
    fn takes_the_name_of_a_header(#[case] name: &str, #[case] right: bool) {
        assert_eq!(ForwardedHeader::try_from(name.to_owned()).is_ok(), right);
    }
}

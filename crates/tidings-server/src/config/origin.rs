//! An origin a browser may call from (RFC 6454): scheme, host and port, nothing after.
//!
//! Kept in the one spelling browsers send, so that comparing is string equality. Which requests it
//! lets through is not decided here.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An exact web origin such as `https://app.example.com`, as browsers spell it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline)]
pub struct Origin(String);

impl Origin {
    /// The origin as the `Origin` header has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.contains('*') {
            return Err(format!("`{text}` has a wildcard; name each origin, there is no `*`"));
        }
        let text = text.to_ascii_lowercase();
        let Some((scheme, authority)) = text.split_once("://") else {
            return Err(format!("`{text}` has no scheme, as in https://app.example.com"));
        };
        let scheme_char = |c: char| c.is_ascii_alphanumeric() || "+.-".contains(c);
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            || !scheme.chars().all(scheme_char)
        {
            return Err(format!("`{text}` does not begin with a scheme such as https"));
        }
        if let Some(place) = authority.find(['/', '?', '#', '@']) {
            return Err(format!(
                "`{text}` has more than scheme, host and port: take out from `{}` on",
                &authority[place..=place]
            ));
        }
        let (host, port) = split_port(authority);
        let name_char = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host_is_right = match address {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.chars().all(name_char),
        };
        if !host_is_right {
            return Err(format!(
                "`{text}` has no host that browsers would send; write other scripts in punycode"
            ));
        }
        match port {
            None => {}
            Some(port) if own_port(scheme) == Some(port) => {
                return Err(format!(
                    "`{text}` never matches, browsers leave out the usual port: write \
                     {scheme}://{host}"
                ));
            }
            Some(port) if port.parse::<u16>().is_ok_and(|number| number.to_string() == port) => {}
            Some(_) => return Err(format!("`{text}` has no port number after its last `:`")),
        }
        Ok(Self(text))
    }
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn own_port(scheme: &str) -> Option<&'static str> {
    match scheme {
        "http" => Some("80"),
        "https" => Some("443"),
        _ => None,
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://app.example.com", "https://app.example.com")]
    #[case("HTTPS://App.Example.COM", "https://app.example.com")]
    #[case("http://localhost:3000", "http://localhost:3000")]
    #[case("http://[::1]:3000", "http://[::1]:3000")]
    #[case("http://[::1]", "http://[::1]")]
    #[case("capacitor://localhost", "capacitor://localhost")]
    fn reads_an_origin(#[case] text: &str, #[case] spelled: &str) {
        assert_eq!(Origin::try_from(text.to_owned()).unwrap().as_str(), spelled);
    }

    #[rstest]
    #[case("*")]
    #[case("https://*.example.com")]
    #[case("null")]
    #[case("")]
    #[case("app.example.com")]
    #[case("://app.example.com")]
    #[case("1http://app.example.com")]
    #[case("https://")]
    #[case("https://app.example.com/")]
    #[case("https://app.example.com/path")]
    #[case("https://app.example.com?x")]
    #[case("https://me@app.example.com")]
    #[case("https://app.example.com:443")]
    #[case("http://app.example.com:80")]
    #[case("https://app.example.com:")]
    #[case("https://app.example.com:99999")]
    #[case("https://app.example.com:0443")]
    #[case("https://bücher.example")]
    #[case("https://[::1")]
    #[case("https://[zz]")]
    #[case("https://a b")]
    fn refuses_what_no_browser_sends(#[case] text: &str) {
        assert!(Origin::try_from(text.to_owned()).is_err());
    }
}

//! A mail server and the addresses of people: each is checked by being built.

use std::fmt;
use std::str::FromStr;

use lettre::message::Mailbox;
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::url::is_loopback;

/// Bytes in an address, of a server or of a person.
const ADDRESS_BYTES_MAX: usize = 512;
/// The ports of RFC 8314: TLS from the start, and STARTTLS.
const SMTPS_PORT: u16 = 465;
const SUBMISSION_PORT: u16 = 587;

/// How a mail server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// TLS from the first byte.
    Tls,
    /// TLS by STARTTLS, before anything is said.
    StartTls,
    /// In the clear: to this machine alone.
    Clear,
}

/// A mail server: `smtps://HOST` or `smtp://HOST`, perhaps with a port, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline)]
pub struct SmtpUrl(Url);

impl SmtpUrl {
    /// The name or the address of the server, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, the usual one where none was given.
    pub fn port(&self) -> u16 {
        let usual = if self.0.scheme() == "smtps" { SMTPS_PORT } else { SUBMISSION_PORT };
        self.0.port().unwrap_or(usual)
    }

    /// Whether and how it is encrypted.
    pub fn security(&self) -> SmtpSecurity {
        match self.0.scheme() {
            "smtps" => SmtpSecurity::Tls,
            _ if is_loopback(self.host()) => SmtpSecurity::Clear,
            _ => SmtpSecurity::StartTls,
        }
    }
}

impl TryFrom<String> for SmtpUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // The text is not repeated: it may hold a password.
        let url = Url::parse(&text).map_err(|error| format!("it is not a URL: {error}"))?;
        let wrong = if text.len() > ADDRESS_BYTES_MAX {
            "it is longer than 512 bytes"
        } else if !matches!(url.scheme(), "smtp" | "smtps") {
            "it must begin with smtps:// or smtp://"
        } else if url.host_str().is_none_or(str::is_empty) {
            "it names no host"
        } else if !url.username().is_empty() || url.password().is_some() {
            "it must not have a user or a password in it: they have settings of their own"
        } else if !matches!(url.path(), "" | "/") || url.query().or(url.fragment()).is_some() {
            "it must end with the host or the port"
        } else {
            return Ok(Self(url));
        };
        Err(wrong.to_owned())
    }
}

impl From<SmtpUrl> for String {
    fn from(url: SmtpUrl) -> Self {
        url.0.into()
    }
}

/// Somebody's address, with or without their name: `on-call@example.com`,
/// `On call <on-call@example.com>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline)]
pub struct MailAddress(Mailbox);

impl MailAddress {
    /// The address as the mail library has it.
    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.0
    }
}

impl TryFrom<String> for MailAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len() > ADDRESS_BYTES_MAX || text.chars().any(char::is_control) {
            return Err("it is too long for an address, or has control characters".to_owned());
        }
        let mailbox = Mailbox::from_str(&text);
        mailbox.map(Self).map_err(|error| format!("`{text}` is no mail address: {error}"))
    }
}

impl From<MailAddress> for String {
    fn from(address: MailAddress) -> Self {
        address.0.to_string()
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("smtps://smtp.example.com", "smtp.example.com", 465, SmtpSecurity::Tls)]
    #[case("smtps://127.0.0.1:1465/", "127.0.0.1", 1465, SmtpSecurity::Tls)]
    #[case("smtp://smtp.example.com", "smtp.example.com", 587, SmtpSecurity::StartTls)]
    #[case("smtp://smtp.example.com:25", "smtp.example.com", 25, SmtpSecurity::StartTls)]
    #[case("smtp://localhost:25", "localhost", 25, SmtpSecurity::Clear)]
    #[case("smtp://[::1]:25", "::1", 25, SmtpSecurity::Clear)]
    #[case("smtp://localhost.example.com", "localhost.example.com", 587, SmtpSecurity::StartTls)]
    fn knows_how_a_server_is_spoken_to(
        #[case] text: &str,
        #[case] host: &str,
        #[case] port: u16,
        #[case] security: SmtpSecurity,
    ) {
        let url = SmtpUrl::try_from(text.to_owned()).unwrap();
        assert_eq!((url.host(), url.port(), url.security()), (host, port, security));
    }

    #[rstest]
    #[case("smtp.example.com")]
    #[case("https://smtp.example.com")]
    #[case("smtp://")]
    #[case("smtp:canary")]
    #[case("smtp://me:canary@smtp.example.com")]
    #[case("smtp://smtp.example.com/canary")]
    #[case("smtp://smtp.example.com?tls=canary")]
    fn refuses_what_is_no_mail_server(#[case] text: &str) {
        let complaint = SmtpUrl::try_from(text.to_owned()).unwrap_err();
        assert!(!complaint.contains("canary"), "{complaint}");
    }

    #[rstest]
    #[case("on-call@example.com", true)]
    #[case("On call <on-call@example.com>", true)]
    #[case("on-call", false)]
    #[case("a@example.com\r\nBcc: b@example.com", false)]
    #[case("a@example.com, b@example.com", false)]
    #[case("", false)]
    fn takes_one_mail_address(#[case] text: &str, #[case] right: bool) {
        assert_eq!(MailAddress::try_from(text.to_owned()).is_ok(), right);
    }
}

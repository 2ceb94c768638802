//! Hosts and networks in the settings: each is checked by being built, and kept in the one spelling
//! that it is compared in.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The widest networks that anyone has to themselves: 10.0.0.0/8, and `fc00::/7` (RFC 4193).
const PREFIX_BITS_MIN_V4: u8 = 8;
const PREFIX_BITS_MIN_V6: u8 = 7;
/// What precedes an IPv4 address inside IPv6, `::ffff:0:0/96`.
const MAPPED_BITS: u8 = 96;

/// An address or a network of them, as in `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline)]
pub struct Network(IpNet);

impl Network {
    /// The network.
    pub fn net(&self) -> IpNet {
        self.0
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let single = text.parse::<IpAddr>().map(IpNet::from);
        let network = single.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
            format!("`{text}` is no address or network, as in 10.0.0.0/8 or 2001:db8::1")
        })?;
        if network.trunc() != network {
            // One address was meant, or the whole network: not to be guessed at.
            return Err(format!(
                "`{text}` names an address and a network: write {} or {}",
                network.addr(),
                network.trunc()
            ));
        }
        let network = canonical(network);
        let bits_min = match network {
            IpNet::V4(_) => PREFIX_BITS_MIN_V4,
            IpNet::V6(_) => PREFIX_BITS_MIN_V6,
        };
        if network.prefix_len() < bits_min {
            return Err(format!(
                "`{text}` is everyone, or nearly: strangers could then claim any address; name your \
                 proxies, in no network wider than /{bits_min}"
            ));
        }
        Ok(Self(network))
    }
}

/// IPv4 addresses inside IPv6 as what they are compared as.
fn canonical(network: IpNet) -> IpNet {
    let mapped = match network {
        IpNet::V4(_) => None,
        IpNet::V6(network) => network
            .addr()
            .to_ipv4_mapped()
            .zip(network.prefix_len().checked_sub(MAPPED_BITS))
            .and_then(|(address, bits)| Ipv4Net::new(address, bits).ok()),
    };
    mapped.map_or(network, IpNet::V4)
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.0.to_string()
    }
}

/// The ports that a request need not name. Which one was meant cannot be told behind a proxy.
const USUAL_PORTS: [u16; 2] = [80, 443];

/// A name that requests may be addressed to: `live.example.com`, or with a port that must then match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline)]
pub struct Host(String);

impl Host {
    /// Whether a request's `Host` is this one.
    pub fn is(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let is_usual_port = || USUAL_PORTS.iter().any(|port| format!("{host}:{port}") == self.0);
        host == self.0 || without_port(&host) == self.0 || is_usual_port()
    }
}

/// The host of `host:port`; an IPv6 address is in brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}

impl TryFrom<String> for Host {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let example = "as in live.example.com or localhost:4000";
        if text.contains("://") {
            return Err(format!("`{text}` has a scheme; a host has none, {example}"));
        }
        if text.contains('*') {
            return Err(format!("`{text}` has a wildcard; name each host, there is no `*`"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if without_port(&text).is_empty() || text.len() > 255 || !text.chars().all(plain) {
            return Err(format!("`{text}` is no host, {example}"));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.0
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("10.0.0.0/8", Some("10.0.0.0/8"))]
    #[case("10.1.2.3/8", None)]
    #[case("::ffff:10.0.0.0/104", Some("10.0.0.0/8"))]
    #[case("0.0.0.0/1", None)]
    #[case("::ffff:0:0/96", None)]
    #[case("2000::/3", None)]
    #[case("192.0.2.1", Some("192.0.2.1/32"))]
    #[case("::ffff:192.0.2.1", Some("192.0.2.1/32"))]
    #[case("fd00::/8", Some("fd00::/8"))]
    #[case("0.0.0.0/0", None)]
    #[case("::/0", None)]
    #[case("10.0.0.0/33", None)]
    #[case("proxy.example.com", None)]
    #[case("", None)]
    fn takes_a_network(#[case] text: &str, #[case] expected: Option<&str>) {
        let network = Network::try_from(text.to_owned()).ok().map(String::from);
        assert_eq!(network.as_deref(), expected);
    }

    #[rstest]
    #[case("live.example.com", "live.example.com", true)]
    #[case("live.example.com", "LIVE.example.com", true)]
    #[case("live.example.com", "live.example.com:8443", true)]
    #[case("Live.Example.com:8443", "live.example.com:8443", true)]
    #[case("live.example.com:8443", "live.example.com", false)]
    #[case("live.example.com:8443", "live.example.com:443", false)]
    #[case("live.example.com:443", "live.example.com", true)]
    #[case("live.example.com:443", "live.example.com:80", false)]
    #[case("live.example.com", "live.example.com.evil.com", false)]
    #[case("live.example.com", "evil-live.example.com", false)]
    #[case("[::1]", "[::1]:4000", true)]
    #[case("[::1]", "[::1]", true)]
    #[case("127.0.0.1", "127.0.0.1:4000", true)]
    #[case("localhost", "", false)]
    fn is_matched(#[case] host: &str, #[case] asked: &str, #[case] same: bool) {
        assert_eq!(Host::try_from(host.to_owned()).unwrap().is(asked), same);
    }

    #[rstest]
    #[case("https://live.example.com")]
    #[case("live.example.com/path")]
    #[case("*.example.com")]
    #[case("")]
    #[case(":4000")]
    #[case("a b")]
    fn refuses_a_host(#[case] text: &str) {
        assert!(Host::try_from(text.to_owned()).is_err());
    }
}

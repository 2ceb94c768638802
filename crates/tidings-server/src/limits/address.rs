//! Whose address a request comes from: its connection's, or, behind a proxy that is trusted, the one
//! that the proxy has written down.
//!
//! A forwarded address is anyone's word until a trusted proxy has added it, so the lists are read from
//! their end: as far as the last entry that is not a trusted proxy's own.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;

/// Addresses looked at in one request.
const HOPS_MAX: usize = 32;

/// The address of whoever asks. Where a trusted proxy says nothing that can be read, its own.
pub(crate) fn client_address(
    peer: IpAddr,
    headers: &HeaderMap,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    for entry in forwarded_for(headers).rev().take(HOPS_MAX) {
        // What is left of an entry that nobody can read, an attacker may have written.
        let Some(address) = entry.and_then(read_address) else { break };
        client = address;
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// The entries of the forwarding headers, the nearest last; nothing for one that names no address.
/// `Forwarded` (RFC 7239) is taken when it is there, `X-Forwarded-For` otherwise.
fn forwarded_for(headers: &HeaderMap) -> std::vec::IntoIter<Option<&str>> {
    let lines = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or(""));
    let entries: Vec<Option<&str>> = if headers.contains_key("forwarded") {
        lines("forwarded").flat_map(|line| line.split(',')).map(for_parameter).collect()
    } else {
        lines("x-forwarded-for").flat_map(|line| line.split(',')).map(Some).collect()
    };
    entries.into_iter()
}

/// The `for` of one element of `Forwarded`, as in `for="[2001:db8::1]:4711";proto=https`.
fn for_parameter(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// An address, with or without a port, an IPv6 one in brackets or not.
fn read_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()?;
    Some(address.to_canonical())
}

/// The address that is counted: whoever has an IPv6 address usually has 2^64 of them.
pub(crate) fn subnet(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;
    use rstest::rstest;

    use super::*;

    const PROXIES: [&str; 3] = ["10.0.0.0/8", "127.0.0.1/32", "fd00::/8"];

    #[rstest]
    #[case::direct("192.0.2.7", &[], "192.0.2.7")]
    #[case::forged("192.0.2.7", &[("x-forwarded-for", "198.51.100.1")], "192.0.2.7")]
    #[case::forged_standard("192.0.2.7", &[("forwarded", "for=198.51.100.1")], "192.0.2.7")]
    #[case::one_proxy("10.0.0.1", &[("x-forwarded-for", "198.51.100.1")], "198.51.100.1")]
    #[case::mapped_proxy("::ffff:10.0.0.1", &[("x-forwarded-for", "198.51.100.1")], "198.51.100.1")]
    #[case::two_proxies("10.0.0.1", &[("x-forwarded-for", "198.51.100.1, 10.0.0.2")], "198.51.100.1")]
    #[case::forged_before_proxy("10.0.0.1", &[("x-forwarded-for", "1.2.3.4, 198.51.100.1")], "198.51.100.1")]
    #[case::two_lines("10.0.0.1", &[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "198.51.100.1")], "198.51.100.1")]
    #[case::with_port("10.0.0.1", &[("x-forwarded-for", "198.51.100.1:4711")], "198.51.100.1")]
    #[case::v6("10.0.0.1", &[("x-forwarded-for", "2001:DB8::1")], "2001:db8::1")]
    #[case::v6_brackets("10.0.0.1", &[("x-forwarded-for", "[2001:db8::1]:4711")], "2001:db8::1")]
    #[case::v6_proxy("fd00::1", &[("x-forwarded-for", "2001:db8::1, fd00::2")], "2001:db8::1")]
    #[case::mapped("10.0.0.1", &[("x-forwarded-for", "::ffff:198.51.100.1")], "198.51.100.1")]
    #[case::standard("10.0.0.1", &[("forwarded", "for=198.51.100.1;proto=https")], "198.51.100.1")]
    #[case::standard_v6("10.0.0.1", &[("forwarded", "proto=https;For=\"[2001:db8::1]:4711\"")], "2001:db8::1")]
    #[case::standard_list("10.0.0.1", &[("forwarded", "for=1.2.3.4, for=198.51.100.1, for=10.0.0.2")], "198.51.100.1")]
    #[case::standard_goes_first("10.0.0.1", &[("forwarded", "for=198.51.100.1"), ("x-forwarded-for", "1.2.3.4")], "198.51.100.1")]
    #[case::hidden("10.0.0.1", &[("forwarded", "for=1.2.3.4, for=_hidden")], "10.0.0.1")]
    #[case::unknown("10.0.0.1", &[("x-forwarded-for", "1.2.3.4, unknown, 10.0.0.2")], "10.0.0.2")]
    #[case::empty("10.0.0.1", &[("x-forwarded-for", "")], "10.0.0.1")]
    #[case::all_proxies("10.0.0.1", &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3")]
    #[case::nothing("10.0.0.1", &[], "10.0.0.1")]
    #[case::octal("10.0.0.1", &[("x-forwarded-for", "0127.0.0.1")], "10.0.0.1")]
    fn is_the_nearest_that_no_trusted_proxy_has(
        #[case] peer: &str,
        #[case] headers: &[(&'static str, &str)],
        #[case] expected: &str,
    ) {
        let trusted: Vec<IpNet> = PROXIES.map(|network| network.parse().unwrap()).into();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let is_trusted = |address| trusted.iter().any(|network| network.contains(&address));
        let client = client_address(peer.parse().unwrap(), &map, is_trusted);
        assert_eq!(client, expected.parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_long_list_is_not_read_to_its_beginning() {
        let mut map = HeaderMap::new();
        let list = "198.51.100.1".to_owned() + &", 10.0.0.2".repeat(1000);
        map.insert("x-forwarded-for", list.parse().unwrap());
        let is_trusted = |address: IpAddr| address.to_string().starts_with("10.");
        let client = client_address("10.0.0.1".parse().unwrap(), &map, is_trusted);
        assert_eq!(client, "10.0.0.2".parse::<IpAddr>().unwrap());
    }

    #[rstest]
    #[case("2001:db8::1", "2001:db8::ffff:0:0:2", true)]
    #[case("::ffff:10.0.0.1", "10.0.0.1", true)]
    #[case("2001:db8:0:0::1", "2001:DB8::1", true)]
    #[case("2001:db8:0:1::1", "2001:db8:0:2::1", false)]
    #[case("10.0.0.1", "10.0.0.2", false)]
    fn all_spellings_of_an_address_and_a_whole_subnet_are_one(
        #[case] one: &str,
        #[case] other: &str,
        #[case] same: bool,
    ) {
        assert_eq!(subnet(one.parse().unwrap()) == subnet(other.parse().unwrap()), same);
    }
}

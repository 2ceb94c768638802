//! Whose address a request comes from: its connection's, or, behind a proxy that is trusted, the one
//! that the proxy has written down.
//!
//! A forwarded address is anyone's word until a trusted proxy has added it, so the lists (`Forwarded`,
//! RFC 7239, and `X-Forwarded-For`) are read from their end: as far as the last entry that is not a
//! trusted proxy's own.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, header};

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// Addresses looked at in one request.
const HOPS_MAX: usize = 32;

/// The address of whoever asks. Where a trusted proxy says nothing that can be read, its own.
pub(crate) fn client_address(
    peer: IpAddr,
    headers: &HeaderMap,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer) {
        return peer;
    }
    let by_x_forwarded_for = headers.contains_key(X_FORWARDED_FOR).then(|| {
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        walk(peer, entries.map(read_address), &is_trusted)
    });
    let by_forwarded = headers.contains_key(header::FORWARDED).then(|| {
        let lines = headers.get_all(header::FORWARDED).iter().rev();
        let elements = lines.flat_map(|line| Elements(Some(line.as_bytes())));
        walk(
            peer,
            elements.map(|element| for_parameter(element).and_then(read_address)),
            &is_trusted,
        )
    });
    match (by_x_forwarded_for, by_forwarded) {
        // A proxy writes one of the two and hands the other on as the client sent it. Which one that
        // is cannot be known, so whoever writes what the proxy does not say must gain nothing by it.
        (Some(one), Some(other)) if subnet(one) != subnet(other) => peer,
        (one, other) => one.or(other).unwrap_or(peer),
    }
}

/// From the nearest: the first address that no trusted proxy has, or the last one before an entry that
/// nobody can read. What is left of that, an attacker may have written.
fn walk(
    peer: IpAddr,
    from_the_nearest: impl Iterator<Item = Option<IpAddr>>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let mut client = peer;
    for address in from_the_nearest.take(HOPS_MAX).map_while(|address| address) {
        client = address;
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// The elements of a `Forwarded` header (RFC 7239), the nearest first. Read from their beginning, one
/// quote that a client left open would swallow what the proxy has added.
struct Elements<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0?;
        let mut is_quoted = false;
        let comma = rest.iter().rposition(|byte| {
            is_quoted ^= *byte == b'"';
            *byte == b',' && !is_quoted
        });
        self.0 = comma.map(|comma| &rest[..comma]);
        Some(comma.map_or(rest, |comma| &rest[comma + 1..]))
    }
}

/// The one `for` of an element, as in `for="[2001:db8::1]:4711";proto=https`.
fn for_parameter(element: &[u8]) -> Option<&[u8]> {
    let is_open = element.iter().fold(false, |is_open, byte| is_open ^ (*byte == b'"'));
    // Nothing that an address needs is ever escaped, and what is escaped cannot be taken apart here.
    if is_open || element.contains(&b'\\') {
        return None;
    }
    let mut is_quoted = false;
    let pairs = element.split(|byte| {
        is_quoted ^= *byte == b'"';
        *byte == b';' && !is_quoted
    });
    let mut found = None;
    for pair in pairs {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"for") && found.replace(value).is_some() {
            return None;
        }
    }
    let node = found?;
    let quoted = node.strip_prefix(b"\"").and_then(|node| node.strip_suffix(b"\""));
    Some(quoted.unwrap_or(node))
}

/// An address, with or without a port, an IPv6 one in brackets or not.
fn read_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().ok()?.into(),
        None => text
            .parse::<IpAddr>()
            .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
            .ok()?,
    };
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
    #[case::standard_name_in_quotes("10.0.0.1", &[("forwarded", "host=\"a,b;for=1.2.3.4\";for=198.51.100.1")], "198.51.100.1")]
    #[case::standard_forged_quote("10.0.0.1", &[("forwarded", "for=1.2.3.4;host=\"x, for=198.51.100.1")], "198.51.100.1")]
    #[case::standard_forged_quote_in_a_line("10.0.0.1", &[("forwarded", "for=\"1.2.3.4"), ("forwarded", "for=198.51.100.1")], "198.51.100.1")]
    #[case::standard_escaped("10.0.0.1", &[("forwarded", "host=\"a\\\", for=1.2.3.4;x=\\\"b\"")], "10.0.0.1")]
    #[case::standard_open("10.0.0.1", &[("forwarded", "for=\"1.2.3.4")], "10.0.0.1")]
    #[case::standard_twice("10.0.0.1", &[("forwarded", "for=1.2.3.4;for=198.51.100.1")], "10.0.0.1")]
    #[case::standard_without("10.0.0.1", &[("forwarded", "for=1.2.3.4, proto=https")], "10.0.0.1")]
    #[case::both_agree("10.0.0.1", &[("forwarded", "for=198.51.100.1"), ("x-forwarded-for", "1.2.3.4, 198.51.100.1")], "198.51.100.1")]
    #[case::both_differ("10.0.0.1", &[("forwarded", "for=1.2.3.4"), ("x-forwarded-for", "198.51.100.1")], "10.0.0.1")]
    #[case::both_and_one_is_nonsense("10.0.0.1", &[("forwarded", "x"), ("x-forwarded-for", "198.51.100.1")], "10.0.0.1")]
    #[case::brackets_around_v4("10.0.0.1", &[("x-forwarded-for", "[1.2.3.4]")], "10.0.0.1")]
    #[case::scoped("10.0.0.1", &[("x-forwarded-for", "fe80::1%eth0")], "10.0.0.1")]
    #[case::hole("10.0.0.1", &[("x-forwarded-for", "1.2.3.4, , 10.0.0.2")], "10.0.0.2")]
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
    fn nothing_a_client_writes_changes_what_the_proxy_adds() {
        const PIECES: [&str; 14] = [
            "1.2.3.4",
            "for=1.2.3.4",
            "\"",
            "\\",
            ",",
            ";",
            "=",
            "for=",
            "10.0.0.2",
            " ",
            "\u{e9}",
            "for=\"[fd00::1]\"",
            "host=\"",
            "unknown",
        ];
        let found = |lines: &[(&'static str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in lines {
                map.append(*name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            let is_trusted = |address: IpAddr| address.to_string().starts_with("10.");
            client_address("10.0.0.1".parse().unwrap(), &map, is_trusted).to_string()
        };
        let seed = fastrand::u64(..);
        println!("seed: {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..20_000 {
            let count = random.usize(..8);
            let forged: String = (0..count).map(|_| PIECES[random.usize(..PIECES.len())]).collect();
            let added = format!("{forged}, 198.51.100.1");
            assert_eq!(found(&[("x-forwarded-for", &added)]), "198.51.100.1", "{forged}");
            let added = format!("{forged}, for=198.51.100.1");
            assert_eq!(found(&[("forwarded", &added)]), "198.51.100.1", "{forged}");
            // The header that the proxy does not write is the client's own: it may lead to the proxy's
            // address, and never to one that the client has chosen.
            for (own, other) in [("x-forwarded-for", "forwarded"), ("forwarded", "x-forwarded-for")]
            {
                let added = if own == "forwarded" { "for=198.51.100.1" } else { "198.51.100.1" };
                let found = found(&[(other, &forged), (own, added)]);
                assert!(found == "198.51.100.1" || found == "10.0.0.1", "{forged}: {found}");
            }
        }
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

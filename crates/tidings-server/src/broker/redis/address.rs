//! Where a Redis is, as its URL says: at one place, behind Sentinels, or in a Cluster.
//!
//! Pure. A complaint repeats nothing of the URL, which may hold a password.

use percent_encoding::percent_decode_str;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
}

/// How the server is found that holds the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// It is at one of the places.
    Here,
    /// The Sentinels at the places know where the master of this name is.
    Sentinel { master: String },
    /// The places are of a Cluster; whoever is asked knows who has a key.
    Cluster,
}

/// What a URL says. Its text is nowhere: it may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) places: Vec<Place>,
    pub(super) search: Search,
    pub(super) is_encrypted: bool,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: i64,
}

/// What is wrong with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AddressError {
    #[error("it names no host; write it as in redis://127.0.0.1:6379")]
    NoHost,
    #[error("a port in it is no number from 1 to 65535")]
    Port,
    #[error("what follows the first `/` is no number of a database")]
    Database,
    #[error("it names no master; write it as in redis-sentinel://host1,host2/mymaster")]
    NoMaster,
    #[error("a Cluster has no other database than 0")]
    ClusterDatabase,
    #[error("its user or password is not UTF-8 once its % are decoded")]
    Credentials,
}

impl Address {
    /// Reads `scheme://[[user]:password@]host[:port][,host[:port]…][/…]`.
    pub(super) fn parse(url: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = url.split_once("://").ok_or(AddressError::NoHost)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, authority),
        };
        let (username, password) = match credentials {
            Some(text) => {
                let (user, password) = text.split_once(':').unwrap_or((text, ""));
                (decode(user)?, decode(password)?)
            }
            None => (None, None),
        };
        let kind = scheme.split_once('-').map_or("", |(_, kind)| kind);
        let port = if kind == "sentinel" { SENTINEL_PORT } else { REDIS_PORT };
        let places =
            hosts.split(',').map(|host| Place::parse(host, port)).collect::<Result<_, _>>()?;
        let (search, database) = match kind {
            "sentinel" => {
                let (master, database) = path.split_once('/').unwrap_or((path, ""));
                let master = decode(master)?.ok_or(AddressError::NoMaster)?;
                (Search::Sentinel { master }, database)
            }
            "cluster" => (Search::Cluster, path),
            _ => (Search::Here, path),
        };
        let database = match database {
            "" => 0,
            text => text.parse::<u16>().map_err(|_| AddressError::Database)?.into(),
        };
        if search == Search::Cluster && database != 0 {
            return Err(AddressError::ClusterDatabase);
        }
        let is_encrypted = scheme.starts_with("rediss");
        Ok(Self { places, search, is_encrypted, username, password, database })
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Place {
    /// From `host:port`, `host` alone, or an IPv6 address in brackets.
    pub(super) fn parse(text: &str, usual_port: u16) -> Result<Self, AddressError> {
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => match text.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if host.is_empty() {
            return Err(AddressError::NoHost);
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(AddressError::Port)?,
            None => usual_port,
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

fn decode(text: &str) -> Result<Option<String>, AddressError> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| AddressError::Credentials)?;
    Ok((!text.is_empty()).then(|| text.into_owned()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn places(address: &Address) -> String {
        address.places.iter().map(Place::to_string).collect::<Vec<_>>().join(" ")
    }

    #[rstest]
    #[case("redis://localhost", "localhost:6379", Search::Here, 0)]
    #[case("rediss://[::1]:7000/3", "::1:7000", Search::Here, 3)]
    #[case("redis://a,b:7000", "a:6379 b:7000", Search::Here, 0)]
    #[case("redis-cluster://a:1,b:2", "a:1 b:2", Search::Cluster, 0)]
    fn reads_where_it_is(
        #[case] url: &str,
        #[case] at: &str,
        #[case] search: Search,
        #[case] database: i64,
    ) {
        let address = Address::parse(url).unwrap();
        assert_eq!(places(&address), at);
        assert_eq!((address.search, address.database), (search, database));
        assert_eq!(address.is_encrypted, url.starts_with("rediss"));
    }

    #[test]
    fn reads_who_signs_in_and_whom_the_sentinels_know() {
        let address = Address::parse("rediss-sentinel://me:p%40ss,w@a,b:2/main/4").unwrap();
        assert_eq!(places(&address), "a:26379 b:2");
        assert_eq!(address.search, Search::Sentinel { master: "main".to_owned() });
        assert_eq!(address.username.as_deref(), Some("me"));
        assert_eq!(address.password.as_deref(), Some("p@ss,w"));
        assert_eq!((address.database, address.is_encrypted), (4, true));
        let address = Address::parse("redis://:canary@a").unwrap();
        assert_eq!(
            (address.username.as_deref(), address.password.as_deref()),
            (None, Some("canary"))
        );
        assert!(!format!("{address:?}").contains("canary"));
    }

    #[rstest]
    #[case("redis:", AddressError::NoHost)]
    #[case("redis://", AddressError::NoHost)]
    #[case("redis://a,,b", AddressError::NoHost)]
    #[case("redis://a:0", AddressError::Port)]
    #[case("redis://a:70000", AddressError::Port)]
    #[case("redis://a/first", AddressError::Database)]
    #[case("redis-sentinel://a", AddressError::NoMaster)]
    #[case("redis-cluster://a/1", AddressError::ClusterDatabase)]
    #[case("redis://a%ff:b@c", AddressError::Credentials)]
    fn refuses(#[case] url: &str, #[case] error: AddressError) {
        assert_eq!(Address::parse(url).unwrap_err(), error);
    }
}

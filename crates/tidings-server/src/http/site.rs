//! Which site a request is for, and which it comes from: the `Host` that is asked, and the `Origin` of
//! a page that sends a cookie along.

use http::{HeaderMap, Method, Uri, header};

use super::problem::Problem;
use crate::config::Config;

/// Whether this node answers to the host that is asked. A site elsewhere can make its own name resolve
/// to this machine (DNS rebinding); its requests still carry that name.
pub(super) fn allow_host(config: &Config, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    if config.hosts.is_empty() {
        return Ok(());
    }
    // Where the target names a host as well as the header (HTTP/2, a request as to a proxy), both count.
    let in_target = uri.authority().map(|authority| Some(authority.as_str()));
    let in_header = headers.get_all(header::HOST).iter().map(|host| host.to_str().ok());
    let mut named = in_target.into_iter().chain(in_header).peekable();
    let is_ours = |host: &str| config.hosts.iter().any(|ours| ours.is(host));
    if named.peek().is_some() && named.all(|host| host.is_some_and(is_ours)) {
        return Ok(());
    }
    Err(Problem::misdirected_request("This server does not answer to that host; see hosts."))
}

/// Whether a request that changes something may rely on a cookie. A browser sends cookies along
/// whichever page asks; the page's `Origin` is what it cannot forge.
pub(super) fn allow_origin(
    config: &Config,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let by_cookie =
        headers.contains_key(header::COOKIE) && !headers.contains_key(header::AUTHORIZATION);
    if method.is_safe() || !by_cookie {
        return Ok(());
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin = origins.next().and_then(|origin| origin.to_str().ok());
    let is_ours = |origin: &str| {
        config.cors.origins.iter().any(|allowed| allowed.as_str() == origin)
            || is_same_site(origin, headers)
    };
    if origins.next().is_none() && origin.is_some_and(is_ours) {
        return Ok(());
    }
    Err(Problem::forbidden_origin(
        "With a cookie, this is for pages of this site and of cors.origins only; others send an \
         Authorization header.",
    ))
}

/// Whether the page is of the host that is asked. Its scheme is not compared: behind a proxy that ends
/// TLS, the node does not know its own.
fn is_same_site(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let of_origin = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    matches!((host, of_origin), (Some(host), Some(origin)) if host.eq_ignore_ascii_case(origin))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const COOKIE: (&str, &str) = ("cookie", "session=1");
    const BEARER: (&str, &str) = ("authorization", "Bearer x");
    const APP: (&str, &str) = ("origin", "https://app.example.com");
    const OWN: (&str, &str) = ("origin", "https://live.example.com");
    const OWN_PLAIN: (&str, &str) = ("origin", "http://live.example.com");
    const EVIL: (&str, &str) = ("origin", "https://evil.example.com");
    const NULL: (&str, &str) = ("origin", "null");

    #[rstest]
    #[case::reading("GET", &[COOKIE, EVIL], true)]
    #[case::looking("HEAD", &[COOKIE], true)]
    #[case::preflight("OPTIONS", &[EVIL], true)]
    #[case::nothing("POST", &[], true)]
    #[case::elsewhere_without_cookie("POST", &[EVIL], true)]
    #[case::a_server("POST", &[BEARER], true)]
    #[case::a_page_with_a_key("POST", &[BEARER, COOKIE, EVIL], true)]
    #[case::the_application("POST", &[COOKIE, APP], true)]
    #[case::our_own_page("POST", &[COOKIE, OWN], true)]
    #[case::our_own_page_behind_a_proxy("POST", &[COOKIE, OWN_PLAIN], true)]
    #[case::elsewhere("POST", &[COOKIE, EVIL], false)]
    #[case::elsewhere_deletes("DELETE", &[COOKIE, EVIL], false)]
    #[case::elsewhere_puts("PUT", &[COOKIE, EVIL], false)]
    #[case::from_nowhere("POST", &[COOKIE], false)]
    #[case::from_a_sandbox("POST", &[COOKIE, NULL], false)]
    #[case::from_two("POST", &[COOKIE, APP, EVIL], false)]
    #[case::longer("POST", &[COOKIE, ("origin", "https://live.example.com.evil.com")], false)]
    #[case::other_port("POST", &[COOKIE, ("origin", "https://live.example.com:8443")], false)]
    fn a_cookie_counts_for_our_own_pages_only(
        #[case] method: &str,
        #[case] headers: &[(&'static str, &str)],
        #[case] allowed: bool,
    ) {
        let mut config = Config::default();
        config.cors.origins = vec!["https://app.example.com".to_owned().try_into().unwrap()];
        let mut map = HeaderMap::new();
        map.insert("host", "live.example.com".parse().unwrap());
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(allow_origin(&config, &method, &map).is_ok(), allowed);
    }
}

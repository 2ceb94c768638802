//! Which proxy stands between, as far as its answers give it away.
//!
//! A guess from headers, of the outermost one only: what stands behind it hides. Nothing is decided
//! by it but the order in which advice is given.

use http::HeaderMap;

/// The proxies that there is advice for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Proxy {
    Nginx,
    Apache,
    Caddy,
    Haproxy,
    Traefik,
    Cloudflare,
    #[value(name = "aws-alb")]
    AwsAlb,
}

impl Proxy {
    /// In the order in which advice is given when nothing is known.
    pub(super) const ALL: [Self; 7] = [
        Self::Nginx,
        Self::Apache,
        Self::Caddy,
        Self::Haproxy,
        Self::Traefik,
        Self::Cloudflare,
        Self::AwsAlb,
    ];

    /// As its makers spell it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Apache => "Apache",
            Self::Caddy => "Caddy",
            Self::Haproxy => "HAProxy",
            Self::Traefik => "Traefik",
            Self::Cloudflare => "Cloudflare",
            Self::AwsAlb => "AWS ALB",
        }
    }

    /// The name of the flag's value, and the key in JSON.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Apache => "apache",
            Self::Caddy => "caddy",
            Self::Haproxy => "haproxy",
            Self::Traefik => "traefik",
            Self::Cloudflare => "cloudflare",
            Self::AwsAlb => "aws-alb",
        }
    }
}

/// What is known of what answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) proxy: Option<Proxy>,
    /// What it calls itself: its `Server` or `Via`.
    pub(super) signature: Option<String>,
}

/// Headers that only one of them sets.
const MARKS: [(&str, Proxy); 4] = [
    ("cf-ray", Proxy::Cloudflare),
    ("x-amzn-trace-id", Proxy::AwsAlb),
    ("x-amz-apigw-id", Proxy::AwsAlb),
    ("x-traefik-router", Proxy::Traefik),
];

/// Words in `Server` and `Via`, in lower case.
const WORDS: [(&str, Proxy); 9] = [
    ("cloudflare", Proxy::Cloudflare),
    ("awselb", Proxy::AwsAlb),
    ("openresty", Proxy::Nginx),
    ("nginx", Proxy::Nginx),
    ("apache", Proxy::Apache),
    ("caddy", Proxy::Caddy),
    ("haproxy", Proxy::Haproxy),
    ("traefik", Proxy::Traefik),
    ("tengine", Proxy::Nginx),
];

impl Edge {
    /// What these headers of an answer give away. Tidings itself sends neither `Server` nor `Via`.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let signature = text("server").or_else(|| text("via"));
        let marked = MARKS.iter().find(|(mark, _)| headers.contains_key(*mark));
        let said = [text("server"), text("via")].into_iter().flatten().collect::<Vec<_>>();
        let said = said.join(" ").to_ascii_lowercase();
        let named = || WORDS.iter().find(|(word, _)| said.contains(word));
        let proxy = marked.map(|(_, proxy)| *proxy).or_else(|| named().map(|(_, proxy)| *proxy));
        Self { proxy, signature: signature.map(str::to_owned) }
    }

    /// For people: what it calls itself, or what it is taken for.
    pub(super) fn name(&self) -> Option<String> {
        match (&self.signature, self.proxy) {
            (Some(signature), _) => Some(signature.clone()),
            (None, Some(proxy)) => Some(proxy.name().to_owned()),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    type Headers = &'static [(&'static str, &'static str)];

    #[test]
    fn is_guessed_from_what_it_says_of_itself() {
        let rows: [(Headers, Option<Proxy>); 8] = [
            (&[], None),
            (&[("server", "nginx/1.22.1")], Some(Proxy::Nginx)),
            (&[("server", "Apache/2.4.62 (Debian)")], Some(Proxy::Apache)),
            (&[("via", "1.1 Caddy")], Some(Proxy::Caddy)),
            (&[("server", "cloudflare"), ("cf-ray", "8f-FRA")], Some(Proxy::Cloudflare)),
            (&[("server", "nginx"), ("cf-ray", "8f-FRA")], Some(Proxy::Cloudflare)),
            (&[("server", "awselb/2.0")], Some(Proxy::AwsAlb)),
            (&[("server", "Kestrel")], None),
        ];
        for (headers, expected) in rows {
            let headers = headers.iter().map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            let headers: HeaderMap = headers.collect();
            assert_eq!(Edge::of(&headers).proxy, expected, "{headers:?}");
        }
    }
}

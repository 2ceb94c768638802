//! What is wrong, and the setting that mends it: one table from faults to lines, proxy by proxy.
//!
//! Knows nothing of how a fault is found. What depends on the server that was looked at stands in
//! braces and is filled in: `{heartbeat}` and `{timeout}` in seconds, `{origin}`, `{path}`.

use super::proxy::Proxy;

/// Everything that a check can find wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Unreachable,
    BadGateway,
    Certificate,
    CertificateSoon,
    Redirected,
    NotTidings,
    WrongPath,
    WrongHost,
    ProxyRefuses,
    Credential,
    AuthorizationStripped,
    HttpOne,
    Buffered,
    Lumps,
    HeartbeatHeld,
    Compressed,
    ContentType,
    IdleCut,
    AgeCut,
    LastEventIdStripped,
    QueryStripped,
    TwoLogs,
    Cached,
    CacheControlChanged,
    CorsPreflight,
    CorsOrigin,
    CorsTwice,
    CorsHeaders,
    Clock,
    PollingCut,
    PollingLoses,
}

/// What to change: in Tidings' own settings, if it may be there, and in each proxy.
pub(super) struct Advice {
    pub(super) tidings: Option<&'static str>,
    pub(super) proxies: Option<[&'static str; 7]>,
}

/// What is filled in for the braces.
#[derive(Clone, Debug)]
pub(super) struct Values {
    pub(super) heartbeat_secs: u64,
    pub(super) origin: Option<String>,
    pub(super) path: String,
}

impl Values {
    /// A line of advice, filled in.
    pub(super) fn fill(&self, line: &str) -> String {
        let timeout_secs = (3 * self.heartbeat_secs).max(60);
        let path = if self.path.is_empty() { "/" } else { &self.path };
        line.replace("{heartbeat}", &self.heartbeat_secs.to_string())
            .replace("{timeout}", &timeout_secs.to_string())
            .replace("{origin}", self.origin.as_deref().unwrap_or("https://app.example.com"))
            .replace("{path}", path)
    }
}

impl Advice {
    /// The lines, filled in, each with the name of what it is for. The proxy that was guessed comes
    /// first.
    pub(super) fn lines(
        &self,
        values: &Values,
        guessed: Option<Proxy>,
    ) -> Vec<(Option<Proxy>, String)> {
        let mut lines: Vec<_> = self.tidings.iter().map(|line| (None, values.fill(line))).collect();
        let Some(proxies) = self.proxies else { return lines };
        let mut proxies: Vec<_> = Proxy::ALL.into_iter().zip(proxies).collect();
        proxies.sort_by_key(|(proxy, _)| Some(*proxy) != guessed);
        lines.extend(proxies.into_iter().map(|(proxy, line)| (Some(proxy), values.fill(line))));
        lines
    }
}

const fn tidings(line: &'static str) -> Advice {
    Advice { tidings: Some(line), proxies: None }
}

/// In the order of [`Proxy::ALL`]: nginx, Apache, Caddy, `HAProxy`, Traefik, Cloudflare, AWS ALB.
const fn proxies(lines: [&'static str; 7]) -> Advice {
    Advice { tidings: None, proxies: Some(lines) }
}

const fn both(line: &'static str, lines: [&'static str; 7]) -> Advice {
    Advice { tidings: Some(line), proxies: Some(lines) }
}

/// Silence is bounded in the same places for streams and for long polls.
const SILENCE: [&str; 7] = [
    "proxy_read_timeout {timeout}s;",
    "ProxyTimeout {timeout}",
    "reverse_proxy … { transport http { read_timeout 0 } }, or no read_timeout and write_timeout \
     at all",
    "timeout client {timeout}s and timeout server {timeout}s",
    "entryPoints.….transport.respondingTimeouts.writeTimeout: 0s",
    "it cuts what is silent for 100 seconds, and below Enterprise that stays; let heartbeats come \
     sooner",
    "the load balancer's attribute idle_timeout.timeout_seconds={timeout}",
];

impl Fault {
    /// The name to branch on in JSON.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::BadGateway => "bad-gateway",
            Self::Certificate => "certificate",
            Self::CertificateSoon => "certificate-soon",
            Self::Redirected => "redirected",
            Self::NotTidings => "not-tidings",
            Self::WrongPath => "wrong-path",
            Self::WrongHost => "wrong-host",
            Self::ProxyRefuses => "proxy-refuses",
            Self::Credential => "credential",
            Self::AuthorizationStripped => "authorization-stripped",
            Self::HttpOne => "http-1",
            Self::Buffered => "buffered",
            Self::Lumps => "lumps",
            Self::HeartbeatHeld => "heartbeat-held",
            Self::Compressed => "compressed",
            Self::ContentType => "content-type",
            Self::IdleCut => "idle-cut",
            Self::AgeCut => "age-cut",
            Self::LastEventIdStripped => "last-event-id-stripped",
            Self::QueryStripped => "query-stripped",
            Self::TwoLogs => "two-logs",
            Self::Cached => "cached",
            Self::CacheControlChanged => "cache-control-changed",
            Self::CorsPreflight => "cors-preflight",
            Self::CorsOrigin => "cors-origin",
            Self::CorsTwice => "cors-twice",
            Self::CorsHeaders => "cors-headers",
            Self::Clock => "clock",
            Self::PollingCut => "polling-cut",
            Self::PollingLoses => "polling-loses",
        }
    }

    /// The setting that mends it.
    pub(super) const fn advice(self) -> Advice {
        match self {
            Self::Unreachable => tidings(
                "is it running, and does it listen where this goes? `listen` is 127.0.0.1:4000 by \
                 default, which other machines do not reach",
            ),
            Self::BadGateway => both(
                "does `curl http://127.0.0.1:4000/readyz` answer on the proxy's machine? `listen` \
                 says where it should",
                [
                    "proxy_pass http://127.0.0.1:4000; with the address of `listen`; error_log \
                     says why",
                    "ProxyPass \"/\" \"http://127.0.0.1:4000/\" with the address of `listen`",
                    "reverse_proxy 127.0.0.1:4000 with the address of `listen`",
                    "server one 127.0.0.1:4000 check with the address of `listen`, option httpchk \
                     GET /readyz",
                    "loadBalancer.servers: [{ url: http://127.0.0.1:4000 }] with the address of \
                     `listen`",
                    "the origin's address in DNS, and SSL/TLS mode Full when the origin has a \
                     certificate",
                    "target group: the port of `listen`, health check path /readyz, security \
                     groups that let it in",
                ],
            ),
            Self::Certificate => proxies([
                "ssl_certificate: the whole chain (fullchain.pem) for this name, renewed, then \
                 nginx -s reload",
                "SSLCertificateFile: the whole chain (fullchain.pem) for this name, renewed, then \
                 apachectl graceful",
                "the site's address must be this name; tls with no files lets Caddy get it",
                "bind … ssl crt FILE: certificate, chain and key in one file, renewed, then reload",
                "tls.certResolver on the router, or tls.certificates with the whole chain",
                "SSL/TLS → Edge Certificates: the name must be covered (one level of subdomain on \
                 the free plan)",
                "listener → certificates: one of ACM for this name, issued and not expired",
            ]),
            Self::CertificateSoon => tidings(
                "renew it now and reload whoever has it; with Tidings' own [tls] that is SIGHUP",
            ),
            Self::Redirected => both(
                "give clients the address that the redirect names: they do not follow redirects",
                [
                    "no return 301 or rewrite … redirect for {path}; leave it to the pages of the \
                     site",
                    "no Redirect and no RewriteRule [R] for {path}",
                    "no redir for {path}",
                    "http-request redirect … unless { path_beg {path} }",
                    "no redirectScheme or redirectRegex middleware on this router",
                    "SSL/TLS mode Full (Flexible loops), and no Redirect Rule for {path}",
                    "a listener rule for path {path}* that forwards, before the one that redirects",
                ],
            ),
            Self::NotTidings => both(
                "give the URL that Tidings has behind the proxy, as in https://example.com/live; \
                 `base_path` must be its path",
                [
                    "location {path} { proxy_pass http://127.0.0.1:4000; } and no auth_request or \
                     try_files in it",
                    "ProxyPass \"{path}\" \"http://127.0.0.1:4000{path}\" before that of the rest \
                     of the site",
                    "handle {path}* { reverse_proxy 127.0.0.1:4000 } before the rest, without \
                     forward_auth",
                    "use_backend tidings if { path_beg {path} } before default_backend",
                    "rule: PathPrefix(`{path}`) with a higher priority, without a forwardAuth \
                     middleware",
                    "Zero Trust → Access: a bypass policy for the path; no Worker route on it",
                    "a rule for path {path}* that forwards to Tidings, without authenticate-oidc \
                     or -cognito",
                ],
            ),
            Self::WrongPath => both(
                "base_path = \"/…\" must be the path that the proxy hands on; it is empty by \
                 default",
                [
                    "location {path} { proxy_pass http://127.0.0.1:4000; } with no path after the \
                     port",
                    "ProxyPass \"{path}\" \"http://127.0.0.1:4000{path}\" with the same path twice",
                    "handle {path}* { reverse_proxy 127.0.0.1:4000 } and not handle_path, which \
                     cuts it off",
                    "use_backend tidings if { path_beg {path} } and no http-request set-path or \
                     replace-path",
                    "rule: PathPrefix(`{path}`) without a stripPrefix middleware",
                    "no URL Rewrite Rule for the path, or one that leaves it as it is",
                    "a listener rule for path {path}*; an ALB hands the path on as it is",
                ],
            ),
            Self::WrongHost => both(
                "hosts = […] must have the name that clients use",
                [
                    "proxy_set_header Host $host;",
                    "ProxyPreserveHost On",
                    "no header_up Host; Caddy hands it on by itself",
                    "no http-request set-header Host",
                    "loadBalancer.passHostHeader: true",
                    "no Host Header Override in Origin Rules",
                    "an ALB hands it on; with CloudFront before it, the origin request policy \
                     AllViewer",
                ],
            ),
            Self::ProxyRefuses => proxies([
                "auth_basic off; and no deny, limit_except or auth_request in the location",
                "Require all granted in <Location \"{path}\">, and no AuthType",
                "no basic_auth or forward_auth for {path}",
                "no http-request deny or auth for { path_beg {path} }",
                "no basicAuth, forwardAuth or ipAllowList middleware on the router",
                "Security → WAF: a rule that skips for the path; Access: a bypass policy; no Bot \
                 Fight Mode on it",
                "no authenticate action on the rule; AWS WAF: allow the path",
            ]),
            Self::Credential => tidings(
                "is the key one of `keys`, or the token signed with `tokens.secret`, and not \
                 expired? `tidings token check` says what is wrong with a token",
            ),
            Self::AuthorizationStripped => proxies([
                "proxy_set_header Authorization $http_authorization;",
                "no RequestHeader unset Authorization",
                "no header_up -Authorization",
                "no http-request del-header authorization",
                "no customRequestHeaders with Authorization: \"\"; basicAuth.removeHeader: false",
                "no Transform Rule that removes Authorization; a Worker hands on request.headers",
                "an ALB hands it on; with CloudFront before it, the origin request policy \
                 AllViewer",
            ]),
            Self::HttpOne => proxies([
                "http2 on; (before 1.25.1: listen 443 ssl http2;)",
                "Protocols h2 http/1.1 with mod_http2",
                "by itself over TLS; no protocols h1 in the global option servers",
                "bind :443 ssl crt … alpn h2,http/1.1",
                "by itself over TLS; no alpnProtocols without h2 in tls.options",
                "Speed → Settings → Protocol: HTTP/2 on",
                "the load balancer's attribute routing.http2.enabled=true, on an HTTPS listener",
            ]),
            Self::Buffered => proxies([
                "proxy_buffering off;",
                "no BUFFER, SUBSTITUTE or DEFLATE in SetOutputFilter; SecResponseBodyAccess Off; \
                 and SetEnvIf Request_URI \"^/api/sse\" no-gzip no-brotli",
                "reverse_proxy 127.0.0.1:4000 { flush_interval -1 }",
                "no http-response wait-for-body; no compression of text/event-stream",
                "no buffering middleware on the router; compress.excludedContentTypes: \
                 [text/event-stream]",
                "Rules → Configuration Rules: Response Buffering off; a Worker returns \
                 response.body unread",
                "an ALB does not collect; a Lambda target or API Gateway does: forward to Tidings \
                 itself",
            ]),
            Self::Lumps => proxies([
                "proxy_buffering off; and tcp_nodelay on;",
                "no BUFFER, SUBSTITUTE or DEFLATE in SetOutputFilter; SetEnvIf Request_URI \
                 \"^/api/sse\" no-gzip no-brotli",
                "reverse_proxy 127.0.0.1:4000 { flush_interval -1 }",
                "option http-no-delay",
                "no buffering middleware on the router; responseForwarding.flushInterval: 1ms",
                "Rules → Configuration Rules: Response Buffering off",
                "an ALB does not collect; a Lambda target or API Gateway does: forward to Tidings \
                 itself",
            ]),
            Self::HeartbeatHeld => Self::Buffered.advice(),
            Self::Compressed => proxies([
                "gzip off; or no text/event-stream and no * in gzip_types (and brotli_types)",
                "SetEnvIf Request_URI \"^/api/sse\" no-gzip no-brotli",
                "@rest not path /api/sse and encode @rest gzip",
                "compression type text/html text/css application/json, without text/event-stream",
                "compress.excludedContentTypes: [text/event-stream]",
                "Rules → Compression Rules: disable for URI path /api/sse",
                "an ALB does not compress; with CloudFront before it: Compress: false for /api/sse",
            ]),
            Self::ContentType => proxies([
                "no add_header Content-Type, default_type or types for {path}",
                "no Header set Content-Type, ForceType or AddDefaultCharset for {path}",
                "no header Content-Type for {path}",
                "no http-response set-header content-type",
                "no customResponseHeaders with Content-Type",
                "no Transform Rule for Content-Type; a Worker hands on response.headers",
                "an ALB hands it on; look at what stands beside it",
            ]),
            Self::IdleCut => both(
                "streams.heartbeat_secs: a third of the time after which it is cut, where that \
                 cannot be changed",
                SILENCE,
            ),
            Self::AgeCut => both(
                "streams.age_max_secs: less than that, where that cannot be changed; Tidings then \
                 ends streams in order, with a word",
                [
                    "nothing bounds a whole answer but worker_shutdown_timeout after a reload",
                    "nothing bounds a whole answer but GracefulShutdownTimeout after a restart",
                    "no servers { timeouts { write … } } in the global options",
                    "nothing bounds a whole answer but hard-stop-after after a reload",
                    "entryPoints.….transport.respondingTimeouts.writeTimeout: 0s",
                    "a Worker's limits bound it; a route of its own without the Worker does not",
                    "an ALB bounds silence alone; API Gateway ends answers after 29 seconds",
                ],
            ),
            Self::LastEventIdStripped => proxies([
                "proxy_set_header Last-Event-ID $http_last_event_id;",
                "no RequestHeader unset Last-Event-ID",
                "no header_up -Last-Event-ID",
                "no http-request del-header last-event-id",
                "no customRequestHeaders with Last-Event-ID: \"\"",
                "no Transform Rule that removes Last-Event-ID; a Worker hands on request.headers",
                "an ALB hands it on; with CloudFront before it, the origin request policy \
                 AllViewer",
            ]),
            Self::QueryStripped => proxies([
                "proxy_pass http://127.0.0.1:4000; without a path, or $request_uri where it has \
                 variables",
                "RewriteRule … [P,QSA] and no ? at the end of the target",
                "rewrite … {path}?{query} and no rewrite to a path alone",
                "http-request set-path and not set-uri, which takes the query away",
                "no replacePathRegex that ends the path with a ?",
                "URL Rewrite Rules: Query → Preserve",
                "redirects and rewrites with #{query}; with CloudFront before it, the policy \
                 AllViewer",
            ]),
            Self::TwoLogs => tidings(
                "there is one node for one log in this version: send all requests to the same one. \
                 If it was restarted a moment ago, look again",
            ),
            Self::Cached => proxies([
                "proxy_cache off;",
                "CacheDisable \"{path}\", and no CacheStoreNoStore or CacheStorePrivate",
                "no cache handler before {path}",
                "http-request cache-use … unless { path_beg {path} }",
                "no cache plugin on the router",
                "Rules → Cache Rules: bypass cache for the path",
                "an ALB has no cache; with CloudFront before it, the cache policy CachingDisabled",
            ]),
            Self::CacheControlChanged => proxies([
                "expires off; and proxy_pass_header Cache-Control;",
                "no Header set or unset Cache-Control, ExpiresActive Off",
                "no header Cache-Control for {path}",
                "no http-response set-header cache-control",
                "no customResponseHeaders with Cache-Control",
                "Caching → Browser Cache TTL: Respect Existing Headers",
                "an ALB hands it on; with CloudFront before it, no response headers policy for \
                 Cache-Control",
            ]),
            Self::CorsPreflight => proxies([
                "no limit_except, auth_basic or if ($request_method = OPTIONS) in the location",
                "no AuthType for OPTIONS: <LimitExcept OPTIONS>; no RewriteRule that answers it",
                "no respond and no basic_auth for method OPTIONS",
                "no http-request deny, auth or return for METH_OPTIONS",
                "no headers middleware with accessControlAllowMethods; no basicAuth or forwardAuth",
                "Access: the application's CORS setting “bypass OPTIONS requests to origin”",
                "no authenticate action on the rule for OPTIONS",
            ]),
            Self::CorsOrigin => both(
                "[cors] origins = [\"{origin}\"] must have it, letter for letter; if it does, a \
                 proxy takes the header away:",
                [
                    "proxy_pass_header Access-Control-Allow-Origin;",
                    "no Header unset Access-Control-Allow-Origin",
                    "no header -Access-Control-Allow-Origin",
                    "no http-response del-header access-control-allow-origin",
                    "no headers middleware with accessControl… or customResponseHeaders for it",
                    "no Transform Rule that removes it; a Worker hands on response.headers",
                    "the attribute routing.http.response.access_control_allow_origin… must not be \
                     set",
                ],
            ),
            Self::CorsTwice => proxies([
                "no add_header Access-Control-Allow-…: Tidings sends it",
                "no Header set, add or always Access-Control-Allow-…: Tidings sends it",
                "no header Access-Control-Allow-…: Tidings sends it",
                "no http-response add-header access-control-allow-…: Tidings sends it",
                "no accessControlAllow… in a headers middleware: Tidings sends it",
                "no Transform Rule that adds it: Tidings sends it",
                "no routing.http.response.access_control_allow_…: Tidings sends it",
            ]),
            Self::CorsHeaders => proxies([
                "proxy_pass_header Access-Control-Allow-Headers; and ….-Credentials; and no \
                 add_header of them",
                "no Header set or unset of Access-Control-Allow-…",
                "no header for Access-Control-Allow-…",
                "no http-response del-header or set-header access-control-allow-…",
                "no accessControlAllow… in a headers middleware",
                "no Transform Rule for Access-Control-Allow-…",
                "no routing.http.response.access_control_allow_…",
            ]),
            Self::Clock => tidings(
                "set both clocks by NTP: timedatectl set-ntp true. Tokens are refused once the \
                 clocks of who makes and who checks them are too far apart",
            ),
            Self::PollingCut => proxies(SILENCE),
            Self::PollingLoses => Self::Cached.advice(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guessed_proxy_comes_first_and_braces_are_filled() {
        let values = Values { heartbeat_secs: 30, origin: None, path: String::new() };
        let lines = Fault::IdleCut.advice().lines(&values, Some(Proxy::Haproxy));
        assert_eq!(lines[0].0, None);
        let expected = "timeout client 90s and timeout server 90s".to_owned();
        assert_eq!(lines[1], (Some(Proxy::Haproxy), expected));
        assert_eq!(lines.len(), 8);
    }
}

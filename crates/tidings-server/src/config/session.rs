//! `[auth.session]`: the application's own sessions, by one of three methods.
//!
//! Names, units, defaults and bounds, as in `sections`. A method is on once the setting it cannot do
//! without is set; that no two are on is a demand on the settings as a whole.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CookieName, ForwardedHeader, HttpUrl, Secret};

/// `[auth.session]`: the application's own sessions, so that its users need no token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Session {
    /// Seconds from now that a signed or encrypted cookie may last at the most: so long a revocation
    /// is remembered.
    #[schemars(range(min = 60, max = 31_536_000))]
    pub age_max_secs: u64,
    /// Asks the application who a request comes from.
    pub introspect: Introspect,
    /// Reads a signed cookie.
    pub jwt: SessionJwt,
    /// Reads the encrypted cookies of Auth.js 5 and NextAuth 4.
    pub authjs: AuthJs,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            age_max_secs: 2_592_000,
            introspect: Introspect::default(),
            jwt: SessionJwt::default(),
            authjs: AuthJs::default(),
        }
    }
}

/// Which method of [`Session`] is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionMethod {
    /// `[auth.session.introspect]`.
    Introspect,
    /// `[auth.session.jwt]`.
    Jwt,
    /// `[auth.session.authjs]`.
    AuthJs,
}

impl Session {
    /// The methods that are on; a checked configuration has at most one.
    pub fn methods(&self) -> impl Iterator<Item = SessionMethod> {
        let methods = [
            (SessionMethod::Introspect, self.introspect.url.is_some()),
            (SessionMethod::Jwt, self.jwt.cookie.is_some()),
            (SessionMethod::AuthJs, !self.authjs.secrets.is_empty()),
        ];
        methods.into_iter().filter_map(|(method, is_on)| is_on.then_some(method))
    }
}

/// `[auth.session.introspect]`: asks the application who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Introspect {
    /// The application's address that says who is signed in. Setting it turns this on.
    #[schemars(extend("examples" = ["https://app.example.com/api/tidings/session"]))]
    pub url: Option<HttpUrl>,
    /// The cookies handed on to it, and no others. A cookie in pieces (`NAME.0`, `NAME.1`) is named
    /// by its `NAME`.
    #[schemars(length(max = 16), extend("examples" = [["session"]]))]
    pub cookies: Vec<CookieName>,
    /// The headers handed on to it, and no others.
    #[schemars(length(max = 16), extend("examples" = [["x-session"]]))]
    pub headers: Vec<ForwardedHeader>,
    /// Seconds for which a session is taken as it was answered, without asking again.
    #[schemars(range(min = 0, max = 3600))]
    pub cache_secs: u64,
    /// Seconds for which the answer that there is no session is taken, without asking again.
    #[schemars(range(min = 0, max = 3600))]
    pub refusal_cache_secs: u64,
    /// Seconds after which the session of an open stream is asked for again.
    #[schemars(range(min = 1, max = 86_400))]
    pub recheck_secs: u64,
}

impl Default for Introspect {
    fn default() -> Self {
        Self {
            url: None,
            cookies: Vec::new(),
            headers: Vec::new(),
            cache_secs: 10,
            refusal_cache_secs: 2,
            recheck_secs: 30,
        }
    }
}

/// `[auth.session.jwt]`: reads a cookie that is a JWT signed by the application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SessionJwt {
    /// The cookie's name. Setting it turns this on.
    #[schemars(extend("examples" = ["session"]))]
    pub cookie: Option<CookieName>,
    /// What the cookie is signed with, by HS256: at least 32 bytes.
    #[schemars(extend("examples" = ["changeme"]))]
    pub secret: Option<Secret>,
    /// In place of a secret, the file with the public key, in PEM form: RS256, ES256 or EdDSA, as
    /// the key is. Read again on SIGHUP.
    #[schemars(length(min = 1), extend("examples" = ["/etc/tidings/session.pem"]))]
    pub public_key_file: Option<String>,
    /// The claim that is the user's id.
    #[schemars(length(min = 1, max = 64))]
    pub user_claim: String,
    /// The claim that is the session's id.
    #[schemars(length(min = 1, max = 64))]
    pub session_claim: String,
    /// What the cookie's `aud` must contain. Not set, `aud` is not looked at.
    #[schemars(length(min = 1, max = 256), extend("examples" = ["app"]))]
    pub audience: Option<String>,
    /// What the cookie's `iss` must be. Not set, `iss` is not looked at.
    #[schemars(length(min = 1, max = 256), extend("examples" = ["https://app.example.com"]))]
    pub issuer: Option<String>,
}

impl Default for SessionJwt {
    fn default() -> Self {
        Self {
            cookie: None,
            secret: None,
            public_key_file: None,
            user_claim: "sub".to_owned(),
            session_claim: "sid".to_owned(),
            audience: None,
            issuer: None,
        }
    }
}

/// `[auth.session.authjs]`: reads the encrypted session cookies of Auth.js 5 and NextAuth 4.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuthJs {
    /// The application's `AUTH_SECRET` or `NEXTAUTH_SECRET`, the newest first when it was rotated.
    /// Setting it turns this on.
    #[schemars(length(max = 8))]
    pub secrets: Vec<Secret>,
    /// The names the session's cookie may have. The first that a request has is read. With Auth.js 5
    /// the name is part of the key.
    #[schemars(length(min = 1, max = 16))]
    pub cookies: Vec<CookieName>,
    /// The claim that is the user's id.
    #[schemars(length(min = 1, max = 64))]
    pub user_claim: String,
}

impl Default for AuthJs {
    fn default() -> Self {
        let names = [
            "__Secure-authjs.session-token",
            "authjs.session-token",
            "__Secure-next-auth.session-token",
            "next-auth.session-token",
        ];
        let name = |name: &str| CookieName::try_from(name.to_owned());
        Self {
            secrets: Vec::new(),
            cookies: names.into_iter().filter_map(|text| name(text).ok()).collect(),
            user_claim: "sub".to_owned(),
        }
    }
}

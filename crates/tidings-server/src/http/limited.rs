//! How often a subscriber may ask, and what it is told of it: the `RateLimit` headers, and 429.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::problem::Problem;
use super::{Hub, Settings};
use crate::config::Limits;
use crate::identity::{Method, Principal};
use crate::limits::{Endpoint, Quota, Subject, Verdict};

/// The limit and its window (draft-ietf-httpapi-ratelimit-headers).
pub(super) const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of it, and when there is more.
pub(super) const REST: HeaderName = HeaderName::from_static("ratelimit");

/// One use of an endpoint, and what to say of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    name: &'static str,
    window_secs: u64,
    verdict: Verdict,
}

impl Taken {
    /// Takes one use for a user or, where there is none, for their address. API keys are the
    /// application's own servers and are not counted.
    pub(super) async fn one(
        hub: &Hub,
        settings: &Settings,
        endpoint: Endpoint,
        principal: &Principal,
        address: IpAddr,
    ) -> Result<Option<Self>, Problem> {
        let limits = &settings.config.limits;
        let quota = quota(limits, endpoint);
        if principal.is_api_key() || quota.limit == 0 {
            return Ok(None);
        }
        let subject = match &principal.user {
            // An id that proves nothing is of its caller's choosing.
            Some(user) if principal.method != Method::UserId => Subject::User(endpoint, user.id()),
            _ => Subject::Address(endpoint, address),
        };
        let verdict = hub.take(subject, quota, limits.keys_max).await;
        let taken = Self { name: endpoint.name(), window_secs: quota.window_secs(), verdict };
        if verdict.is_allowed { Ok(Some(taken)) } else { Err(taken.refusal()) }
    }

    /// Says on an answer what is left.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        headers.insert(POLICY, self.policy());
        headers.insert(REST, self.rest());
    }

    fn refusal(&self) -> Problem {
        let Self { name, window_secs, verdict } = self;
        self.refusal_with(format!(
            "limits.{name} is {} in {window_secs} seconds; wait for {} seconds.",
            verdict.limit,
            verdict.reset_secs()
        ))
    }

    fn refusal_with(&self, detail: String) -> Problem {
        let retry_after_secs = u32::try_from(self.verdict.reset_secs()).unwrap_or(u32::MAX);
        Problem::rate_limited(detail)
            .with(POLICY, self.policy())
            .with(REST, self.rest())
            .retry_after(retry_after_secs)
    }

    fn policy(&self) -> HeaderValue {
        let Self { name, window_secs, verdict } = self;
        ascii(&format!("\"{name}\";q={};w={window_secs}", verdict.limit))
    }

    fn rest(&self) -> HeaderValue {
        let Self { name, verdict, .. } = self;
        ascii(&format!("\"{name}\";r={};t={}", verdict.remaining, verdict.reset_secs()))
    }
}

fn quota(limits: &Limits, endpoint: Endpoint) -> Quota {
    let (limit, window_secs) = match endpoint {
        Endpoint::Sse => (limits.sse.limit, limits.sse.window_secs),
        Endpoint::Polling => (limits.polling.limit, limits.polling.window_secs),
    };
    Quota::new(limit, window_secs)
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("a name of ours and numbers")
}

/// Counts a failure to prove who one is. Whoever has failed too often is told to wait instead of why.
pub(super) async fn failed(
    hub: &Hub,
    settings: &Settings,
    address: IpAddr,
    why: Problem,
) -> Problem {
    let limits = &settings.config.limits;
    let rate = limits.auth_failures;
    let quota = Quota::new(rate.limit, rate.window_secs);
    let verdict = hub.take(Subject::Failures(address), quota, limits.keys_max).await;
    if verdict.is_allowed {
        return why;
    }
    Taken { name: "auth-failures", window_secs: rate.window_secs, verdict }.refusal_with(format!(
        "This address has failed to prove who it is more than {} times in {} seconds; wait for {} \
         seconds.",
        rate.limit,
        rate.window_secs,
        verdict.reset_secs()
    ))
}

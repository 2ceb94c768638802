//! The routes of an operator, under `/api/admin`: who may use them.

use std::net::SocketAddr;

use axum::response::Response;
use http::HeaderMap;
use serde::Serialize;

use super::problem::Problem;
use super::{Hub, json, who};
use crate::config::Scope;
use crate::delivery::NoAnswer;
use crate::identity::{Method, Principal};

/// The role of a user who may do what an operator may.
const ADMIN_ROLE: &str = "admin";
/// When to ask again after a delivery thread did not answer.
const STUCK_RETRY_AFTER_SECS: u32 = 5;

/// Whether a principal may do what an operator may.
fn is_operator(principal: &Principal) -> bool {
    principal.has_scope(Scope::Admin) || principal.role.as_deref() == Some(ADMIN_ROLE)
}

/// Whether it may hear the hub's own topics. Nobody may by a session: what is an operator's is not to
/// be had by a cookie that comes along by itself.
pub(super) fn may_hear_own(principal: &Principal) -> bool {
    is_operator(principal) && principal.method != Method::Session
}

/// Lets a principal use what is an operator's.
pub(super) fn allow(principal: &Principal) -> Result<(), Problem> {
    if is_operator(principal) {
        return Ok(());
    }
    Err(Problem::forbidden(
        "This needs an API key with the scope admin, or a user with the role admin.",
    ))
}

/// Lets through whoever may do what an operator may.
pub(super) async fn enter(hub: &Hub, headers: &HeaderMap, peer: SocketAddr) -> Result<(), Problem> {
    let settings = hub.settings.load_full();
    allow(&who::authenticate(hub, &settings, who::Asked::plainly(headers, peer)).await?)
}

/// An answer to an operator.
pub(super) fn answer(answer: &impl Serialize) -> Response {
    json(serde_json::to_vec(answer).expect("structs with text keys"), "no-store")
}

impl From<NoAnswer> for Problem {
    fn from(NoAnswer: NoAnswer) -> Self {
        Self::unavailable("A delivery thread does not answer; see /readyz.", STUCK_RETRY_AFTER_SECS)
    }
}

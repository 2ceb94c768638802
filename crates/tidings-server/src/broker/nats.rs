//! The broker that is a Nats which several nodes share.

use std::net::IpAddr;

use tidings_hub::{Cursor, Event};

use super::replica::Replica;
use super::{Failure, Outcome, Publication};
use crate::config::{BrokerUrl, Config};
use crate::delivery::{AdmissionBounds, Full};
use crate::limits::{Quota, SharedKey, Verdict};
use crate::revocations::Revocation;

#[derive(Debug)]
pub(crate) enum Nats {}

/// A stream's place among those that all nodes count, given back when dropped.
#[derive(Debug)]
pub(crate) enum Seat {}

impl Nats {
    pub(crate) async fn connect(
        _url: &BrokerUrl,
        _config: &Config,
        _replica: Replica,
    ) -> anyhow::Result<Self> {
        anyhow::bail!("this version has no broker `nats`")
    }

    pub(super) fn replica(&self) -> &Replica {
        match *self {}
    }

    pub(super) async fn publish(&self, _publications: Vec<Publication>) -> Vec<Outcome> {
        match *self {}
    }

    pub(super) fn status(&self) -> &'static str {
        match *self {}
    }

    pub(super) fn publish_own(&self, _event: Event) {
        match *self {}
    }

    /// Asks how far the log has come.
    pub(super) async fn probe(&self) -> Result<Cursor, &'static str> {
        match *self {}
    }

    pub(super) async fn take(&self, _key: SharedKey<'_>, _quota: Quota) -> Option<Verdict> {
        match *self {}
    }

    pub(super) async fn revoke(&self, _revocation: Revocation) -> Result<(), Failure> {
        match *self {}
    }

    pub(super) async fn admit(
        &self,
        _user: Option<&str>,
        _address: IpAddr,
        _bounds: AdmissionBounds,
    ) -> Result<Option<Seat>, Full> {
        match *self {}
    }

    pub(super) fn expire(&self) {
        match *self {}
    }

    pub(super) async fn stop(&self) {
        match *self {}
    }
}

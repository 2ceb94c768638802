//! Who is no longer let in: the users, sessions and tokens that were revoked, each for as long as a
//! credential from before may still be good.
//!
//! Pure over the time it is told. Knows neither requests nor streams: whoever lets somebody in, or
//! has somebody connected, asks here with the marks of their credential.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

/// What a revocation names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject<'a> {
    /// A user: whatever proves to be theirs and was issued up to now.
    User(&'a str),
    /// One of their sessions, and the tokens that belong to it.
    Session(&'a str),
    /// One token, by its own id.
    Token(&'a str),
}

/// A subject in eight bytes of its SHA-256, the same on every node. Each stream keeps three, so their
/// texts would be most of what it takes; that two of them are alike happens once in 2^64, and whoever
/// would share somebody's mark on purpose has as many to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Mark(NonZeroU64);

impl Mark {
    /// The kind is part of it: a user and a session of the same name are two.
    fn of(subject: Subject<'_>) -> Self {
        let (kind, name) = match subject {
            Subject::User(user) => (b"user:", user),
            Subject::Session(session) => (b"sess:", session),
            Subject::Token(token) => (b"tokn:", token),
        };
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(kind);
        context.update(name.as_bytes());
        let digest = context.finish();
        let bytes = digest.as_ref()[..8].try_into().expect("SHA-256 has 32 bytes");
        // Not zero, so that one that is not there takes no more room.
        Self(NonZeroU64::new(u64::from_be_bytes(bytes)).unwrap_or(NonZeroU64::MIN))
    }
}

/// What a revocation may find somebody by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holder {
    user: Option<Mark>,
    session: Option<Mark>,
    token: Option<Mark>,
    /// When the credential was issued; 0 when it does not say.
    issued_secs: u64,
}

impl Holder {
    /// The marks of a credential.
    pub(crate) fn new(
        user: Option<&str>,
        session: Option<&str>,
        token: Option<&str>,
        issued_at_ms: Option<u64>,
    ) -> Self {
        Self {
            user: user.map(|user| Mark::of(Subject::User(user))),
            session: session.map(|session| Mark::of(Subject::Session(session))),
            token: token.map(|token| Mark::of(Subject::Token(token))),
            issued_secs: issued_at_ms.unwrap_or_default() / 1000,
        }
    }
}

/// A revocation that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revocation {
    mark: Mark,
    /// When it was said.
    at_secs: u64,
    /// When it is forgotten, in Unix milliseconds.
    pub(crate) until_ms: u64,
}

impl Revocation {
    /// Whom it names, in a number: the same whoever revokes them, and whenever.
    pub(crate) fn mark(&self) -> u64 {
        self.mark.0.get()
    }

    /// Whether this is somebody whom it means. A user's credential from after it is good again: the
    /// application has let them in since. A session or a token has no after.
    pub(crate) fn hits(&self, holder: &Holder) -> bool {
        let mark = Some(self.mark);
        holder.session == mark
            || holder.token == mark
            || (holder.user == mark && holder.issued_secs <= self.at_secs)
    }
}

/// As many are revoked as can be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Everyone who is revoked.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    list: Mutex<List>,
    /// Entries of the list, to be seen without its lock.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct List {
    by_mark: HashMap<Mark, Revocation>,
    /// Which are forgotten first.
    ends: BTreeSet<(u64, Mark)>,
}

impl Revocations {
    /// Revokes a subject from now on, for so long. Said again, it counts from the second time.
    pub(crate) fn revoke(
        &self,
        subject: Subject<'_>,
        now_ms: u64,
        keep: Duration,
        revocations_max: usize,
    ) -> Result<Revocation, Full> {
        let mark = Mark::of(subject);
        let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        let until_ms = now_ms.saturating_add(keep_ms);
        let revocation = Revocation { mark, at_secs: now_ms / 1000, until_ms };
        let mut list = self.list();
        list.forget(now_ms);
        if list.by_mark.len() >= revocations_max && !list.by_mark.contains_key(&mark) {
            self.count.store(list.by_mark.len(), Ordering::Release);
            return Err(Full);
        }
        list.keep(revocation);
        self.count.store(list.by_mark.len(), Ordering::Release);
        Ok(revocation)
    }

    /// Follows a revocation that was said elsewhere, or before this process began. One more than may be
    /// remembered makes no difference here: it was taken there.
    pub(crate) fn adopt(&self, revocation: Revocation) {
        let mut list = self.list();
        list.keep(revocation);
        self.count.store(list.by_mark.len(), Ordering::Release);
    }

    /// Whether this is somebody who was revoked.
    pub(crate) fn is_revoked(&self, holder: &Holder) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let list = self.list();
        [holder.user, holder.session, holder.token]
            .into_iter()
            .flatten()
            .any(|mark| list.by_mark.get(&mark).is_some_and(|revocation| revocation.hits(holder)))
    }

    /// Forgets those whose time is over.
    pub(crate) fn forget(&self, now_ms: u64) {
        let mut list = self.list();
        list.forget(now_ms);
        self.count.store(list.by_mark.len(), Ordering::Release);
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    /// Of two of the same subject, the later counts.
    fn keep(&mut self, revocation: Revocation) {
        let Revocation { mark, at_secs, until_ms } = revocation;
        if let Some(earlier) = self.by_mark.get(&mark) {
            if (earlier.at_secs, earlier.until_ms) >= (at_secs, until_ms) {
                return;
            }
            self.ends.remove(&(earlier.until_ms, mark));
        }
        self.by_mark.insert(mark, revocation);
        self.ends.insert((until_ms, mark));
    }

    fn forget(&mut self, now_ms: u64) {
        while let Some(&(until_ms, mark)) = self.ends.first()
            && until_ms <= now_ms
        {
            self.ends.pop_first();
            self.by_mark.remove(&mark);
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const NOW_MS: u64 = 1_795_458_000_500;
    const DAY: Duration = Duration::from_hours(24);

    #[rstest]
    #[case::user(Subject::User("ann"), true)]
    #[case::session(Subject::Session("s1"), true)]
    #[case::token(Subject::Token("t1"), true)]
    #[case::another_user(Subject::User("bob"), false)]
    #[case::user_by_the_name_of_the_session(Subject::User("s1"), false)]
    #[case::token_by_the_name_of_the_user(Subject::Token("ann"), false)]
    fn finds_whom_it_names(#[case] subject: Subject<'_>, #[case] found: bool) {
        let revocations = Revocations::default();
        let issued = Some(NOW_MS - 1000);
        let holder = Holder::new(Some("ann"), Some("s1"), Some("t1"), issued);
        assert!(!revocations.is_revoked(&holder));
        let revocation = revocations.revoke(subject, NOW_MS, DAY, 10).unwrap();
        assert_eq!(revocation.hits(&holder), found);
        assert_eq!(revocations.is_revoked(&holder), found);
    }

    #[rstest]
    #[case::long_before(Some(NOW_MS - 60_000), true)]
    #[case::in_the_same_second(Some(NOW_MS), true)]
    #[case::after(Some(NOW_MS + 1000), false)]
    #[case::unknown(None, true)]
    fn lets_a_user_in_who_has_proved_themselves_since(
        #[case] issued_at_ms: Option<u64>,
        #[case] revoked: bool,
    ) {
        let revocations = Revocations::default();
        revocations.revoke(Subject::User("ann"), NOW_MS, DAY, 10).unwrap();
        let holder = Holder::new(Some("ann"), None, None, issued_at_ms);
        assert_eq!(revocations.is_revoked(&holder), revoked);
        // A session or a token stays what it was.
        revocations.revoke(Subject::Session("s1"), NOW_MS, DAY, 10).unwrap();
        assert!(revocations.is_revoked(&Holder::new(None, Some("s1"), None, issued_at_ms)));
    }

    #[test]
    fn is_remembered_for_its_time_and_counts_again_when_said_again() {
        let revocations = Revocations::default();
        let holder = Holder::new(Some("ann"), None, None, Some(NOW_MS));
        revocations.revoke(Subject::User("ann"), NOW_MS, DAY, 10).unwrap();
        revocations.revoke(Subject::User("ann"), NOW_MS + 1000, DAY, 10).unwrap();
        let day_ms = 24 * 60 * 60 * 1000;
        revocations.forget(NOW_MS + day_ms);
        assert!(revocations.is_revoked(&holder));
        revocations.forget(NOW_MS + day_ms + 1000);
        assert!(!revocations.is_revoked(&holder));
        let list = revocations.list();
        assert!(list.by_mark.is_empty() && list.ends.is_empty());
    }

    #[test]
    fn refuses_more_than_can_be_remembered_and_forgets_none_for_it() {
        let revocations = Revocations::default();
        for user in ["a", "b"] {
            revocations.revoke(Subject::User(user), NOW_MS, DAY, 2).unwrap();
        }
        assert_eq!(revocations.revoke(Subject::User("c"), NOW_MS, DAY, 2), Err(Full));
        assert!(revocations.revoke(Subject::User("a"), NOW_MS + 1, DAY, 2).is_ok());
        assert!(revocations.is_revoked(&Holder::new(Some("b"), None, None, None)));
        let later = NOW_MS + 25 * 60 * 60 * 1000;
        assert!(revocations.revoke(Subject::User("c"), later, DAY, 2).is_ok());
    }
}

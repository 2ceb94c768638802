//! The sessions of open streams, asked for again while the streams live.
//!
//! Streams that came with the same credential are asked for once. Which streams are to end is
//! returned; ending them, and asking at the right moments, is somebody else's.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tidings_hub::Pattern;

use super::credential::{Digest, SessionCredential};
use super::introspect::Verdict;
use super::{OutboundError, Session, Sessions};
use crate::identity::{Authenticator, Grant, User};

/// Sessions that are asked for at the same time.
const QUESTIONS_MAX: usize = 16;

/// Every stream that a session was let in with, by what it can be asked for again with.
#[derive(Clone, Debug, Default)]
pub struct LiveSessions(Arc<Mutex<HashMap<Digest, Live>>>);

#[derive(Debug)]
struct Live {
    credential: SessionCredential,
    /// When the application last said who it is, in Unix milliseconds.
    asked_ms: u64,
    streams: HashMap<u64, Listening>,
}

/// A stream's user, and what it listens to.
#[derive(Debug)]
struct Listening {
    user: User,
    patterns: Vec<Pattern>,
}

/// A stream that is watched. Dropping it ends that.
#[derive(Debug)]
pub struct Watch {
    sessions: LiveSessions,
    digest: Digest,
    connection: u64,
}

impl LiveSessions {
    /// Watches a stream that was opened just now by this user with this credential, and listens to
    /// these patterns.
    pub fn watch(
        &self,
        credential: &SessionCredential,
        user: &User,
        connection: u64,
        patterns: &[Pattern],
        now_ms: u64,
    ) -> Watch {
        let digest = credential.digest();
        let mut sessions = self.lock();
        let live = sessions.entry(digest).or_insert_with(|| Live {
            credential: credential.clone(),
            asked_ms: now_ms,
            streams: HashMap::new(),
        });
        let listening = Listening { user: user.clone(), patterns: patterns.to_vec() };
        live.streams.insert(connection, listening);
        drop(sessions);
        Watch { sessions: self.clone(), digest, connection }
    }

    /// Streams that are watched.
    pub fn streams(&self) -> usize {
        self.lock().values().map(|live| live.streams.len()).sum()
    }

    /// Asks for each session again that was not asked for within `auth.session.introspect`'s
    /// `recheck_secs`, and returns the streams that are to end: those whose session is gone, is
    /// another user's, or no longer grants all that they listen to.
    ///
    /// When the application does not answer, its streams stay. To end them would make every restart
    /// of the application a storm of clients that come back, and none of them could be let in.
    pub async fn recheck(&self, authenticator: &Authenticator, now_ms: u64) -> Vec<u64> {
        // Without introspection there is nobody to ask; as with a changed key, streams go on.
        let Some(Sessions::Introspect(introspector)) = authenticator.sessions() else {
            return Vec::new();
        };
        let grant = |session: &Session| authenticator.session_grant(session);
        let ask = async |credential| introspector.ask_again(&credential, now_ms).await;
        self.recheck_with(introspector.recheck_every(), now_ms, grant, ask).await
    }

    async fn recheck_with<Answer>(
        &self,
        every: Duration,
        now_ms: u64,
        grant: impl Fn(&Session) -> Grant,
        ask: impl Fn(SessionCredential) -> Answer,
    ) -> Vec<u64>
    where
        Answer: Future<Output = Result<Verdict, OutboundError>>,
    {
        let due = self.take_due(every, now_ms);
        let answers = due.into_iter().map(|credential| {
            let answer = ask(credential.clone());
            async move { (credential.digest(), answer.await) }
        });
        let mut answers = stream::iter(answers).buffer_unordered(QUESTIONS_MAX);
        let mut ending = Vec::new();
        while let Some((digest, answer)) = answers.next().await {
            if let Ok(verdict) = answer
                && let Some(live) = self.lock().get(&digest)
            {
                ending.extend(live.ending(verdict.as_deref(), now_ms, &grant));
            }
        }
        ending
    }

    /// The credentials to ask with now. Each counts as asked for, so that an application that does
    /// not answer is left alone as long as one that does.
    fn take_due(&self, every: Duration, now_ms: u64) -> Vec<SessionCredential> {
        let every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        let mut due = Vec::new();
        for live in self.lock().values_mut() {
            if now_ms.saturating_sub(live.asked_ms) >= every_ms {
                live.asked_ms = now_ms;
                due.push(live.credential.clone());
            }
        }
        due
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Live>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// The streams that may not go on with this session.
    fn ending(
        &self,
        session: Option<&Session>,
        now_ms: u64,
        grant: impl Fn(&Session) -> Grant,
    ) -> Vec<u64> {
        let lasts = |session: &&Session| session.until_ms.is_none_or(|until_ms| until_ms > now_ms);
        let granted = session.filter(lasts).map(|session| (&session.user, grant(session)));
        let goes_on = |listening: &Listening| {
            granted.as_ref().is_some_and(|(user, grant)| {
                **user == listening.user
                    && listening.patterns.iter().all(|pattern| grant.may_subscribe(pattern))
            })
        };
        let ending = self.streams.iter().filter(|(_, listening)| !goes_on(listening));
        ending.map(|(connection, _)| *connection).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut sessions = self.sessions.lock();
        if let Some(live) = sessions.get_mut(&self.digest) {
            live.streams.remove(&self.connection);
            if live.streams.is_empty() {
                sessions.remove(&self.digest);
            }
        }
    }
}

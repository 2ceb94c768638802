//! What Redis is asked to do in one piece. The scripts themselves are beside this file, with what they
//! take and answer; here they are loaded, and called by their digest.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisResult, cmd};

/// The digests of the scripts, as a server knows them.
#[derive(Debug)]
pub(super) struct Scripts {
    greet: String,
    append: String,
    publish: String,
    beat: String,
    take: String,
    admit: String,
}

impl Scripts {
    /// Makes them known to a server.
    pub(super) async fn load(connection: &mut MultiplexedConnection) -> RedisResult<Self> {
        let (greet, append, publish, beat, take, admit) = redis::pipe()
            .add_command(loading(include_str!("scripts/greet.lua")))
            .add_command(loading(include_str!("scripts/append.lua")))
            .add_command(loading(include_str!("scripts/publish.lua")))
            .add_command(loading(include_str!("scripts/beat.lua")))
            .add_command(loading(include_str!("scripts/take.lua")))
            .add_command(loading(include_str!("scripts/admit.lua")))
            .query_async(connection)
            .await?;
        Ok(Self { greet, append, publish, beat, take, admit })
    }

    pub(super) fn greet(&self, keys: &[&str]) -> Cmd {
        call(&self.greet, keys, &[])
    }

    pub(super) fn append(&self, keys: &[&str]) -> Cmd {
        call(&self.append, keys, &[])
    }

    /// `more` are the keys of idempotency.
    pub(super) fn publish(&self, keys: &[&str], more: &[String]) -> Cmd {
        call(&self.publish, keys, more)
    }

    pub(super) fn beat(&self, keys: &[&str]) -> Cmd {
        call(&self.beat, keys, &[])
    }

    pub(super) fn take(&self, keys: &[&str]) -> Cmd {
        call(&self.take, keys, &[])
    }

    pub(super) fn admit(&self, keys: &[&str]) -> Cmd {
        call(&self.admit, keys, &[])
    }
}

fn loading(script: &str) -> Cmd {
    let mut command = cmd("SCRIPT");
    command.arg("LOAD").arg(script);
    command
}

/// The call up to its arguments.
fn call(digest: &str, keys: &[&str], more: &[String]) -> Cmd {
    let mut command = cmd("EVALSHA");
    command.arg(digest).arg(keys.len() + more.len()).arg(keys);
    for key in more {
        command.arg(key);
    }
    command
}

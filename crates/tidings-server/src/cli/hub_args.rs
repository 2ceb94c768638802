//! The flags that say which hub to talk to and who is talking, shared by the commands that talk to
//! one. Secrets come from flags, the environment or files, and are never printed.

use std::env::{self, VarError};

use anyhow::Context;
use clap::Args;
use tidings_client::Credential;

/// Which hub, and who is talking.
#[allow(clippy::doc_markdown, reason = "the comments are help texts, and backticks would show")]
#[derive(Args, Debug)]
#[command(next_help_heading = "Hub")]
pub(crate) struct HubArgs {
    /// The hub's URL
    #[arg(long, env = "TIDINGS_URL", default_value = "http://127.0.0.1:4000", value_name = "URL")]
    pub(crate) url: String,

    /// An API key [env: TIDINGS_API_KEY, or TIDINGS_API_KEY_FILE for a file that holds it]
    ///
    /// Others can see the flags of a running command; the environment is the safer place.
    #[arg(long, value_name = "KEY", conflicts_with = "token")]
    api_key: Option<String>,

    /// A token [env: TIDINGS_TOKEN, or TIDINGS_TOKEN_FILE for a file that holds it]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

/// Which of two secrets in the environment counts when both are there. A flag beats both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefer {
    ApiKey,
    Token,
}

impl HubArgs {
    /// The credential that was given, if any.
    pub(crate) fn credential(&self, prefer: Prefer) -> anyhow::Result<Credential> {
        if let Some(key) = &self.api_key {
            return Ok(Credential::api_key(key.as_str()));
        }
        if let Some(token) = &self.token {
            return Ok(Credential::token(token.as_str()));
        }
        let api_key = || Ok(secret("TIDINGS_API_KEY")?.map(Credential::api_key));
        let token = || Ok(secret("TIDINGS_TOKEN")?.map(Credential::token));
        let found: anyhow::Result<Option<Credential>> = match prefer {
            Prefer::ApiKey => api_key()?.map_or_else(token, |found| Ok(Some(found))),
            Prefer::Token => token()?.map_or_else(api_key, |found| Ok(Some(found))),
        };
        Ok(found?.unwrap_or_default())
    }
}

/// A secret from the environment, or from the file that the environment names.
pub(super) fn secret(name: &str) -> anyhow::Result<Option<String>> {
    if let Some(secret) = variable(name)? {
        return Ok(Some(secret));
    }
    let file_variable = format!("{name}_FILE");
    let Some(file) = variable(&file_variable)? else { return Ok(None) };
    let secret = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {file}, which {file_variable} names"))?;
    Ok(Some(secret.trim().to_owned()))
}

/// A variable of the environment that is there and not empty.
fn variable(name: &str) -> anyhow::Result<Option<String>> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => anyhow::bail!("{name} is not valid UTF-8"),
    }
}

//! Who the client says it is.
//!
//! Holds secrets and hands them to requests as an `Authorization` header, never in a URL. Whether a
//! refusal is worth a fresh token is decided by whoever made the request.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Why a token could not be had, in the words of whoever was asked for it.
pub type TokenError = Box<dyn Error + Send + Sync>;

type TokenFuture = Pin<Box<dyn Future<Output = Result<String, TokenError>> + Send>>;

/// What a client shows to be let in.
#[derive(Clone, Default)]
pub struct Credential(Kind);

#[derive(Clone, Default)]
enum Kind {
    #[default]
    None,
    Fixed(Arc<str>),
    Provider(Arc<dyn Fn() -> TokenFuture + Send + Sync>),
}

impl Credential {
    /// Nothing: for hubs that let anyone in, on a loopback address for instance.
    pub fn none() -> Self {
        Self(Kind::None)
    }

    /// An API key, `tk_…`.
    pub fn api_key(key: impl Into<Arc<str>>) -> Self {
        Self(Kind::Fixed(key.into()))
    }

    /// A token that is never renewed: when the hub no longer takes it, the subscription ends.
    pub fn token(token: impl Into<Arc<str>>) -> Self {
        Self(Kind::Fixed(token.into()))
    }

    /// Asks for a token when one is needed: before the first request, and again when the hub
    /// refuses the last one or says that it is about to run out.
    ///
    /// ```
    /// use tidings_client::Credential;
    ///
    /// let credential = Credential::provider(|| async { Ok("a fresh token".to_owned()) });
    /// ```
    pub fn provider<F, T>(provider: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, TokenError>> + Send + 'static,
    {
        Self(Kind::Provider(Arc::new(move || Box::pin(provider()))))
    }

    /// Whether a refused token can be replaced.
    pub(crate) fn is_renewable(&self) -> bool {
        matches!(self.0, Kind::Provider(_))
    }

    /// The secret to show, if there is one.
    pub(crate) async fn secret(&self) -> Result<Option<Arc<str>>, TokenError> {
        match &self.0 {
            Kind::None => Ok(None),
            Kind::Fixed(secret) => Ok(Some(Arc::clone(secret))),
            Kind::Provider(provider) => Ok(Some(provider().await?.into())),
        }
    }
}

impl fmt::Debug for Credential {
    /// Names the kind and nothing of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::None => "Credential::None",
            Kind::Fixed(_) => "Credential::Fixed(..)",
            Kind::Provider(_) => "Credential::Provider(..)",
        })
    }
}

//! A token that was issued for another service.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::util::clock::Clock;

/// A token for another service, from [`OAuth2::exchange`](crate::OAuth2::exchange). A clone costs one reference count.
///
/// It is a bearer token: send it as `Authorization: Bearer TOKEN`, over TLS, and only to the service that it is for.
#[derive(Clone)]
pub struct ExchangedToken(Arc<Issued>);

/// What the provider has issued.
pub(super) struct Issued {
    pub(super) token: String,
    pub(super) scopes: Vec<String>,
    /// None if the provider does not say.
    pub(super) issued_token_type: Option<String>,
    /// Time since the Unix epoch, if the provider has said how long the token is valid.
    pub(super) expires_at: Option<Duration>,
    pub(super) clock: Clock,
}

impl ExchangedToken {
    pub(super) fn new(issued: Issued) -> Self {
        Self(Arc::new(issued))
    }

    /// Returns the token. Do not log it.
    ///
    /// ```
    /// # async fn call(exchanged: oauth2_actix::exchange::ExchangedToken) -> reqwest::Result<()> {
    /// let http = reqwest::Client::new();
    /// let request = http.get("https://stock.example.com/items").bearer_auth(exchanged.expose_token());
    /// # request.send().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn expose_token(&self) -> &str {
        &self.0.token
    }

    /// Returns when the token expires, by `expires_in` and the clock of this API
    /// ([RFC 8693 §2.2.1](https://www.rfc-editor.org/rfc/rfc8693#section-2.2.1)). `None` if the provider does not say.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.expires_at.and_then(|at| UNIX_EPOCH.checked_add(at))
    }

    /// Returns how much longer the token is valid. A cached one has a tenth of its life left, or 30 s if that is less,
    /// when it was just returned. `None` if the provider does not say; zero once it has expired.
    ///
    /// ```
    /// use std::time::Duration;
    /// use oauth2_actix::exchange::ExchangedToken;
    ///
    /// fn is_good_for(token: &ExchangedToken, call: Duration) -> bool {
    ///     token.time_left().is_none_or(|left| left > call)
    /// }
    /// # drop(is_good_for);
    /// ```
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        Some(self.0.expires_at?.saturating_sub(self.0.clock.unix_time()))
    }

    /// Returns the scopes of the token: those of the response, or else the requested ones
    /// ([RFC 8693 §2.2.1](https://www.rfc-editor.org/rfc/rfc8693#section-2.2.1)). They may be fewer than the
    /// requested ones.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.0.scopes.iter().map(String::as_str)
    }

    /// Returns `issued_token_type`, such as `urn:ietf:params:oauth:token-type:access_token`
    /// ([RFC 8693 §3](https://www.rfc-editor.org/rfc/rfc8693#section-3)). `None` for
    /// [`ExchangeGrant::OnBehalfOf`](crate::exchange::ExchangeGrant::OnBehalfOf), which has none.
    #[must_use]
    pub fn issued_token_type(&self) -> Option<&str> {
        self.0.issued_token_type.as_deref()
    }
}

/// Does not show the token.
impl fmt::Debug for ExchangedToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ExchangedToken")
            .field("scopes", &self.0.scopes)
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}

//! The middleware as users hold it: a cheap clone of the finished policy.

use std::sync::Arc;

use crate::{
    OAuth2Builder,
    bearer::BearerToken,
    claims::Claims,
    error::Error,
    policy::{Decision, Policy},
};

/// The middleware: `App::new().wrap(oauth2.clone())`.
///
/// Build it once, outside the closure of `HttpServer::new`, which runs for every worker: clones
/// share the keys. Wrap it last but for CORS, so that it sees the path that the router sees and
/// CORS headers reach its refusals too.
///
/// ```
/// use actix_web::{App, HttpResponse, web};
/// use oauth2_actix::{Claims, OAuth2, Provider};
///
/// async fn me(claims: Claims) -> String {
///     claims.subject().unwrap_or("nobody").to_owned()
/// }
///
/// let oauth2 = OAuth2::builder()
///     .provider(
///         "auth0",
///         Provider::new()
///             .issuer("https://tenant.eu.auth0.com/")
///             .audience("https://api.example.com")
///             .keys("https://tenant.eu.auth0.com/.well-known/jwks.json"),
///     )
///     .key_refresh_minutes(30)
///     .public_paths(["/health"])
///     .build()?;
///
/// let app = App::new().wrap(oauth2.clone()).route("/me", web::get().to(me));
/// # Ok::<(), oauth2_actix::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct OAuth2(pub(crate) Arc<Policy>);

impl OAuth2 {
    /// Starts a configuration in code. The same through serde is [`OAuth2Builder`]'s `Deserialize`.
    pub fn builder() -> OAuth2Builder {
        OAuth2Builder::default()
    }

    /// Checks a token that did not come in a request's header, such as one in a message.
    ///
    /// All that the middleware checks is checked here; nothing is said of how the token came.
    ///
    /// ```
    /// # use oauth2_actix::{ErrorKind, testing};
    /// # #[actix_web::main]
    /// # async fn main() {
    /// # let oauth2 = testing::policy();
    /// let refused = oauth2.verify("no.such.token").await.unwrap_err();
    /// assert!(matches!(refused.kind(), ErrorKind::TokenMalformed { .. }));
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Why the token is refused, as for a request.
    pub async fn verify(&self, token: &str) -> Result<Claims, Error> {
        match self.0.decide(BearerToken::from_text(token)?) {
            Decision::Accepted(claims) => Ok(claims),
            Decision::Refused(error) => Err(error),
            Decision::Waiting(pending) => self.0.resolve(pending).await,
        }
    }
}

//! Logouts and other security events that a provider reports, and that revoke tokens before they expire.
//!
//! A provider sends a signed message to a path of the API when a session ends. The tokens of the session are then added
//! to the [deny list](crate::revocation): the next request with one of them is rejected, and live WebSocket sessions and
//! streams end.
//!
//! - [`BackchannelLogout`]: logout tokens of
//!   [OpenID Connect Back-Channel Logout 1.0](https://openid.net/specs/openid-connect-backchannel-1_0.html)
//! - [`SecurityEvents`]: security event tokens that are pushed
//!   ([RFC 8935](https://www.rfc-editor.org/rfc/rfc8935)), with the events of
//!   [CAEP 1.0](https://openid.net/specs/openid-caep-1_0-final.html)
//!
//! ```
//! use actix_web::{App, HttpResponse, web};
//! use oauth2_actix::{OAuth2, Provider, logout::BackchannelLogout, revocation::DenyList};
//! # use oauth2_actix::{Algorithm, testing::SigningKey};
//!
//! # let keys = SigningKey::generate(Algorithm::ES256, "key-1").jwk_set();
//! let provider = Provider::new().issuer("https://login.example.com").audience("orders").keys(keys);
//! let oauth2 = OAuth2::builder()
//!     .provider("login", provider)
//!     .deny_list(DenyList::new())
//!     // The client that is registered at the provider, with the URL of this path as its
//!     // `backchannel_logout_uri`.
//!     .backchannel_logout(BackchannelLogout::new().client("login", "orders-app"))
//!     .build()?;
//! let app = App::new()
//!     .service(oauth2.logout_receivers()) // POST /backchannel-logout
//!     .route("/orders", web::get().to(HttpResponse::Ok))
//!     .wrap(oauth2);
//! # drop(app);
//! # Ok::<(), oauth2_actix::ConfigError>(())
//! ```

// Owns the receivers of messages that revoke tokens. It imports `config`, `error`, `jose`, `json`, `keys`, `provider`,
// `public`, `revocation`, `token` and `util`.
//
// - `event.rs`: the content of a security event token
// - `form.rs`: the body of a request, read within bounds
// - `logout_token.rs`: the content of a logout token
// - `message.rs`: the claims that all messages have
// - `receiver.rs`: the receiver at run time: from a message to entries of the deny list
// - `seen.rs`: the ids of the messages that were received
// - `service.rs`: the actix services
// - `settings.rs`: the settings

mod event;
mod form;
mod logout_token;
mod message;
mod receiver;
mod seen;
mod service;
mod settings;

pub(crate) use self::receiver::{Receivers, Setup};
pub use self::{
    service::LogoutReceivers,
    settings::{BackchannelLogout, SecurityEvents},
};

//! The certificate of a client, for certificate-bound access tokens
//! ([RFC 8705](https://www.rfc-editor.org/rfc/rfc8705)).
//!
//! A token that is bound to a certificate has the SHA-256 of the certificate in its `cnf`. It is accepted only from
//! a client that proved in a TLS handshake that it has the key of this certificate. How the certificate is found
//! depends on where TLS ends:
//!
//! - In the actix server: [`on_connect`] takes it from the connection. The crate feature `rustls-0_23` or `openssl`
//!   is for the listener that actix-web's feature of the same name has.
//! - In a proxy: the proxy sends it in a header, and [`ForwardedCertificate`] says which header, and which peers
//!   are this proxy.
//!
//! ```no_run
//! # #[cfg(feature = "rustls-0_23")]
//! # fn server(tls: rustls::ServerConfig) -> std::io::Result<()> {
//! use actix_web::{App, HttpServer};
//!
//! let server = HttpServer::new(App::new)
//!     .on_connect(oauth2_actix::mtls::on_connect)
//!     .bind_rustls_0_23("127.0.0.1:8443", tls)?
//!     .run();
//! # drop(server);
//! # Ok(())
//! # }
//! ```
//!
//! The certificate is hashed and not read. Whether it is valid and who issued it is for the TLS library or the proxy
//! to check, if at all: the hash in the token is enough to know the client
//! ([RFC 8705 §6.2](https://www.rfc-editor.org/rfc/rfc8705#section-6.2)).

// Owns where the certificate of a client comes from. It imports `config`.
//
// - `certificate`: the hash of a certificate.
// - `connection`: the certificate of a TLS connection.
// - `formats`: how proxies write a certificate into a header.
// - `forwarded`: which proxies are trusted, and the certificate of a request.

mod certificate;
mod connection;
mod formats;
mod forwarded;

pub(crate) use self::forwarded::{TrustedProxy, client_certificate, hint};
pub use self::{
    certificate::{ClientCertificate, NotACertificate},
    connection::on_connect,
    forwarded::ForwardedCertificate,
};

//! The certificate of a TLS connection.

use std::any::Any;

use actix_web::{dev::Extensions, rt::net::TcpStream};

use super::certificate::ClientCertificate;

/// Stores the certificate that the client used in the TLS handshake of a connection, as a [`ClientCertificate`] in
/// the data of the connection. It costs one SHA-256 for each connection.
///
/// ```no_run
/// use actix_web::{App, HttpServer};
/// use oauth2_actix::mtls;
///
/// # fn server() -> std::io::Result<()> {
/// let server = HttpServer::new(App::new)
///     // Before `bind`: later, it has no effect.
///     .on_connect(mtls::on_connect)
/// # ;
/// # Ok(())
/// # }
/// ```
///
/// The connections of `bind_rustls_0_23` need the crate feature `rustls-0_23`, those of `bind_openssl` the feature
/// `openssl`. With another TLS library, see [`ClientCertificate::from_der`].
///
/// An application that has a closure of its own calls it there:
///
/// ```no_run
/// use actix_web::{App, HttpServer};
/// use oauth2_actix::mtls;
///
/// let server = HttpServer::new(App::new).on_connect(|connection, extensions| {
///     mtls::on_connect(connection, extensions);
///     // …
/// });
/// # drop(server);
/// ```
///
/// All requests of a connection have its certificate, also those that share a connection of HTTP/2. A session that
/// the client resumes has the certificate of the handshake that began it.
pub fn on_connect(connection: &dyn Any, extensions: &mut Extensions) {
    let (kind, certificate) = inspect(connection);
    extensions.insert(kind);
    if let Some(certificate) = certificate {
        extensions.insert(certificate);
    }
}

/// What [`on_connect`] saw, to say why there is no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionKind {
    /// Without TLS.
    Plain,
    /// With TLS.
    #[cfg_attr(not(any(feature = "rustls-0_23", feature = "openssl")), expect(dead_code))]
    Tls,
    /// Of a type that this build does not know.
    Unknown,
}

fn inspect(connection: &dyn Any) -> (ConnectionKind, Option<ClientCertificate>) {
    #[cfg(feature = "rustls-0_23")]
    if let Some(stream) =
        connection.downcast_ref::<actix_tls::accept::rustls_0_23::TlsStream<TcpStream>>()
    {
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = leaf.and_then(|leaf| ClientCertificate::from_der(leaf).ok());
        return (ConnectionKind::Tls, certificate);
    }
    #[cfg(feature = "openssl")]
    if let Some(stream) =
        connection.downcast_ref::<actix_tls::accept::openssl::TlsStream<TcpStream>>()
    {
        let der = stream.ssl().peer_certificate().and_then(|leaf| leaf.to_der().ok());
        let certificate = der.and_then(|der| ClientCertificate::from_der(&der).ok());
        return (ConnectionKind::Tls, certificate);
    }
    (if is_plain(connection) { ConnectionKind::Plain } else { ConnectionKind::Unknown }, None)
}

fn is_plain(connection: &dyn Any) -> bool {
    #[cfg(unix)]
    if connection.is::<actix_web::rt::net::UnixStream>() {
        return true;
    }
    connection.is::<TcpStream>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_of_another_type_is_recorded_as_unknown() {
        let mut extensions = Extensions::new();
        on_connect(&"another stream", &mut extensions);
        assert_eq!(extensions.get::<ConnectionKind>(), Some(&ConnectionKind::Unknown));
        assert_eq!(extensions.get::<ClientCertificate>(), None);
    }
}

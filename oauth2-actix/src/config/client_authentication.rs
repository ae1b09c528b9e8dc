//! How this API authenticates as a client of an authorization server.

use std::fmt;

use crate::jose::algorithm::Algorithm;

/// How this API authenticates at endpoints of an authorization server, where it is a client
/// ([RFC 6749 §2.3](https://www.rfc-editor.org/rfc/rfc6749#section-2.3)): for
/// [introspection](crate::introspection) and token exchange.
///
/// The client is registered at the authorization server, with the same method.
///
/// ```
/// use oauth2_actix::ClientAuthentication;
///
/// let basic = ClientAuthentication::basic("orders-api", "a-secret-of-the-deployment");
/// assert!(!format!("{basic:?}").contains("a-secret"));
/// ```
///
/// In serde `client_authentication`: a map of `method` (`client_secret_basic`, `client_secret_post`, `private_key_jwt`
/// or `tls_client_auth`), `client_id`, `client_secret`, `private_key`, `key_id`, `algorithm`, `assertion_audience` and
/// `certificate`.
#[derive(Clone, PartialEq)]
#[must_use = "it does nothing until it is given to a setting"]
pub struct ClientAuthentication {
    pub(crate) client_id: String,
    pub(crate) method: ClientMethod,
}

/// The method, with its secret.
#[derive(Clone, PartialEq)]
pub(crate) enum ClientMethod {
    Basic { secret: String },
    Post { secret: String },
    PrivateKeyJwt(AssertionKey),
    Tls { pem: Vec<u8> },
}

/// The key of `private_key_jwt`.
#[derive(Clone, PartialEq)]
pub(crate) struct AssertionKey {
    /// PEM or a JWK.
    pub(crate) key: String,
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) key_id: Option<String>,
    pub(crate) audience: Option<String>,
}

impl ClientAuthentication {
    /// Authenticates by a secret in the `Authorization` header: `client_secret_basic`
    /// ([RFC 6749 §2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1)). The id and the secret are
    /// form-encoded first.
    ///
    /// ```
    /// let basic = oauth2_actix::ClientAuthentication::basic("orders-api", "a-secret-of-the-deployment");
    /// # drop(basic);
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails if the id or the secret is empty. This holds for every method.
    pub fn basic(client_id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { client_id: client_id.into(), method: ClientMethod::Basic { secret: secret.into() } }
    }

    /// Authenticates by a secret in the form: `client_secret_post`
    /// ([RFC 6749 §2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1)). For servers that do not support
    /// [`basic`](Self::basic).
    ///
    /// ```
    /// let post = oauth2_actix::ClientAuthentication::post("orders-api", "a-secret-of-the-deployment");
    /// # drop(post);
    /// ```
    pub fn post(client_id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { client_id: client_id.into(), method: ClientMethod::Post { secret: secret.into() } }
    }

    /// Authenticates by a JWT that this API signs for each call: `private_key_jwt`
    /// ([RFC 7523 §2.2](https://www.rfc-editor.org/rfc/rfc7523#section-2.2)).
    ///
    /// The key is a private key as PEM (PKCS#8, or the older forms of RSA and EC keys) or as JWK. The algorithm is that
    /// of the JWK's `alg`, or else RS256, ES256, ES384, ES512 or EdDSA by the type of the key; see
    /// [`algorithm`](Self::algorithm). The JWT is valid for 60 s, and its `aud` is the issuer of the provider.
    ///
    /// ```
    /// # use oauth2_actix::{Algorithm, testing::SigningKey};
    /// use oauth2_actix::ClientAuthentication;
    ///
    /// # let pem = SigningKey::generate(Algorithm::ES256, "1").private_pem();
    /// let signed = ClientAuthentication::private_key_jwt("orders-api", pem).key_id("orders-2026");
    /// # drop(signed);
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails if the key cannot be read, or does not fit the algorithm.
    pub fn private_key_jwt(client_id: impl Into<String>, key: impl Into<String>) -> Self {
        let (algorithm, key_id, audience) = (None, None, None);
        let method = ClientMethod::PrivateKeyJwt(AssertionKey {
            key: key.into(),
            algorithm,
            key_id,
            audience,
        });
        Self { client_id: client_id.into(), method }
    }

    /// Authenticates by a client certificate: `tls_client_auth` or `self_signed_tls_client_auth`
    /// ([RFC 8705 §2](https://www.rfc-editor.org/rfc/rfc8705#section-2)). The text is PEM with the private key
    /// (PKCS#8) and the certificate, and the certificates of its chain if there are any.
    ///
    /// The certificate is sent to the endpoints that need this authentication, and not where keys are fetched.
    ///
    /// ```
    /// # fn read(_: &str) -> Vec<u8> { Vec::new() }
    /// use oauth2_actix::ClientAuthentication;
    ///
    /// let by_certificate = ClientAuthentication::tls("orders-api", read("client.pem"));
    /// # drop(by_certificate);
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails if the text cannot be read, and with a client of
    /// [`dangerous_http_client`](crate::OAuth2Builder::dangerous_http_client).
    pub fn tls(client_id: impl Into<String>, pem: impl Into<Vec<u8>>) -> Self {
        Self { client_id: client_id.into(), method: ClientMethod::Tls { pem: pem.into() } }
    }

    /// Sets the algorithm of [`private_key_jwt`](Self::private_key_jwt): an asymmetric one that fits the key. It has no
    /// effect on other methods.
    ///
    /// ```
    /// # use oauth2_actix::testing::SigningKey;
    /// use oauth2_actix::{Algorithm, ClientAuthentication};
    ///
    /// # let pem = SigningKey::generate(Algorithm::PS256, "1").private_pem();
    /// let signed = ClientAuthentication::private_key_jwt("orders-api", pem).algorithm(Algorithm::PS256);
    /// # drop(signed);
    /// ```
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        if let ClientMethod::PrivateKeyJwt(key) = &mut self.method {
            key.algorithm = Some(algorithm);
        }
        self
    }

    /// Sets the `kid` in the header of the JWT of [`private_key_jwt`](Self::private_key_jwt). Default: that of the JWK,
    /// or none. It has no effect on other methods.
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        if let ClientMethod::PrivateKeyJwt(key) = &mut self.method {
            key.key_id = Some(key_id.into());
        }
        self
    }

    /// Sets the `aud` of the JWT of [`private_key_jwt`](Self::private_key_jwt), for servers that expect the URL of the
    /// endpoint. Default: the issuer of the provider, which the JWT cannot be used at another server with
    /// ([RFC 7523 §3](https://www.rfc-editor.org/rfc/rfc7523#section-3)). It has no effect on other methods.
    ///
    /// ```
    /// # use oauth2_actix::{Algorithm, testing::SigningKey};
    /// use oauth2_actix::ClientAuthentication;
    ///
    /// # let pem = SigningKey::generate(Algorithm::ES256, "1").private_pem();
    /// let signed = ClientAuthentication::private_key_jwt("orders-api", pem)
    ///     .key_id("orders-2026")
    ///     .assertion_audience("https://login.example.com/introspect");
    /// # drop(signed);
    /// ```
    pub fn assertion_audience(mut self, audience: impl Into<String>) -> Self {
        if let ClientMethod::PrivateKeyJwt(key) = &mut self.method {
            key.audience = Some(audience.into());
        }
        self
    }
}

impl ClientMethod {
    /// Returns the registered name of the method.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Basic { .. } => "client_secret_basic",
            Self::Post { .. } => "client_secret_post",
            Self::PrivateKeyJwt(_) => "private_key_jwt",
            Self::Tls { .. } => "tls_client_auth",
        }
    }
}

/// Shows no secret.
impl fmt::Debug for ClientAuthentication {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientAuthentication")
            .field("client_id", &self.client_id)
            .field("method", &self.method.name())
            .finish_non_exhaustive()
    }
}

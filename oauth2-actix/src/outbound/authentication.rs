//! How this API authenticates as a client of an authorization server (RFC 6749 §2.3, RFC 7523 §2.2, RFC 8705 §2).

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use josekit::{
    JoseError,
    jwk::Jwk,
    jws::{self, JwsHeader, JwsSigner},
};
use openssl::{
    nid::Nid,
    pkey::{Id, PKey, Private},
};
use reqwest::{Identity, header::HeaderValue};
use serde_json::json;
use url::form_urlencoded;

use crate::{
    config::client_authentication::{AssertionKey, ClientAuthentication, ClientMethod},
    jose::algorithm::Algorithm,
};

/// Authenticates the calls to one authorization server.
pub(crate) struct Authenticator {
    client_id: String,
    method: Method,
    /// The issuer, which is the audience of assertions unless another one is configured.
    issuer: String,
}

enum Method {
    Basic(HeaderValue),
    Post { secret: String },
    Assertion { signer: Box<dyn JwsSigner>, header: JwsHeader, audience: Option<String> },
    Tls(Identity),
}

/// The form of a request. It may hold secrets, so it has no `Debug`.
#[derive(Clone, Default)]
pub(crate) struct Form(Vec<(&'static str, String)>);

impl Form {
    /// Adds a parameter.
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push((name, value.into()));
    }

    /// Returns the body of the request.
    pub(crate) fn encode(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}

impl Authenticator {
    /// Checks the settings. The problem is for the developer, and contains no secret.
    pub(crate) fn new(settings: &ClientAuthentication, issuer: &str) -> Result<Self, String> {
        if settings.client_id.is_empty() {
            return Err("the client id is empty; expected the id that the provider has registered"
                .to_owned());
        }
        let method = match &settings.method {
            ClientMethod::Basic { secret } | ClientMethod::Post { secret } if secret.is_empty() => {
                return Err("the client secret is empty; expected the secret of the registration"
                    .to_owned());
            }
            ClientMethod::Basic { secret } => {
                Method::Basic(basic_header(&settings.client_id, secret)?)
            }
            ClientMethod::Post { secret } => Method::Post { secret: secret.clone() },
            ClientMethod::PrivateKeyJwt(key) => {
                let (signer, header) = signer(key)?;
                Method::Assertion { signer, header, audience: key.audience.clone() }
            }
            ClientMethod::Tls { pem } => Method::Tls(identity(pem)?),
        };
        Ok(Self { client_id: settings.client_id.clone(), method, issuer: issuer.to_owned() })
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Returns the certificate that connections need.
    pub(crate) fn identity(&self) -> Option<Identity> {
        match &self.method {
            Method::Tls(identity) => Some(identity.clone()),
            _ => None,
        }
    }

    /// Adds what authenticates this API to a form. Returns the `Authorization` header, if there is one.
    pub(crate) fn authenticate(
        &self,
        form: &mut Form,
        now: Duration,
    ) -> Result<Option<HeaderValue>, SigningFault> {
        match &self.method {
            Method::Basic(header) => return Ok(Some(header.clone())),
            Method::Post { secret } => {
                form.add("client_id", &self.client_id);
                form.add("client_secret", secret);
            }
            Method::Tls(_) => form.add("client_id", &self.client_id),
            Method::Assertion { signer, header, audience } => {
                let audience = audience.as_deref().unwrap_or(&self.issuer);
                let assertion = self.assertion(&**signer, header, audience, now)?;
                form.add("client_id", &self.client_id);
                form.add(
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                );
                form.add("client_assertion", assertion);
            }
        }
        Ok(None)
    }

    fn assertion(
        &self,
        signer: &dyn JwsSigner,
        header: &JwsHeader,
        audience: &str,
        now: Duration,
    ) -> Result<String, SigningFault> {
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| SigningFault)?;
        let claims = json!({
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": audience,
            "jti": base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id),
            "iat": now.as_secs(),
            "exp": now.as_secs() + ASSERTION_LIFETIME,
        });
        jws::serialize_compact(claims.to_string().as_bytes(), header, signer)
            .map_err(|_| SigningFault)
    }
}

/// Shows no secret.
impl fmt::Debug for Authenticator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Authenticator")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// The assertion of the client could not be signed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the assertion of the client could not be signed")]
pub(crate) struct SigningFault;

/// Form-encodes both parts, as RFC 6749 §2.3.1 requires.
fn basic_header(client_id: &str, secret: &str) -> Result<HeaderValue, String> {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let credentials = STANDARD.encode(format!("{}:{}", encode(client_id), encode(secret)));
    let mut header = HeaderValue::from_str(&format!("Basic {credentials}"))
        .map_err(|_| "the client secret cannot be sent in a header".to_owned())?;
    header.set_sensitive(true);
    Ok(header)
}

fn identity(pem: &[u8]) -> Result<Identity, String> {
    // The error may quote the text.
    Identity::from_pem(pem).map_err(|_| {
        "the client certificate cannot be read; expected PEM with a private key (PKCS#8) and a certificate"
            .to_owned()
    })
}

/// Returns the signer of assertions, and their header.
fn signer(key: &AssertionKey) -> Result<(Box<dyn JwsSigner>, JwsHeader), String> {
    const UNREADABLE: &str =
        "the private key cannot be read; expected PEM without a passphrase, or a JWK";
    let text = key.key.trim();
    let mut key_id = key.key_id.clone();
    let mut algorithm = key.algorithm;
    let pair = if text.starts_with('{') {
        let jwk = Jwk::from_bytes(text).map_err(|_| UNREADABLE)?;
        key_id = key_id.or_else(|| jwk.key_id().map(str::to_owned));
        if algorithm.is_none()
            && let Some(name) = jwk.algorithm()
        {
            let named = name.parse();
            algorithm = Some(named.map_err(|_| "the `alg` of the private key is not supported")?);
        }
        pair_of_jwk(&jwk).ok_or(UNREADABLE)?
    } else {
        PKey::private_key_from_pem_callback(text.as_bytes(), |_| Ok(0)).map_err(|_| UNREADABLE)?
    };
    let algorithm = match algorithm {
        Some(algorithm) => algorithm,
        None => usual_algorithm(&pair).ok_or("the type of the private key is not supported")?,
    };
    let signer = signer_of(algorithm, &pair)
        .ok_or_else(|| format!("the private key cannot sign with {algorithm}"))?;
    let mut header = JwsHeader::new();
    header.set_token_type("JWT");
    if let Some(key_id) = key_id {
        header.set_key_id(key_id);
    }
    Ok((signer, header))
}

fn pair_of_jwk(jwk: &Jwk) -> Option<PKey<Private>> {
    fn der<K>(pair: Result<K, JoseError>, to_der: impl Fn(&K) -> Vec<u8>) -> Option<Vec<u8>> {
        pair.ok().map(|pair| to_der(&pair))
    }
    use josekit::jwk::{
        KeyPair,
        alg::{ec::EcKeyPair, ed::EdKeyPair, rsa::RsaKeyPair},
    };
    jwk.parameter("d")?;
    let der = match jwk.key_type() {
        "RSA" => der(RsaKeyPair::from_jwk(jwk), KeyPair::to_der_private_key),
        "EC" => der(EcKeyPair::from_jwk(jwk), KeyPair::to_der_private_key),
        "OKP" => der(EdKeyPair::from_jwk(jwk), KeyPair::to_der_private_key),
        _ => None,
    }?;
    PKey::private_key_from_der(&der).ok()
}

fn usual_algorithm(pair: &PKey<Private>) -> Option<Algorithm> {
    match pair.id() {
        Id::RSA => Some(Algorithm::RS256),
        Id::ED25519 | Id::ED448 => Some(Algorithm::EdDSA),
        Id::EC => match pair.ec_key().ok()?.group().curve_name()? {
            Nid::X9_62_PRIME256V1 => Some(Algorithm::ES256),
            Nid::SECP384R1 => Some(Algorithm::ES384),
            Nid::SECP521R1 => Some(Algorithm::ES512),
            _ => None,
        },
        _ => None,
    }
}

fn signer_of(algorithm: Algorithm, pair: &PKey<Private>) -> Option<Box<dyn JwsSigner>> {
    fn boxed<S: JwsSigner + 'static>(signer: Result<S, JoseError>) -> Option<Box<dyn JwsSigner>> {
        signer.ok().map(|signer| Box::new(signer) as Box<dyn JwsSigner>)
    }
    let der = pair.private_key_to_pkcs8().ok()?;
    match algorithm {
        Algorithm::RS256 => boxed(jws::RS256.signer_from_der(der)),
        Algorithm::RS384 => boxed(jws::RS384.signer_from_der(der)),
        Algorithm::RS512 => boxed(jws::RS512.signer_from_der(der)),
        Algorithm::PS256 => boxed(jws::PS256.signer_from_der(der)),
        Algorithm::PS384 => boxed(jws::PS384.signer_from_der(der)),
        Algorithm::PS512 => boxed(jws::PS512.signer_from_der(der)),
        Algorithm::ES256 => boxed(jws::ES256.signer_from_der(der)),
        Algorithm::ES384 => boxed(jws::ES384.signer_from_der(der)),
        Algorithm::ES512 => boxed(jws::ES512.signer_from_der(der)),
        // josekit's header has the name EdDSA, so that the name of the curve (RFC 9864) is not used.
        Algorithm::EdDSA => boxed(jws::EdDSA.signer_from_der(der)),
        _ => None,
    }
}

/// How long an assertion is valid, in seconds.
const ASSERTION_LIFETIME: u64 = 60;

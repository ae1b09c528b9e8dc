//! Reads how this API authenticates as a client.

use super::{Choices, Setting, Settings, input::Input, read_map};
use crate::{
    config::{
        client_authentication::ClientAuthentication,
        error::{ConfigError, ConfigErrorKind},
        names,
    },
    jose::algorithm::Algorithm,
};

/// The members of the setting.
#[derive(Default)]
struct Members {
    method: Option<Method>,
    client_id: Option<String>,
    client_secret: Option<String>,
    private_key: Option<String>,
    key_id: Option<String>,
    algorithm: Option<Algorithm>,
    assertion_audience: Option<String>,
    certificate: Option<String>,
}

/// The registered methods.
#[derive(Clone, Copy)]
enum Method {
    Basic,
    Post,
    PrivateKeyJwt,
    Tls,
}

const METHODS: Choices<Method> = &[
    (&["client_secret_basic"], Method::Basic),
    (&["client_secret_post"], Method::Post),
    (&["private_key_jwt"], Method::PrivateKeyJwt),
    (&["tls_client_auth", "self_signed_tls_client_auth"], Method::Tls),
];

impl Settings for Members {
    const SETTINGS: &'static [Setting<Self>] = settings! {
        METHOD: basic | post | private_key_jwt | tls => |members, input| {
            input.choice(METHODS).map(|method| members.method = Some(method))
        };
        CLIENT_ID: basic | post | private_key_jwt | tls => |members, input| {
            input.text().map(|id| members.client_id = Some(id))
        };
        CLIENT_SECRET: basic | post => |members, input| {
            input.text().map(|secret| members.client_secret = Some(secret))
        };
        PRIVATE_KEY: private_key_jwt => |members, input| {
            input.text().map(|key| members.private_key = Some(key))
        };
        KEY_ID: key_id => |members, input| input.text().map(|id| members.key_id = Some(id));
        ALGORITHM: algorithm => |members, input| {
            let provider = input.provider;
            let name = input.text()?;
            Algorithm::named(&name, provider).map(|algorithm| members.algorithm = Some(algorithm))
        };
        ASSERTION_AUDIENCE: assertion_audience => |members, input| {
            input.text().map(|audience| members.assertion_audience = Some(audience))
        };
        CERTIFICATE: tls => |members, input| input.text().map(|pem| members.certificate = Some(pem));
    };
}

impl Input<'_> {
    /// Reads a map of `method`, `client_id`, and what the method needs.
    pub(super) fn client_authentication(self) -> Result<ClientAuthentication, ConfigError> {
        let (provider, field) = (self.provider, self.field.clone());
        let mut members = Members::default();
        read_map(&mut members, self)?;
        let fault = |kind, name: &str, problem: &str| {
            let field = format!("{field}.{name}");
            Err(ConfigError::new(provider, field, problem).of_kind(kind))
        };
        let missing = |name, problem| fault(ConfigErrorKind::Missing, name, problem);
        let Some(method) = members.method else {
            return missing(
                names::METHOD,
                "missing; expected `client_secret_basic`, `client_secret_post`, `private_key_jwt` or `tls_client_auth`",
            );
        };
        let Some(client_id) = members.client_id else {
            return missing(
                names::CLIENT_ID,
                "missing: the authorization server knows this API by it",
            );
        };
        let is_secret = matches!(method, Method::Basic | Method::Post);
        let is_assertion = matches!(method, Method::PrivateKeyJwt);
        for (name, is_set, belongs) in [
            (names::CLIENT_SECRET, members.client_secret.is_some(), is_secret),
            (names::PRIVATE_KEY, members.private_key.is_some(), is_assertion),
            (names::KEY_ID, members.key_id.is_some(), is_assertion),
            (names::ALGORITHM, members.algorithm.is_some(), is_assertion),
            (names::ASSERTION_AUDIENCE, members.assertion_audience.is_some(), is_assertion),
            (names::CERTIFICATE, members.certificate.is_some(), matches!(method, Method::Tls)),
        ] {
            if is_set && !belongs {
                let problem = "has no effect with this method; expected it to be left out";
                return fault(ConfigErrorKind::Conflict, name, problem);
            }
        }
        let mut authentication = match (method, members.client_secret) {
            (Method::Basic, Some(secret)) => ClientAuthentication::basic(client_id, secret),
            (Method::Post, Some(secret)) => ClientAuthentication::post(client_id, secret),
            (Method::Basic | Method::Post, None) => {
                return missing(names::CLIENT_SECRET, "missing: this method needs the secret");
            }
            (Method::PrivateKeyJwt, _) => match members.private_key {
                Some(key) => ClientAuthentication::private_key_jwt(client_id, key),
                None => {
                    let problem = "missing: this method needs the key, as PEM or JWK";
                    return missing(names::PRIVATE_KEY, problem);
                }
            },
            (Method::Tls, _) => match members.certificate {
                Some(pem) => ClientAuthentication::tls(client_id, pem),
                None => {
                    let problem =
                        "missing: this method needs the private key and the certificate, as PEM";
                    return missing(names::CERTIFICATE, problem);
                }
            },
        };
        if let Some(algorithm) = members.algorithm {
            authentication = authentication.algorithm(algorithm);
        }
        if let Some(key_id) = members.key_id {
            authentication = authentication.key_id(key_id);
        }
        if let Some(audience) = members.assertion_audience {
            authentication = authentication.assertion_audience(audience);
        }
        Ok(authentication)
    }
}

//! The claims of a verified token, and the extractors that give handlers access to them (RFC 7519 §4).

use std::{
    fmt,
    future::{Ready, ready},
    ops::Deref,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};
use serde::{Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use crate::{
    error::{Error, ErrorKind},
    jose::header::JoseHeader,
    token::{scope, validation, verified::VerifiedToken},
    util::{clock::Clock, log_rate::Throttle},
};

/// The claims of an accepted token, and the name of the provider that accepted it.
///
/// Only a verified token has claims. `Claims` is an extractor, and is also in the request's extensions, for
/// middleware inside `OAuth2`. A clone costs one reference count.
///
/// ```
/// use actix_web::{HttpResponse, get};
/// use oauth2_actix::{Claims, Error};
///
/// #[get("/orders")]
/// async fn orders(claims: Claims) -> Result<HttpResponse, Error> {
///     claims.require_scope("orders:read")?;
///     let user = claims.subject().unwrap_or("an unnamed user");
///     Ok(HttpResponse::Ok().body(format!("orders of {user} at {}", claims.provider())))
/// }
/// ```
///
/// # Errors
///
/// As an extractor: on a public request without a valid token, the same response as on a private route;
/// without the middleware, 500 and an error in the log.
///
/// `Option<Claims>` extracts too, but actix gives `None` for every failure, also if the middleware is
/// missing: use [`OptionalClaims`] instead.
#[derive(Clone)]
pub struct Claims(Arc<VerifiedToken>);

impl Claims {
    pub(crate) fn new(accepted: VerifiedToken) -> Self {
        Self(Arc::new(accepted))
    }

    pub(crate) fn of(accepted: Arc<VerifiedToken>) -> Self {
        Self(accepted)
    }

    pub(crate) fn verified(&self) -> &VerifiedToken {
        &self.0
    }

    pub(crate) fn shared(&self) -> &Arc<VerifiedToken> {
        &self.0
    }

    /// Returns the configured name of the provider that accepted the token.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.0.by.name
    }

    /// Returns `iss`: the issuer, which is the provider's
    /// ([RFC 7519 §4.1.1](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.1)). Empty for a JWT-SVID
    /// without one ([`spiffe_trust_domain`](crate::Provider::spiffe_trust_domain)), whose subject names its
    /// trust domain, and for an [API key](crate::api_keys).
    #[must_use]
    pub fn issuer(&self) -> &str {
        // `iss` was checked before, unless tokens of this provider need none.
        self.text("iss").unwrap_or_default()
    }

    /// Returns `sub`: the subject of the token
    /// ([RFC 7519 §4.1.2](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.2)). Unique within one issuer
    /// only: use it together with [`Claims::issuer`].
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.text("sub")
    }

    /// Returns the client that the token was issued to: `client_id`
    /// ([RFC 9068 §2.2](https://www.rfc-editor.org/rfc/rfc9068#section-2.2)), or the claim that a provider
    /// has instead: `azp` (OpenID Connect; Keycloak, Auth0, Entra v2), `appid` (Entra v1, ADFS) or `cid`
    /// (Okta, XSUAA), in this order.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        validation::client_id(&self.0.claims)
    }

    /// Returns `jti`: the id of the token, if it has one
    /// ([RFC 7519 §4.1.7](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.7)). Unique within one issuer.
    #[must_use]
    pub fn jwt_id(&self) -> Option<&str> {
        self.text("jti")
    }

    /// Returns `aud`: the audiences of the token
    /// ([RFC 7519 §4.1.3](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.3)).
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        validation::audiences(&self.0.claims, "aud")
    }

    /// Returns `exp`: when the token expires, without leeway
    /// ([RFC 7519 §4.1.4](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4)). For a token without one, which only
    /// [introspection](crate::introspection) accepts, and an [API key](crate::api_keys) without an end, it is the end of the
    /// year 9999.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        // Its range was checked before.
        self.time("exp").unwrap_or_else(|| UNIX_EPOCH + self.0.lifetime.ends())
    }

    /// Returns how much longer the token is accepted: until `exp`, or until the token reaches
    /// [`max_token_age`](crate::OAuth2Builder::max_token_age) if that is earlier, plus the leeway. Zero once
    /// it has expired. A WebSocket session that is not renewed ends after this time.
    ///
    /// ```
    /// use actix_web::get;
    /// use oauth2_actix::Claims;
    ///
    /// #[get("/session")]
    /// async fn session(claims: Claims) -> String {
    ///     format!("signed in for another {} s", claims.time_left().as_secs())
    /// }
    /// # fn main() {}
    /// ```
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.0.lifetime.remaining(self.0.clock.unix_time())
    }

    /// Returns `iat`: when the token was issued, if it has this claim
    /// ([RFC 7519 §4.1.6](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.6)).
    #[must_use]
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.time("iat")
    }

    /// Returns `nbf`: when the token begins to be valid, without leeway, if it has this claim
    /// ([RFC 7519 §4.1.5](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.5)).
    #[must_use]
    pub fn not_before(&self) -> Option<SystemTime> {
        self.time("nbf")
    }

    /// Returns the token's `alg`, `kid` and `typ`
    /// ([RFC 7515 §4.1](https://www.rfc-editor.org/rfc/rfc7515#section-4.1)). Each call parses the header
    /// again, which takes a microsecond. A token that is no JWT has none of them.
    ///
    /// ```
    /// # use oauth2_actix::Claims;
    /// fn audit(claims: &Claims) -> String {
    ///     let header = claims.jose_header();
    ///     format!("signed with key {:?}", header.key_id)
    /// }
    /// ```
    #[must_use]
    pub fn jose_header(&self) -> JoseHeader {
        JoseHeader::of(&self.0.token)
    }

    /// Returns the token itself. It is a secret: anyone who has it can act as its subject until it expires.
    /// Keep it out of logs and responses.
    ///
    /// Do not forward it to another API: a token is for the audience that it names, and an API that
    /// accepts tokens of another audience is open to confusion. Exchange it instead
    /// ([RFC 8693](https://www.rfc-editor.org/rfc/rfc8693)). Empty for
    /// [`testing::claims`](crate::testing).
    ///
    /// ```
    /// # use oauth2_actix::Claims;
    /// fn subject_token(claims: &Claims) -> [(&str, &str); 2] {
    ///     [
    ///         ("subject_token", claims.expose_token()),
    ///         ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
    ///     ]
    /// }
    /// ```
    #[must_use]
    pub fn expose_token(&self) -> &str {
        // The token was parsed as ASCII before it was verified.
        std::str::from_utf8(&self.0.token).unwrap_or_default()
    }

    /// Returns the claim of this name at the top level.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.claims.get(name)
    }

    /// Returns the value at a JSON pointer ([RFC 6901](https://www.rfc-editor.org/rfc/rfc6901)) such as
    /// `/realm_access/roles`. None for a text that does not start with `/`.
    ///
    /// ```
    /// # use oauth2_actix::Claims;
    /// fn roles(claims: &Claims) -> Option<&Vec<serde_json::Value>> {
    ///     claims.pointer("/realm_access/roles")?.as_array()
    /// }
    /// ```
    #[must_use]
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        pointer.starts_with('/').then(|| self.find(pointer))?
    }

    /// Returns a claim by its name or, if the text starts with `/`, by a JSON pointer.
    pub(crate) fn find(&self, name_or_pointer: &str) -> Option<&Value> {
        let Some(pointer) = name_or_pointer.strip_prefix('/') else {
            return self.get(name_or_pointer);
        };
        let (first, rest) = match pointer.split_once('/') {
            Some((first, _)) => (first, &pointer[first.len()..]),
            None => (pointer, ""),
        };
        let value = if first.contains('~') {
            self.get(&first.replace("~1", "/").replace("~0", "~"))
        } else {
            self.get(first)
        };
        if rest.is_empty() { value } else { value?.pointer(rest) }
    }

    /// Returns an iterator over all claims, in no particular order.
    ///
    /// ```
    /// # use oauth2_actix::Claims;
    /// fn namespaced(claims: &Claims) -> Vec<&str> {
    ///     claims.iter().map(|(name, _)| name).filter(|name| name.starts_with("https://")).collect()
    /// }
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.claims.iter()
    }

    /// Returns a copy of all claims as a `serde_json` map.
    ///
    /// ```
    /// # use oauth2_actix::Claims;
    /// fn answer(claims: &Claims) -> actix_web::HttpResponse {
    ///     actix_web::HttpResponse::Ok().json(claims.to_map())
    /// }
    /// ```
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        self.0.claims.to_map()
    }

    /// Deserializes all claims into a struct of the application. [`TypedClaims`] does this as an extractor.
    ///
    /// # Errors
    ///
    /// `serde_json::Error` if the claims do not fit; its text may contain a claim's value.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.0.claims)
    }

    /// Returns the scopes in `scope` and `scp`, each a space-separated string or a list
    /// ([RFC 6749 §3.3](https://www.rfc-editor.org/rfc/rfc6749#section-3.3)). Scopes that they imply are not
    /// among them: see [`Claims::has_scope`].
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        scope::of(&self.0.claims)
    }

    /// Returns whether the token has this scope: the whole word, in the same case. By
    /// [`OAuth2Builder::scope_implies`](crate::OAuth2Builder::scope_implies), it may also have a scope that
    /// implies this one.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        let has = |scope: &str| self.scopes().any(|candidate| candidate == scope);
        has(scope) || self.0.by.rules.scopes.implying(scope).iter().any(|other| has(other))
    }

    /// Describes which claim does not fit `T`, and what `T` expects. serde's own message may quote a claim's
    /// value, so only the parts that `T` determines are kept.
    fn mismatch<T: DeserializeOwned>(&self) -> String {
        let Err(error) = serde_path_to_error::deserialize::<_, T>(&self.0.claims) else {
            return "the claims do not fit".to_owned();
        };
        // Names below the first level may be data, such as the keys of a map.
        let claim = match error.path().iter().next() {
            Some(Segment::Map { key }) if key.len() <= MAX_SHOWN_NAME => Some(key.clone()),
            _ => None,
        };
        let message = error.into_inner().to_string();
        // The name of a missing or duplicate field is from the source of `T`.
        if message.starts_with("missing field `") || message.starts_with("duplicate field `") {
            return message;
        }
        let is_type_error = ["invalid type: ", "invalid value: ", "invalid length "]
            .iter()
            .any(|start| message.starts_with(start));
        let expected = message.rsplit_once(", expected ").filter(|_| is_type_error);
        match (claim, expected) {
            (Some(claim), Some((_, expected))) => format!("claim `{claim}`: expected {expected}"),
            (Some(claim), None) => format!("claim `{claim}` does not fit"),
            (None, Some((_, expected))) => format!("expected {expected}"),
            (None, None) => "the claims do not fit".to_owned(),
        }
    }

    /// Returns the claims of `request`, or the reason why it has none.
    pub(crate) fn of_request(request: &HttpRequest) -> Result<Self, Error> {
        let extensions = request.extensions();
        if let Some(claims) = extensions.get::<Self>() {
            return Ok(claims.clone());
        }
        if let Some(Anonymous(error)) = extensions.get::<Anonymous>() {
            return Err(error.clone());
        }
        static LOGGED: Throttle = Throttle::new(Clock::System);
        let error = Error::from(ErrorKind::NotConfigured);
        if LOGGED.allows() {
            tracing::error!(target: "oauth2_actix", "{error}");
        }
        Err(error)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    fn time(&self, name: &str) -> Option<SystemTime> {
        let seconds = self.get(name).and_then(Value::as_f64)?;
        UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
    }
}

// Frameworks require this of what a request hands on to other tasks.
const _: () = {
    const fn is_shared<T: Clone + Send + Sync + 'static>() {}
    is_shared::<Claims>();
};

/// Shows the names of the claims and not their values, which are personal data.
impl fmt::Debug for Claims {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Claims")
            .field("provider", &self.provider())
            .field("names", &self.0.claims)
            .finish()
    }
}

/// All claims as one JSON object, without the token and the provider's name.
impl Serialize for Claims {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl FromRequest for Claims {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of_request(request))
    }
}

/// The claims, or `None` on a public request without a valid token.
///
/// ```
/// use actix_web::get;
/// use oauth2_actix::OptionalClaims;
///
/// #[get("/")]
/// async fn index(OptionalClaims(claims): OptionalClaims) -> String {
///     match claims.as_ref().and_then(|claims| claims.subject()) {
///         Some(subject) => format!("hello {subject}"),
///         None => "hello, anonymous".into(),
///     }
/// }
/// ```
///
/// # Errors
///
/// Without the middleware, 500 and an error in the log, where `Option<Claims>` would be `None`.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs)] // A pattern for handlers' arguments.
pub struct OptionalClaims(pub Option<Claims>);

impl FromRequest for OptionalClaims {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(match Claims::of_request(request) {
            Ok(claims) => Ok(Self(Some(claims))),
            Err(error) if *error.kind() == ErrorKind::NotConfigured => Err(error),
            Err(_) => Ok(Self(None)),
        })
    }
}

/// The claims as a struct of the application.
///
/// ```
/// use actix_web::get;
/// use oauth2_actix::TypedClaims;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Employee {
///     sub: String,
///     department: String,
/// }
///
/// #[get("/desk")]
/// async fn desk(TypedClaims(employee): TypedClaims<Employee>) -> String {
///     format!("{} sits in {}", employee.sub, employee.department)
/// }
/// ```
///
/// # Errors
///
/// The errors of [`Claims`]. Claims that do not fit the struct are rejected with 403, like a required claim
/// that is missing: [`ErrorKind::InsufficientClaims`]. The source of the error, which is logged, names the
/// claim and what the struct expects, and never a claim's value.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs)] // A pattern for handlers' arguments.
pub struct TypedClaims<T>(pub T);

impl<T> Deref for TypedClaims<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned> FromRequest for TypedClaims<T> {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Claims::of_request(request).and_then(|claims| {
            claims.parse().map(Self).map_err(|_| {
                let expected = format!("claims that fit {}", std::any::type_name::<T>());
                Error::from(ErrorKind::InsufficientClaims { required: expected.clone().into() })
                    .with_provider(&claims.0.by.name)
                    .with_expected(expected)
                    .with_source(claims.mismatch::<T>())
            })
        }))
    }
}

/// The longest name of a claim that is logged.
const MAX_SHOWN_NAME: usize = 64;

/// The reason why a public request has no claims, in its extensions.
pub(crate) struct Anonymous(pub(crate) Error);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        Claims::new(VerifiedToken::of("p", crate::json::object::Object::of(value)))
    }

    #[test]
    fn registered_claims_have_accessors() {
        let claims = claims(json!({
            "iss": "i", "sub": "s", "aud": ["a", "b"], "exp": 2, "iat": 1.5, "azp": "c",
        }));
        assert_eq!(claims.issuer(), "i");
        assert_eq!(claims.subject(), Some("s"));
        assert_eq!(claims.audience().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(claims.expires_at(), UNIX_EPOCH + Duration::from_secs(2));
        assert_eq!(claims.issued_at(), Some(UNIX_EPOCH + Duration::from_millis(1500)));
        assert_eq!(claims.client_id(), Some("c"));
    }

    #[test]
    fn claims_are_found_by_name_and_by_pointer() {
        let claims = claims(json!({
            "a": {"b": ["x", {"c": 1}]}, "https://x.example/roles": ["r"], "t~/": 2, "": 3,
        }));
        assert_eq!(claims.find("/a/b/0"), Some(&json!("x")));
        assert_eq!(claims.find("/a/b/1/c"), Some(&json!(1)));
        assert_eq!(claims.find("https://x.example/roles"), Some(&json!(["r"])));
        assert_eq!(claims.find("/https:~1~1x.example~1roles/0"), Some(&json!("r")));
        assert_eq!(claims.find("/t~0~1"), Some(&json!(2)));
        assert_eq!(claims.find("/"), Some(&json!(3)));
        assert_eq!(claims.pointer("/a/b/0"), Some(&json!("x")));
        assert_eq!(claims.pointer("a"), None);
        assert_eq!(claims.pointer(""), None);
        for missing in ["a.b", "/a/c", "/a/b/2", "/b", "b", "a/b"] {
            assert_eq!(claims.find(missing), None, "{missing}");
        }
    }

    #[test]
    fn claims_and_scopes_are_compared_as_a_whole() {
        let claims = claims(json!({
            "role": "administrator", "roles": ["user", "admin"], "level": 7, "on": true,
            "deep": [["admin"]], "null": null, "scope": "orders:read read:all",
        }));
        assert!(claims.has_claim("roles", "admin"));
        assert!(!claims.has_claim("role", "admin"));
        assert_eq!(
            claims.require_claim("role", "admin").expect_err("rejected").kind(),
            &ErrorKind::InsufficientClaims { required: "claim role = \"admin\"".into() }
        );
        assert!(claims.has_scope("read:all"));
        for scope in ["read", "all", "orders", "ORDERS:READ", "", "orders:read read:all"] {
            assert!(!claims.has_scope(scope), "{scope}");
        }
    }

    #[test]
    fn debug_shows_no_values() {
        let shown = format!("{:?}", claims(json!({"email": "a@b.example"})));
        assert_eq!(shown, r#"Claims { provider: "p", names: ["email"] }"#);
    }
}

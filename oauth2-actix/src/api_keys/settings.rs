//! The settings for API keys.

use std::{
    collections::HashSet,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{FutureExt, future::BoxFuture};
use serde_json::{Map, Value};

use super::generate::{ApiKeyHash, InvalidApiKeyHash};
use crate::{
    config::{
        error::{ConfigError, ConfigErrorKind, Faults},
        limits::{API_KEYS_CACHE, API_KEYS_CALLS, API_KEYS_NEGATIVE_CACHE},
        names,
    },
    jose::compact::may_begin_a_jwt,
    json::object::Object,
    token::{lifetime, validation},
};

/// The API keys with one prefix: see [`OAuth2Builder::api_keys`](crate::OAuth2Builder::api_keys).
///
/// In serde a map of `prefix`, `keys`, `require_checksum`, `cache_seconds`, `negative_cache_seconds`, `max_calls` and
/// `dangerous_without_binding`.
#[derive(Clone, Default)]
#[must_use = "they do nothing until they are given to a builder"]
pub struct ApiKeys {
    pub(crate) prefix: String,
    pub(crate) keys: Vec<ApiKey>,
    pub(crate) source: Option<Source>,
    pub(crate) require_checksum: bool,
    pub(crate) cache: Option<Duration>,
    pub(crate) negative_cache: Option<Duration>,
    pub(crate) max_calls: Option<usize>,
    pub(crate) dangerous_without_binding: bool,
}

/// One API key of the configuration, by one or two hashes.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is given to `ApiKeys::key`"]
pub struct ApiKey {
    pub(crate) claims: ApiKeyClaims,
    pub(crate) hashes: Vec<Result<ApiKeyHash, InvalidApiKeyHash>>,
}

/// The claims of an API key, and when it expires.
///
/// ```
/// use oauth2_actix::api_keys::ApiKeyClaims;
/// use serde_json::json;
///
/// let claims = ApiKeyClaims::new("billing-job").claims(json!({"scope": "invoices:read"}));
/// # drop(claims);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ApiKeyClaims {
    name: String,
    claims: Value,
    expires: Option<SystemTime>,
}

/// Finds the claims of a key.
pub(crate) type Source = Arc<dyn Fn(ApiKeyHash) -> Answer + Send + Sync>;
pub(crate) type Answer =
    BoxFuture<'static, Result<Option<ApiKeyClaims>, Box<dyn std::error::Error + Send + Sync>>>;

impl ApiKeys {
    /// Creates settings for keys with this prefix. A token with the prefix is an API key, and is validated in no other way.
    ///
    /// From 3 to 32 letters, digits and `-_~+/`, such as `shop_live_`; upper and lower case differ. Use a long
    /// prefix if [opaque tokens](crate::introspection) without a prefix are accepted too, so that none of them begins with it
    /// by chance. A prefix that a JWT can begin with, such as `eyJ`, is an error.
    ///
    /// ```
    /// use oauth2_actix::api_keys::{ApiKey, ApiKeyHash, ApiKeys};
    /// use serde_json::json;
    ///
    /// let hash = "8vGCZVOQzxVMoYoXN0wtNB0HDg8q1DzQX6w8a0E8oBk";
    /// let keys = ApiKeys::new("shop_live_")
    ///     .key(ApiKey::new("billing-job", [hash]).claims(json!({"scope": "invoices:read"})));
    /// # drop(keys);
    /// ```
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..Self::default() }
    }

    /// Adds a key. In serde a member of `keys`, by its name.
    ///
    /// ```
    /// use oauth2_actix::api_keys::{ApiKey, ApiKeyHash, ApiKeys};
    ///
    /// let job = ApiKey::new("billing-job", [ApiKeyHash::of("shop_live_the-key-of-the-job")]);
    /// let shop = ApiKey::new("shop", [ApiKeyHash::of("shop_live_the-key-of-the-shop")]);
    /// let keys = ApiKeys::new("shop_live_").key(job).key(shop);
    /// # drop(keys);
    /// ```
    pub fn key(mut self, key: ApiKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Sets a function that finds the claims of each key that [`key`](Self::key) does not have, by the hash of the key: for a
    /// database. `None` means that there is no such key. There is no form of it in serde: see
    /// [`OAuth2Builder::api_key_source`](crate::OAuth2Builder::api_key_source).
    ///
    /// It runs on a separate thread, which it must not block, and not on the workers of actix. Concurrent requests with the
    /// same key share one call, and at most [`max_calls`](Self::max_calls) calls run at once. An error, a panic, or no
    /// response within [`check_timeout`](crate::OAuth2Builder::check_timeout) (5 s) is 503, and never 401. The text of the
    /// error is in the log. A failed call is not repeated for the same key for 1 s. After five failures in a row, the
    /// function is not called for 1 s, then 2 s, 4 s and so on up to 60 s.
    ///
    /// ```
    /// use std::io;
    /// use oauth2_actix::api_keys::{ApiKeyClaims, ApiKeyHash, ApiKeys};
    ///
    /// /// `SELECT name FROM api_keys WHERE hash = $1`
    /// async fn find(hash: ApiKeyHash) -> io::Result<Option<ApiKeyClaims>> {
    ///     let name: Option<String> = None;
    ///     Ok(name.map(ApiKeyClaims::new))
    /// }
    ///
    /// let keys = ApiKeys::new("shop_live_").source(find);
    /// # drop(keys);
    /// ```
    pub fn source<F, A, E>(mut self, find: F) -> Self
    where
        F: Fn(ApiKeyHash) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Option<ApiKeyClaims>, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.source =
            Some(Arc::new(move |hash| find(hash).map(|found| found.map_err(Into::into)).boxed()));
        self
    }

    /// Rejects keys without the checksum of [`ApiKey::generate`] before the source is called. Default false, for keys that
    /// were generated elsewhere.
    ///
    /// ```
    /// # async fn find(_: oauth2_actix::api_keys::ApiKeyHash) -> std::io::Result<Option<oauth2_actix::api_keys::ApiKeyClaims>> {
    /// #     Ok(None)
    /// # }
    /// use oauth2_actix::api_keys::ApiKeys;
    ///
    /// let keys = ApiKeys::new("shop_live_").source(find).require_checksum(true);
    /// # drop(keys);
    /// ```
    pub fn require_checksum(mut self, require: bool) -> Self {
        self.require_checksum = require;
        self
    }

    /// Sets how long the claims of a key from the [`source`](Self::source) are cached. In serde `cache_seconds`. Default 60 s;
    /// at most 1 hour, and never beyond the expiry of the key. A key that is removed from the source is accepted for this
    /// long. With zero, they are not cached: concurrent requests with the same key still share one call, and the key of a live
    /// session or stream is checked every 8 to 10 s.
    pub fn cache(mut self, lifetime: Duration) -> Self {
        self.cache = Some(lifetime);
        self
    }

    /// Sets how long unknown keys are cached: those that the [`source`](Self::source) does not have. In serde
    /// `negative_cache_seconds`. Default 5 s; at most 60 s. At most 10,000 unknown keys are cached, by their hashes. A key
    /// that is added to the source after it was sent is still rejected for up to this time.
    pub fn negative_cache(mut self, lifetime: Duration) -> Self {
        self.negative_cache = Some(lifetime);
        self
    }

    /// Sets the maximum number of concurrent calls of the [`source`](Self::source). Default 64; from 1 to 1,024. Further ones
    /// wait in a queue of 1,024, for at most 5 s. A request beyond the queue or this time gets 503.
    ///
    /// ```
    /// # async fn find(_: oauth2_actix::api_keys::ApiKeyHash) -> std::io::Result<Option<oauth2_actix::api_keys::ApiKeyClaims>> {
    /// #     Ok(None)
    /// # }
    /// use std::time::Duration;
    /// use oauth2_actix::api_keys::ApiKeys;
    ///
    /// let keys = ApiKeys::new("shop_live_")
    ///     .source(find)
    ///     .cache(Duration::from_secs(30))
    ///     .negative_cache(Duration::from_secs(2))
    ///     .max_calls(16);
    /// # drop(keys);
    /// ```
    pub fn max_calls(mut self, calls: usize) -> Self {
        self.max_calls = Some(calls);
        self
    }

    /// Accepts API keys although every provider requires tokens that are bound to a key or certificate of the client.
    ///
    /// Dangerous: an API key is a bearer token, which anyone who has it can use. Default false. It does not make them
    /// possible with [`fapi2`](crate::OAuth2Builder::fapi2).
    pub fn dangerous_without_binding(mut self, accept: bool) -> Self {
        self.dangerous_without_binding = accept;
        self
    }

    /// Returns the faults that can be found without the rest of the configuration.
    pub(crate) fn faults(&self, name: &str) -> Faults {
        use ConfigErrorKind::{Duplicate, Empty, Invalid, Missing, OutOfRange};
        let mut faults = Faults::default();
        let mut fault = |field: &str, kind, problem: &str| {
            let field = format!("{}.{name}.{field}", names::API_KEYS);
            faults.push(ConfigError::of_policy(field, problem).of_kind(kind));
        };
        if self.prefix.is_empty() {
            fault(names::PREFIX, Missing, "missing; expected the prefix of the keys");
        } else if let Some(problem) = problem_of_prefix(&self.prefix) {
            fault(names::PREFIX, Invalid, problem);
        }
        if self.keys.is_empty() && self.source.is_none() {
            fault(
                names::KEYS,
                Missing,
                "there are neither keys nor a source; expected one of them",
            );
        }
        let mut key_names = HashSet::new();
        let mut hashes = HashSet::new();
        for key in &self.keys {
            let key_name = &key.claims.name;
            let mut fault = |kind, problem: &str| {
                fault(&format!("{}.{key_name}", names::KEYS), kind, problem);
            };
            if !key_names.insert(key_name) {
                fault(Duplicate, "two keys have this name; expected one key with both hashes");
            }
            match key.hashes.len() {
                0 => fault(Empty, "has no hash; expected one, or two while the key is rotated"),
                1 | 2 => {}
                _ => fault(
                    OutOfRange,
                    "has more than two hashes; expected one, or two while the key is rotated",
                ),
            }
            for hash in &key.hashes {
                match hash {
                    // The text may be the key itself, so that it is not shown.
                    Err(error) => fault(Invalid, &error.to_string()),
                    Ok(hash) if !hashes.insert(hash) => {
                        fault(
                            Duplicate,
                            "has a hash that another key has; expected each hash once",
                        );
                    }
                    Ok(_) => {}
                }
            }
            if let Err(problem) = key.claims.resolve() {
                fault(Invalid, &problem);
            }
        }
        for (limit, value) in
            [(API_KEYS_CACHE, self.cache), (API_KEYS_NEGATIVE_CACHE, self.negative_cache)]
        {
            faults.take(limit.check_if_set(None, value));
        }
        faults.take(API_KEYS_CALLS.check_if_set(None, self.max_calls));
        faults
    }
}

impl ApiKey {
    /// Creates a key with this name and the SHA-256 hashes of its text, with the prefix: one hash, or two while the key is
    /// rotated, of which both are accepted. Each is 43 characters of base64url or 64 hexadecimal digits: see [`ApiKeyHash`].
    ///
    /// The name is the `sub` of the key unless its claims have one.
    ///
    /// ```
    /// use oauth2_actix::api_keys::{ApiKey, ApiKeyHash};
    ///
    /// let old = ApiKeyHash::of("shop_live_the-key-until-today");
    /// let new = ApiKey::generate("shop_live_")?.hash();
    /// let key = ApiKey::new("billing-job", [old, new]);
    /// # drop(key);
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails if there are no hashes or more than two, if one is malformed, or if two keys have the same
    /// name or hash.
    pub fn new(name: impl Into<String>, hashes: impl IntoIterator<Item = impl ToString>) -> Self {
        let hashes = hashes.into_iter().map(|hash| hash.to_string().trim().parse()).collect();
        Self { claims: ApiKeyClaims::new(name), hashes }
    }

    /// Sets the claims: see [`ApiKeyClaims::claims`].
    ///
    /// ```
    /// use oauth2_actix::api_keys::{ApiKey, ApiKeyHash};
    /// use serde_json::json;
    ///
    /// let hash = ApiKeyHash::of("shop_live_the-key");
    /// let key = ApiKey::new("billing-job", [hash]).claims(json!({"scope": "invoices:read"}));
    /// # drop(key);
    /// ```
    pub fn claims(mut self, claims: impl Into<Value>) -> Self {
        self.claims = self.claims.claims(claims);
        self
    }

    /// Sets when the key expires: see [`ApiKeyClaims::expires`].
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use oauth2_actix::api_keys::{ApiKey, ApiKeyHash};
    ///
    /// let in_90_days = SystemTime::now() + Duration::from_secs(90 * 24 * 3600);
    /// let key = ApiKey::new("billing-job", [ApiKeyHash::of("shop_live_the-key")]).expires(in_90_days);
    /// # drop(key);
    /// ```
    pub fn expires(mut self, time: SystemTime) -> Self {
        self.claims = self.claims.expires(time);
        self
    }
}

impl ApiKeyClaims {
    /// Creates the claims of a key with this name, which is its `sub` unless [`claims`](Self::claims) has one.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Sets the claims, a JSON object: what the key may do, such as `scope`. Requirements are checked on them as on those
    /// of a token. Default: only `sub`.
    ///
    /// `iss`, `jti`, `exp` and `cnf` are errors: no issuer has issued a key, its hash is its id,
    /// [`expires`](Self::expires) sets its end, and it is bound to nothing. With several
    /// [resources](crate::OAuth2Builder::resource), `aud` must name the one of the request.
    #[must_use]
    pub fn claims(mut self, claims: impl Into<Value>) -> Self {
        self.claims = claims.into();
        self
    }

    /// Sets when the key expires: its `exp`, in whole seconds. Default: never.
    #[must_use]
    pub fn expires(mut self, time: SystemTime) -> Self {
        self.expires = Some(time);
        self
    }

    /// Returns the claims as those of a token.
    pub(crate) fn resolve(&self) -> Result<Object, String> {
        if self.name.is_empty() {
            return Err("the name of the key is empty; expected one".to_owned());
        }
        let mut claims = match &self.claims {
            Value::Null => Map::new(),
            Value::Object(claims) => claims.clone(),
            _ => return Err("the claims of the key are not a JSON object; expected one".to_owned()),
        };
        if let Some(name) = RESERVED.iter().find(|name| claims.contains_key(**name)) {
            return Err(format!(
                "the key has the claim `{name}`; expected none of {}",
                RESERVED.join(", ")
            ));
        }
        claims.entry("sub").or_insert_with(|| self.name.clone().into());
        if let Some(expires) = self.expires {
            let expires = expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            claims.insert("exp".to_owned(), expires.into());
        }
        let text = serde_json::to_vec(&claims).map_err(|error| error.to_string())?;
        let claims = Object::parse(&text).map_err(|error| error.to_string())?;
        validation::check_types(&claims).map_err(|error| error.to_string())?;
        for name in ["exp", "nbf", "iat"] {
            lifetime::numeric_date(&claims, name).map_err(|error| error.to_string())?;
        }
        Ok(claims)
    }
}

/// The claims that a key cannot have.
const RESERVED: [&str; 4] = ["iss", "jti", "exp", "cnf"];

/// Returns why a prefix cannot be used.
pub(super) fn problem_of_prefix(prefix: &str) -> Option<&'static str> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~+/".contains(&byte);
    if !(3..=32).contains(&prefix.len()) || !prefix.bytes().all(is_allowed) {
        return Some("must be 3 to 32 letters, digits or characters of `-_~+/`");
    }
    may_begin_a_jwt(prefix)
        .then_some("begins as a JWT can; expected another prefix, such as `shop_live_`")
}

/// Shows the number of keys, and neither a key nor a hash.
impl fmt::Debug for ApiKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ApiKeys")
            .field("prefix", &self.prefix)
            .field("keys", &self.keys.len())
            .field("has_source", &self.source.is_some())
            .field("require_checksum", &self.require_checksum)
            .field("cache", &self.cache)
            .field("negative_cache", &self.negative_cache)
            .field("max_calls", &self.max_calls)
            .field("dangerous_without_binding", &self.dangerous_without_binding)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prefix_that_a_jwt_can_begin_with_or_no_token_has_is_an_error() {
        for prefix in ["shop_live_", "abc", "sk-", "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345", "Eyj", "fey"]
        {
            assert_eq!(problem_of_prefix(prefix), None, "{prefix}");
        }
        for prefix in [
            "", "ab", "eyJ", "eyJhbGci", "ey_", "e3t", "e30", "ICB", "IHs", "CXsi", "a.b", "a b",
            "ab=", "äbc",
        ] {
            assert!(problem_of_prefix(prefix).is_some(), "{prefix}");
        }
        assert!(problem_of_prefix(&"a".repeat(33)).is_some());
    }

    #[test]
    fn name_is_the_subject_unless_the_claims_have_one() {
        let sub = |claims: ApiKeyClaims| claims.resolve().expect("claims").get("sub").cloned();
        assert_eq!(sub(ApiKeyClaims::new("a")), Some(json!("a")));
        assert_eq!(sub(ApiKeyClaims::new("a").claims(json!({"sub": "b"}))), Some(json!("b")));
    }

    #[test]
    fn claims_that_are_reserved_or_of_another_type_are_errors() {
        for claims in [
            json!({"iss": "a"}),
            json!({"jti": "a"}),
            json!({"exp": 1}),
            json!({"cnf": {}}),
            json!({"sub": 1}),
            json!({"sub": null}),
            json!({"aud": 1}),
            json!({"nbf": "now"}),
            json!([]),
            json!("scope"),
        ] {
            assert!(ApiKeyClaims::new("a").claims(claims.clone()).resolve().is_err(), "{claims}");
        }
        assert!(ApiKeyClaims::new("").resolve().is_err());
        let late = UNIX_EPOCH + Duration::from_secs(253_402_300_800);
        assert!(ApiKeyClaims::new("a").expires(late).resolve().is_err());
    }
}

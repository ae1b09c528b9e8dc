//! The forms of a key document, inline or fetched: a JWK set, a JWK, a list of JWKs or PEM texts, a PEM
//! public key or certificate, or a map of kid to PEM (RFC 7517 §5, RFC 7468).

use std::{collections::BTreeMap, time::Instant};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use openssl::{pkey::PKey, x509::X509};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    jose::{
        jwk::{self, Key},
        key_policy::{Budget, KeyPolicy, Origin},
        key_set::{KeySet, MAX_TRIED},
        unusable::Unusable,
    },
    json,
    util::log_rate::Throttle,
};

/// The usable keys of a document, and the reasons why the others are not used.
#[derive(Debug)]
pub(crate) struct KeyDocument {
    pub(crate) keys: KeySet,
    pub(crate) skipped: Vec<Skipped>,
}

/// A key that is not used, or keys that are not tried for every token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Skipped {
    Key {
        /// Its kid, or its position in the document.
        key: String,
        reason: Unusable,
    },
    /// More keys fit an algorithm than are tried for one token.
    TooMany {
        /// The names of these algorithms.
        algorithms: String,
        /// The number of keys for one of them.
        keys: usize,
        /// Whether the limit affects only tokens without a kid, and all keys have a kid.
        only_without_kid: bool,
    },
}

impl KeyDocument {
    /// Reads a document in any of the forms. An unusable key does not affect the others. A document without a
    /// usable key is an error.
    pub(crate) fn parse(document: &[u8], policy: KeyPolicy) -> Result<Self, DocumentError> {
        let deadline = match policy.origin {
            Origin::Inline => None,
            Origin::Fetched => Some(Instant::now() + policy.budget.time()),
        };
        Self::parse_until(document, policy, deadline)
    }

    fn parse_until(
        document: &[u8],
        policy: KeyPolicy,
        deadline: Option<Instant>,
    ) -> Result<Self, DocumentError> {
        let limit = policy.budget.bytes();
        if policy.origin == Origin::Fetched && document.len() > limit {
            return Err(DocumentError::TooLarge { bytes: document.len(), limit });
        }
        let text = text_of(document)?;
        let mut reader =
            Reader { policy, deadline, seen: 0, keys: Vec::new(), skipped: Vec::new() };
        match text.as_bytes().first() {
            None => return Err(DocumentError::Empty),
            Some(b'[') => {
                let entries = serde_json::from_str::<Vec<&RawValue>>(text);
                reader.list(&entries.map_err(|error| DocumentError::json(text, &error))?)?;
            }
            Some(b'{') => reader.object(text)?,
            Some(_) if text.contains(BEGIN) => reader.pem_blocks(text, None)?,
            Some(b'<') => return Err(DocumentError::Markup),
            Some(_) => return Err(DocumentError::NotRecognised),
        }
        let Reader { keys, mut skipped, .. } = reader;
        if keys.is_empty() {
            return Err(DocumentError::without_keys(skipped));
        }
        let keys = KeySet::new(keys);
        skipped.extend(too_many(&keys));
        Ok(Self { keys, skipped })
    }
}

/// Returns the text of a document without white space around it. A byte order mark is permitted, although
/// senders must not add one (RFC 8259 §8.1).
fn text_of(document: &[u8]) -> Result<&str, DocumentError> {
    let document = without_bom(document);
    if document.starts_with(b"\xff\xfe") || document.starts_with(b"\xfe\xff") {
        return Err(DocumentError::Utf16);
    }
    if document.starts_with(b"\x1f\x8b") {
        return Err(DocumentError::Compressed);
    }
    let text = std::str::from_utf8(document).map_err(|_| DocumentError::NotText)?;
    Ok(text.trim())
}

/// Removes the byte order mark of UTF-8.
pub(crate) fn without_bom(document: &[u8]) -> &[u8] {
    document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document)
}

/// Returns a warning if more keys fit an algorithm than are tried for one token.
fn too_many(keys: &KeySet) -> Option<Skipped> {
    let crowded: Vec<_> = keys.crowded_algorithms().collect();
    // Algorithms where any token is affected have precedence over those that only affect tokens without a
    // kid.
    let only_without_kid = crowded.iter().all(|crowd| crowd.only_without_kid);
    let crowded = crowded.iter().filter(|crowd| crowd.only_without_kid == only_without_kid);
    let keys = crowded.clone().map(|crowd| crowd.keys).max()?;
    let algorithms: Vec<_> = crowded.map(|crowd| crowd.algorithm.name()).collect();
    Some(Skipped::TooMany { algorithms: algorithms.join(" "), keys, only_without_kid })
}

impl Skipped {
    /// Logs the keys that are not used, at most [`MAX_LOGGED`]. Returns false if the rate suppressed the
    /// warnings.
    pub(crate) fn log(skipped: &[Self], provider: &str, rate: &Throttle) -> bool {
        let (warnings, expected): (Vec<_>, Vec<_>) =
            skipped.iter().partition(|skipped| skipped.is_fault());
        if !warnings.is_empty() && !rate.allows() {
            return false;
        }
        // Every Keycloak realm publishes a key for encryption, which requires no warning.
        for skipped in expected.iter().take(MAX_LOGGED) {
            match skipped {
                Self::Key { key, reason } => {
                    tracing::debug!(target: "oauth2_actix", provider, %key, %reason, "a key is not used");
                }
                Self::TooMany { algorithms, keys, .. } => tracing::debug!(
                    target: "oauth2_actix", provider, algorithms, keys, tried = MAX_TRIED,
                    "a token without a kid is tried with some of the keys only"
                ),
            }
        }
        for skipped in warnings.iter().take(MAX_LOGGED) {
            match skipped {
                Self::Key { key, reason } => {
                    tracing::warn!(target: "oauth2_actix", provider, %key, %reason, "a key is not used");
                }
                Self::TooMany { algorithms, keys, .. } => tracing::warn!(
                    target: "oauth2_actix", provider, algorithms, keys, tried = MAX_TRIED,
                    "a token may be tried with some of the keys only: give each key a kid of its own"
                ),
            }
        }
        if warnings.len() > MAX_LOGGED {
            let more = warnings.len() - MAX_LOGGED;
            tracing::warn!(target: "oauth2_actix", provider, more, "more keys are not used");
        }
        true
    }

    fn is_fault(&self) -> bool {
        match self {
            Self::Key { reason, .. } => !reason.is_expected(),
            Self::TooMany { only_without_kid, .. } => !only_without_kid,
        }
    }
}

/// The reason why a document has no usable keys. It contains no key material, and no text of the document
/// except key ids.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error("the document is empty")]
    Empty,
    #[error("the document is neither JSON nor PEM")]
    NotRecognised,
    #[error("the document is neither JSON nor PEM, but HTML or XML")]
    Markup,
    #[error("the document is compressed, but has no `Content-Encoding`")]
    Compressed,
    #[error("the document is UTF-16: save it as UTF-8")]
    Utf16,
    #[error("the document is not UTF-8 text")]
    NotText,
    // serde's own message may contain a part of the document.
    #[error(
        "the document is not valid JSON, or has the wrong form, at line {line} column {column}{hint}"
    )]
    Json { line: usize, column: usize, hint: &'static str },
    #[error("the document has {bytes} bytes, more than {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error("the document has {count} keys, more than {limit}")]
    TooMany { count: usize, limit: usize },
    #[error("the document's keys could not be read within {}", seconds(*.0))]
    TooSlow(Budget),
    #[error("the document is neither a JWK set, a JWK nor a map of kid to PEM")]
    UnknownObject,
    #[error(
        "the document has a `jwks_uri`: it is a discovery document, not keys; use \
         `Keys::discover()`, or `{{\"discover\": true}}` in a configuration"
    )]
    DiscoveryDocument,
    #[error("the document has no keys")]
    NoKeys,
    #[error("the document has no usable key: {key}: {reason}")]
    NoneUsable { key: String, reason: Unusable },
    #[error(
        "a `file:` URL is not fetched: use `Keys::file(path)`, or `{{\"file\": \"/path\"}}` in a \
         configuration"
    )]
    FileUrl,
    #[error(
        "this looks like the path of a file: use `Keys::file(path)`, or `{{\"file\": \"/path\"}}` in a \
         configuration"
    )]
    FilePath,
    #[error(
        "this is a URL, but inline keys are expected: use `Keys::url(url)`, or `{{\"url\": \"…\"}}` in a \
         configuration"
    )]
    Url,
    #[error("this looks like a URL, but its scheme is neither `https` nor `http`")]
    UrlScheme,
    #[error(
        "this looks like a URL without its scheme: write `https://…` (or `{{\"file\": \"path\"}}` for the \
         path of a file)"
    )]
    UrlWithoutScheme,
    #[error(
        "this is the base64 of a public key without the lines of PEM: put `-----BEGIN PUBLIC KEY-----` \
         before it and `-----END PUBLIC KEY-----` after it"
    )]
    BareKey,
    #[error(
        "this is the base64 of a certificate without the lines of PEM: put \
         `-----BEGIN CERTIFICATE-----` before it and `-----END CERTIFICATE-----` after it"
    )]
    BareCertificate,
    #[error("this is the base64 of a private key: use the public key, as PEM or JWK")]
    BarePrivateKey,
    #[error(
        "the text is neither a URL, JSON nor PEM; write an HMAC secret as a JWK, \
         `{{\"kty\": \"oct\", \"k\": \"…\"}}` with the secret in base64url, and name its algorithm in \
         `algorithms`"
    )]
    Text,
}

impl DocumentError {
    fn json(text: &str, error: &serde_json::Error) -> Self {
        let hint = if text.find(['\'', '"']).is_some_and(|at| text[at..].starts_with('\'')) {
            ": JSON puts text between double quotes"
        } else if error.to_string().starts_with("trailing comma") {
            ": JSON allows no comma after the last member"
        } else {
            ""
        };
        Self::Json { line: error.line(), column: error.column(), hint }
    }

    /// Replaces `NotRecognised` by what a text of the configuration probably is.
    pub(crate) fn with_hint_for(self, text: &str) -> Self {
        match self {
            Self::NotRecognised => {
                misplaced(text.trim_matches(['\u{feff}', ' ', '\t', '\r', '\n']))
            }
            other => other,
        }
    }

    /// Returns the error for a document without usable keys. It names a faulty key, if there is one, rather
    /// than a key for another purpose.
    fn without_keys(skipped: Vec<Skipped>) -> Self {
        let fault = skipped.iter().position(Skipped::is_fault).unwrap_or_default();
        match skipped.into_iter().nth(fault) {
            Some(Skipped::Key { key, reason }) => Self::NoneUsable { key, reason },
            _ => Self::NoKeys,
        }
    }
}

/// Returns what is wrong with an inline text that is neither JSON nor PEM. Often it belongs to another
/// setting, or has another form. The text may be a secret, so the error shows no part of it.
fn misplaced(text: &str) -> DocumentError {
    let lower = text.to_ascii_lowercase();
    let ends_like_a_file = [".json", ".jwk", ".jwks", ".pem", ".crt", ".cer", ".der", ".key"]
        .iter()
        .any(|ending| lower.ends_with(ending));
    let is_path =
        ["/", "./", "../", "~/", ".\\", "..\\", "\\\\"].iter().any(|start| text.starts_with(start))
            || text.get(1..3).is_some_and(|drive| matches!(drive, ":\\" | ":/"));
    if lower.starts_with("file:") {
        DocumentError::FileUrl
    } else if ["https://", "http://"].iter().any(|scheme| lower.starts_with(scheme)) {
        DocumentError::Url
    } else if text.contains("://") {
        DocumentError::UrlScheme
    } else if let Some(error) = bare_base64(text) {
        error
    } else if text.contains(char::is_whitespace) {
        DocumentError::Text
    } else if is_path {
        DocumentError::FilePath
    } else if text.split_once('/').is_some_and(|(host, _)| is_host(host)) {
        DocumentError::UrlWithoutScheme
    } else if ends_like_a_file {
        DocumentError::FilePath
    } else {
        DocumentError::Text
    }
}

/// Returns whether the text has the form of a URL's host: a name with a dot, or a name with a port.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let has_port =
        port.is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    !name.is_empty()
        && name.chars().all(is_name)
        && (has_port || (port.is_none() && name.contains('.')))
}

/// Returns the error for base64 text that is a key or a certificate.
fn bare_base64(text: &str) -> Option<DocumentError> {
    let text: String = text.split_ascii_whitespace().collect();
    let der = STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    if PKey::public_key_from_der(&der).is_ok() {
        Some(DocumentError::BareKey)
    } else if X509::from_der(&der).is_ok() {
        Some(DocumentError::BareCertificate)
    } else if PKey::private_key_from_der(&der).is_ok() {
        Some(DocumentError::BarePrivateKey)
    } else {
        None
    }
}

struct Reader {
    policy: KeyPolicy,
    /// The time at which reading must have ended, if there is a limit.
    deadline: Option<Instant>,
    /// The number of keys read so far, also of unusable ones.
    seen: usize,
    keys: Vec<Key>,
    skipped: Vec<Skipped>,
}

impl Reader {
    fn object(&mut self, text: &str) -> Result<(), DocumentError> {
        let json = |error| DocumentError::json(text, &error);
        // Members stay text here, so that a malformed member affects no other.
        let mut members: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(json)?;
        members.retain(|_, value| value.get() != "null");
        if let Some(keys) = members.get("keys") {
            self.list(&serde_json::from_str::<Vec<&RawValue>>(keys.get()).map_err(json)?)?;
        } else if members.contains_key("kty") {
            self.jwk(text, 0)?;
        } else if members.contains_key("jwks_uri") {
            return Err(DocumentError::DiscoveryDocument);
        } else if members.values().any(|value| value.get().contains(BEGIN)) {
            self.check_count(members.len())?;
            for (kid, pem) in members {
                self.admit()?;
                let key = serde_json::from_str::<String>(pem.get())
                    .map_err(|_| Unusable::new("its value is not a string"))
                    .and_then(|pem| Key::from_pem(&pem, Some(&kid), self.policy));
                self.take(quoted(&kid), key);
            }
        } else {
            return Err(DocumentError::UnknownObject);
        }
        Ok(())
    }

    /// Reads a list of JWKs, PEM texts, or both.
    fn list(&mut self, entries: &[&RawValue]) -> Result<(), DocumentError> {
        self.check_count(entries.len())?;
        for (index, entry) in entries.iter().enumerate() {
            match serde_json::from_str::<String>(entry.get()) {
                Ok(pem) if pem.contains(BEGIN) => self.pem_blocks(&pem, Some(index))?,
                Ok(_) => {
                    self.admit()?;
                    let reason = Unusable::new("it is text, but neither a JSON object nor PEM");
                    self.take(position(index), Err(reason));
                }
                Err(_) => self.jwk(entry.get(), index)?,
            }
        }
        Ok(())
    }

    fn jwk(&mut self, text: &str, index: usize) -> Result<(), DocumentError> {
        self.admit()?;
        match json::parse_members(text, &jwk::MEMBERS) {
            Ok(jwk) => {
                let key = Key::from_jwk(&jwk, self.policy);
                self.take(describe(&jwk, index), key);
            }
            Err(error) => self.take(position(index), Err(Unusable::new(error.to_string()))),
        }
        Ok(())
    }

    /// Reads one block after the other, as in a bundle. A key in PEM has no kid. `entry` is the position of
    /// the text in a list.
    fn pem_blocks(&mut self, text: &str, entry: Option<usize>) -> Result<(), DocumentError> {
        const END: &str = "-----END ";
        self.check_count(text.matches(BEGIN).count())?;
        let mut rest = text;
        let mut index = 0;
        // A block may have a comment before it.
        while let Some(begin) = rest.find(BEGIN) {
            rest = &rest[begin..];
            let Some(end) = rest.find(END) else { break };
            let tail = &rest[end + END.len()..];
            let length = end + END.len() + tail.find("-----").map_or(tail.len(), |at| at + 5);
            let (block, next) = rest.split_at(length);
            self.admit()?;
            self.take(position(entry.unwrap_or(index)), Key::from_pem(block, None, self.policy));
            rest = next;
            index += 1;
        }
        if rest.contains(BEGIN) {
            self.admit()?;
            let reason = Unusable::new("its PEM text has no END line");
            self.take(position(entry.unwrap_or(index)), Err(reason));
        }
        Ok(())
    }

    /// Checks the number of keys and the time. It is called before each key.
    fn admit(&mut self) -> Result<(), DocumentError> {
        self.seen += 1;
        self.check_count(self.seen)?;
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => {
                Err(DocumentError::TooSlow(self.policy.budget))
            }
            _ => Ok(()),
        }
    }

    fn check_count(&self, count: usize) -> Result<(), DocumentError> {
        let limit = self.policy.budget.keys();
        if count > limit { Err(DocumentError::TooMany { count, limit }) } else { Ok(()) }
    }

    fn take(&mut self, key: String, read: Result<Key, Unusable>) {
        match read {
            Ok(key) => self.keys.push(key),
            Err(reason) => self.skipped.push(Skipped::Key { key, reason }),
        }
    }
}

fn describe(jwk: &Map<String, Value>, index: usize) -> String {
    match jwk.get("kid").and_then(Value::as_str) {
        Some(kid) => quoted(kid),
        None => position(index),
    }
}

fn position(index: usize) -> String {
    format!("key {index}")
}

/// Quotes a key id, and truncates it to a bounded length, because the provider chooses it.
fn quoted(kid: &str) -> String {
    format!("kid {:?}", kid.chars().take(64).collect::<String>())
}

fn seconds(budget: Budget) -> String {
    format!("{} s", budget.time().as_secs_f64())
}

const BEGIN: &str = "-----BEGIN ";

/// The maximum number of keys of one document that the log names.
const MAX_LOGGED: usize = 8;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        jose::{
            algorithm::{Algorithm, AlgorithmSet},
            key_policy::CryptoBackend,
        },
        testing::SigningKey,
    };

    fn policy(origin: Origin, budget: Budget) -> KeyPolicy {
        let (allowed, crypto) = (AlgorithmSet::by_default(), CryptoBackend::default());
        KeyPolicy { allowed, binds_keys: true, origin, crypto, spiffe: false, budget }
    }

    #[test]
    fn a_document_that_takes_too_long_is_rejected() {
        let key = SigningKey::generate(Algorithm::ES256, "1");
        for document in [
            key.jwk_set().to_string(),
            key.public_jwk().to_string(),
            key.public_pem(),
            json!([key.public_pem()]).to_string(),
            json!({"1": key.public_pem()}).to_string(),
        ] {
            for budget in [Budget::Provider, Budget::Tenant] {
                let policy = policy(Origin::Fetched, budget);
                let parse = |deadline| {
                    KeyDocument::parse_until(document.as_bytes(), policy, Some(deadline))
                };
                assert!(parse(Instant::now() + budget.time() * 10).is_ok(), "{document}");
                let late = parse(Instant::now()).unwrap_err();
                assert!(matches!(late, DocumentError::TooSlow(_)), "{document}: {late}");
            }
        }
    }

    #[test]
    fn a_tenants_document_larger_than_256_kib_is_rejected() {
        let key = SigningKey::generate(Algorithm::ES256, "1");
        let padded = |length: usize| {
            let document = key.jwk_set().to_string();
            let spaces = " ".repeat(length - document.len());
            document + &spaces
        };
        let parse = |document: String, budget| {
            let policy = policy(Origin::Fetched, budget);
            KeyDocument::parse_until(document.as_bytes(), policy, None).map(drop)
        };
        assert!(parse(padded(256 << 10), Budget::Tenant).is_ok());
        let error = parse(padded((256 << 10) + 1), Budget::Tenant).unwrap_err();
        assert!(error.to_string().contains("262145 bytes, more than 262144"), "{error}");
        assert!(parse(padded(1 << 20), Budget::Provider).is_ok());
    }

    #[test]
    fn too_many_keys_in_any_form_are_rejected() {
        let key = SigningKey::generate(Algorithm::ES256, "1");
        let (jwk, pem) = (key.public_jwk(), key.public_pem());
        let map = |count| (0..count).map(|index| (format!("{index}"), json!(pem))).collect();
        for origin in [Origin::Inline, Origin::Fetched] {
            for (budget, limit) in [(Budget::Provider, 1024), (Budget::Tenant, 64)] {
                let parse = |document: String| {
                    let policy = policy(origin, budget);
                    KeyDocument::parse_until(document.as_bytes(), policy, None).map(drop)
                };
                for (form, of) in [
                    ("set", &|count| json!({"keys": vec![&jwk; count]}).to_string()),
                    ("list", &|count| json!(vec![&jwk; count]).to_string()),
                    ("texts", &|count| json!(vec![&pem; count]).to_string()),
                    ("bundles", &|count| json!([pem.repeat(count - 1), &pem]).to_string()),
                    ("bundle", &|count| pem.repeat(count)),
                    ("map", &|count| Value::Object(map(count)).to_string()),
                ] as [(&str, &dyn Fn(usize) -> String); 6]
                {
                    if budget == Budget::Tenant {
                        assert!(parse(of(limit)).is_ok(), "{form}");
                    }
                    let error = parse(of(limit + 1)).unwrap_err();
                    let is_counted =
                        matches!(error, DocumentError::TooMany { count, .. } if count == limit + 1);
                    assert!(is_counted, "{form}: {error}");
                }
            }
        }
    }
}

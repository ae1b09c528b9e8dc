//! What is revoked, and how a store sees it.

use std::{
    borrow::Cow,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::digest::{Context, SHA256};

/// What is revoked: one token, or all tokens of an issuer that have a claim in common. Give it to
/// [`OAuth2::revoke`](crate::OAuth2::revoke).
///
/// ```
/// use std::time::SystemTime;
/// use oauth2_actix::revocation::Revocation;
///
/// // A user has logged out everywhere. What is issued from now on is accepted.
/// let all_of_user = Revocation::subject("https://login.example.com", "user-17")
///     .issued_before(SystemTime::now());
///
/// // A client was compromised. No token that it has or gets is accepted for a day.
/// let client = Revocation::client("https://login.example.com", "shop-app");
/// # drop((all_of_user, client));
/// ```
///
/// Each applies to one issuer, by the exact `iss`, since the other claims are unique within an issuer only
/// ([RFC 7519 §4.1](https://www.rfc-editor.org/rfc/rfc7519#section-4.1)). An issuer whose tokens have several values of
/// `iss` needs one for each.
///
/// Memory and stores contain SHA-256 hashes of all values.
#[derive(Clone)]
#[must_use = "it has no effect until it is passed to `OAuth2::revoke`"]
pub struct Revocation {
    kind: Kind,
    key: Key,
    issued_before: IssuedBefore,
    until: Option<Duration>,
}

/// Which of the tokens are revoked, by their `iat`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum IssuedBefore {
    /// All of them.
    Any,
    /// Those that were issued when the revocation is added, or before.
    Now,
    /// Those that were issued at this time since the Unix epoch, or before.
    Time(Duration),
}

impl Revocation {
    /// Revokes the token with this `jti` ([RFC 7519 §4.1.7](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.7)).
    ///
    /// Without [`until`](Self::until), it ends after the [`token_lifetime`](super::DenyList::token_lifetime).
    /// [`Revocation::token`] ends with the token.
    ///
    /// ```
    /// use oauth2_actix::revocation::Revocation;
    ///
    /// let revocation = Revocation::token_id("https://login.example.com", "b7d1f7a2");
    /// # drop(revocation);
    /// ```
    pub fn token_id(issuer: &str, jti: &str) -> Self {
        Self::of(Kind::TokenId, issuer, jti)
    }

    /// Revokes the tokens of a subject: `sub`
    /// ([RFC 7519 §4.1.2](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.2)).
    ///
    /// Without [`issued_before`](Self::issued_before), tokens that the subject gets later are rejected too.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use oauth2_actix::revocation::Revocation;
    ///
    /// let revocation = Revocation::subject("https://login.example.com", "user-17")
    ///     .issued_before(SystemTime::now());
    /// # drop(revocation);
    /// ```
    pub fn subject(issuer: &str, sub: &str) -> Self {
        Self::of(Kind::Subject, issuer, sub)
    }

    /// Revokes the tokens of a session at the provider: `sid`
    /// ([OpenID Connect Back-Channel Logout 1.0 §2.1](https://openid.net/specs/openid-connect-backchannel-1_0.html)).
    /// Many providers put no `sid` into access tokens: then revoke by the subject.
    ///
    /// ```
    /// use oauth2_actix::revocation::Revocation;
    ///
    /// let revocation = Revocation::session("https://login.example.com", "08a5019c");
    /// # drop(revocation);
    /// ```
    pub fn session(issuer: &str, sid: &str) -> Self {
        Self::of(Kind::Session, issuer, sid)
    }

    /// Revokes the tokens that were issued to a client, by the claim that
    /// [`Claims::client_id`](crate::Claims::client_id) returns.
    ///
    /// ```
    /// use oauth2_actix::revocation::Revocation;
    ///
    /// let revocation = Revocation::client("https://login.example.com", "shop-app");
    /// # drop(revocation);
    /// ```
    pub fn client(issuer: &str, client_id: &str) -> Self {
        Self::of(Kind::Client, issuer, client_id)
    }

    /// Revokes every token that an issuer has issued until now, or until
    /// [`issued_before`](Self::issued_before). All users and clients must get new tokens. Tokens that it issues later are
    /// accepted.
    ///
    /// It does not protect against a stolen key, with which anyone can sign a later `iat`. Withdraw the key at the issuer, and
    /// then call [`OAuth2::refresh_keys`](crate::OAuth2::refresh_keys).
    ///
    /// ```
    /// use oauth2_actix::revocation::Revocation;
    ///
    /// let revocation = Revocation::all("https://login.example.com");
    /// # drop(revocation);
    /// ```
    pub fn all(issuer: &str) -> Self {
        Self { issued_before: IssuedBefore::Now, ..Self::of(Kind::Issuer, issuer, "") }
    }

    /// Limits the revocation to tokens that were issued at this time or before, by their `iat`
    /// ([RFC 7519 §4.1.6](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.6)). A token without `iat` counts as issued
    /// before. Default: all tokens, whenever they were issued.
    ///
    /// A token whose `iat` is exactly this time is revoked. Most issuers write whole seconds, rounded down, so the token may
    /// have been issued up to a second later. A user who logs in again within the second of the logout must log in once
    /// more. The time is compared without leeway: if the clock of the issuer is ahead of the clock that this time is from,
    /// add the difference.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use oauth2_actix::revocation::Revocation;
    ///
    /// // Clocks differ by at most 5 s.
    /// let revocation = Revocation::subject("https://login.example.com", "user-17")
    ///     .issued_before(SystemTime::now() + Duration::from_secs(5));
    /// # drop(revocation);
    /// ```
    pub fn issued_before(mut self, time: SystemTime) -> Self {
        self.issued_before = IssuedBefore::Time(since_epoch(time));
        self
    }

    /// Sets when the revocation ends. Tokens that have not expired by then are accepted again. Default: the
    /// [`token_lifetime`](super::DenyList::token_lifetime) from now, or the end of the token for
    /// [`Revocation::token`]. The default end is rounded up by at most a sixteenth of that time. A revocation that has
    /// expired has no effect.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use oauth2_actix::revocation::Revocation;
    ///
    /// let for_an_hour = SystemTime::now() + Duration::from_secs(60 * 60);
    /// let revocation = Revocation::client("https://login.example.com", "shop-app").until(for_an_hour);
    /// # drop(revocation);
    /// ```
    pub fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(since_epoch(time));
        self
    }

    /// Revokes an API key permanently, by its SHA-256 hash: see
    /// [`ApiKeyHash::as_bytes`](crate::api_keys::ApiKeyHash::as_bytes).
    ///
    /// API keys have no issuer. So `Revocation::subject("", sub)` revokes those of a subject, from all
    /// [`api_keys`](crate::OAuth2Builder::api_keys) of the policy. Without [`until`](Self::until), it ends after the
    /// [`token_lifetime`](super::DenyList::token_lifetime), and a key that does not expire is accepted again.
    ///
    /// ```
    /// use oauth2_actix::{api_keys::ApiKeyHash, revocation::Revocation};
    ///
    /// let leaked = ApiKeyHash::of("shop_live_4kHfY9yDTwq1bFQn0XqzNw3cE7sVJmR8aPdLgU2tKo5BiWxZ");
    /// let revocation = Revocation::api_key(leaked.as_bytes());
    /// # drop(revocation);
    /// ```
    pub fn api_key(hash: &[u8; 32]) -> Self {
        let until = Duration::from_millis(LAST_MILLIS);
        Self::of_token(Key::of(Kind::TokenText, "", hash), until)
    }

    fn of(kind: Kind, issuer: &str, value: &str) -> Self {
        let key = Key::of(kind, issuer, value.as_bytes());
        Self { kind, key, issued_before: IssuedBefore::Any, until: None }
    }

    /// Revokes one token by its key, until it expires.
    pub(crate) fn of_token(key: Key, until: Duration) -> Self {
        Self { kind: Kind::TokenId, key, issued_before: IssuedBefore::Any, until: Some(until) }
    }

    /// Returns the entry of the list, if it is added now.
    pub(super) fn resolve(&self, now: Duration, token_lifetime: Duration) -> RevocationEntry {
        let issued_before = match self.issued_before {
            IssuedBefore::Any => ANY,
            IssuedBefore::Now => millis_rounded_up(now),
            IssuedBefore::Time(time) => millis_rounded_up(time),
        };
        let until = match self.until {
            Some(until) => millis_rounded_up(until),
            None => default_end(now, token_lifetime),
        };
        RevocationEntry { key: self.key, issued_before, until }
    }
}

/// Shows what kind of revocation it is, and no value of a claim.
impl fmt::Debug for Revocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Revocation")
            .field("kind", &self.kind)
            .field("issued_before", &self.issued_before)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// An entry of the deny list, as a [`RevocationStore`](super::RevocationStore) sees it. It contains a hash and two times,
/// and no claim of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RevocationEntry {
    pub(super) key: Key,
    /// The `iat` up to which tokens are revoked, in milliseconds since the Unix epoch, or [`ANY`].
    pub(super) issued_before: u64,
    /// When the entry expires, in milliseconds since the Unix epoch.
    pub(super) until: u64,
}

impl RevocationEntry {
    /// The length of [`to_bytes`](Self::to_bytes).
    pub const LENGTH: usize = Key::LENGTH + 16;

    /// Returns when the entry expires, since the Unix epoch. A store may remove it then, and not before.
    ///
    /// ```
    /// use oauth2_actix::revocation::RevocationEntry;
    ///
    /// fn has_expired(entry: &RevocationEntry, now: std::time::Duration) -> bool {
    ///     now >= entry.until()
    /// }
    /// ```
    #[must_use]
    pub const fn until(&self) -> Duration {
        Duration::from_millis(self.until)
    }

    /// Returns the entry as bytes, which are the same for equal entries.
    ///
    /// ```
    /// use oauth2_actix::revocation::RevocationEntry;
    ///
    /// let entry = RevocationEntry::from_bytes(&[7; RevocationEntry::LENGTH]).expect("an entry");
    /// assert_eq!(entry.to_bytes(), [7; RevocationEntry::LENGTH]);
    /// ```
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..Key::LENGTH].copy_from_slice(&self.key.0);
        bytes[Key::LENGTH..][..8].copy_from_slice(&self.issued_before.to_be_bytes());
        bytes[Key::LENGTH + 8..].copy_from_slice(&self.until.to_be_bytes());
        bytes
    }

    /// Returns the entry whose [`to_bytes`](Self::to_bytes) these are. None if there are more bytes or fewer.
    ///
    /// ```
    /// use oauth2_actix::revocation::RevocationEntry;
    ///
    /// assert!(RevocationEntry::from_bytes(b"too short").is_none());
    /// ```
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (key, times) = bytes.split_first_chunk()?;
        let (issued_before, until) = times.split_first_chunk()?;
        Some(Self {
            key: Key(*key),
            issued_before: u64::from_be_bytes(*issued_before),
            until: u64::from_be_bytes(until.try_into().ok()?),
        })
    }
}

/// The first 24 bytes of the SHA-256 of an issuer, a kind of entry and a value: two values with the same key take 2^96
/// attempts to find.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(pub(super) [u8; Self::LENGTH]);

impl Key {
    pub(super) const LENGTH: usize = 24;

    pub(crate) fn of(kind: Kind, issuer: &str, value: &[u8]) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(DOMAIN);
        hash.update(&[kind as u8]);
        for part in [issuer.as_bytes(), value] {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut key = [0; Self::LENGTH];
        key.copy_from_slice(&hash.finish().as_ref()[..Self::LENGTH]);
        Self(key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A part of the hash, which tells entries apart.
        self.0[..4].iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// What a token and an entry have in common. The numbers are part of the keys in stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The same `jti`.
    TokenId = 1,
    /// The same text, for tokens without `jti`.
    TokenText = 2,
    Subject = 3,
    Session = 4,
    Client = 5,
    Issuer = 6,
}

/// The parts of a token that entries are compared with.
#[derive(Clone)]
pub(crate) struct TokenFacts<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) token_id: Option<&'a str>,
    /// The part of the token's text that the client cannot change.
    pub(crate) text: Cow<'a, [u8]>,
    pub(crate) subject: Option<&'a str>,
    pub(crate) session: Option<&'a str>,
    pub(crate) client: Option<&'a str>,
    /// The `iat` in seconds since the Unix epoch.
    pub(crate) issued_at: Option<f64>,
}

impl TokenFacts<'_> {
    /// Returns the key of the token itself: by its `jti` or, if it has none, by its text.
    pub(crate) fn own_key(&self) -> Key {
        match self.token_id {
            Some(jti) => Key::of(Kind::TokenId, self.issuer, jti.as_bytes()),
            None => Key::of(Kind::TokenText, self.issuer, &self.text),
        }
    }
}

/// The keys of all entries that would revoke a token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenKeys {
    keys: [Key; 5],
    count: u8,
    /// The `iat` in milliseconds since the Unix epoch, rounded down. 0 without one, which is before everything.
    pub(super) issued_at: u64,
}

impl TokenKeys {
    pub(crate) fn of(facts: &TokenFacts<'_>) -> Self {
        let own = facts.own_key();
        let mut keys = Self { keys: [own; 5], count: 1, issued_at: 0 };
        keys.push(Key::of(Kind::Issuer, facts.issuer, b""));
        for (kind, value) in [
            (Kind::Subject, facts.subject),
            (Kind::Session, facts.session),
            (Kind::Client, facts.client),
        ] {
            if let Some(value) = value {
                keys.push(Key::of(kind, facts.issuer, value.as_bytes()));
            }
        }
        // A number that is negative or NaN becomes 0.
        keys.issued_at = facts.issued_at.map_or(0, |seconds| (seconds * 1000.0) as u64);
        keys
    }

    fn push(&mut self, key: Key) {
        self.keys[usize::from(self.count)] = key;
        self.count += 1;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().take(self.count.into())
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Returns the end of an entry without one: the lifetime of tokens from now, rounded up to a sixteenth of it. So a repeated
/// revocation often adds the same entry.
fn default_end(now: Duration, token_lifetime: Duration) -> u64 {
    let step = (millis_rounded_up(token_lifetime) / STEPS).max(1);
    let end = millis_rounded_up(now.saturating_add(token_lifetime));
    end.div_ceil(step).saturating_mul(step).min(LAST_MILLIS)
}

/// Rounds up, so an entry never revokes less than requested. No token is valid after the year 9999.
fn millis_rounded_up(time: Duration) -> u64 {
    let millis = time.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).unwrap_or(u64::MAX).min(LAST_MILLIS)
}

/// Tokens are revoked whenever they were issued.
pub(super) const ANY: u64 = u64::MAX;

/// The number of default ends in one lifetime of tokens.
const STEPS: u64 = 16;

/// 9999-12-31T23:59:59Z.
const LAST_MILLIS: u64 = 253_402_300_799_000;

/// Separates these hashes from all others. A new form of keys needs another text.
const DOMAIN: &[u8] = b"oauth2-actix revocation 1";

#[cfg(test)]
mod tests {
    use super::*;

    fn facts<'a>() -> TokenFacts<'a> {
        TokenFacts {
            issuer: "i",
            token_id: Some("t"),
            text: b"a.b".as_slice().into(),
            subject: Some("s"),
            session: Some("x"),
            client: Some("c"),
            issued_at: Some(1.5),
        }
    }

    #[test]
    fn keys_of_a_token_are_those_of_the_entries_that_revoke_it() {
        let keys = TokenKeys::of(&facts());
        for revocation in [
            Revocation::token_id("i", "t"),
            Revocation::subject("i", "s"),
            Revocation::session("i", "x"),
            Revocation::client("i", "c"),
            Revocation::all("i"),
        ] {
            assert!(keys.iter().any(|key| *key == revocation.key), "{revocation:?}");
        }
        assert_eq!(keys.issued_at, 1500);
    }

    #[test]
    fn keys_differ_by_issuer_kind_value_and_the_boundary_between_them() {
        let revocations = [
            Revocation::token_id("i", "t"),
            Revocation::subject("i", "t"),
            Revocation::session("i", "t"),
            Revocation::client("i", "t"),
            Revocation::all("i"),
            Revocation::all("it"),
            Revocation::subject("it", ""),
            Revocation::subject("", "it"),
            Revocation::subject("j", "t"),
            Revocation::subject("i", "T"),
        ];
        let keys: std::collections::HashSet<_> =
            revocations.iter().map(|revocation| revocation.key.0).collect();
        assert_eq!(keys.len(), revocations.len());
    }

    #[test]
    fn token_without_claims_has_keys_of_its_text_and_its_issuer_only() {
        let facts = TokenFacts {
            token_id: None,
            subject: None,
            session: None,
            client: None,
            issued_at: None,
            ..facts()
        };
        let keys = TokenKeys::of(&facts);
        let expected = [Key::of(Kind::TokenText, "i", b"a.b"), Key::of(Kind::Issuer, "i", b"")];
        assert_eq!(keys.iter().copied().collect::<Vec<_>>(), expected);
        assert_eq!(keys.issued_at, 0);
    }

    #[test]
    fn entry_is_the_same_after_it_was_bytes() {
        // The end of an hour from then is a multiple of 225 s.
        let now = Duration::from_secs(1_800_000_000);
        let hour = Duration::from_secs(3600);
        for revocation in [Revocation::subject("i", "s"), Revocation::all("i")] {
            let entry = revocation.resolve(now, hour);
            assert_eq!(RevocationEntry::from_bytes(&entry.to_bytes()), Some(entry));
            assert_eq!(entry.until(), now + hour);
        }
        assert_eq!(RevocationEntry::from_bytes(&[0; RevocationEntry::LENGTH + 1]), None);
        assert_eq!(RevocationEntry::from_bytes(&[0; RevocationEntry::LENGTH - 1]), None);
    }

    #[test]
    fn times_are_rounded_up_and_never_mean_any_time() {
        let time = UNIX_EPOCH + Duration::from_nanos(1_000_001);
        let revocation = Revocation::subject("i", "s").issued_before(time).until(time);
        let entry = revocation.resolve(Duration::ZERO, Duration::ZERO);
        assert_eq!((entry.issued_before, entry.until), (2, 2));
        assert_eq!(millis_rounded_up(Duration::MAX), LAST_MILLIS);
    }

    #[test]
    fn ends_of_repeated_entries_coincide_and_are_never_earlier() {
        let lifetime = Duration::from_secs(3600);
        let mut ends: Vec<u64> = (0..3600)
            .map(|second| {
                let now = Duration::from_millis(1_800_000_123_456) + Duration::from_secs(second);
                let entry = Revocation::subject("i", "s").resolve(now, lifetime);
                assert!(entry.until() >= now + lifetime);
                assert!(entry.until() < now + lifetime + lifetime / 16);
                entry.until
            })
            .collect();
        ends.dedup();
        assert_eq!(ends.len(), 17);
        let shortest = Revocation::subject("i", "s").resolve(Duration::ZERO, Duration::ZERO);
        assert_eq!(shortest.until, 0);
        assert_eq!(default_end(Duration::MAX, Duration::MAX), LAST_MILLIS);
    }

    #[test]
    fn debug_shows_no_value() {
        let shown = format!("{:?}", Revocation::subject("https://i.example", "anna"));
        assert!(!shown.contains("anna") && !shown.contains("i.example"), "{shown}");
    }
}

//! Nonces for proofs (RFC 9449 §8 and §9), which no store has to remember: each is a time, and a code over it.

use std::{fmt, time::Duration};

use aws_lc_rs::{constant_time, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::util::units::Unit;

/// Makes and checks nonces. All processes of an API share the secrets, so that each accepts the nonces of all.
///
/// A nonce limits the time in which a proof can be made: an attacker who could use the key for a moment cannot have
/// signed proofs for later. It is the same for all clients at one time, and no secret.
pub(crate) struct Nonces {
    /// The key that new nonces are made with.
    current: hmac::Key,
    /// The key before it, whose nonces are accepted until they expire.
    previous: Option<hmac::Key>,
    lifetime: Duration,
}

/// The result of checking a nonce. `made` is its time, since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NonceCheck {
    /// It is valid.
    Fresh { made: Duration },
    /// It is valid, and past half of its life: the client should get another.
    Old { made: Duration },
    /// It is expired, from the future, or was not made under these secrets.
    Invalid,
}

impl Nonces {
    /// Takes the secrets of the nonces, and the time for which a nonce is accepted.
    ///
    /// # Errors
    ///
    /// Returns what is wrong, then what is expected, if a secret or the lifetime is too short.
    pub(crate) fn new(
        current: &[u8],
        previous: Option<&[u8]>,
        lifetime: Duration,
    ) -> Result<Self, String> {
        let key = |secret: &[u8]| {
            if secret.len() < MIN_SECRET {
                return Err(format!(
                    "a secret has {} bytes; expected at least {MIN_SECRET} random bytes",
                    secret.len()
                ));
            }
            Ok(hmac::Key::new(hmac::HMAC_SHA256, secret))
        };
        if lifetime < MIN_LIFETIME {
            return Err(format!(
                "the lifetime is {}; expected at least {}",
                Unit(lifetime),
                Unit(MIN_LIFETIME)
            ));
        }
        Ok(Self { current: key(current)?, previous: previous.map(key).transpose()?, lifetime })
    }

    /// Returns a new nonce, of characters that a `DPoP-Nonce` header may have (RFC 9449 §8.1).
    pub(crate) fn issue(&self, now: Duration) -> String {
        let time = now.as_secs().to_be_bytes();
        let mut nonce = [0; LENGTH];
        nonce[..TIME].copy_from_slice(&time);
        nonce[TIME..].copy_from_slice(&code(&self.current, time));
        URL_SAFE_NO_PAD.encode(nonce)
    }

    pub(crate) fn check(&self, nonce: &str, now: Duration) -> NonceCheck {
        let mut decoded = [0; LENGTH];
        // One byte more or less is an error, so that nonces of other servers are refused early.
        if nonce.len() != TEXT || URL_SAFE_NO_PAD.decode_slice(nonce, &mut decoded) != Ok(LENGTH) {
            return NonceCheck::Invalid;
        }
        let Some((time, received)) = decoded.split_first_chunk() else {
            return NonceCheck::Invalid;
        };
        let is_of = |key: &hmac::Key| {
            constant_time::verify_slices_are_equal(&code(key, *time), received).is_ok()
        };
        if !is_of(&self.current) && !self.previous.as_ref().is_some_and(is_of) {
            return NonceCheck::Invalid;
        }
        let made = Duration::from_secs(u64::from_be_bytes(*time));
        let age = now.saturating_sub(made);
        if made > now.saturating_add(MAX_AHEAD) || age > self.lifetime {
            NonceCheck::Invalid
        } else if age > self.lifetime / 2 {
            NonceCheck::Old { made }
        } else {
            NonceCheck::Fresh { made }
        }
    }

    /// Returns the times, by the clock of this process, between which a nonce of this time is accepted.
    pub(crate) fn validity(&self, made: Duration) -> (Duration, Duration) {
        (made.saturating_sub(MAX_AHEAD), made.saturating_add(self.lifetime))
    }
}

/// Shows no secret.
impl fmt::Debug for Nonces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Nonces")
            .field("previous", &self.previous.is_some())
            .field("lifetime", &self.lifetime)
            .finish()
    }
}

/// Returns the code over a time: HMAC-SHA-256, truncated as RFC 2104 §5 allows.
fn code(key: &hmac::Key, time: [u8; TIME]) -> [u8; CODE] {
    let mut context = hmac::Context::with_key(key);
    context.update(DOMAIN);
    context.update(&time);
    let tag = context.sign();
    let mut code = [0; CODE];
    code.copy_from_slice(&tag.as_ref()[..CODE]);
    code
}

/// Another use of the same secret makes no nonces.
const DOMAIN: &[u8] = b"oauth2-actix DPoP nonce 1\0";

/// The bytes of a nonce: the seconds since the epoch, and the code. Together they have no padding in base64url.
const TIME: usize = 8;
const CODE: usize = 16;
const LENGTH: usize = TIME + CODE;
const TEXT: usize = LENGTH / 3 * 4;

const MIN_SECRET: usize = 32;

/// Times of nonces are whole seconds.
const MIN_LIFETIME: Duration = Duration::from_secs(2);

/// The maximum time by which the clock of the process that made a nonce may be ahead.
const MAX_AHEAD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_millis(1_700_000_000_250);
    const LIFETIME: Duration = Duration::from_secs(300);

    fn nonces(current: u8, previous: Option<u8>) -> Nonces {
        let previous = previous.map(|byte| [byte; 32]);
        Nonces::new(&[current; 32], previous.as_ref().map(<[u8; 32]>::as_slice), LIFETIME)
            .expect("nonces")
    }

    fn made() -> Duration {
        Duration::from_secs(NOW.as_secs())
    }

    fn after(seconds: u64) -> Duration {
        made() + Duration::from_secs(seconds)
    }

    #[test]
    fn nonce_is_valid_for_its_lifetime() {
        let nonces = nonces(1, None);
        let nonce = nonces.issue(NOW);
        let check = |now| nonces.check(&nonce, now);
        let (fresh, old) = (NonceCheck::Fresh { made: made() }, NonceCheck::Old { made: made() });
        let moment = Duration::from_nanos(1);
        for (now, expected) in [
            (NOW, fresh),
            (after(150), fresh),
            (after(150) + moment, old),
            (after(300), old),
            (after(300) + moment, NonceCheck::Invalid),
            (after(100_000_000), NonceCheck::Invalid),
            (Duration::MAX, NonceCheck::Invalid),
            (made() - MAX_AHEAD, fresh),
            (made() - MAX_AHEAD - moment, NonceCheck::Invalid),
            (Duration::ZERO, NonceCheck::Invalid),
        ] {
            assert_eq!(check(now), expected, "{now:?}");
        }
        let (since, until) = nonces.validity(made());
        assert_eq!((check(since), check(until)), (fresh, old));
        assert_eq!(check(since - moment), NonceCheck::Invalid);
        assert_eq!(check(until + moment), NonceCheck::Invalid);
    }

    #[test]
    fn nonce_is_the_time_and_a_code_over_it() {
        let nonces = nonces(1, None);
        let nonce = nonces.issue(NOW);
        let bytes = URL_SAFE_NO_PAD.decode(&nonce).expect("base64url");
        let message = [DOMAIN, &1_700_000_000_u64.to_be_bytes()].concat();
        let key = openssl::pkey::PKey::hmac(&[1; 32]).expect("a key");
        let digest = openssl::hash::MessageDigest::sha256();
        let code = openssl::sign::Signer::new(digest, &key)
            .and_then(|mut signer| signer.sign_oneshot_to_vec(&message))
            .expect("a code");
        assert_eq!(bytes, [&1_700_000_000_u64.to_be_bytes(), &code[..16]].concat());
        assert_eq!(nonce.len(), 32);
        assert_ne!(nonce, nonces.issue(NOW + Duration::from_secs(1)));
    }

    #[test]
    fn nonce_with_any_changed_bit_is_invalid() {
        let nonces = nonces(1, Some(2));
        let nonce = nonces.issue(NOW);
        let bytes = URL_SAFE_NO_PAD.decode(&nonce).expect("base64url");
        for index in 0..8 * bytes.len() {
            let mut changed = bytes.clone();
            changed[index / 8] ^= 1 << (index % 8);
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert_eq!(nonces.check(&changed, NOW), NonceCheck::Invalid, "{index}");
        }
    }

    #[test]
    fn nonce_of_another_server_is_invalid() {
        let (ours, theirs) = (nonces(1, Some(2)), nonces(3, Some(4)));
        assert_eq!(ours.check(&theirs.issue(NOW), NOW), NonceCheck::Invalid);
        let plain = URL_SAFE_NO_PAD.encode([7; LENGTH]);
        for nonce in ["", "A", "eyJ7S_zG.eyJH0-Z.HX4w-7v", &"A".repeat(31), &"A".repeat(33), &plain]
        {
            assert_eq!(ours.check(nonce, NOW), NonceCheck::Invalid, "{nonce}");
        }
        let nonce = ours.issue(NOW);
        for nonce in
            [format!("{nonce}="), format!(" {nonce}"), nonce[1..].to_owned(), nonce.to_lowercase()]
        {
            assert_eq!(ours.check(&nonce, NOW), NonceCheck::Invalid, "{nonce}");
        }
    }

    #[test]
    fn nonces_of_the_previous_secret_are_accepted_and_not_made() {
        let (before, after, later) = (nonces(1, None), nonces(2, Some(1)), nonces(3, Some(2)));
        let nonce = before.issue(NOW);
        assert_eq!(after.check(&nonce, NOW), NonceCheck::Fresh { made: made() });
        assert_eq!(later.check(&nonce, NOW), NonceCheck::Invalid);
        assert_eq!(after.issue(NOW), nonces(2, None).issue(NOW));
        assert_eq!(before.check(&after.issue(NOW), NOW), NonceCheck::Invalid);
    }

    #[test]
    fn short_secrets_and_lifetimes_are_refused() {
        let new = |current: usize, previous: Option<usize>, lifetime: u64| {
            let previous = previous.map(|length| vec![2; length]);
            let lifetime = Duration::from_millis(lifetime);
            Nonces::new(&vec![1; current], previous.as_deref(), lifetime)
        };
        assert!(new(32, None, 2_000).is_ok());
        assert!(new(64, Some(32), 2_000).is_ok());
        for (current, previous, lifetime) in [
            (0, None, 60_000),
            (31, None, 60_000),
            (32, Some(31), 60_000),
            (32, Some(0), 60_000),
            (32, None, 1_999),
        ] {
            let problem = new(current, previous, lifetime).expect_err("refused");
            assert!(problem.contains("; expected at least "), "{problem}");
        }
    }

    #[test]
    fn debug_output_has_no_secret() {
        let nonces = Nonces::new(&[b'S'; 32], Some(&[b'T'; 32]), LIFETIME).expect("nonces");
        assert_eq!(format!("{nonces:?}"), "Nonces { previous: true, lifetime: 300s }");
    }
}

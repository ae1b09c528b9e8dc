//! New API keys: random text with a checksum, and its hash.

use std::{fmt, str::FromStr};

use aws_lc_rs::{digest, rand};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use flate2::Crc;

use super::settings::{ApiKey, problem_of_prefix};
use crate::config::{
    error::{ConfigError, ConfigErrorKind},
    names,
};

/// The SHA-256 of the text of an API key, with its prefix: what the configuration or a database has of the key.
///
/// It is deliberately unsalted and fast: keys are random and have at least 128 bits of entropy, so that no list of likely
/// keys exists, and a key is looked up by its hash alone. Do not use it for passwords. `Display` writes 43
/// characters of base64url without padding. `FromStr` reads these, or 64 hexadecimal digits.
///
/// ```
/// use oauth2_actix::api_keys::ApiKeyHash;
///
/// let hash = ApiKeyHash::of("shop_live_4kHfY9yDTwq1bFQn0XqzNw3cE7sVJmR8aPdLgU2tKo5BiWxZ");
/// assert_eq!(hash.to_string().parse(), Ok(hash));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ApiKeyHash([u8; 32]);

/// A value that is not the hash of an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a SHA-256 hash; expected 43 characters of base64url without padding, or 64 hexadecimal digits"
)]
pub struct InvalidApiKeyHash;

impl ApiKeyHash {
    /// Returns the hash of a key: of its whole text, with the prefix.
    #[must_use]
    pub fn of(key: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, key.as_bytes()).as_ref());
        Self(hash)
    }

    /// Returns the bytes of the hash, for a database.
    ///
    /// ```
    /// use oauth2_actix::api_keys::ApiKeyHash;
    ///
    /// assert_eq!(ApiKeyHash::of("shop_live_example").as_bytes().len(), 32);
    /// ```
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for ApiKeyHash {
    type Err = InvalidApiKeyHash;

    fn from_str(text: &str) -> Result<Self, InvalidApiKeyHash> {
        let mut hash = [0; 32];
        if text.len() == 64 {
            for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
                let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(InvalidApiKeyHash);
                *byte = (digit(digits[0])? * 16 + digit(digits[1])?) as u8;
            }
            return Ok(Self(hash));
        }
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidApiKeyHash)?;
        decoded.try_into().map(Self).map_err(|_| InvalidApiKeyHash)
    }
}

impl fmt::Display for ApiKeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for ApiKeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ApiKeyHash({self})")
    }
}

/// A new API key: see [`ApiKey::generate`].
pub struct GeneratedApiKey {
    text: String,
    hash: ApiKeyHash,
}

impl GeneratedApiKey {
    /// Returns the key itself, a secret. Give it to its owner, and keep the hash only.
    #[must_use]
    pub fn expose_text(&self) -> &str {
        &self.text
    }

    /// Returns the hash of the key.
    #[must_use]
    pub fn hash(&self) -> ApiKeyHash {
        self.hash
    }
}

/// Shows the hash, and no part of the key.
impl fmt::Debug for GeneratedApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GeneratedApiKey").field("hash", &self.hash).finish_non_exhaustive()
    }
}

impl ApiKey {
    /// Generates a new key: the prefix, 40 random letters and digits (238 bits), and a checksum of 6 letters and digits.
    ///
    /// The checksum is the CRC32 of the text before it, so that a scanner of source code, or
    /// [`ApiKeys::require_checksum`](super::ApiKeys::require_checksum), recognizes a key without a
    /// lookup. It adds no security.
    ///
    /// ```
    /// use oauth2_actix::api_keys::{ApiKey, ApiKeyHash};
    ///
    /// let key = ApiKey::generate("shop_live_")?;
    /// assert!(key.expose_text().starts_with("shop_live_"));
    /// assert_eq!(key.hash(), ApiKeyHash::of(key.expose_text()));
    /// assert!(!format!("{key:?}").contains(key.expose_text()));
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The prefix cannot be used: see [`ApiKeys::new`](super::ApiKeys::new). Or the system has no random numbers.
    pub fn generate(prefix: &str) -> Result<GeneratedApiKey, ConfigError> {
        if let Some(problem) = problem_of_prefix(prefix) {
            return Err(ConfigError::of_policy(names::PREFIX, problem));
        }
        let mut text = prefix.to_owned();
        while text.len() < prefix.len() + RANDOM {
            let mut bytes = [0; 64];
            rand::fill(&mut bytes).map_err(|_| {
                let problem = "the system has no random numbers; expected some for a key";
                ConfigError::of_policy(names::API_KEYS, problem).of_kind(ConfigErrorKind::System)
            })?;
            let missing = prefix.len() + RANDOM - text.len();
            // The first 248 values are 4 for each digit, so that all are as likely.
            let digits = bytes.iter().filter(|byte| **byte < 248).take(missing);
            text.extend(digits.map(|byte| char::from(DIGITS[usize::from(byte % 62)])));
        }
        text.push_str(&checksum(text.as_bytes()));
        let hash = ApiKeyHash::of(&text);
        Ok(GeneratedApiKey { text, hash })
    }
}

/// Returns whether a key ends with the checksum of the text before it.
pub(super) fn has_checksum(key: &str) -> bool {
    let Some(length) = key.len().checked_sub(CHECKSUM) else { return false };
    // A key is ASCII, but a slice of another text must not panic.
    let (text, sum) = key.as_bytes().split_at(length);
    checksum(text).as_bytes() == sum
}

fn checksum(text: &[u8]) -> String {
    let mut crc = Crc::new();
    crc.update(text);
    let mut rest = crc.sum();
    let mut digits = [DIGITS[0]; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The number of random letters and digits.
const RANDOM: usize = 40;
/// The number of letters and digits that 32 bits need.
const CHECKSUM: usize = 6;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn generated_keys_differ_and_have_their_checksum() {
        let keys: Vec<_> = (0..200).map(|_| ApiKey::generate("shop_").expect("a key")).collect();
        let texts: HashSet<_> = keys.iter().map(|key| key.expose_text()).collect();
        assert_eq!(texts.len(), keys.len());
        let used: HashSet<_> = texts.iter().flat_map(|text| text[5..45].bytes()).collect();
        assert_eq!(used.len(), 62);
        for key in texts {
            assert_eq!(key.len(), 5 + 46);
            assert!(has_checksum(key));
            for at in 0..key.len() {
                let mut typo = key.as_bytes().to_vec();
                typo[at] = if typo[at] == b'x' { b'y' } else { b'x' };
                assert!(!has_checksum(std::str::from_utf8(&typo).expect("ASCII")));
            }
            assert!(!has_checksum(&key[..key.len() - 1]));
        }
        assert!(!has_checksum("short") && !has_checksum(""));
    }

    #[test]
    fn checksum_is_the_crc32_in_base_62() {
        // The CRC32 of the check value of its catalogue is 0xCBF43926.
        assert_eq!(checksum(b"123456789"), "3jZRME");
        assert_eq!(checksum(b""), "000000");
    }

    #[test]
    fn hash_is_read_as_base64url_or_hexadecimal_digits_and_in_no_other_form() {
        let hash = ApiKeyHash::of("abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let base64 = hash.to_string();
        for text in [hex, &hex.to_uppercase(), &base64] {
            assert_eq!(text.parse(), Ok(hash));
        }
        for text in ["", &hex[1..], &base64[1..], &format!("{base64}="), &format!("{hex}00")] {
            assert_eq!(text.parse::<ApiKeyHash>(), Err(InvalidApiKeyHash), "{text}");
        }
        assert_eq!(hex.replace('b', "g").parse::<ApiKeyHash>(), Err(InvalidApiKeyHash));
        assert_eq!(hex.replace("ba", "é").parse::<ApiKeyHash>(), Err(InvalidApiKeyHash));
    }
}

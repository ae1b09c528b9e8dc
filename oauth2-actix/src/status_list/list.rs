//! The content of a Status List Token (draft-ietf-oauth-status-list-21 §4 and §5.1).

use std::{
    borrow::Cow,
    io::{self, Read},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::read::ZlibDecoder;
use serde_json::Value;

use crate::{jose::jws::MessageType, json::object::Object, token::lifetime};

/// The type of Status List Tokens (§5.1).
pub(super) const TYPE: MessageType = MessageType { names: &["statuslist+jwt"], is_optional: false };

/// What is wrong with a list, for the log.
pub(super) type Problem = Cow<'static, str>;

/// The statuses of many tokens.
#[derive(Clone, PartialEq)]
pub(super) struct Statuses {
    /// The bits of one status: 1, 2, 4 or 8.
    bits: u8,
    /// The first status is in the least significant bits of the first byte (§4.1).
    bytes: Box<[u8]>,
}

/// A list, and for how long it may be used.
#[derive(Debug)]
pub(super) struct StatusList {
    pub(super) statuses: Statuses,
    /// The `iat` in seconds since the Unix epoch.
    pub(super) issued_at: f64,
    pub(super) lifetime: Duration,
}

/// What a list must contain.
pub(super) struct Expected<'a> {
    pub(super) uri: &'a str,
    pub(super) issuers: &'a [String],
    /// The most bytes of the statuses.
    pub(super) max_bytes: usize,
    /// The longest time for which a list is used.
    pub(super) max_age: Duration,
    pub(super) now: Duration,
}

impl StatusList {
    /// Checks the claims of a list whose signature was verified (§8.3), and decodes it.
    pub(super) fn read(claims: &Object, expected: &Expected<'_>) -> Result<Self, Problem> {
        let text = |name| claims.get(name).and_then(Value::as_str);
        if text("sub") != Some(expected.uri) {
            return Err("`sub` is not the URI of the list".into());
        }
        if claims.contains("iss")
            && !text("iss").is_some_and(|iss| expected.issuers.iter().any(|known| known == iss))
        {
            return Err("`iss` is not an issuer of the provider".into());
        }
        let (issued_at, lifetime) = times_of(claims, expected)?;
        let Some(Value::Object(list)) = claims.get("status_list") else {
            return Err("`status_list` is not an object".into());
        };
        let bits = list.get("bits").and_then(Value::as_u64);
        let bits = match bits.and_then(|bits| u8::try_from(bits).ok()) {
            Some(bits @ (1 | 2 | 4 | 8)) => bits,
            _ => return Err("`bits` is not 1, 2, 4 or 8".into()),
        };
        let list = list.get("lst").and_then(Value::as_str).ok_or("`lst` is not a string")?;
        let compressed =
            URL_SAFE_NO_PAD.decode(list).map_err(|_| "`lst` is not canonical base64url")?;
        let bytes = inflate(&compressed, expected.max_bytes)?;
        Ok(Self { statuses: Statuses { bits, bytes }, issued_at, lifetime })
    }
}

impl Statuses {
    /// Returns the status at an index. None past the end of the list.
    pub(super) fn get(&self, index: u64) -> Option<u8> {
        let bit = index.checked_mul(self.bits.into())?;
        let byte = self.bytes.get(usize::try_from(bit / 8).ok()?)?;
        let mask = u8::MAX >> (8 - self.bits);
        Some(byte >> (bit % 8) & mask)
    }
}

/// Shows the size alone.
impl std::fmt::Debug for Statuses {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} bytes of {} bits", self.bytes.len(), self.bits)
    }
}

/// Returns the `iat` of a list, and for how long the list may be used from now: until its `exp`, for its `ttl` and for the
/// setting, whatever comes first (§13.7).
fn times_of(claims: &Object, expected: &Expected<'_>) -> Result<(f64, Duration), Problem> {
    let date = |name| lifetime::numeric_date(claims, name).map_err(|error| error.to_string());
    let now = expected.now.as_secs_f64();
    let issued_at = date("iat")?.ok_or("`iat` is missing")?;
    if issued_at > now + CLOCK_SKEW {
        return Err("`iat` is in the future".into());
    }
    let mut seconds = expected.max_age.as_secs_f64();
    if let Some(exp) = date("exp")? {
        if exp <= now {
            return Err("it has expired".into());
        }
        seconds = seconds.min(exp - now);
    }
    match claims.get("ttl") {
        None => {}
        Some(Value::Number(ttl)) => match ttl.as_f64() {
            Some(ttl) if ttl > 0.0 => seconds = seconds.min(ttl),
            _ => return Err("`ttl` is not positive".into()),
        },
        Some(_) => return Err("`ttl` is not a number".into()),
    }
    let lifetime = Duration::try_from_secs_f64(seconds);
    Ok((issued_at, lifetime.map_err(|_| "its times are out of range")?))
}

/// Inflates ZLIB data (RFC 1950) to at most this many bytes.
fn inflate(compressed: &[u8], max_bytes: usize) -> Result<Box<[u8]>, Problem> {
    let mut bytes = Vec::new();
    let mut decoder = ZlibDecoder::new(compressed).take(max_bytes as u64 + 1);
    decoder.read_to_end(&mut bytes).map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => "`lst` ends too early",
        _ => "`lst` is not ZLIB data",
    })?;
    if bytes.len() > max_bytes {
        return Err(format!("it has more than max_bytes = {max_bytes} bytes").into());
    }
    Ok(bytes.into_boxed_slice())
}

/// How far ahead the clock of the issuer may be, in seconds.
const CLOCK_SKEW: f64 = 60.0;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::ZlibEncoder};
    use proptest::{collection::vec, prelude::*};
    use serde_json::json;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const URI: &str = "https://status.example.com/lists/1";

    fn deflate(bytes: &[u8]) -> String {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("memory");
        URL_SAFE_NO_PAD.encode(encoder.finish().expect("memory"))
    }

    fn claims() -> Value {
        json!({
            "iss": "https://idp.test", "sub": URI, "iat": 1_800_000_000, "exp": 1_800_003_600, "ttl": 120,
            "status_list": {"bits": 1, "lst": "eNrbuRgAAhcBXQ"},
        })
    }

    fn read(claims: Value) -> Result<StatusList, Problem> {
        let issuers = ["https://idp.test".to_owned()];
        let max_age = Duration::from_secs(300);
        let expected =
            Expected { uri: URI, issuers: &issuers, max_bytes: 1 << 20, max_age, now: NOW };
        StatusList::read(&Object::of(claims), &expected)
    }

    fn decoded(bits: u8, lst: &str) -> Statuses {
        let mut claims = claims();
        claims["status_list"] = json!({"bits": bits, "lst": lst});
        read(claims).unwrap().statuses
    }

    fn not_valid(statuses: &Statuses, count: u64) -> Vec<(u64, u8)> {
        let all = (0..count).map(|index| (index, statuses.get(index).unwrap()));
        all.filter(|(_, status)| *status != 0).collect()
    }

    /// §4.2, and the first two lists of Appendix C.
    #[test]
    fn lists_of_the_draft_are_decoded() {
        let one = decoded(1, "eNrbuRgAAhcBXQ");
        let bits: Vec<_> = (0..16).map(|index| one.get(index).unwrap()).collect();
        assert_eq!(bits, [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]);
        assert_eq!(one.get(16), None);
        let two = decoded(2, "eNo76fITAAPfAgc");
        let pairs: Vec<_> = (0..12).map(|index| two.get(index).unwrap()).collect();
        assert_eq!(pairs, [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]);
        assert_eq!(two.get(12), None);
        let indices = [
            0, 1993, 25_460, 159_495, 495_669, 554_353, 645_645, 723_232, 854_545, 934_534,
            1_000_345,
        ];
        let of_one = decoded(1, ONE_BIT);
        assert_eq!(not_valid(&of_one, 1 << 20), indices.map(|index| (index, 1)));
        let of_two = decoded(2, TWO_BITS);
        let statuses = [1, 2, 1, 3, 1, 1, 2, 1, 1, 2, 3];
        let expected: Vec<_> = indices.into_iter().zip(statuses).collect();
        assert_eq!(not_valid(&of_two, 1 << 20), expected);
    }

    #[test]
    fn lifetime_is_the_least_of_the_three() {
        let seconds = |change: &dyn Fn(&mut Value)| {
            let mut claims = claims();
            change(&mut claims);
            read(claims).map(|list| list.lifetime.as_secs_f64()).ok()
        };
        let remove = |claims: &mut Value, name: &str| {
            claims.as_object_mut().unwrap().remove(name);
        };
        assert_eq!(seconds(&|_| {}), Some(120.0));
        assert_eq!(seconds(&|claims| remove(claims, "ttl")), Some(300.0));
        assert_eq!(seconds(&|claims| claims["ttl"] = json!(43200)), Some(300.0));
        assert_eq!(seconds(&|claims| claims["ttl"] = json!(0.5)), Some(0.5));
        assert_eq!(seconds(&|claims| claims["exp"] = json!(1_800_000_030)), Some(30.0));
        assert_eq!(seconds(&|claims| remove(claims, "exp")), Some(120.0));
        for ttl in [json!(0), json!(-1), json!("120"), json!(null)] {
            assert_eq!(seconds(&|claims| claims["ttl"] = ttl.clone()), None, "{ttl}");
        }
    }

    #[test]
    fn list_with_one_wrong_member_is_rejected() {
        let bomb = deflate(&vec![0; (1 << 20) + 1]);
        let list = |bits: Value, lst: &str| json!({"bits": bits, "lst": lst});
        for (name, value) in [
            ("sub", json!("https://status.example.com/lists/2")),
            ("sub", json!("https://status.example.com/lists/1/")),
            ("sub", json!(null)),
            ("iss", json!("https://other.test")),
            ("iss", json!(null)),
            ("iat", json!(1_800_000_061)),
            ("iat", json!("1800000000")),
            ("exp", json!(1_800_000_000)),
            ("exp", json!(1_799_999_999)),
            ("exp", json!("1800003600")),
            ("exp", json!(null)),
            ("status_list", json!(null)),
            ("status_list", json!([])),
            ("status_list", json!({"bits": 1})),
            ("status_list", json!({"lst": "eNrbuRgAAhcBXQ"})),
            ("status_list", list(json!(0), "eNrbuRgAAhcBXQ")),
            ("status_list", list(json!(3), "eNrbuRgAAhcBXQ")),
            ("status_list", list(json!(16), "eNrbuRgAAhcBXQ")),
            ("status_list", list(json!(257), "eNrbuRgAAhcBXQ")),
            ("status_list", list(json!(-1), "eNrbuRgAAhcBXQ")),
            ("status_list", list(json!(1.5), "eNrbuRgAAhcBXQ")),
            ("status_list", list(json!("1"), "eNrbuRgAAhcBXQ")),
            ("status_list", list(json!(1), "")),
            ("status_list", list(json!(1), "uaM")),
            ("status_list", list(json!(1), "eNrbuRgAAhcBXQ==")),
            ("status_list", list(json!(1), "eNrbuRgAAhcBXA")),
            ("status_list", list(json!(1), "eNrbuRg")),
            ("status_list", list(json!(1), "eNrbuR+AAhcBXQ")),
            ("status_list", list(json!(1), &bomb)),
        ] {
            let mut claims = claims();
            claims[name] = value.clone();
            assert!(read(claims).is_err(), "{name}: {value}");
        }
        for name in ["sub", "iat", "status_list"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(name);
            assert!(read(claims).is_err(), "without {name}");
        }
        let mut without_issuer = claims();
        without_issuer.as_object_mut().unwrap().remove("iss");
        assert!(read(without_issuer).is_ok());
    }

    #[test]
    fn list_may_be_as_large_as_the_bound_and_no_larger() {
        let full = decoded(8, &deflate(&vec![7; 1 << 20]));
        assert_eq!((full.get((1 << 20) - 1), full.get(1 << 20)), (Some(7), None));
        let bomb = deflate(&vec![0; 100 << 20]);
        assert!(bomb.len() < 150_000, "it is small: {}", bomb.len());
        let mut claims = claims();
        claims["status_list"]["lst"] = bomb.into();
        let error = read(claims).unwrap_err();
        assert!(error.contains("max_bytes"), "{error}");
    }

    #[test]
    fn index_past_the_end_of_any_list_is_none() {
        for bits in [1, 2, 4, 8] {
            let statuses = decoded(bits, &deflate(&[0xff; 4]));
            let count = 32 / u64::from(bits);
            assert!(statuses.get(count - 1).is_some());
            for index in [count, 1 << 32, 1 << 53, 1 << 61, u64::MAX / 8 + 1, u64::MAX] {
                assert_eq!(statuses.get(index), None, "{bits} bits, index {index}");
            }
        }
    }

    proptest! {
        #[test]
        fn status_that_is_written_is_read(
            log in 0_u8..=3,
            statuses in vec(any::<u8>(), 1..200),
        ) {
            let bits = 1 << log;
            let mask = u8::MAX >> (8 - bits);
            let per_byte = usize::from(8 / bits);
            let mut bytes = vec![0_u8; statuses.len().div_ceil(per_byte)];
            for (index, status) in statuses.iter().enumerate() {
                let shift = index % per_byte * usize::from(bits);
                bytes[index / per_byte] |= (status & mask) << shift;
            }
            let list = decoded(bits, &deflate(&bytes));
            for (index, status) in statuses.iter().enumerate() {
                prop_assert_eq!(list.get(index as u64), Some(status & mask));
            }
            prop_assert_eq!(list.get((bytes.len() * per_byte) as u64), None);
        }

        #[test]
        fn any_bytes_are_read_or_rejected(bits in any::<u8>(), bytes in vec(any::<u8>(), 0..300)) {
            let mut claims = claims();
            claims["status_list"] = json!({"bits": bits, "lst": URL_SAFE_NO_PAD.encode(bytes)});
            if let Ok(list) = read(claims) {
                prop_assert_eq!(list.statuses.get(u64::MAX), None);
            }
        }
    }

    /// Appendix C.
    const ONE_BIT: &str = "eNrt3AENwCAMAEGogklACtKQPg9LugC9k_ACvreiogEAAKkeCQAAAAAAAAAAAAAAAAAAAIBylgQAAAAAAAAAAAAAAA\
        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAXG9IAAAAAAAAAPwsJAAAAAAAAAAAAAAAvhsSAAAAAAAAAAAA7KpL\
        AAAAAAAAAAAAAAAAAAAAAJsLCQAAAAAAAAAAADjelAAAAAAAAAAAKjDMAQAAAACAZC8L2AEb";
    const TWO_BITS: &str = "eNrt2zENACEQAEEuoaBABP5VIO01fCjIHTMStt9ovGVIAAAAAABAbiEBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
        AAAAAAAEB5WwIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAID0ugQAAAAAAAAAAAAAAAAAQG12SgAAAAAAAAAAAAAAAAAAAAAAAAAAAOCSIQ\
        EAAAAAAAAAAAAAAAAAAAAAAAD8ExIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAwJEuAQAAAAAAAAAAAAAA\
        AAAAAAAAAMB9SwIAAAAAAAAAAAAAAAAAAACoYUoAAAAAAAAAAAAAAEBqH81gAQw";
}

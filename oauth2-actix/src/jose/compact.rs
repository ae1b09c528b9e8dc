//! Which texts have the form of a JWT. No part of them is verified.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Returns whether a token has the form of a JWS (RFC 7515 §7.1): three parts, of which the first is a JSON object in
/// base64url.
pub(crate) fn is_jws(token: &str) -> bool {
    let mut parts = token.split('.');
    let (Some(header), Some(_), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let decoded = URL_SAFE_NO_PAD.decode(header);
    decoded.is_ok_and(|json| json.trim_ascii_start().starts_with(b"{"))
}

/// Returns whether a JSON object in base64url can begin with this text: after any white space, with a brace.
pub(crate) fn may_begin_a_jwt(prefix: &str) -> bool {
    let (mut bits, mut count) = (0, 0);
    for letter in prefix.bytes() {
        let Some(six) = ALPHABET.iter().position(|one| *one == letter) else { return false };
        bits = (bits << 6) | six;
        count += 6;
        if count >= 8 {
            count -= 8;
            match bits >> count {
                byte if byte == usize::from(b'{') => return true,
                byte if !WHITE_SPACE.iter().any(|space| usize::from(*space) == byte) => {
                    return false;
                }
                _ => bits &= (1 << count) - 1,
            }
        }
    }
    // The bits of the last letter may be a part of the next byte.
    let mut next = WHITE_SPACE.iter().chain(b"{");
    next.any(|byte| usize::from(*byte) >> (8 - count) == bits)
}

/// RFC 4648 §5.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const WHITE_SPACE: &[u8; 5] = b" \t\n\r\x0c";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jws_has_three_parts_and_a_header_in_json() {
        for (token, expected) in [
            ("eyJhbGciOiJFUzI1NiJ9.e30.c2ln", true),
            ("eyJhbGciOiJFUzI1NiJ9.e30.", true),
            ("IHsiYWxnIjoiRVMyNTYifQ.e30.c2ln", true),
            ("eyJhbGciOiJFUzI1NiJ9.e30", false),
            ("eyJhbGciOiJFUzI1NiJ9.e30.a.b.c", false),
            ("abc.def.ghi", false),
            ("W10.e30.c2ln", false),
            ("..", false),
            ("opaque", false),
            ("", false),
        ] {
            assert_eq!(is_jws(token), expected, "{token}");
        }
    }

    #[test]
    fn beginning_of_a_header_with_or_without_white_space_may_begin_a_jwt() {
        for (prefix, expected) in [
            ("", true),
            ("eyJ", true),
            ("ey", true),
            ("e", true),
            ("ez", true),
            ("I", true),
            ("C", true),
            ("ew", true),
            ("ewo", true),
            ("IHs", true),
            ("DQog", true),
            ("shop_live_", false),
            ("acme_at_", false),
            ("ory_at_", false),
            ("x", false),
            ("fA", false),
            ("eA", false),
            ("a~b", false),
        ] {
            assert_eq!(may_begin_a_jwt(prefix), expected, "{prefix}");
        }
    }
}

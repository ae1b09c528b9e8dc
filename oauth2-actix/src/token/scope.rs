//! Scopes of a token (RFC 6749 §3.3).

use serde_json::Value;

use crate::json::object::Object;

/// Returns the scopes of a claim set: `scope` as a space-separated string (RFC 9068 §2.2.3) or a list, and
/// `scp` in the same two forms (Microsoft Entra, Okta).
pub(crate) fn of(claims: &Object) -> impl Iterator<Item = &str> {
    ["scope", "scp"].into_iter().filter_map(|name| claims.get(name)).flat_map(|claim| {
        let (text, list) = match claim {
            Value::String(text) => (text.as_str(), [].as_slice()),
            Value::Array(list) => ("", list.as_slice()),
            _ => ("", [].as_slice()),
        };
        // Only spaces separate scopes (RFC 6749 §3.3).
        text.split(' ')
            .filter(|scope| !scope.is_empty())
            .chain(list.iter().filter_map(Value::as_str).filter(|scope| is_scope_token(scope)))
    })
}

/// Returns whether a text is a `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )` (RFC 6749 §3.3).
pub(crate) const fn is_scope_token(scope: &str) -> bool {
    let bytes = scope.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], 0x21 | 0x23..=0x5b | 0x5d..=0x7e) {
            return false;
        }
        at += 1;
    }
    at > 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scopes(claims: Value) -> Vec<String> {
        of(&Object::of(claims)).map(str::to_owned).collect()
    }

    #[test]
    fn scopes_are_read_from_strings_and_lists() {
        assert_eq!(scopes(json!({"scope": "a b  c"})), ["a", "b", "c"]);
        assert_eq!(scopes(json!({"scope": ["a", "b"]})), ["a", "b"]);
        assert_eq!(scopes(json!({"scp": "a b"})), ["a", "b"]);
        assert_eq!(scopes(json!({"scp": ["a", 1, null, "b c", ""]})), ["a"]);
        assert_eq!(scopes(json!({"scope": "a", "scp": ["b"]})), ["a", "b"]);
        assert!(scopes(json!({"scope": 7, "scp": {"a": true}})).is_empty());
        assert_eq!(scopes(json!({"scope": "a\tb,c"})), ["a\tb,c"]);
    }

    #[test]
    fn a_scope_token_is_printable_ascii_without_quotes_and_backslashes() {
        for scope in ["orders:read", "https://x.example/y", "!#[]~"] {
            assert!(is_scope_token(scope), "{scope}");
        }
        for scope in ["", "a b", "a\"", "a\\", "a\n", "\u{e4}"] {
            assert!(!is_scope_token(scope), "{scope}");
        }
    }
}

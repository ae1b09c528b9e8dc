//! The parser for strict JSON: it rejects duplicate member names and deep nesting in what it reads.
//!
//! Of two members with one name, `serde_json` takes the last, and other parsers take the first. A token that
//! two parsers understand differently is rejected (RFC 7519 §4, RFC 8725 §2.4).

use std::{fmt, sync::OnceLock};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// Parses one JSON object that fills the whole of `bytes`.
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    match serde_json::from_slice::<StrictValue>(bytes)?.0 {
        Value::Object(map) => Ok(map),
        _ => Err(serde_json::Error::custom("not a JSON object")),
    }
}

/// Parses one JSON object that fills the whole of `text`, and returns the members with these names. The values
/// of other members decide nothing, so that only their syntax is checked.
///
/// An error contains no text of the document.
pub(crate) fn parse_members(text: &str, names: &[&str]) -> Result<Map<String, Value>, Unreadable> {
    if !text.trim_start().starts_with('{') {
        return Err(Unreadable::NotAnObject);
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    let members = Members { names }.deserialize(&mut parser);
    let members = members.and_then(|members| parser.end().map(|()| members));
    members.map_err(|error| Unreadable::Invalid(error.to_string()))
}

/// The reason why [`parse_members`] fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it is not a JSON object")]
    NotAnObject,
    #[error("its JSON is not accepted: {0}")]
    Invalid(String),
}

/// Deserializes the members with these names.
struct Members<'a> {
    names: &'a [&'a str],
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if !self.names.contains(&&*name) {
                access.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = access.next_value_seed(Strict::in_an_object())?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom(DUPLICATE_MEMBER));
            }
        }
        Ok(map)
    }
}

/// A JSON value in which no object has a duplicate member name.
#[derive(Clone, Debug)]
pub(crate) struct StrictValue(pub(crate) Value);

impl<'de> Deserialize<'de> for StrictValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Strict { depth: 0 }.deserialize(deserializer).map(Self)
    }
}

/// Deserializes one strict value.
#[derive(Clone, Copy)]
pub(crate) struct Strict {
    depth: usize,
}

impl Strict {
    /// Returns the seed for a member of the outermost object.
    pub(crate) fn in_an_object() -> Self {
        Self::at_depth(1)
    }

    /// Returns the seed for a value within this number of arrays and objects.
    pub(crate) fn at_depth(depth: usize) -> Self {
        Self { depth }
    }

    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom("nested too deep"));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        // Most lists are short, and they are kept: a capacity for four items would be mostly unused.
        items.shrink_to_fit();
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if map.is_empty() && is_number_in_disguise(&name) {
                let digits: String = access.next_value()?;
                return digits.parse().map(Value::Number).map_err(A::Error::custom);
            }
            let value = access.next_value_seed(inner)?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom(DUPLICATE_MEMBER));
            }
        }
        Ok(Value::Object(map))
    }
}

/// Returns whether a map whose first member has this name is a number.
pub(crate) fn is_number_in_disguise(first: &str) -> bool {
    first == NUMBER_TOKEN && has_arbitrary_precision()
}

/// Returns whether a crate of the program enables serde_json's `arbitrary_precision`. A visitor then gets a
/// number as a map with one member, named [`NUMBER_TOKEN`].
fn has_arbitrary_precision() -> bool {
    struct Probe;
    impl<'de> Visitor<'de> for Probe {
        type Value = bool;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a number")
        }

        fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
            Ok(false)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<bool, A::Error> {
            while access.next_entry::<String, String>()?.is_some() {}
            Ok(true)
        }
    }
    static RESULT: OnceLock<bool> = OnceLock::new();
    *RESULT.get_or_init(|| {
        serde_json::Deserializer::from_str("1").deserialize_any(Probe).unwrap_or(false)
    })
}

// An attacker may have chosen the name, so the message does not contain it.
pub(crate) const DUPLICATE_MEMBER: &str = "an object has the same member twice";

const NUMBER_TOKEN: &str = "$serde_json::private::Number";

/// The maximum number of nested arrays and objects. Real tokens have three or four.
const MAX_DEPTH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_type_are_kept() {
        let text = r#"{"a":[1,-2,3.5,"x",true,null,{"b":{}}],"c":18446744073709551615}"#;
        let map = parse_object(text.as_bytes()).expect("parses");
        assert_eq!(Value::Object(map), serde_json::from_str::<Value>(text).expect("parses"));
    }

    #[test]
    fn malformed_documents_are_rejected() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"x":[{"a":1,"a":2}]}"#,
            "[]",
            "1",
            "null",
            "",
            "{",
            r#"{"a":1}x"#,
            r#"{"a":1e999}"#,
            r#"{"a":NaN}"#,
            r#"{a:1}"#,
        ] {
            assert!(parse_object(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse_object(b"{\"a\":\"\xff\"}").is_err(), "invalid UTF-8");
    }

    #[test]
    fn members_that_are_not_read_are_checked_for_syntax_only() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for unread in
            [r#""\ud800""#, r#"["\ud83d", {"\udc00": 1}]"#, r#"{"y":1,"y":2}"#, "1e999", &deep]
        {
            for text in [
                format!(r#"{{"x":{unread},"a":1}}"#),
                format!(r#"{{"a":1,"x":{unread},"x":{unread}}}"#),
            ] {
                let members = parse_members(&text, &["a", "b"]).expect("read");
                assert_eq!(Value::Object(members), serde_json::json!({"a": 1}));
                assert!(parse_members(&text, &["x"]).is_err(), "{unread:.20} is read");
            }
        }
    }

    #[test]
    fn an_error_has_the_reason_and_no_text_of_the_document() {
        for (text, reason) in [
            ("", "it is not a JSON object"),
            ("null", "it is not a JSON object"),
            ("[\"canary\"]", "it is not a JSON object"),
            ("\"canary\"", "it is not a JSON object"),
            (r#"{"a":1,"canary":2,"a":3}"#, "has the same member twice"),
            (r#"{"a":1,"canary":2,"\u0061":3}"#, "has the same member twice"),
            (r#"{"a":{"canary":1,"canary":2}}"#, "has the same member twice"),
            (r#"{"a":"canary\ud800"}"#, "hex escape"),
            (r#"{"canary\ud800":1}"#, "hex escape"),
            (r#"{"a":1e999,"b":"canary"}"#, "number out of range"),
            (r#"{"a":"canary""#, "EOF"),
            (r#"{"a":canary}"#, "expected value"),
            (r#"{"a":1}canary"#, "trailing characters"),
            (r#"{canary:1}"#, "key must be a string"),
            (&format!(r#"{{"a":{}1{}}}"#, "[".repeat(40), "]".repeat(40)), "nested too deep"),
        ] {
            let error = parse_members(text, &["a"]).expect_err(text).to_string();
            assert!(error.contains(reason) && !error.contains("canary"), "{text}: {error}");
        }
    }

    #[test]
    fn nesting_beyond_the_limit_is_rejected() {
        let nested =
            |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse_object(nested(MAX_DEPTH - 1).as_bytes()).is_ok());
        assert!(parse_object(nested(MAX_DEPTH).as_bytes()).is_err());
        assert!(parse_object(nested(100_000).as_bytes()).is_err());
    }
}

//! Reads the members of a proof's JSON that are used, from the text and without a copy.
//!
//! It accepts what [`Object`](crate::json::object::Object) accepts: an object without duplicate names and without deep
//! nesting, also in members that are not used. Keeping the whole object would take longer than all other checks, since a
//! `jwk` has many members.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use crate::json::{self, Strict};

/// The value of a member.
#[derive(Debug)]
pub(crate) enum Member<'a> {
    Absent,
    Text(Cow<'a, str>),
    Number(f64),
    /// The text of an object that is not checked yet.
    Unread(&'a str),
    /// A value of another type.
    Other(Value),
}

impl Member<'_> {
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// Reads the members with these names from an object that fills the whole of `json`, if it is one. The value of `unread`
/// is not checked: the caller reads it as an object of its own, at `depth` 1. Errors are dropped, since they could contain
/// text of the proof.
pub(crate) fn read<'a, const N: usize>(
    json: &'a [u8],
    names: &[&str; N],
    unread: Option<&str>,
    depth: usize,
) -> Option<[Member<'a>; N]> {
    // Checked once for the whole object: the parser would check each string separately.
    let mut parser = serde_json::Deserializer::from_str(std::str::from_utf8(json).ok()?);
    let members = parser.deserialize_map(Members { names, unread, depth }).ok()?;
    parser.end().ok()?;
    Some(members)
}

struct Members<'n, const N: usize> {
    names: &'n [&'n str; N],
    unread: Option<&'n str>,
    depth: usize,
}

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Member<'de>; N];

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut members = [const { Member::Absent }; N];
        let mut others: Vec<Cow<'de, str>> = Vec::new();
        let mut is_first = true;
        while let Some(Name(name)) = access.next_key()? {
            if is_first && json::is_number_in_disguise(&name) {
                return Err(A::Error::custom("not a JSON object"));
            }
            is_first = false;
            let value = Strict::at_depth(self.depth + 1);
            let Some(index) = self.names.iter().position(|known| *known == name) else {
                if others.contains(&name) {
                    return Err(A::Error::custom(json::DUPLICATE_MEMBER));
                }
                if others.len() == MAX_OTHERS {
                    return Err(A::Error::custom("too many members"));
                }
                others.push(name);
                access.next_value_seed(value)?;
                continue;
            };
            if !members[index].is_absent() {
                return Err(A::Error::custom(json::DUPLICATE_MEMBER));
            }
            members[index] = if self.unread == Some(&*name) {
                Member::Unread(access.next_value::<&RawValue>()?.get())
            } else {
                access.next_value_seed(AnyMember(value))?
            };
        }
        Ok(members)
    }
}

/// Deserializes one value. Texts are borrowed if they have no escapes.
struct AnyMember(Strict);

impl<'de> DeserializeSeed<'de> for AnyMember {
    type Value = Member<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyMember {
    type Value = Member<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Member::Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Member::Text(text.to_owned().into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Member::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Member::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Member::Number(number))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Member::Other(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Member::Other(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
        self.0.visit_seq(access).map(Member::Other)
    }

    /// Numbers come as maps if a crate of the program enables `arbitrary_precision`.
    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
        let value = self.0.visit_map(access)?;
        Ok(match value.as_f64() {
            Some(number) => Member::Number(number),
            None => Member::Other(value),
        })
    }
}

/// The name of a member, borrowed if it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a member name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(name.into()))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(name.to_owned().into()))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

/// The maximum number of members that are not used, since each is compared with all. Clients send at most a few.
const MAX_OTHERS: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::object::Object;

    fn read_ab(text: &str) -> Option<[Member<'_>; 2]> {
        read(text.as_bytes(), &["a", "b"], None, 0)
    }

    #[test]
    fn values_of_every_type_are_read() {
        let read = |value: &str| {
            let text = format!(r#"{{"x":[{{}}],"a":{value}}}"#);
            format!("{:?}", read_ab(&text).expect("read")[0])
        };
        for (value, expected) in [
            (r#""text""#, r#"Text("text")"#),
            (r#""te\u0078t""#, r#"Text("text")"#),
            ("1", "Number(1.0)"),
            ("-1", "Number(-1.0)"),
            ("1.5e1", "Number(15.0)"),
            ("18446744073709551616", "Number(1.8446744073709552e19)"),
            ("null", "Other(Null)"),
            ("true", "Other(Bool(true))"),
            (r#"["x"]"#, r#"Other(Array [String("x")])"#),
            (r#"{"x":1}"#, r#"Other(Object {"x": Number(1)})"#),
        ] {
            assert_eq!(read(value), expected, "{value}");
        }
        assert!(read_ab("{}").expect("read").iter().all(Member::is_absent));
        assert_eq!(read_ab(r#" {"\u0061":"x"} "#).expect("read")[0].text(), Some("x"));
    }

    #[test]
    fn member_that_is_left_unread_is_its_text() {
        let read = |text: &'static str| read(text.as_bytes(), &["a", "b"], Some("b"), 0);
        let [a, b] = read(r#"{"b": {"x" : 1, "x":[]} ,"a":1}"#).expect("read");
        assert!(matches!(a, Member::Number(1.0)));
        assert!(matches!(b, Member::Unread(r#"{"x" : 1, "x":[]}"#)), "{b:?}");
        assert!(read(r#"{"b":{},"b":{}}"#).is_none());
        assert!(read(r#"{"b":{}"#).is_none() && read(r#"{"b":{]}"#).is_none());
    }

    #[test]
    fn too_many_members_are_refused() {
        let text = |count: usize| {
            let members: Vec<_> = (0..count).map(|index| format!("\"x{index}\":1")).collect();
            format!("{{\"a\":1,{}}}", members.join(","))
        };
        assert!(read_ab(&text(64)).is_some());
        assert!(read_ab(&text(65)).is_none());
    }

    #[test]
    fn nesting_is_counted_from_the_given_depth() {
        let nested =
            |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        for depth in [0, 1] {
            let is_read = |levels| read(nested(levels).as_bytes(), &["a"], None, depth).is_some();
            let is_other = |levels| read(nested(levels).as_bytes(), &["x"], None, depth).is_some();
            for (levels, expected) in [(31 - depth, true), (32 - depth, false), (100_000, false)] {
                assert_eq!((is_read(levels), is_other(levels)), (expected, expected), "{levels}");
            }
        }
        assert!(Object::parse(nested(31).as_bytes()).is_ok());
        assert!(Object::parse(nested(32).as_bytes()).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4096, ..ProptestConfig::default() })]

        #[test]
        fn objects_are_read_exactly_as_by_the_parser_for_tokens(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "[", "]", ":", ",", "\"a\":", "\"a\":", "\"b\":", "\"c\":", "\"\\u0061\":",
                    "\"\\u0063\":", "1", "1", "-1.5", "1e999", "null", "true", "\"x\"", "\"\\ud800\"",
                    "\"\\n\"", ",", ",", " ", "{}", "[1]", "{\"a\":1}", "{\"a\":1,\"a\":1}", "\u{e4}",
                ]),
                0..8,
            ),
            is_closed in prop::sample::select(vec![true, true, true, false]),
        ) {
            let inner = parts.concat();
            let text = if is_closed { format!("{{{inner}}}") } else { inner };
            let object = Object::parse(text.as_bytes()).ok();
            let found = read_ab(&text);
            prop_assert_eq!(found.is_some(), object.is_some(), "{}", text);
            if let (Some(found), Some(object)) = (found, object) {
                for (name, member) in ["a", "b"].into_iter().zip(found) {
                    let value = object.get(name);
                    match member {
                        Member::Absent => prop_assert_eq!(value, None),
                        Member::Text(text) => prop_assert_eq!(value, Some(&Value::from(&*text))),
                        Member::Number(number) => {
                            prop_assert_eq!(value.and_then(Value::as_f64), Some(number));
                        }
                        Member::Other(other) => prop_assert_eq!(value, Some(&other)),
                        Member::Unread(_) => prop_assert!(false),
                    }
                }
            }
        }
    }
}

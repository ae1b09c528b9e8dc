//! Reads the JSON-RPC messages of a body, strictly, and keeps only what names an operation.
//!
//! Any reader of the same text must find the same operation in it, so a text that two readers could understand
//! differently is refused: repeated member names, the private member names of `serde_json`, deep nesting.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::error::Category;

use super::refusal::Refusal;
use crate::json;

/// A value of the body. Text is borrowed where it has no escapes, and only members that [`Keep`] names are kept.
#[derive(Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Text(Cow<'a, str>),
    Object(Members<'a>),
    Array(Vec<Self>),
    /// A number or a boolean.
    Other,
}

/// The members of an object that are kept.
pub(super) type Members<'a> = Vec<(&'static str, Value<'a>)>;

/// Parses a body that is one message or a list of messages.
pub(super) fn parse(body: &[u8]) -> Result<Value<'_>, Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| Refusal::Parse("The body is not UTF-8."))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Reader { text, keep: Keep::Messages, depth: 0 }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| match error.classify() {
            Category::Data => {
                let message = error.to_string();
                let known = REASONS.iter().find(|reason| message.starts_with(**reason));
                Refusal::Invalid(known.copied().unwrap_or("The body is not a JSON-RPC message."))
            }
            _ => Refusal::Parse("The body is not JSON."),
        })
}

/// Returns a member that was kept.
pub(super) fn member<'v, 'a>(members: &'v Members<'a>, name: &str) -> Option<&'v Value<'a>> {
    members.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// Which members of a value are kept.
#[derive(Clone, Copy, PartialEq)]
enum Keep {
    /// A message, or a list of messages.
    Messages,
    Message,
    Params,
    /// An object in the parameters.
    Inner,
    /// A list of texts.
    Texts,
    Nothing,
}

impl Keep {
    /// Returns the names of the members that are kept, each with what is kept of its value.
    fn members(self) -> &'static [(&'static str, Self)] {
        match self {
            Self::Messages | Self::Message => &[
                ("jsonrpc", Self::Nothing),
                ("id", Self::Nothing),
                ("method", Self::Nothing),
                ("params", Self::Params),
                ("result", Self::Nothing),
                ("error", Self::Nothing),
            ],
            Self::Params => &[
                ("name", Self::Nothing),
                ("uri", Self::Nothing),
                ("ref", Self::Inner),
                ("taskId", Self::Nothing),
                ("notifications", Self::Inner),
                ("_meta", Self::Inner),
            ],
            Self::Inner => &[
                ("type", Self::Nothing),
                ("name", Self::Nothing),
                ("uri", Self::Nothing),
                ("resourceSubscriptions", Self::Texts),
                (VERSION_MEMBER, Self::Nothing),
            ],
            Self::Texts | Self::Nothing => &[],
        }
    }

    /// Returns what is kept of the items of a list. None if the list itself is not kept.
    fn items(self) -> Option<Self> {
        match self {
            Self::Messages => Some(Self::Message),
            Self::Texts => Some(Self::Nothing),
            _ => None,
        }
    }
}

/// Reads one value.
#[derive(Clone, Copy)]
struct Reader<'a> {
    /// The whole body.
    text: &'a str,
    keep: Keep,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn inside<E: Error>(self, keep: Keep) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(TOO_DEEP));
        }
        Ok(Self { keep, depth: self.depth + 1, ..self })
    }

    /// Returns whether a map with this first name is a number: `serde_json` with `arbitrary_precision` shows
    /// numbers so. A name that is in the body itself, or had escapes, is never one.
    fn is_number(self, first: &str) -> bool {
        let body = self.text.as_bytes().as_ptr_range();
        json::is_number_in_disguise(first) && !body.contains(&first.as_ptr())
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'de> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'de> {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let items = self.keep.items();
        let inner = self.inside(items.unwrap_or(Keep::Nothing))?;
        let mut kept = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            if items.is_some() {
                if kept.len() == MAX_ITEMS {
                    return Err(A::Error::custom(TOO_MANY));
                }
                kept.push(item);
            }
        }
        Ok(Value::Array(kept))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let members = self.keep.members();
        let mut kept = Vec::new();
        let mut names = Names::default();
        let mut is_first = true;
        while let Some(name) = access.next_key_seed(Name)? {
            if is_first && matches!(name, Cow::Borrowed(first) if self.is_number(first)) {
                access.next_value::<IgnoredAny>()?;
                return Ok(Value::Other);
            }
            is_first = false;
            if name.starts_with(PRIVATE_NAMES) {
                return Err(A::Error::custom(PRIVATE_MEMBER));
            }
            let known = members.iter().find(|(known, _)| *known == name);
            let keep = known.map_or(Keep::Nothing, |(_, keep)| *keep);
            let value = access.next_value_seed(self.inside(keep)?)?;
            if let Some((known, _)) = known {
                kept.push((*known, value));
            }
            if !names.insert(name) {
                return Err(A::Error::custom(REPEATED_MEMBER));
            }
        }
        Ok(Value::Object(kept))
    }
}

/// Reads the name of a member.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// The names of one object: a list for a few, and a set for many.
#[derive(Default)]
struct Names<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    /// Returns whether the name is new.
    fn insert(&mut self, name: Cow<'a, str>) -> bool {
        const FEW: usize = 16;
        if self.few.contains(&name) {
            return false;
        }
        if self.few.len() < FEW {
            self.few.push(name);
            return true;
        }
        self.many.insert(name)
    }
}

/// The member of `_meta` that names the revision of the protocol, since 2026-07-28.
pub(super) const VERSION_MEMBER: &str = "io.modelcontextprotocol/protocolVersion";

/// Names that `serde_json` gives a meaning of its own, so that a value is not what its text says.
const PRIVATE_NAMES: &str = "$serde_json::private::";

/// The maximum number of nested lists and objects.
const MAX_DEPTH: usize = 64;

/// The maximum number of messages in a list, of resources in one message, and of all that a list names.
pub(super) const MAX_ITEMS: usize = 256;

const REPEATED_MEMBER: &str = "An object has the same member twice.";
const PRIVATE_MEMBER: &str = "An object has a private member of a JSON library.";
const TOO_DEEP: &str = "The body is nested too deep.";
pub(super) const TOO_MANY: &str = "The body has too many messages or resources.";
const REASONS: [&str; 4] = [REPEATED_MEMBER, PRIVATE_MEMBER, TOO_DEEP, TOO_MANY];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_members_that_name_an_operation_are_kept() {
        let value = parse(
            br#"{"x":[1,{"a":null}],"method":"tools/call","params":{"arguments":{"name":"y"},"n\u0061me":"refund"}}"#,
        )
        .expect("parses");
        let params = Value::Object(vec![("name", Value::Text("refund".into()))]);
        let method = Value::Text("tools/call".into());
        assert_eq!(value, Value::Object(vec![("method", method), ("params", params)]));
    }

    #[test]
    fn text_that_two_readers_may_understand_differently_is_refused() {
        let many: String = (0..40).map(|n| format!("\"m{n}\":1,")).collect();
        for (body, is_json) in [
            (r#"{"a":1,"a":1}"#, true),
            (r#"{"a":1,"\u0061":1}"#, true),
            (r#"{"x":[{"y":{"a":1,"a":1}}]}"#, true),
            (&format!("{{{many}\"m39\":1}}"), true),
            (&format!("{{{many}\"m3\":1}}"), true),
            (r#"{"x":{"$serde_json::private::RawValue":"{}"}}"#, true),
            (r#"{"x":{"\u0024serde_json::private::Number":"1"}}"#, true),
            (r#"{"x":{"$serde_json::private::Number":"1"}}"#, true),
            (r#"{"$serde_json::private::RawValue":"{}"}"#, true),
            (&format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64)), true),
            ("\u{feff}{}", false),
            ("{}{}", false),
            ("{} x", false),
            ("{\"a\":1,}", false),
            ("", false),
            ("{", false),
            ("{\"a\":\"\\ud800\"}", false),
            ("{'a':1}", false),
            ("{\"a\":NaN}", false),
            ("{} // comment", false),
        ] {
            match parse(body.as_bytes()).expect_err(body) {
                Refusal::Invalid(_) => assert!(is_json, "{body}"),
                Refusal::Parse(_) => assert!(!is_json, "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
        assert!(parse(b"{\"a\":\"\xff\"}").is_err(), "invalid UTF-8");
        let utf_16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(parse(&utf_16).is_err(), "UTF-16");
    }

    #[test]
    fn number_of_messages_is_limited() {
        let list = |length: usize| format!("[{}]", vec!["{}"; length].join(","));
        assert!(parse(list(MAX_ITEMS).as_bytes()).is_ok());
        assert!(parse(list(MAX_ITEMS + 1).as_bytes()).is_err());
    }
}

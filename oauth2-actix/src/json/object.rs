//! The form of a JSON object in which tokens are kept: one block for its members, and no allocation for a
//! name that many tokens have. `serde_json::Map` takes three times the memory.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, IntoDeserializer, MapAccess, Visitor, value::MapDeserializer},
    forward_to_deserialize_any,
};
use serde_json::{Map, Value};

use crate::json;

/// A strict JSON object: without duplicate member names and without deep nesting.
#[derive(Clone)]
pub(crate) struct Object {
    /// The members: sorted by name if there are more than [`FEW`], otherwise in the order of the document.
    members: Box<[Member]>,
}

type Member = (Name, Value);

impl Object {
    /// Parses one JSON object that fills the whole of `bytes`. An error contains no text of the document.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        // Checked once for the whole document: the parser would check each string separately.
        let text =
            std::str::from_utf8(bytes).map_err(|_| serde_json::Error::custom("not valid UTF-8"))?;
        // The parser quotes a value of another type in its message.
        if !text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
            return Err(serde_json::Error::custom("not a JSON object"));
        }
        serde_json::from_str(text)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.position(name).map(|index| &self.members[index].1)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Takes the value of a member, and leaves null.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.position(name).map(|index| self.members[index].1.take())
    }

    fn position(&self, name: &str) -> Option<usize> {
        if self.members.len() <= FEW {
            self.members.iter().position(|(other, _)| other.as_str() == name)
        } else {
            self.members.binary_search_by(|(other, _)| other.as_str().cmp(name)).ok()
        }
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.members.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Converts a JSON object for a test.
    #[cfg(test)]
    pub(crate) fn of(value: Value) -> Self {
        serde_json::from_value(value).expect("an object")
    }

    pub(crate) fn to_map(&self) -> Map<String, Value> {
        self.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
    }

    /// Estimates the bytes on the heap. The allocator does not report the exact number.
    pub(crate) fn heap_size(&self) -> usize {
        let members = self.members.iter().map(|(name, value)| {
            let name = match name {
                Name::Known(_) => 0,
                Name::Other(name) => block(name.len()),
            };
            name + heap_size(value)
        });
        block(size_of_val(&*self.members)) + members.sum::<usize>()
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Object, A::Error> {
                let mut members: Vec<Member> = Vec::with_capacity(FEW);
                while let Some(name) = access.next_key::<Name>()? {
                    if members.is_empty() && json::is_number_in_disguise(name.as_str()) {
                        return Err(A::Error::custom("not a JSON object"));
                    }
                    members.push((name, access.next_value_seed(json::Strict::in_an_object())?));
                }
                let has_duplicate = if members.len() <= FEW {
                    // This is cheaper than sorting: most names differ in length.
                    let mut seen = members.iter().enumerate();
                    seen.any(|(index, (name, _))| members[..index].iter().any(|m| m.0 == *name))
                } else {
                    members
                        .sort_unstable_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
                    members.windows(2).any(|pair| pair[0].0 == pair[1].0)
                };
                if has_duplicate {
                    return Err(A::Error::custom(json::DUPLICATE_MEMBER));
                }
                Ok(Object { members: members.into_boxed_slice() })
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Shows the names of the members, and no values.
impl fmt::Debug for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// Deserializes every type that `serde_json` deserializes from an object, also `Option` and newtype structs.
impl<'de> Deserializer<'de> for &'de Object {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        MapDeserializer::new(self.iter().map(|(name, value)| (Text(name), value)))
            .deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    // An enum in the form of a single member is not supported: claims have more than one member.
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A member name, which a map may deserialize into its own type of keys.
struct Text<'a>(&'a str);

impl<'de> Deserializer<'de> for Text<'_> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.into_deserializer().deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, serde_json::Error> for Text<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A member's name. Two names are equal exactly if their texts are equal.
#[derive(Clone, PartialEq)]
enum Name {
    /// A well-known name, by its index in [`WELL_KNOWN`].
    Known(u8),
    Other(Box<str>),
}

impl Name {
    fn as_str(&self) -> &str {
        match self {
            Self::Known(index) => WELL_KNOWN[usize::from(*index)],
            Self::Other(name) => name,
        }
    }

    const fn position(name: &str) -> u8 {
        let mut index = 0;
        while !same(WELL_KNOWN[index].as_bytes(), name.as_bytes()) {
            index += 1;
        }
        index as u8
    }
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = Name;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a member name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(Name::well_known(name).unwrap_or_else(|| Name::Other(name.into())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

fn heap_size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => block(text.capacity()),
        Value::Array(items) => {
            block(items.capacity() * size_of::<Value>())
                + items.iter().map(heap_size).sum::<usize>()
        }
        Value::Object(members) => {
            let names_and_values =
                members.iter().map(|(name, value)| block(name.capacity()) + heap_size(value));
            map(members.len()) + names_and_values.sum::<usize>()
        }
    }
}

/// Estimates what the allocator uses for `bytes` bytes, with its header and rounding.
pub(crate) fn block(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) }
}

/// Estimates what a map with `members` members uses, without what the members own.
fn map(members: usize) -> usize {
    const MEMBER: usize = size_of::<String>() + size_of::<Value>();
    if members == 0 {
        0
    } else if size_of::<Map<String, Value>>() > 24 {
        // With serde_json's `preserve_order`: a list of members, and a table of their indices.
        let buckets = members.next_power_of_two().max(4);
        block(buckets * (MEMBER + 8)) + block(buckets * 9 + 16)
    } else {
        // The nodes of a B-tree have room for 11 members, and may be half full.
        members.div_ceil(6) * (11 * MEMBER + 32)
    }
}

/// The number of members up to which a name is found by a linear search. Most tokens have fewer.
const FEW: usize = 16;

macro_rules! well_known {
    ($($name:literal)*) => {
        /// The names that headers and claims often have: those of RFC 7515 §4.1, RFC 7519 §4.1, RFC 9068 §2.2
        /// and OpenID Connect, and those that well-known providers add.
        const WELL_KNOWN: &[&str] = &[$($name),*];

        impl Name {
            fn well_known(name: &str) -> Option<Self> {
                // One match is faster than a search.
                let known = match name {
                    $($name => const { Self::position($name) },)*
                    _ => return None,
                };
                Some(Self::Known(known))
            }
        }
    };
}

well_known! {
    "acr" "alg" "amr" "appid" "at_hash" "ath" "aud" "auth_time" "azp" "cid" "client_id" "cnf"
    "email" "email_verified" "exp" "family_name" "given_name" "groups" "htm" "htu" "iat" "idp"
    "iss" "jti" "jwk" "kid" "locale" "name" "nbf" "nonce" "oid" "org_id" "permissions" "picture" "preferred_username"
    "realm_access" "resource_access" "role" "roles" "scope" "scp" "session_state" "sid" "sub"
    "tenant" "tid" "typ" "uid" "updated_at" "ver" "wids"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Result<Object, serde_json::Error> {
        Object::parse(text.as_bytes())
    }

    #[test]
    fn members_are_found_in_any_order() {
        let object = parse(r#"{"z":1,"iss":"i","a":[2],"":null,"\u0061b":{"x":true}}"#).unwrap();
        for (name, value) in [
            ("z", json!(1)),
            ("iss", json!("i")),
            ("a", json!([2])),
            ("", json!(null)),
            ("ab", json!({"x": true})),
        ] {
            assert_eq!(object.get(name), Some(&value), "{name}");
        }
        for missing in ["A", "is", "issu", "zz", "x"] {
            assert_eq!(object.get(missing), None, "{missing}");
        }
        let many: String = (0..100).map(|index| format!(",\"m{index}\":{index}")).collect();
        let object = parse(&format!("{{\"z\":-1{many},\"a\":100}}")).unwrap();
        assert_eq!(object.iter().len(), 102);
        for (name, value) in [("z", -1), ("a", 100), ("m0", 0), ("m57", 57), ("m99", 99)] {
            assert_eq!(object.get(name), Some(&json!(value)), "{name}");
        }
        assert!(!object.contains("m100") && !object.contains(""));
    }

    #[test]
    fn object_and_strict_map_accept_the_same_documents() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(31), "]".repeat(31));
        let too_deep = format!("{{\"a\":{}{}}}", "[".repeat(32), "]".repeat(32));
        let many: String = (0..500).map(|index| format!(",\"m{index}\":{index}")).collect();
        for text in [
            "{}",
            r#"{"a":1,"b":1}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"iss":1,"b":2,"\u0069ss":3}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"x":[{"a":1,"b":2}]}"#,
            r#"{"$serde_json::private::Number":"1"}"#,
            "[]",
            "1",
            "1.5",
            "null",
            "\"a\"",
            "",
            "{",
            r#"{"a":1}x"#,
            r#"{"a":1e999}"#,
            r#"{"a":18446744073709551615,"b":-1,"c":1.5,"d":"x","e":false}"#,
            &deep,
            &too_deep,
            &format!("{{\"a\":1{many}}}"),
            &format!("{{\"m7\":1{many}}}"),
        ] {
            let object = parse(text).map(|object| object.to_map()).ok();
            assert_eq!(object, json::parse_object(text.as_bytes()).ok(), "{text}");
        }
        assert!(Object::parse(b"{\"a\":\"\xff\"}").is_err(), "invalid UTF-8");
    }

    #[test]
    fn well_known_names_are_stored_as_known() {
        for name in WELL_KNOWN {
            let known = Name::well_known(name).unwrap();
            assert!(matches!(known, Name::Known(_)));
            assert_eq!(known.as_str(), *name);
        }
        assert!(Name::well_known("is").is_none() && Name::well_known("ISS").is_none());
        assert_eq!(size_of::<Name>(), 16);
    }

    /// Deserializes claims into `T`, and checks that `serde_json`'s own map gives the same result.
    fn typed<T: serde::de::DeserializeOwned + PartialEq + fmt::Debug>(claims: &Value) -> Option<T> {
        let typed = T::deserialize(&Object::of(claims.clone())).ok();
        assert_eq!(typed, serde_json::from_value(claims.clone()).ok(), "{claims}");
        typed
    }

    #[test]
    fn types_deserialize_as_from_a_map_of_serde_json() {
        use std::collections::{BTreeMap, HashMap};

        #[derive(Deserialize, PartialEq, Debug)]
        struct Plain {
            iss: String,
            exp: u64,
            least: Option<i64>,
            half: Option<f64>,
            level: Option<Level>,
        }
        #[derive(Deserialize, PartialEq, Debug)]
        #[serde(rename_all = "snake_case")]
        enum Level {
            Low,
            High(u8),
        }
        #[derive(Deserialize, PartialEq, Debug)]
        #[serde(deny_unknown_fields)]
        struct Strict {
            iss: String,
            exp: u128,
        }
        #[derive(Deserialize, PartialEq, Debug)]
        struct Rest {
            iss: String,
            #[serde(flatten)]
            plain: BTreeMap<String, Value>,
        }
        #[derive(Deserialize, PartialEq, Debug)]
        #[serde(tag = "kind")]
        enum Tagged {
            User { exp: u64 },
            Machine,
        }
        #[derive(Deserialize, PartialEq, Debug)]
        #[serde(untagged)]
        enum Untagged {
            A { missing: String },
            B { exp: u64 },
        }
        #[derive(Deserialize, PartialEq, Debug)]
        struct Wrapped(Strict);
        #[derive(Deserialize, PartialEq, Eq, Hash, Debug)]
        struct Named(String);
        #[derive(Deserialize, PartialEq, Eq, Hash, Debug)]
        #[serde(rename_all = "snake_case")]
        enum Field {
            Iss,
            Exp,
            #[serde(other)]
            Other,
        }

        for claims in [
            json!({"iss": "i", "exp": 1}),
            json!({"iss": "i", "exp": u64::MAX, "least": i64::MIN, "half": 0.5, "level": "low"}),
            json!({"iss": "i", "exp": 1, "level": {"high": 3}, "half": 2, "least": null}),
            json!({"iss": "i", "exp": 1.0}),
            json!({"iss": "i", "exp": -1, "kind": "User"}),
            json!({"iss": null, "exp": "1", "kind": "Machine"}),
            json!({"iss": "i", "exp": 7, "kind": "User", "least": 9_223_372_036_854_775_808_u64}),
            json!({"iss": "i", "exp": 1, "aud": ["a"], "own": {"exp": 2}, "\u{1F600}": [1, [2]]}),
        ] {
            typed::<Plain>(&claims);
            typed::<Strict>(&claims);
            typed::<Rest>(&claims);
            typed::<Tagged>(&claims);
            typed::<Untagged>(&claims);
            typed::<Level>(&claims);
            typed::<Wrapped>(&claims);
            typed::<Option<Plain>>(&claims);
            typed::<HashMap<Named, Value>>(&claims);
            typed::<HashMap<Field, Value>>(&claims);
            typed::<BTreeMap<Option<String>, Value>>(&claims);
            typed::<Value>(&claims);
            typed::<String>(&claims);
            typed::<()>(&claims);
        }
        let claims = json!({"iss": "i", "exp": 1});
        let strict = || Strict { iss: "i".to_owned(), exp: 1 };
        assert_eq!(typed(&claims), Some(Wrapped(strict())));
        assert_eq!(typed(&claims), Some(Some(strict())));
        assert_eq!(typed::<HashMap<Named, Value>>(&claims).map(|map| map.len()), Some(2));
    }

    #[test]
    fn a_taken_member_is_null() {
        let mut object = parse(r#"{"kid":"k","b":1}"#).unwrap();
        assert_eq!(object.take("kid"), Some(json!("k")));
        assert_eq!(object.get("kid"), Some(&Value::Null));
        assert_eq!(object.take("c"), None);
    }
}

//! A configuration as a tree of values, read from any self-describing format.

use std::{cell::RefCell, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

use crate::json::is_number_in_disguise;

/// The values, and the duplicate names of each map.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) value: Value,
    /// The path of each such name, from the root.
    pub(super) duplicates: Vec<Vec<String>>,
}

impl Tree {
    /// Parses JSON text, as environment variables hold it.
    pub(super) fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

impl From<Value> for Tree {
    fn from(value: Value) -> Self {
        Self { value, duplicates: Vec::new() }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let reader = Reader::default();
        let value = (&reader).deserialize(deserializer)?;
        Ok(Self { value, duplicates: reader.duplicates.into_inner() })
    }
}

/// Reads values, and tracks the current path.
#[derive(Default)]
struct Reader {
    path: RefCell<Vec<String>>,
    duplicates: RefCell<Vec<Vec<String>>>,
}

impl Reader {
    /// Reads a member or an element by `read`.
    fn inside<T, E: Error>(
        &self,
        name: String,
        read: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.path.borrow().len() == MAX_DEPTH {
            return Err(E::custom("the value is nested too deeply"));
        }
        self.path.borrow_mut().push(name);
        let value = read(self);
        self.path.borrow_mut().pop();
        value
    }
}

impl<'de> DeserializeSeed<'de> for &Reader {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Reader {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a setting")
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

    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        let number = Number::from_i128(value);
        number.map(Value::Number).ok_or_else(|| E::custom("a number of more than 64 bits"))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        let number = Number::from_u128(value);
        number.map(Value::Number).ok_or_else(|| E::custom("a number of more than 64 bits"))
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

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) =
            self.inside(items.len().to_string(), |reader| seq.next_element_seed(reader))?
        {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if map.is_empty() && is_number_in_disguise(&name) {
                let digits: String = access.next_value()?;
                return digits.parse().map(Value::Number).map_err(A::Error::custom);
            }
            let value = self.inside(name.clone(), |reader| access.next_value_seed(reader))?;
            if map.contains_key(&name) {
                let mut path = self.path.borrow().clone();
                path.push(name);
                self.duplicates.borrow_mut().push(path);
            } else {
                map.insert(name, value);
            }
        }
        Ok(Value::Object(map))
    }
}

/// The most levels of maps and lists. Settings have four, and key sets in them have more.
const MAX_DEPTH: usize = 32;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn duplicate_names_are_recorded_with_their_path() {
        let tree = Tree::from_json(r#"{"a": [{"b": 1, "b": 2}], "c": 1, "c": {"d": 1}}"#);
        let tree = tree.expect("JSON");
        assert_eq!(tree.value, json!({"a": [{"b": 1}], "c": 1}));
        assert_eq!(tree.duplicates, [vec!["a", "0", "b"], vec!["c"]]);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Tree::from_json(&nested(MAX_DEPTH)).is_ok());
        assert!(Tree::from_json(&nested(MAX_DEPTH + 1)).is_err());
        assert!(Tree::from_json(&nested(100_000)).is_err());
    }
}

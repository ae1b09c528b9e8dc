//! The values that a requirement accepts for a claim.

use std::fmt;

use serde_json::Value;

/// The values that [`claim`](super::requirement::claim) accepts: text, an integer or a bool, one or all of
/// several, or any value except null.
///
/// ```
/// use oauth2_actix::requirement::ClaimValues;
///
/// let _: ClaimValues = "admin".into();
/// let _: ClaimValues = true.into();
/// let _: ClaimValues = 7.into();
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimValues(Expected);

#[derive(Clone, Debug, PartialEq)]
enum Expected {
    AnyOf(Vec<Value>),
    AllOf(Vec<Value>),
    Present,
}

impl ClaimValues {
    /// Accepts one of these values. An empty list rejects every token.
    ///
    /// ```
    /// use oauth2_actix::requirement::{self, ClaimValues};
    ///
    /// let staff = requirement::claim("role", ClaimValues::any_of(["admin", "support"]));
    /// # drop(staff);
    /// ```
    pub fn any_of<V: Into<ClaimValue>>(values: impl IntoIterator<Item = V>) -> Self {
        Self(Expected::AnyOf(values.into_iter().map(|value| value.into().0).collect()))
    }

    /// Requires all of these values; for more than one, the claim must be a list. An empty list rejects every
    /// token.
    ///
    /// ```
    /// use oauth2_actix::requirement::{self, ClaimValues};
    ///
    /// let both = requirement::claim("groups", ClaimValues::all_of(["ops", "on-call"]));
    /// # drop(both);
    /// ```
    pub fn all_of<V: Into<ClaimValue>>(values: impl IntoIterator<Item = V>) -> Self {
        Self(Expected::AllOf(values.into_iter().map(|value| value.into().0).collect()))
    }

    /// Accepts any value except null.
    ///
    /// ```
    /// use oauth2_actix::requirement::{self, ClaimValues};
    ///
    /// let with_email = requirement::claim("email", ClaimValues::present());
    /// # drop(with_email);
    /// ```
    #[must_use]
    pub fn present() -> Self {
        Self(Expected::Present)
    }

    pub(crate) fn accept(&self, claim: Option<&Value>) -> bool {
        let Some(claim) = claim else { return false };
        let has = |value: &Value| match claim {
            Value::Array(list) => list.contains(value),
            claim => claim == value,
        };
        match &self.0 {
            Expected::AnyOf(values) => values.iter().any(has),
            Expected::AllOf(values) => !values.is_empty() && values.iter().all(has),
            Expected::Present => !claim.is_null(),
        }
    }
}

/// Writes what follows the name of a claim: ` = "admin"`, ` is any of "a", "b"`, or nothing.
impl fmt::Display for ClaimValues {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &[Value]| {
            values.iter().map(Value::to_string).collect::<Vec<String>>().join(", ")
        };
        match &self.0 {
            Expected::AnyOf(values) if values.len() == 1 => {
                write!(formatter, " = {}", list(values))
            }
            Expected::AnyOf(values) => write!(formatter, " is any of {}", list(values)),
            Expected::AllOf(values) => write!(formatter, " has all of {}", list(values)),
            Expected::Present => Ok(()),
        }
    }
}

impl<V: Into<ClaimValue>> From<V> for ClaimValues {
    fn from(value: V) -> Self {
        Self::any_of([value])
    }
}

/// One value of a claim: text, an integer or a bool.
///
/// ```
/// use oauth2_actix::requirement::{self, ClaimValue, ClaimValues};
///
/// let values = ClaimValues::any_of([ClaimValue::from(7), ClaimValue::from("7")]);
/// let mixed = requirement::claim("level", values);
/// # drop(mixed);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimValue(Value);

macro_rules! claim_value_from {
    ($($type:ty),*) => {
        $(impl From<$type> for ClaimValue {
            fn from(value: $type) -> Self {
                Self(value.into())
            }
        })*
    };
}

claim_value_from!(&str, String, bool, i8, i16, i32, i64, isize, u8, u16, u32, u64, usize);

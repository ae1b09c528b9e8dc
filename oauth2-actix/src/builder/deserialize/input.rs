//! The value of one setting, read as the type of the setting.
//!
//! Files have numbers, booleans and lists. Environment variables have text for all of them, and some readers
//! turn text that looks like a number into one. So every type is read from any of these, if the meaning is
//! unambiguous.

use std::{borrow::Cow, fmt, time::Duration};

use serde_json::{Map, Number, Value};

use super::tree::Tree;
use crate::config::error::{ConfigError, ConfigErrorKind};

/// The value of a setting, and its location.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    pub(super) provider: Option<&'a str>,
    pub(super) field: Cow<'static, str>,
    pub(super) value: Value,
}

impl Input<'_> {
    pub(super) fn fault(&self, kind: ConfigErrorKind, message: impl fmt::Display) -> ConfigError {
        ConfigError::new(self.provider, self.field.clone(), message).of_kind(kind)
    }

    /// Reads `true` or `false`, also as text.
    pub(super) fn flag(self) -> Result<bool, ConfigError> {
        match self.scalar() {
            Value::Bool(flag) => Ok(*flag),
            Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Ok(true),
            Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(self.wrong_type("true or false")),
        }
    }

    /// Reads text; also a whole number or a boolean, since readers of environment variables turn text into
    /// these.
    pub(super) fn text(self) -> Result<String, ConfigError> {
        match text(self.scalar()) {
            Some(text) => Ok(text),
            None => Err(self.wrong_type("text")),
        }
    }

    /// Reads a whole number, also as text.
    pub(super) fn number(self) -> Result<usize, ConfigError> {
        const EXPECTED: &str = "a whole number";
        let digits = match self.scalar() {
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.trim().to_owned(),
            _ => return Err(self.wrong_type(EXPECTED)),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.wrong_number(EXPECTED));
        }
        digits
            .parse()
            .map_err(|_| self.fault(ConfigErrorKind::OutOfRange, "the number is too large"))
    }

    pub(super) fn seconds(self) -> Result<Duration, ConfigError> {
        self.duration(1, "a number of seconds")
    }

    pub(super) fn minutes(self) -> Result<Duration, ConfigError> {
        self.duration(60, "a number of minutes")
    }

    /// Reads a number, also as text and with a fraction, of units of this many seconds.
    fn duration(self, unit: u32, expected: &str) -> Result<Duration, ConfigError> {
        let number = match self.scalar() {
            Value::Number(number) => number.clone(),
            Value::String(text) => match decimal(text.trim()) {
                Some(number) => number,
                None => return Err(self.wrong_number(expected)),
            },
            _ => return Err(self.wrong_type(expected)),
        };
        let duration = match number.as_u64() {
            Some(whole) => whole.checked_mul(u64::from(unit)).map(Duration::from_secs),
            None => match number.as_f64() {
                Some(number) if number < 0.0 => return Err(self.wrong_number(expected)),
                Some(number) => Duration::try_from_secs_f64(number * f64::from(unit)).ok(),
                None => None,
            },
        };
        let Some(duration) = duration else {
            return Err(self.fault(ConfigErrorKind::OutOfRange, "the number is too large"));
        };
        // A number that is rounded to zero is an error, since zero has a special meaning.
        if duration.is_zero() && number.as_f64() != Some(0.0) {
            return Err(self.fault(ConfigErrorKind::OutOfRange, "the number is too small"));
        }
        Ok(duration)
    }

    /// Reads one of the names of an enumeration.
    pub(super) fn choice<T: Copy>(self, choices: &[(&[&str], T)]) -> Result<T, ConfigError> {
        let name = text(self.scalar());
        let chosen = name.as_deref().map(str::trim).and_then(|name| {
            choices.iter().find(|(names, _)| names.contains(&name)).map(|(_, choice)| *choice)
        });
        chosen.ok_or_else(|| {
            let names: Vec<_> = choices
                .iter()
                .filter_map(|(names, _)| names.first())
                .map(|name| format!("{name:?}"))
                .collect();
            let kind = match name {
                Some(_) => ConfigErrorKind::Unknown,
                None => ConfigErrorKind::WrongType,
            };
            self.fault(kind, format_args!("must be {}{}", names.join(" or "), self.found()))
        })
    }

    /// Reads a list of texts, or one text. Text is never split, since an issuer or an audience may contain
    /// any character; text that begins with `[` is a list in JSON.
    pub(super) fn texts(self) -> Result<Vec<String>, ConfigError> {
        self.list(|text| vec![text.to_owned()])
    }

    /// Reads a list of texts, or one text in which they are separated by commas. Commas in braces, as in
    /// patterns of paths, do not separate.
    pub(super) fn separated(self) -> Result<Vec<String>, ConfigError> {
        self.list(split)
    }

    fn list(mut self, split: fn(&str) -> Vec<String>) -> Result<Vec<String>, ConfigError> {
        self.parse_text_that_begins_with('[')?;
        let items = match &self.value {
            Value::Array(items) => items.iter().map(text).collect(),
            Value::String(text) => Some(split(text)),
            value => text(value).map(|text| vec![text]),
        };
        items.ok_or_else(|| self.wrong_type("text or a list of texts"))
    }

    /// Reads a map, also as JSON text.
    pub(super) fn map(mut self) -> Result<Map<String, Value>, ConfigError> {
        self.parse_text_that_begins_with('{')?;
        match self.value {
            Value::Object(map) => Ok(map),
            _ => Err(self.wrong_type("a map of settings")),
        }
    }

    /// Replaces text that begins with `start` by the JSON value that it contains.
    pub(super) fn parse_text_that_begins_with(&mut self, start: char) -> Result<(), ConfigError> {
        let Value::String(text) = &self.value else { return Ok(()) };
        if !text.trim_start().starts_with(start) {
            return Ok(());
        }
        let tree = Tree::from_json(text).map_err(|error| {
            let problem = format_args!("the text is not valid JSON: {error}");
            self.fault(ConfigErrorKind::Invalid, problem)
        })?;
        if let Some(name) = tree.duplicates.first() {
            let problem = format_args!("the name {:?} is used twice", name.join("."));
            return Err(self.fault(ConfigErrorKind::Duplicate, problem));
        }
        self.value = tree.value;
        Ok(())
    }

    /// Returns the value, or its only element, since some readers turn every text into a list.
    fn scalar(&self) -> &Value {
        match &self.value {
            Value::Array(items) if items.len() == 1 => &items[0],
            value => value,
        }
    }

    pub(super) fn wrong_type(&self, expected: &str) -> ConfigError {
        let problem = format_args!("must be {expected}{}", self.found());
        self.fault(ConfigErrorKind::WrongType, problem)
    }

    fn wrong_number(&self, expected: &str) -> ConfigError {
        let kind = match self.scalar() {
            Value::Number(_) => ConfigErrorKind::OutOfRange,
            _ => ConfigErrorKind::WrongType,
        };
        let sign = if kind == ConfigErrorKind::OutOfRange { ", zero or more" } else { "" };
        self.fault(kind, format_args!("must be {expected}{sign}{}", self.found()))
    }

    /// Describes the value that was found instead.
    fn found(&self) -> String {
        match &self.value {
            Value::Null => ", not null".to_owned(),
            Value::Bool(flag) => format!(", not {flag}"),
            Value::Number(number) => format!(", not {number}"),
            Value::String(text) if text.chars().count() <= MAX_SHOWN => format!(", not {text:?}"),
            Value::String(_) => ", not a long text".to_owned(),
            Value::Array(_) => ", not a list".to_owned(),
            Value::Object(_) => ", not a map".to_owned(),
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        // The original text of a fraction is lost, since it was rounded.
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

/// Parses digits with an optional fraction.
fn decimal(text: &str) -> Option<Number> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    match text.parse::<u64>() {
        Ok(number) => Some(number.into()),
        Err(_) => Number::from_f64(text.parse().ok()?),
    }
}

/// Returns the parts between commas outside braces, trimmed, without empty ones.
fn split(text: &str) -> Vec<String> {
    let mut depth = 0_usize;
    text.split(|character| {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
    .map(str::to_owned)
    .collect()
}

/// The most characters of a wrong value that an error shows.
const MAX_SHOWN: usize = 40;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn input(value: Value) -> Input<'static> {
        Input { provider: None, field: "field".into(), value }
    }

    #[test]
    fn every_form_of_a_value_is_read() {
        for value in [json!(true), json!("true"), json!(" TRUE\n"), json!(["true"])] {
            assert_eq!(input(value).flag(), Ok(true));
        }
        for value in [json!(30), json!("30"), json!("30\n"), json!(["30"])] {
            assert_eq!(input(value.clone()).number(), Ok(30));
            assert_eq!(input(value).seconds(), Ok(Duration::from_secs(30)));
        }
        for value in [json!(0), json!(0.0), json!("0.0")] {
            assert_eq!(input(value).minutes(), Ok(Duration::ZERO));
        }
        for value in [json!(0.5), json!("0.5"), json!("0.50")] {
            assert_eq!(input(value.clone()).seconds(), Ok(Duration::from_millis(500)));
            assert_eq!(input(value).minutes(), Ok(Duration::from_secs(30)));
        }
        for (value, text) in [
            (json!("a, b"), "a, b"),
            (json!(852_159_111_111_u64), "852159111111"),
            (json!(true), "true"),
        ] {
            assert_eq!(input(value.clone()).text(), Ok(text.to_owned()));
            assert_eq!(input(value).texts(), Ok(vec![text.to_owned()]));
        }
        for value in [json!(["a", "7"]), json!(["a", 7]), json!(r#"["a", "7"]"#)] {
            assert_eq!(input(value.clone()).texts(), Ok(vec!["a".to_owned(), "7".to_owned()]));
            assert_eq!(input(value).separated(), Ok(vec!["a".to_owned(), "7".to_owned()]));
        }
    }

    #[test]
    fn text_is_split_at_commas_outside_braces() {
        for (text, parts) in [
            ("", vec![]),
            (" , ,", vec![]),
            ("/a", vec!["/a"]),
            ("/a, /b ,/c,", vec!["/a", "/b", "/c"]),
            (r"/{id:\d{1,3}},/b", vec![r"/{id:\d{1,3}}", "/b"]),
            ("/a},/b", vec!["/a}", "/b"]),
        ] {
            assert_eq!(split(text), parts, "{text}");
        }
    }

    #[test]
    fn value_of_another_type_is_rejected() {
        use ConfigErrorKind::{OutOfRange, WrongType};
        for (value, kind) in [
            (json!(-1), OutOfRange),
            (json!("-1"), WrongType),
            (json!("1e3"), WrongType),
            (json!("30 s"), WrongType),
            (json!(""), WrongType),
            (json!("inf"), WrongType),
            (json!("NaN"), WrongType),
            (json!("."), WrongType),
            (json!("1."), WrongType),
            (json!(true), WrongType),
            (json!({}), WrongType),
            (json!([1, 2]), WrongType),
            (json!(u64::MAX), OutOfRange),
            (json!(1e300), OutOfRange),
            (json!(1e-300), OutOfRange),
            (json!("0.00000000000000000001"), OutOfRange),
        ] {
            let error = input(value.clone()).minutes().expect_err(&value.to_string());
            assert_eq!(error.kind(), kind, "{error}");
        }
        for value in
            [json!(1.5), json!("1.5"), json!(-1), json!("x"), json!("99999999999999999999")]
        {
            assert!(input(value.clone()).number().is_err(), "{value}");
        }
        for value in [json!("yes"), json!(1), json!("1"), json!([]), json!([true, true])] {
            assert!(input(value.clone()).flag().is_err(), "{value}");
        }
        for value in [json!(1.5), json!([]), json!(["a", "b"]), json!({"a": "b"})] {
            assert!(input(value.clone()).text().is_err(), "{value}");
        }
        for value in [json!({}), json!([["a"]]), json!([null]), json!("[1"), json!("[{}]")] {
            assert!(input(value.clone()).texts().is_err(), "{value}");
        }
        for value in [json!("x"), json!([]), json!(r#"{"a": 1, "a": 2}"#), json!("{")] {
            assert!(input(value.clone()).map().is_err(), "{value}");
        }
    }

    #[test]
    fn error_names_the_expected_type_and_the_value() {
        let error = input(json!("30 s")).seconds().expect_err("text");
        assert_eq!(error.to_string(), "field: must be a number of seconds, not \"30 s\"");
        let error = input(json!(-1)).minutes().expect_err("negative");
        assert_eq!(error.to_string(), "field: must be a number of minutes, zero or more, not -1");
        let error = input(json!("x".repeat(41))).flag().expect_err("text");
        assert_eq!(error.to_string(), "field: must be true or false, not a long text");
    }
}

//! The error of a configuration: all its faults, each with its kind, provider and setting.

use std::{borrow::Cow, fmt, io};

use crate::config::names::PROVIDERS;

/// A configuration that cannot be used, with all faults that were found in it.
///
/// `Display` and `Debug` print the same text: the faults, separated by `"; "`. The alternate forms,
/// `{error:#}` and `{error:#?}`, print one fault per line.
///
/// ```
/// use oauth2_actix::{ConfigErrorKind, OAuth2, Provider};
///
/// let error = OAuth2::builder()
///     .provider("google", Provider::new().issuer("https://accounts.google.com"))
///     .realm("")
///     .build()
///     .unwrap_err();
/// let faults: Vec<_> = error.faults().map(|fault| (fault.kind(), fault.field())).collect();
/// assert_eq!(
///     faults,
///     [
///         (ConfigErrorKind::Empty, "realm"),
///         (ConfigErrorKind::Missing, "audience"),
///         (ConfigErrorKind::Missing, "keys"),
///     ]
/// );
/// assert!(error.to_string().contains("provider \"google\": audience: missing"));
/// ```
///
/// In a `main` that returns `std::io::Result`, `?` turns it into an [`io::Error`] of the kind
/// [`InvalidInput`](io::ErrorKind::InvalidInput).
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError(
    /// At least one fault.
    Vec<ConfigFault>,
);

/// One fault of a configuration: see [`ConfigError::faults`].
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigFault {
    provider: Option<String>,
    field: Cow<'static, str>,
    kind: ConfigErrorKind,
    message: String,
    /// The setting that an unknown name was probably meant to be.
    meant: Option<&'static str>,
}

/// The kind of a configuration fault: see [`ConfigError::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigErrorKind {
    /// A mandatory setting is missing.
    Missing,
    /// A text or a list is empty.
    Empty,
    /// No setting, provider or value of a fixed list has this name.
    Unknown,
    /// A name or a value occurs twice.
    Duplicate,
    /// The value has another type, such as a list where a number is expected.
    WrongType,
    /// A number or a duration is outside its range.
    OutOfRange,
    /// Two settings contradict each other.
    Conflict,
    /// The value cannot be used for another reason.
    Invalid,
    /// The system did not provide a resource, such as a thread or what an HTTP client requires.
    System,
}

impl ConfigError {
    /// Creates a fault that is not a provider's. Its kind is [`ConfigErrorKind::Invalid`] unless `of_kind`
    /// sets another.
    pub(crate) fn of_policy(
        field: impl Into<Cow<'static, str>>,
        message: impl fmt::Display,
    ) -> Self {
        Self::new(None, field, message)
    }

    /// Creates a fault of a provider. Its kind is [`ConfigErrorKind::Invalid`] unless `of_kind` sets another.
    pub(crate) fn of_provider(
        provider: &str,
        field: impl Into<Cow<'static, str>>,
        message: impl fmt::Display,
    ) -> Self {
        Self::new(Some(provider), field, message)
    }

    pub(crate) fn new(
        provider: Option<&str>,
        field: impl Into<Cow<'static, str>>,
        message: impl fmt::Display,
    ) -> Self {
        Self(vec![ConfigFault {
            provider: provider.map(str::to_owned),
            field: field.into(),
            kind: ConfigErrorKind::Invalid,
            message: message.to_string(),
            meant: None,
        }])
    }

    /// Sets the kind of the faults.
    pub(crate) fn of_kind(mut self, kind: ConfigErrorKind) -> Self {
        self.0.iter_mut().for_each(|fault| fault.kind = kind);
        self
    }

    /// Sets the setting that the unknown name was probably meant to be.
    pub(crate) fn meant(mut self, setting: &'static str) -> Self {
        self.0.iter_mut().for_each(|fault| fault.meant = Some(setting));
        self
    }

    /// Returns all faults; there is at least one. Values that could not be read are first, in the order of
    /// the configuration.
    pub fn faults(&self) -> impl ExactSizeIterator<Item = &ConfigFault> {
        self.0.iter()
    }

    /// Returns the kind of the first fault.
    #[must_use]
    pub fn kind(&self) -> ConfigErrorKind {
        self.first().map_or(ConfigErrorKind::Invalid, ConfigFault::kind)
    }

    /// Returns the provider of the first fault, or `None` if that fault is not a provider's.
    #[must_use]
    pub fn provider(&self) -> Option<&str> {
        self.first().and_then(ConfigFault::provider)
    }

    /// Returns the setting of the first fault: see [`ConfigFault::field`].
    #[must_use]
    pub fn field(&self) -> &str {
        self.first().map_or("", ConfigFault::field)
    }

    fn first(&self) -> Option<&ConfigFault> {
        self.0.first()
    }
}

impl ConfigFault {
    /// Returns the kind of the fault.
    #[must_use]
    pub fn kind(&self) -> ConfigErrorKind {
        self.kind
    }

    /// Returns the name of the provider as it was written, or `None` if the fault is not a provider's.
    #[must_use]
    pub fn provider(&self) -> Option<&str> {
        self.provider.as_deref()
    }

    /// Returns the name of the setting in the serde form, with a dot before a member
    /// (`token_cache.max_entries`), also if the builder was used. An unknown name is returned as it was
    /// written. The name is `providers` if the provider itself has the fault, such as an empty name. It is
    /// empty if the whole configuration has the fault, because it is not a map.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Returns what is wrong and what is expected, without the names of the provider and the setting.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.provider {
            // The provider itself has the fault, and not one of its settings.
            Some(provider) if self.field == PROVIDERS => {
                write!(formatter, "provider {provider:?}: {}", self.message)
            }
            Some(provider) => {
                write!(formatter, "provider {provider:?}: {}: {}", self.field, self.message)
            }
            None if self.field.is_empty() => formatter.write_str(&self.message),
            None => write!(formatter, "{}: {}", self.field, self.message),
        }
    }
}

impl fmt::Debug for ConfigFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if formatter.alternate() { "\n" } else { "; " };
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str(separator)?;
            }
            write!(formatter, "{fault}")?;
        }
        Ok(())
    }
}

/// Prints the text of `Display`, because a `main` that returns an error prints its `Debug`.
impl fmt::Debug for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for io::Error {
    fn from(error: ConfigError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

/// The faults found so far.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<ConfigFault>);

impl Faults {
    pub(crate) fn push(&mut self, error: ConfigError) {
        self.0.extend(error.0);
    }

    /// Adds a hint to the first fault of a missing setting.
    pub(crate) fn explain_missing(&mut self, hint: impl fmt::Display) {
        let missing = self.0.iter_mut().find(|fault| fault.kind == ConfigErrorKind::Missing);
        if let Some(fault) = missing {
            fault.message.push_str(&format!(" ({hint})"));
        }
    }

    pub(crate) fn push_all(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Returns the value, or adds the faults and returns `None`.
    pub(crate) fn take<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    /// Adds the faults of `others` that do not follow from the faults found so far. A fault follows from
    /// another if its setting or its whole provider could not be read, or has a wrong name.
    pub(crate) fn push_uncovered(&mut self, others: Self) {
        let follows = |other: &ConfigFault| {
            self.0.iter().any(|known| {
                known.provider == other.provider
                    && (known.field == other.field
                        || known.meant == Some(&*other.field)
                        || (known.provider.is_some() && known.field == PROVIDERS))
            })
        };
        let new: Vec<_> = others.0.into_iter().filter(|other| !follows(other)).collect();
        self.0.extend(new);
    }

    /// Returns whether there is a fault of this setting of the provider.
    pub(crate) fn concern(&self, provider: &str, field: &str) -> bool {
        self.0.iter().any(|fault| fault.provider() == Some(provider) && fault.field == field)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_result(self) -> Result<(), ConfigError> {
        if self.0.is_empty() { Ok(()) } else { Err(ConfigError(self.0)) }
    }
}

impl From<ConfigError> for Faults {
    fn from(error: ConfigError) -> Self {
        Self(error.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_faults() -> ConfigError {
        let mut faults = Faults::default();
        faults.push(ConfigError::of_policy("realm", "must not be empty"));
        faults.push(ConfigError::of_provider("p", PROVIDERS, "duplicate provider name"));
        faults.into_result().expect_err("two faults")
    }

    #[test]
    fn debug_prints_what_display_prints() {
        let error = two_faults();
        let text = "realm: must not be empty; provider \"p\": duplicate provider name";
        assert_eq!((error.to_string(), format!("{error:?}")), (text.to_owned(), text.to_owned()));
        let lines = text.replace("; ", "\n");
        assert_eq!((format!("{error:#}"), format!("{error:#?}")), (lines.clone(), lines));
    }

    #[test]
    fn build_error_as_io_error_keeps_its_text() {
        let error = io::Error::from(two_faults());
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), two_faults().to_string());
        assert!(format!("{error:?}").contains("realm: must not be empty"), "{error:?}");
    }
}

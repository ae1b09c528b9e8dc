//! What is wrong with a configuration.

use std::fmt;

/// What is wrong with a configuration: which provider, which field, and why.
///
/// ```
/// use oauth2_actix::{OAuth2, Provider};
///
/// let error = OAuth2::builder()
///     .provider("google", Provider::new().issuer("https://accounts.google.com"))
///     .build()
///     .unwrap_err();
/// assert_eq!(error.provider(), Some("google"));
/// assert_eq!(error.field(), "audience");
/// assert_eq!(error.to_string(), "provider \"google\": audience: it is missing");
/// ```
#[derive(Debug)]
pub struct BuildError {
    provider: Option<String>,
    field: &'static str,
    problem: String,
}

impl BuildError {
    pub(crate) fn of_policy(field: &'static str, problem: impl fmt::Display) -> Self {
        Self { provider: None, field, problem: problem.to_string() }
    }

    pub(crate) fn of_provider(
        provider: &str,
        field: &'static str,
        problem: impl fmt::Display,
    ) -> Self {
        Self { provider: Some(provider.to_owned()), field, problem: problem.to_string() }
    }

    /// The provider that is wrongly configured; none if the fault is not one provider's.
    #[must_use]
    pub fn provider(&self) -> Option<&str> {
        self.provider.as_deref()
    }

    /// The setting, by its name in the serde form.
    #[must_use]
    pub fn field(&self) -> &str {
        self.field
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(provider) = &self.provider {
            write!(formatter, "provider {provider:?}: ")?;
        }
        write!(formatter, "{}: {}", self.field, self.problem)
    }
}

impl std::error::Error for BuildError {}

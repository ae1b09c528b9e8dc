//! The difference between an issuer or audience of a token and a configured one, for the log.

/// The only difference between an issuer or audience of a token and a configured one. The log names
/// it, because each difference is a common configuration mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// The scheme, such as http instead of https.
    Scheme,
    /// The host, or its port.
    Host,
    /// Upper or lower case of letters.
    LetterCase,
    /// A slash at the end.
    TrailingSlash,
}

impl Difference {
    /// Returns the difference between two texts, if it is one of these.
    pub(crate) fn between(one: &str, other: &str) -> Option<Self> {
        if one.trim_end_matches('/') == other.trim_end_matches('/') {
            return Some(Self::TrailingSlash);
        }
        if one.eq_ignore_ascii_case(other) {
            return Some(Self::LetterCase);
        }
        let (scheme, rest) = one.split_once("://")?;
        let (other_scheme, other_rest) = other.split_once("://")?;
        if rest == other_rest {
            return Some(Self::Scheme);
        }
        let path = |rest: &str| rest.find('/').unwrap_or(rest.len());
        let same_path = rest[path(rest)..] == other_rest[path(other_rest)..];
        // Two URLs with different hosts and no path have nothing in common.
        (scheme == other_scheme && same_path && rest[path(rest)..].len() > 1).then_some(Self::Host)
    }

    /// Returns the first small difference from one of the configured values. It compares only the first few,
    /// because any client can cause the comparison.
    pub(crate) fn to_any<'a>(
        text: &str,
        configured: impl IntoIterator<Item = &'a str>,
    ) -> Option<Self> {
        const COMPARED: usize = 16;
        configured.into_iter().take(COMPARED).find_map(|value| Self::between(text, value))
    }
}

pub(super) fn hint(difference: Option<Difference>) -> &'static str {
    match difference {
        None => "",
        Some(Difference::Scheme) => ": only the scheme differs",
        Some(Difference::Host) => ": only the host differs",
        Some(Difference::LetterCase) => ": only upper and lower case differ",
        Some(Difference::TrailingSlash) => ": only a trailing slash differs",
    }
}

//! The resources that a rule is for, and the spellings of a URI that are accepted.
//!
//! A server may take two URIs for one resource. So a rule covers more spellings than its own, and a URI that
//! has a second spelling by RFC 3986 §6.2.2 is refused where there are rules for resources.

/// The resources of a rule.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern {
    /// The URI, or what it begins with.
    start: String,
    is_prefix: bool,
}

impl Pattern {
    /// Reads a URI, or a URI that ends with `/*` or `:*`. The error says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (start, is_prefix) = match text.strip_suffix('*') {
            Some(start) if start.ends_with(['/', ':']) => (start, true),
            _ => (text, false),
        };
        if start.contains(['*', '{', '}', '?', '#']) {
            return Err("a URI without `*`, `{`, `?` and `#`, or one that ends with `/*`");
        }
        if !is_plain(start) {
            return Err("an absolute URI in its normal form, or one that ends with `/*`");
        }
        let start = if is_prefix { start } else { start.trim_end_matches('/') };
        Ok(Self { start: start.to_owned(), is_prefix })
    }

    /// Returns whether the rule is for this URI: without regard to letter case, query, fragment and a slash at
    /// the end.
    pub(super) fn matches(&self, uri: &str) -> bool {
        let uri = &uri[..uri.find(['?', '#']).unwrap_or(uri.len())];
        if !self.is_prefix {
            return uri.trim_end_matches('/').eq_ignore_ascii_case(&self.start);
        }
        starts_with(uri, &self.start)
            || self.start.strip_suffix('/').is_some_and(|start| uri.eq_ignore_ascii_case(start))
    }

    /// Returns whether the rule may be for a URI that begins so.
    pub(super) fn overlaps(&self, start: &str) -> bool {
        starts_with(&self.start, start)
            || (self.is_prefix && starts_with(start, &self.start))
            || self.matches(start)
    }
}

fn starts_with(text: &str, start: &str) -> bool {
    let head = text.as_bytes().get(..start.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
}

/// Returns the part of a URI template (RFC 6570) before its first expression.
pub(super) fn literal_start(template: &str) -> &str {
    &template[..template.find('{').unwrap_or(template.len())]
}

/// Returns whether no other spelling of an absolute URI means the same, apart from letter case, query, fragment
/// and a slash at the end: no dot segments, no empty segments, no user, and no escapes of characters that need
/// none or that separate parts.
pub(super) fn is_plain(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme && is_plain_rest(rest)
}

/// Checks what follows the scheme and its colon.
fn is_plain_rest(rest: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    if !rest.bytes().all(is_allowed) || !escapes_are_plain(rest.as_bytes()) {
        return false;
    }
    let before_query = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    let path = match before_query.strip_prefix("//") {
        None => before_query,
        Some(with_authority) => {
            let end = with_authority.find('/').unwrap_or(with_authority.len());
            let (authority, path) = with_authority.split_at(end);
            if authority.contains(['@', '%']) || authority.ends_with(['.', ':']) {
                return false;
            }
            path
        }
    };
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    path.is_empty() || path.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

/// Returns whether each `%` begins an escape that is needed: not of an unreserved character, of a slash, of a
/// percent sign or of a control character.
fn escapes_are_plain(text: &[u8]) -> bool {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    text.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
        match (digit(text.get(at + 1)), digit(text.get(at + 2))) {
            (Some(high), Some(low)) => {
                let byte = u8::try_from(high * 16 + low).unwrap_or(0);
                !(byte.is_ascii_alphanumeric()
                    || byte.is_ascii_control()
                    || b"-._~/\\%".contains(&byte))
            }
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uri_with_a_second_spelling_is_not_plain() {
        for uri in [
            "orders://refunds/1",
            "orders://refunds/1/",
            "orders://refunds",
            "file:///etc/hosts",
            "urn:isbn:0451450523",
            "https://host.example:8443/a/b?c=/../d#e",
            "a:b",
            "x://h/a%20b%C3%A4%3F",
        ] {
            assert!(is_plain(uri), "{uri}");
        }
        for uri in [
            "",
            "refunds",
            "/refunds",
            ":a",
            "1a:b",
            "orders://refunds/./1",
            "orders://refunds/../refunds/1",
            "orders://refunds/..",
            "orders://refunds//1",
            "orders:///refunds//1",
            "orders://user@refunds/1",
            "orders://refunds:/1",
            "orders://refunds./1",
            "orders://refunds\\1",
            "orders://refunds/%31",
            "orders://refunds/%2e%2e/1",
            "orders://refunds/%2F1",
            "orders://refunds/%5c1",
            "orders://refunds/%2531",
            "orders://refunds/%00",
            "orders://refunds/%",
            "orders://refunds/%4",
            "orders://refunds/%zz",
            "orders://re%66unds/1",
            "orders://refunds/ 1",
            "orders://refunds/\t1",
            "orders://refunds/\u{e4}",
            " orders://refunds/1",
            "orders://refunds/{id}",
        ] {
            assert!(!is_plain(uri), "{uri}");
        }
    }

    #[test]
    fn pattern_covers_other_spellings_of_its_uri() {
        let exact = Pattern::parse("orders://refunds/secret").expect("a pattern");
        let prefix = Pattern::parse("orders://refunds/*").expect("a pattern");
        for uri in [
            "orders://refunds/secret",
            "ORDERS://Refunds/SECRET",
            "orders://refunds/secret/",
            "orders://refunds/secret?x",
            "orders://refunds/secret#x",
        ] {
            assert!(exact.matches(uri) && prefix.matches(uri), "{uri}");
        }
        for uri in ["orders://refunds", "orders://refunds/", "orders://refunds/a/b"] {
            assert!(prefix.matches(uri) && !exact.matches(uri), "{uri}");
        }
        for uri in ["orders://refund", "orders://refunds2/secret", "other://refunds/secret"] {
            assert!(!prefix.matches(uri) && !exact.matches(uri), "{uri}");
        }
        let scheme = Pattern::parse("urn:*").expect("a pattern");
        assert!(scheme.matches("urn:a") && !scheme.matches("urn2:a"));
    }

    #[test]
    fn template_overlaps_the_rules_of_all_resources_that_it_may_mean() {
        let exact = Pattern::parse("orders://refunds/secret").expect("a pattern");
        let prefix = Pattern::parse("orders://refunds/*").expect("a pattern");
        for template in [
            "orders://refunds/{id}",
            "Orders://refunds/s{id}",
            "orders://{+path}",
            "{+uri}",
            "orders://refunds/secret",
        ] {
            let start = literal_start(template);
            assert!(exact.overlaps(start) && prefix.overlaps(start), "{template}");
        }
        assert!(prefix.overlaps("orders://refunds/x/") && !exact.overlaps("orders://refunds/x/"));
        assert!(!prefix.overlaps("orders://items/") && !exact.overlaps("orders://items/"));
    }

    #[test]
    fn pattern_that_is_ambiguous_is_an_error() {
        for text in [
            "",
            "refunds",
            "a:b*",
            "*",
            "a:*/b",
            "orders://x/../y",
            "orders://x/{id}",
            "a:b?c",
            "a:b#c",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}

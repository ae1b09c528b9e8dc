//! Parses an entry of `public_paths` as actix's router does.

use std::{borrow::Cow, collections::HashSet};

use regex_syntax::ast::{Ast, GroupKind, parse::Parser};

/// A pattern in actix's syntax, such as `/users/{id}/files/{tail:.*}`.
///
/// A pattern matches only paths that contain its text: [`Pattern::parse`] rejects every pattern that actix's
/// router would interpret differently.
#[derive(Debug)]
pub(super) struct Pattern<'a> {
    text: &'a str,
    parts: Vec<Part<'a>>,
}

/// A part of a pattern.
#[derive(Clone, Copy, Debug)]
enum Part<'a> {
    /// Literal text outside braces.
    Text(&'a str),
    /// `{name}`, `{name:expression}`, or `{name}*` at the end.
    Segment(Segment<'a>),
}

#[derive(Clone, Copy, Debug)]
struct Segment<'a> {
    name: &'a str,
    expression: Option<&'a str>,
    /// Whether the segment is `{name}*`, actix's other form of `{name:.*}`.
    is_tail: bool,
    /// The index in the pattern at which the segment begins.
    start: usize,
}

impl<'a> Pattern<'a> {
    /// # Errors
    ///
    /// Returns what is wrong with the pattern, and what is expected.
    pub(super) fn parse(text: &'a str) -> Result<Self, Cow<'static, str>> {
        let pattern = Self { text, parts: split(text)? };
        if !text.starts_with('/') {
            return Err("the path does not start with a slash".into());
        }
        pattern.check_text()?;
        pattern.check_segments()?;
        Ok(pattern)
    }

    /// Returns whether the pattern has no dynamic segment, so that it matches only one path.
    pub(super) fn is_exact(&self) -> bool {
        self.segments().next().is_none()
    }

    /// Returns whether the pattern has a dynamic segment whose expression may match slashes.
    pub(super) fn has_expression(&self) -> bool {
        self.segments().any(|segment| segment.is_tail || segment.expression.is_some())
    }

    /// Returns the text before the first dynamic segment.
    pub(super) fn start(&self) -> &'a str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// Returns the pattern for the paths of this one without their trailing slash, if this one matches paths
    /// that need it: `/docs` for `/docs/{tail:.*}`, `/users/{id}` for `/users/{id}/`.
    pub(super) fn without_trailing_slash(&self) -> Option<&'a str> {
        let before = match self.parts.last()? {
            Part::Text(_) => self.text,
            Part::Segment(last) if last.is_tail || last.expression == Some(".*") => {
                &self.text[..last.start]
            }
            Part::Segment(_) => return None,
        };
        let trimmed = before.trim_end_matches('/');
        (before.len() > trimmed.len() && !trimmed.is_empty()).then_some(trimmed)
    }

    fn segments(&self) -> impl Iterator<Item = &Segment<'a>> {
        self.parts.iter().filter_map(|part| match part {
            Part::Segment(segment) => Some(segment),
            Part::Text(_) => None,
        })
    }

    /// Rejects text that no path of the router can contain.
    fn check_text(&self) -> Result<(), Cow<'static, str>> {
        let texts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text,
            // A placeholder that separates the text before and after the segment.
            Part::Segment(_) => "x",
        });
        let text: String = texts.collect();
        if text.contains(['?', '#']) {
            return Err("a path has neither query nor fragment, so it can never match".into());
        }
        if text.contains('*') {
            return Err("`*` is not a wildcard in actix: write `{name}` for one segment and \
                        `{tail:.*}` for the rest of a path (or `{star:\\*}` for the character)"
                .into());
        }
        if text.contains('}') {
            return Err("the pattern has a `}` without a matching `{`".into());
        }
        // The router decodes all but these, which keep the form that the client sent.
        let encoded = text.match_indices('%').map(|(at, _)| text[at..].get(..3));
        if encoded.into_iter().any(|code| {
            !code.is_some_and(|code| ["%25", "%2F", "%2B"].contains(&code.to_uppercase().as_str()))
        }) {
            return Err("the router decodes paths, so an encoded path can never match: write it \
                        decoded"
                .into());
        }
        if has_dot_segment(&text) {
            return Err("a path with the segment `.` or `..` is never public".into());
        }
        Ok(())
    }

    fn check_segments(&self) -> Result<(), Cow<'static, str>> {
        let mut names = HashSet::new();
        for segment in self.segments() {
            segment.check()?;
            if !names.insert(segment.name) {
                return Err(format!("two segments have the name `{}`", segment.name).into());
            }
        }
        if names.len() > MAX_SEGMENTS {
            return Err("actix allows at most 16 dynamic segments".into());
        }
        Ok(())
    }
}

impl Segment<'_> {
    /// Checks that actix's router reads this segment as one group of its regular expression. A name
    /// or an expression that closes the group would turn the rest of the pattern into an alternative.
    fn check(&self) -> Result<(), Cow<'static, str>> {
        let Self { name, expression, is_tail, .. } = *self;
        if is_tail && expression.is_some() {
            return Err(format!(
                "a segment with an expression takes no `*`: remove it after `{{{name}:…}}`"
            )
            .into());
        }
        if name.is_empty() {
            return Err("a dynamic segment has no name: write `{name}`".into());
        }
        // The expression that `ResourceDef::parse_param` makes.
        let group = format!("(?P<{name}>{})", expression.unwrap_or("[^/]+"));
        let problem: Cow<'static, str> = match Parser::new().parse(&group) {
            Ok(Ast::Group(ref parsed)) if parsed.span.end.offset == group.len() => {
                match &parsed.kind {
                    GroupKind::CaptureName { name: parsed, .. } if parsed.name == name => {
                        return Ok(());
                    }
                    _ => "its name is not valid".into(),
                }
            }
            Ok(_) => "its parentheses are not balanced".into(),
            Err(error) => error.kind().to_string().into(),
        };
        Err(format!("the segment `{{{name}…}}` is not valid: {problem}").into())
    }
}

/// Splits a pattern at its braces. Braces within an expression are counted, escaped ones too, as actix's
/// router counts them.
fn split(pattern: &str) -> Result<Vec<Part<'_>>, Cow<'static, str>> {
    let mut parts = Vec::new();
    let mut start = 0;
    while let Some(length) = pattern[start..].find('{') {
        let open = start + length;
        if length > 0 {
            parts.push(Part::Text(&pattern[start..open]));
        }
        let mut depth = 0_usize;
        let close = pattern[open..].find(|character| {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        let Some(close) = close.map(|length| open + length) else {
            return Err("the pattern has a `{` without a matching `}`".into());
        };
        let inner = &pattern[open + 1..close];
        let (name, expression) = match inner.split_once(':') {
            Some((name, expression)) => (name, Some(expression)),
            None => (inner, None),
        };
        let is_tail = &pattern[close + 1..] == "*";
        parts.push(Part::Segment(Segment { name, expression, is_tail, start: open }));
        start = if is_tail { pattern.len() } else { close + 1 };
    }
    if start < pattern.len() {
        parts.push(Part::Text(&pattern[start..]));
    }
    Ok(parts)
}

/// Returns whether a handler could resolve `path` to another path: the router does not resolve `..`, but
/// `actix_files`, for example, does.
pub(super) fn has_dot_segment(path: &str) -> bool {
    path.contains('.') && {
        let path = path.to_ascii_lowercase().replace("%2f", "/").replace("%5c", "/");
        path.split(['/', '\\']).any(|segment| matches!(segment, "." | ".."))
    }
}

/// The limit of actix's router.
const MAX_SEGMENTS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_that_matches_only_its_text_is_accepted() {
        for pattern in [
            "/",
            "/public",
            "/docs/{tail:.*}",
            "/docs/{tail}*",
            "/users/{id}",
            "/v{n:\\d{1,3}}/status",
            "/{a:(x|y)}/{b:[)(]}",
            "/{a:\\)|\\(}",
            "/.{name}",
            "/{star:\\*}",
            "/a%2Fb/{x}",
            "/{a:(?i)x}",
        ] {
            assert!(Pattern::parse(pattern).is_ok(), "{pattern}: {:?}", Pattern::parse(pattern));
        }
    }

    #[test]
    fn pattern_that_matches_other_paths_than_its_text_is_rejected() {
        for (pattern, expected) in [
            ("/files/{id}/thumb*", "`*` is not a wildcard"),
            ("/{v}/docs*", "`*` is not a wildcard"),
            ("/a/{x}/*", "`*` is not a wildcard"),
            ("/a/{x}**", "`*` is not a wildcard"),
            ("/a/{x}*/b", "`*` is not a wildcard"),
            ("/a/{x:\\d+}*", "takes no `*`"),
            ("/static*", "`*` is not a wildcard"),
            ("/docs/*", "`*` is not a wildcard"),
            ("/a/*/b", "`*` is not a wildcard"),
            ("/{x:a)|(?P<y>.*}", "parentheses are not balanced"),
            ("/a/{x:b)|(c}", "parentheses are not balanced"),
            ("/a/{x>.*)|(?P<y}/b", "parentheses are not balanced"),
            ("/{a:[}/secret/{b:]}", "unclosed character class"),
            ("/{a:(}/secret/{b:)}", "unclosed group"),
            ("/{a:(?x).*#}/secret", "unclosed group"),
            ("/{a:\\}/secret", "unclosed group"),
            ("/users/id}", "without a matching `{`"),
            ("/users/{id", "without a matching `}`"),
            ("/{}", "has no name"),
            ("/{:x}", "has no name"),
            ("/{a b}", "is not valid"),
            ("/{a}/{a}", "two segments have the name `a`"),
        ] {
            let problem = Pattern::parse(pattern).expect_err(pattern);
            assert!(problem.contains(expected), "{pattern}: {problem}");
        }
    }

    #[test]
    fn pattern_without_its_trailing_slash_is_returned() {
        for (pattern, expected) in [
            ("/docs/{tail:.*}", Some("/docs")),
            ("/docs/{tail}*", Some("/docs")),
            ("/users/{id}/", Some("/users/{id}")),
            ("/docs/", Some("/docs")),
            ("/docs//", Some("/docs")),
            ("/docs{tail:.*}", None),
            ("/docs", None),
            ("/{tail:.*}", None),
            ("/", None),
            ("/users/{id}", None),
            ("/users/{id:[^m].*}", None),
        ] {
            let parsed = Pattern::parse(pattern).expect(pattern);
            assert_eq!(parsed.without_trailing_slash(), expected, "{pattern}");
        }
    }
}

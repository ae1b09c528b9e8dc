//! Decides whether `public_paths` makes a path public, on the path that the router sees.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt, panic,
    sync::atomic::{AtomicBool, AtomicU16, Ordering},
};

use actix_web::dev::ResourceDef;

use super::pattern::{Pattern, has_dot_segment};

/// Exact paths and actix patterns that need no token.
#[derive(Default)]
pub(crate) struct PublicPaths {
    /// Each path, with whether [`ScopeHint::log`] has logged it.
    exact: HashMap<String, AtomicBool>,
    patterns: Vec<PublicPattern>,
    rewrite_warned: AtomicBool,
    /// The number of searches of the resource map for [`PublicPaths::scope_hint`]. Each takes as long as
    /// routing.
    searches: AtomicU16,
}

/// Whether a path needs a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathAccess {
    /// The path needs a token.
    Private,
    /// The path needs no token, unless an inner middleware changes it: with a trailing slash it needs one.
    PublicUnlessRewritten,
    /// Neither the path nor any form that `NormalizePath` gives it needs a token.
    Public,
}

struct PublicPattern {
    resource: ResourceDef,
    /// The literal text that every matching path begins with.
    start: String,
    /// The pattern that must be public too for matching paths that end with a slash.
    without_trailing_slash: Option<String>,
    warned: AtomicBool,
    scope_warned: AtomicBool,
}

impl PublicPaths {
    /// # Errors
    ///
    /// Returns every path that is not valid, or can never match, with the reason.
    pub(crate) fn new<'a>(
        paths: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Vec<(&'a str, Cow<'static, str>)>> {
        let mut public = Self::default();
        let (mut exact, mut faults) = (Vec::new(), Vec::new());
        for path in paths {
            let pattern = match Pattern::parse(path) {
                Ok(pattern) => pattern,
                Err(problem) => {
                    faults.push((path, problem));
                    continue;
                }
            };
            if pattern.is_exact() {
                public.exact.insert(path.to_owned(), AtomicBool::new(false));
                exact.push(path);
                continue;
            }
            // actix panics on a pattern that it does not accept. The panic is caught here, at startup, before
            // any request is served; a panic hook sees it.
            let Ok(resource) = panic::catch_unwind(|| ResourceDef::new(path)) else {
                faults.push((path, "actix does not accept this pattern".into()));
                continue;
            };
            let without_trailing_slash = pattern.without_trailing_slash().map(str::to_owned);
            public.patterns.push(PublicPattern {
                resource,
                start: pattern.start().to_owned(),
                without_trailing_slash,
                warned: AtomicBool::new(false),
                scope_warned: AtomicBool::new(false),
            });
        }
        for path in exact {
            if let Some(normal_form) = [merge_slashes(path), trim(path)]
                .into_iter()
                .find(|normal_form| public.matching_entry(normal_form).is_none())
            {
                let problem = format!(
                    "it can never match, since NormalizePath turns it into {normal_form:?}, which is not \
                     public: add {normal_form:?}"
                );
                faults.push((path, problem.into()));
            }
        }
        if faults.is_empty() { Ok(public) } else { Err(faults) }
    }

    /// Returns whether a request for `path` needs a token.
    ///
    /// `path` is the router's path (`match_info`), decoded as the router decodes it: a client may encode the
    /// raw path of a private route so that a public pattern matches it.
    ///
    /// An inner `NormalizePath` may route the request by another form of its path: with slashes merged, and
    /// with or without a trailing slash. The path is public only if the merged form and the form without a
    /// trailing slash are public too.
    pub(crate) fn access(&self, path: &str) -> PathAccess {
        let Some(matching_entry) = self.matching_entry(path) else { return PathAccess::Private };
        if path.len() > 1 && (path.ends_with('/') || path.contains("//")) {
            let normal_forms = [merge_slashes(path), trim(path)];
            if normal_forms.iter().any(|normal_form| self.matching_entry(normal_form).is_none()) {
                if let MatchingEntry::Pattern(pattern) = matching_entry {
                    pattern.warn_once();
                }
                return PathAccess::Private;
            }
        }
        if path.ends_with('/')
            || self.matching_entry(&format!("{}/", merge_slashes(path))).is_some()
        {
            PathAccess::Public
        } else {
            PathAccess::PublicUnlessRewritten
        }
    }

    /// Warns once that requests for a public path are rejected because a middleware changes the path.
    pub(crate) fn warn_once_of_rewrite(&self) {
        if !self.rewrite_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "oauth2_actix",
                "an anonymous request for a path in public_paths was rejected, because a middleware \
                 inside OAuth2 changed its path: wrap that middleware (NormalizePath) after OAuth2, \
                 which puts it outside, or add the path with a trailing slash to public_paths too \
                 (logged once)"
            );
        }
    }

    /// Returns a hint for a request without a token that was rejected although its path ends like an entry. The
    /// entry probably lacks the prefix of a scope. There is at most one hint for each entry.
    ///
    /// `route` returns the pattern of the route that a path is for. An entry that opens a route without any
    /// prefix is right, and a path without a route was made up by a client: there is no hint for either.
    pub(crate) fn scope_hint(
        &self,
        path: &str,
        route: impl Fn(&str) -> Option<String>,
    ) -> Option<ScopeHint<'_>> {
        if self.searches.load(Ordering::Relaxed) >= MAX_SEARCHES {
            return None;
        }
        let Ending { entry, warned, at } = self.ending(path)?;
        self.searches.fetch_add(1, Ordering::Relaxed);
        let route_of_path = route(path)?;
        if route(&path[at..]).is_some() {
            warned.store(true, Ordering::Relaxed);
            return None;
        }
        let add = with_prefix(&route_of_path, path[..at].matches('/').count(), entry);
        Some(ScopeHint { entry, warned, route: route_of_path, add })
    }

    /// Returns the first unlogged entry that matches the end of `path` from a slash on.
    fn ending(&self, path: &str) -> Option<Ending<'_>> {
        if path.len() > MAX_PATH {
            return None;
        }
        let is_new = |warned: &AtomicBool| !warned.load(Ordering::Relaxed);
        for (entry, warned) in &self.exact {
            let at = path.len().saturating_sub(entry.len());
            if at > 0 && entry.len() > 1 && is_new(warned) && path.ends_with(entry) {
                return Some(Ending { entry, warned, at });
            }
        }
        if self.patterns.is_empty() {
            return None;
        }
        let (mut slashes, mut count) = ([0; MAX_PREFIX], 0);
        for (at, byte) in path.bytes().enumerate().skip(1) {
            if byte == b'/' && count < MAX_PREFIX {
                slashes[count] = at;
                count += 1;
            }
        }
        for PublicPattern { resource, start, scope_warned: warned, .. } in &self.patterns {
            let matches = |at: &usize| {
                let end = &path[*at..];
                end.starts_with(start) && resource.is_match(end)
            };
            if is_new(warned)
                && let Some(at) = slashes[..count].iter().copied().find(matches)
                && !has_dot_segment(path)
            {
                let entry = resource.pattern().unwrap_or_default();
                return Some(Ending { entry, warned, at });
            }
        }
        None
    }

    /// Returns the entry that matches `path`, regardless of its other forms.
    fn matching_entry(&self, path: &str) -> Option<MatchingEntry<'_>> {
        if self.exact.contains_key(path) {
            return Some(MatchingEntry::Exact);
        }
        if self.patterns.is_empty() || has_dot_segment(path) {
            return None;
        }
        let pattern = self.patterns.iter().find(|pattern| pattern.resource.is_match(path))?;
        Some(MatchingEntry::Pattern(pattern))
    }
}

/// The most searches of one policy. Without a limit, each request for a path without a route would cost a
/// search.
const MAX_SEARCHES: u16 = 1_024;

/// The warning about a rejected request: see [`PublicPaths::scope_hint`].
pub(crate) struct ScopeHint<'a> {
    entry: &'a str,
    warned: &'a AtomicBool,
    route: String,
    add: Option<String>,
}

impl ScopeHint<'_> {
    /// Drops the hint, since the request was served, and never searches for its entry again: a search takes
    /// as long as routing.
    pub(crate) fn dismiss(self) {
        self.warned.store(true, Ordering::Relaxed);
    }

    pub(crate) fn log(self) {
        let Self { entry, warned, route, add } = self;
        if warned.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(
            target: "oauth2_actix",
            entry,
            route,
            add,
            "an anonymous request was rejected at a route whose path only ends like an entry of \
             public_paths: an entry is a whole path from the root, with the prefix of every scope; \
             if the route is public, add its pattern (logged once for each entry)"
        );
    }
}

/// An entry that matches the end of a path.
struct Ending<'a> {
    entry: &'a str,
    warned: &'a AtomicBool,
    /// The index in the path at which the matched end begins.
    at: usize,
}

enum MatchingEntry<'a> {
    Exact,
    Pattern(&'a PublicPattern),
}

impl PublicPattern {
    /// Warns once that requests for paths that match the pattern are rejected.
    fn warn_once(&self) {
        if self.warned.swap(true, Ordering::Relaxed) {
            return;
        }
        let pattern = self.resource.pattern().unwrap_or_default();
        match &self.without_trailing_slash {
            Some(add) => tracing::warn!(
                target: "oauth2_actix",
                pattern,
                add,
                "an anonymous request was rejected although a pattern of public_paths matches its \
                 path: without its trailing slash, as NormalizePath would route it, the path is not \
                 public; add that pattern too if its routes are public (logged once for each \
                 pattern)"
            ),
            None => tracing::warn!(
                target: "oauth2_actix",
                pattern,
                "an anonymous request was rejected although a pattern of public_paths matches its \
                 path: with slashes merged and without its trailing slash, as NormalizePath would \
                 route it, the path is not public (logged once for each pattern)"
            ),
        }
    }
}

/// Returns the entry, prefixed with the first `segments` segments of a route's pattern.
///
/// None if the prefix has an expression, which may match several segments, or if the result is not a valid
/// pattern.
fn with_prefix(route: &str, segments: usize, entry: &str) -> Option<String> {
    let prefix = prefix(route, segments)?;
    if Pattern::parse(prefix).is_ok_and(|prefix| !prefix.has_expression()) {
        Some([prefix, entry].concat()).filter(|add| Pattern::parse(add).is_ok())
    } else {
        None
    }
}

/// Returns the text before the slash of this number in the pattern of a route. Slashes within braces do not
/// count.
fn prefix(route: &str, slashes: usize) -> Option<&str> {
    let mut depth = 0_usize;
    let mut outside = route.char_indices().filter(|(_, character)| match character {
        '{' => {
            depth += 1;
            false
        }
        '}' => {
            depth = depth.saturating_sub(1);
            false
        }
        character => depth == 0 && *character == '/',
    });
    let (at, _) = outside.nth(slashes)?;
    Some(&route[..at])
}

/// Merges slashes as `NormalizePath` does in each of its modes.
fn merge_slashes(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return path.into();
    }
    let mut merged = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !merged.ends_with('/') {
            merged.push(character);
        }
    }
    merged.into()
}

/// Removes trailing slashes and merges others, as `NormalizePath::trim()` does.
fn trim(path: &str) -> Cow<'_, str> {
    match path.trim_end_matches('/') {
        "" => "/".into(),
        trimmed => merge_slashes(trimmed),
    }
}

impl fmt::Debug for PublicPaths {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns = self.patterns.iter().filter_map(|pattern| pattern.resource.pattern());
        formatter.debug_set().entries(self.exact.keys()).entries(patterns).finish()
    }
}

/// The longest path that is searched for, since a search takes longer the longer the path is.
const MAX_PATH: usize = 1024;

/// The most segments that the prefix of a scope is assumed to have.
const MAX_PREFIX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn is_public(public: &PublicPaths, path: &str) -> bool {
        public.access(path) != PathAccess::Private
    }

    #[test]
    fn an_exact_path_matches_only_itself() {
        let public = PublicPaths::new(["/", "/public"]).expect("paths");
        for path in ["/", "/public"] {
            assert!(is_public(&public, path), "{path}");
        }
        for path in [
            "",
            "//",
            "/public/",
            "/publications",
            "/Public",
            "/public/x",
            "/public?",
            "/x/../public",
        ] {
            assert!(!is_public(&public, path), "{path}");
        }
    }

    #[test]
    fn a_pattern_matches_as_in_actix() {
        let public = PublicPaths::new([
            "/docs/{tail:.*}",
            "/users/{id}",
            "/v{n:\\d+}/status",
            "/blobs",
            "/blobs/{name}*",
        ])
        .expect("patterns");
        for path in [
            "/docs/a",
            "/docs/a/b",
            "/docs/a/",
            "/users/me",
            "/v12/status",
            "/blobs/",
            "/blobs/a/b",
        ] {
            assert!(is_public(&public, path), "{path}");
        }
        for path in [
            "/docs",
            "/docs/",
            "/docs//",
            "/users/",
            "/users/me/x",
            "/users/me/",
            "/vx/status",
            "/x/docs/a",
            "/docs/../me",
            "/docs/..",
            "/docs/./a",
            "/docs/a\\..\\b",
            "/docs/a%2f..%2Fb",
            "/docs/..%5cb",
            "/blobs/..",
        ] {
            assert!(!is_public(&public, path), "{path}");
        }
        for path in ["/docs/a..b", "/docs/...", "/docs/.well-known"] {
            assert!(is_public(&public, path), "{path}");
        }
    }

    #[test]
    fn path_is_public_only_if_its_normal_forms_are() {
        let public = PublicPaths::new([
            "/docs",
            "/docs/{tail:.*}",
            "/users/{id:[^m].*}",
            "/files/{tail:.*}",
            "/exact",
            "/exact/",
            "/a/{b:.*}/c",
        ])
        .expect("patterns");
        for (path, expected) in [
            ("/docs", PathAccess::Public),
            ("/docs/", PathAccess::Public),
            ("/docs//", PathAccess::Public),
            ("/docs/x", PathAccess::Public),
            ("/docs/x//y/", PathAccess::Public),
            ("/exact", PathAccess::Public),
            ("/exact/", PathAccess::Public),
            ("/files/x", PathAccess::Public),
            ("/files/", PathAccess::Private),
            ("/files//", PathAccess::Private),
            ("/users/x", PathAccess::Public),
            ("/users//me", PathAccess::Private),
            ("/users//x", PathAccess::Public),
            ("/a/b/c", PathAccess::PublicUnlessRewritten),
            ("/a//c", PathAccess::Private),
            ("/a/b/c/", PathAccess::Private),
        ] {
            assert_eq!(public.access(path), expected, "{path}");
        }
    }

    #[test]
    fn exact_path_whose_normal_form_is_private_is_an_error_that_names_the_entry_to_add() {
        for (path, add) in [
            ("/docs/", "add \"/docs\""),
            ("/docs//", "add \"/docs/\""),
            ("/a//b", "add \"/a/b\""),
            ("//", "add \"/\""),
        ] {
            let (named, problem) = PublicPaths::new([path, "/x"]).expect_err(path).remove(0);
            assert_eq!(named, path);
            assert!(problem.ends_with(add), "{path}: {problem}");
        }
        PublicPaths::new(["/docs/", "/docs"]).expect("both forms");
        PublicPaths::new(["/docs/", "/{any}"]).expect("a pattern matches the other form");
    }

    #[test]
    fn invalid_path_is_rejected() {
        for path in [
            "",
            "docs",
            "*",
            "https://x.example/",
            "/a?b",
            "/a#b",
            "/a?b/{x}",
            "/docs/*",
            "/static*",
            "/a%20b",
            "/caf%C3%A9/{x}",
            "/a/../b",
            "/{x}/..",
            "/..",
            "/{",
            "/{a",
            "/a}",
            "/{a}/{a}",
            "/{a:[}",
            "/{a:\\p{NoSuchClass}}",
        ] {
            let (named, _) = PublicPaths::new(["/ok", path]).expect_err(path).remove(0);
            assert_eq!(named, path);
        }
    }

    #[test]
    fn entry_that_matches_the_end_of_a_path_is_found() {
        let public =
            PublicPaths::new(["/", "/maybe", "/docs/{tail:.*}", "/users/{id}"]).expect("ok");
        for (path, expected) in [
            ("/api/v1/maybe", Some(("/maybe", "/api/v1"))),
            ("/api/docs/a/b", Some(("/docs/{tail:.*}", "/api"))),
            ("/1/2/3/4/5/6/7/8/users/x", Some(("/users/{id}", "/1/2/3/4/5/6/7/8"))),
            ("/1/2/3/4/5/6/7/8/9/users/x", None),
            ("/api/notmaybe", None),
            ("/api/maybe/", None),
            ("/api/", None),
            ("/api/users/x/y", None),
            ("/maybe", None),
            ("/users/x", None),
            ("/api/docs/../x", None),
            ("", None),
        ] {
            let found = public.ending(path).map(|ending| (ending.entry, &path[..ending.at]));
            assert_eq!(found, expected, "{path}");
        }
        let long = format!("/{}/maybe", "x".repeat(MAX_PATH));
        assert!(public.ending(&long).is_none());
    }

    #[test]
    fn entry_gets_the_prefix_of_a_route() {
        for (route, segments, entry, expected) in [
            ("/api/v1/maybe", 2, "/maybe", Some("/api/v1/maybe")),
            ("/{a}/docs/{page}", 1, "/docs/{tail:.*}", Some("/{a}/docs/{tail:.*}")),
            ("/api/users/{id:[a-z/]{1,3}}", 1, "/users/{id}", Some("/api/users/{id}")),
            ("/{a:[a-z/]{1,3}}/b/maybe", 2, "/maybe", None),
            ("/{id}/users/{name}", 1, "/users/{id}", None),
            ("/api", 1, "/maybe", None),
        ] {
            assert_eq!(with_prefix(route, segments, entry).as_deref(), expected, "{route}");
        }
    }

    #[test]
    fn normal_forms_are_those_of_normalize_path() {
        for (path, merged, trimmed) in [
            ("/", "/", "/"),
            ("//", "/", "/"),
            ("/a", "/a", "/a"),
            ("/a/", "/a/", "/a"),
            ("//a//b//", "/a/b/", "/a/b"),
        ] {
            assert_eq!(merge_slashes(path), merged);
            assert_eq!(trim(path), trimmed);
        }
    }
}

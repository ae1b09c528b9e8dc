//! Paths that the configuration opens, decided on the path that the router sees.

use std::{collections::HashSet, fmt, panic};

use actix_web::dev::ResourceDef;

/// Exact paths and actix patterns that need no token.
#[derive(Default)]
pub(crate) struct PublicPaths {
    exact: HashSet<String>,
    patterns: Vec<ResourceDef>,
}

impl PublicPaths {
    /// # Errors
    ///
    /// A path that is none, or can never match, with the reason.
    pub(crate) fn new<'a>(
        paths: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, (&'a str, &'static str)> {
        let mut public = Self::default();
        for path in paths {
            if !path.starts_with('/') {
                return Err((path, "it does not start with a slash"));
            }
            if let Some(problem) = never_matches(path) {
                return Err((path, problem));
            }
            if path.contains('{') || path.contains('}') {
                // actix panics on a pattern that is none. The panic is caught here, at start-up,
                // before anything is served; a panic hook sees it.
                let pattern = panic::catch_unwind(|| ResourceDef::new(path))
                    .map_err(|_| (path, "it is not a pattern that actix understands"))?;
                public.patterns.push(pattern);
            } else {
                public.exact.insert(path.to_owned());
            }
        }
        Ok(public)
    }

    /// `path` is the router's (`match_info`), with what it decodes decoded: the raw path of a
    /// request may spell a private route so that a public pattern fits it.
    pub(crate) fn contains(&self, path: &str) -> bool {
        self.exact.contains(path)
            || (!self.patterns.is_empty()
                && !has_dot_segment(path)
                && self.patterns.iter().any(|pattern| pattern.is_match(path)))
    }
}

/// What stands outside the braces of a pattern must be possible in a router's path.
fn never_matches(pattern: &str) -> Option<&'static str> {
    let mut depth = 0_usize;
    let literal: String = pattern
        .chars()
        .filter(|character| {
            match character {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && *character != '}'
        })
        .collect();
    if literal.contains(['?', '#']) {
        return Some("a path has neither query nor fragment, so it can never match");
    }
    if literal.ends_with("/*") {
        return Some("`*` is no wildcard in actix; write `{tail:.*}`");
    }
    // The router decodes all but these, and they keep the form that the client gave them.
    let encoded = literal.match_indices('%').map(|(at, _)| literal[at..].get(..3));
    if encoded.into_iter().any(|code| {
        !code.is_some_and(|code| ["%25", "%2F", "%2B"].contains(&code.to_uppercase().as_str()))
    }) {
        return Some("the router decodes paths, so an encoded one can never match: write it plain");
    }
    if has_dot_segment(&literal) {
        return Some("a path with the segment `.` or `..` is never public");
    }
    None
}

/// Whether some handler might take `path` for another one: the router leaves `..` alone, and
/// `actix_files` for one resolves it. Only a pattern can match such a path without meaning it.
fn has_dot_segment(path: &str) -> bool {
    path.contains('.') && {
        let path = path.to_ascii_lowercase().replace("%2f", "/").replace("%5c", "/");
        path.split(['/', '\\']).any(|segment| matches!(segment, "." | ".."))
    }
}

impl fmt::Debug for PublicPaths {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns = self.patterns.iter().filter_map(ResourceDef::pattern);
        formatter.debug_set().entries(&self.exact).entries(patterns).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_paths_are_exact() {
        let public = PublicPaths::new(["/", "/public"]).expect("paths");
        for path in ["/", "/public"] {
            assert!(public.contains(path), "{path}");
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
            assert!(!public.contains(path), "{path}");
        }
    }

    #[test]
    fn patterns_are_actix_patterns() {
        let public = PublicPaths::new(["/docs/{tail:.*}", "/users/{id}", "/v{n:\\d+}/status"])
            .expect("patterns");
        for path in ["/docs/", "/docs/a/b", "/users/me", "/v12/status"] {
            assert!(public.contains(path), "{path}");
        }
        for path in [
            "/docs",
            "/users/",
            "/users/me/x",
            "/vx/status",
            "/x/docs/a",
            "/docs/../me",
            "/docs/..",
            "/docs/./a",
            "/docs/a\\..\\b",
            "/docs/a%2f..%2Fb",
            "/docs/..%5cb",
        ] {
            assert!(!public.contains(path), "{path}");
        }
        for path in ["/docs/a..b", "/docs/...", "/docs/.well-known"] {
            assert!(public.contains(path), "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in [
            "",
            "docs",
            "*",
            "https://x.example/",
            "/a?b",
            "/a#b",
            "/a?b/{x}",
            "/docs/*",
            "/a%20b",
            "/caf%C3%A9/{x}",
            "/a/../b",
            "/..",
            "/{",
            "/{a",
            "/{a}/{a}",
            "/{a:[}",
        ] {
            let Err((named, _)) = PublicPaths::new(["/ok", path]) else { panic!("{path}") };
            assert_eq!(named, path);
        }
    }
}

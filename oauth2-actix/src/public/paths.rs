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
            if path.contains('{') || path.contains('}') {
                // actix panics on a pattern that is none. The panic is caught here, at start-up,
                // before anything is served.
                let pattern = panic::catch_unwind(|| ResourceDef::new(path))
                    .map_err(|_| (path, "it is not a pattern that actix understands"))?;
                public.patterns.push(pattern);
            } else if path.contains(['?', '#']) {
                return Err((path, "a path has neither query nor fragment, so it can never match"));
            } else {
                public.exact.insert(path.to_owned());
            }
        }
        Ok(public)
    }

    /// `path` is the router's (`match_info`), with what it decodes decoded: the raw path of a
    /// request may spell a private route so that a public pattern fits it.
    pub(crate) fn contains(&self, path: &str) -> bool {
        self.exact.contains(path) || self.patterns.iter().any(|pattern| pattern.is_match(path))
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
        for path in ["/docs", "/users/", "/users/me/x", "/vx/status", "/x/docs/a"] {
            assert!(!public.contains(path), "{path}");
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

//! The identifier of a protected resource (RFC 9728 §1.2, RFC 8707 §2).

use url::Url;

use crate::http::url::{KeyUrl, UrlError};

/// A parsed identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResourceUri {
    /// The scheme, host and port, in lower case and without a default port.
    origin: String,
    /// The path and the query, as configured.
    rest: String,
    /// The length of the path in `rest`.
    path_length: usize,
}

impl ResourceUri {
    /// Parses an identifier.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let url = KeyUrl::parse(text, false).map_err(|error| match error {
            UrlError::Plaintext => {
                "the URL is http, so that an attacker on the network could read tokens; expected https, or \
                 http to a loopback host"
                    .to_owned()
            }
            error => error.to_string(),
        })?;
        let url: &Url = url.url();
        if url.fragment().is_some() {
            return Err("the URL has a fragment, which RFC 9728 §1.2 forbids".to_owned());
        }
        let (_, after_scheme) = text.split_once("://").unwrap_or(("", text));
        let rest = after_scheme.find(['/', '?']).map_or("", |at| &after_scheme[at..]);
        let path_length = rest.find('?').unwrap_or(rest.len());
        let path = &rest[..path_length];
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"%{}\\\"<>^`|".contains(&byte);
        if !path.bytes().all(is_plain) {
            return Err(
                "the path has percent-encoding, braces or other special characters; expected a \
                        path of plain characters, such as `/mcp`"
                    .to_owned(),
            );
        }
        if path.split('/').any(|segment| matches!(segment, "." | "..")) || path.contains("//") {
            return Err(
                "the path has a segment that is empty, `.` or `..`; expected its normal form"
                    .to_owned(),
            );
        }
        let query = rest[path_length..].strip_prefix('?');
        if url.path() != if path.is_empty() { "/" } else { path } || url.query() != query {
            return Err(
                "the URL is not in its normal form; expected `https://host/path`".to_owned()
            );
        }
        let origin = url.origin().ascii_serialization();
        Ok(Self { origin, rest: rest.to_owned(), path_length })
    }

    /// Returns the text of the identifier, with scheme and host in lower case.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.origin, self.rest)
    }

    fn path(&self) -> &str {
        &self.rest[..self.path_length]
    }

    /// Returns whether an audience of a token is this identifier.
    pub(crate) fn is(&self, audience: &str) -> bool {
        let Some((scheme, after_scheme)) = audience.split_once("://") else { return false };
        let authority = after_scheme.find(['/', '?', '#']).unwrap_or(after_scheme.len());
        let (origin, rest) = audience.split_at(scheme.len() + "://".len() + authority);
        let is_root = |rest: &str| rest.is_empty() || rest == "/";
        origin.eq_ignore_ascii_case(&self.origin)
            && (rest == self.rest || (is_root(rest) && is_root(&self.rest)))
    }

    /// Returns the path of the metadata document: the well-known path stands before the identifier's own
    /// (RFC 9728 §3.1).
    pub(crate) fn metadata_path(&self) -> String {
        let path = if self.path() == "/" { "" } else { self.path() };
        format!("{WELL_KNOWN}{path}")
    }

    /// Returns the URL of the metadata document.
    pub(crate) fn metadata_url(&self) -> String {
        format!("{}{}{}", self.origin, self.metadata_path(), &self.rest[self.path_length..])
    }

    /// Returns whether the identifier is that of a whole host.
    pub(crate) fn is_host(&self) -> bool {
        matches!(self.path(), "" | "/")
    }

    /// Returns the number of segments of the identifier's path, if a request's path begins with all of them. Empty
    /// segments do not count, since an inner `NormalizePath` removes them.
    pub(crate) fn covers(&self, path: &str) -> Option<usize> {
        let mut requested = path.split('/').filter(|segment| !segment.is_empty());
        let mut count = 0;
        for segment in self.path().split('/').filter(|segment| !segment.is_empty()) {
            if requested.next() != Some(segment) {
                return None;
            }
            count += 1;
        }
        Some(count)
    }
}

/// The path of the metadata document of a host (RFC 9728 §3).
pub(crate) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> ResourceUri {
        ResourceUri::parse(text).expect(text)
    }

    #[test]
    fn well_known_path_stands_before_the_path_of_the_identifier() {
        for (text, url) in [
            ("https://h", "https://h/.well-known/oauth-protected-resource"),
            ("https://h/", "https://h/.well-known/oauth-protected-resource"),
            ("https://h/a/b", "https://h/.well-known/oauth-protected-resource/a/b"),
            ("https://h/a/", "https://h/.well-known/oauth-protected-resource/a/"),
            ("https://h/a?k=v", "https://h/.well-known/oauth-protected-resource/a?k=v"),
            ("https://h?k=v", "https://h/.well-known/oauth-protected-resource?k=v"),
            ("HTTPS://H.Example:443/A", "https://h.example/.well-known/oauth-protected-resource/A"),
            (
                "http://127.0.0.1:8080/mcp",
                "http://127.0.0.1:8080/.well-known/oauth-protected-resource/mcp",
            ),
        ] {
            assert_eq!(uri(text).metadata_url(), url);
        }
        assert_eq!(uri("HTTPS://H.Example:443/A").text(), "https://h.example/A");
        assert_eq!(uri("https://h").text(), "https://h");
        assert_eq!(uri("https://h/").text(), "https://h/");
    }

    #[test]
    fn identifiers_that_clients_could_misread_are_rejected() {
        for text in [
            "",
            "/mcp",
            "api://orders",
            "ftp://h/mcp",
            "http://api.example.com/mcp",
            "https://h/mcp#x",
            "https://h/mcp#",
            "https://user@h/mcp",
            "https://0.0.0.0/mcp",
            "https://h/m%63p",
            "https://h/{id}",
            "https://h/a//b",
            "https://h/a/../b",
            "https://h/./b",
            "https://h/m cp",
            "https://h/\u{e4}",
            "https://h\\mcp",
        ] {
            assert!(ResourceUri::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn audience_is_the_identifier_except_for_the_case_of_the_host() {
        let mcp = uri("https://api.example.com/mcp");
        for audience in ["https://api.example.com/mcp", "HTTPS://API.example.com/mcp"] {
            assert!(mcp.is(audience), "{audience}");
        }
        for audience in [
            "",
            "https://api.example.com",
            "https://api.example.com/",
            "https://api.example.com/mcp/",
            "https://api.example.com/MCP",
            "https://api.example.com/mcp?x",
            "https://api.example.com/mcp#",
            "https://api.example.com:443/mcp",
            "https://api.example.com.evil.example/mcp",
            "https://user@api.example.com/mcp",
            "http://api.example.com/mcp",
            "api.example.com/mcp",
            " https://api.example.com/mcp",
        ] {
            assert!(!mcp.is(audience), "{audience}");
        }
        for host in [uri("https://h"), uri("https://h/")] {
            assert!(host.is("https://h") && host.is("https://H/"));
            assert!(!host.is("https://h//") && !host.is("https://h/a") && !host.is("https://h?"));
        }
    }

    #[test]
    fn path_is_covered_by_whole_segments() {
        let covers = |text: &str, path: &str| uri(text).covers(path);
        assert_eq!(covers("https://h", "/x"), Some(0));
        assert_eq!(covers("https://h/mcp", "/mcp"), Some(1));
        assert_eq!(covers("https://h/mcp", "/mcp/a"), Some(1));
        assert_eq!(covers("https://h/mcp/", "/mcp"), Some(1));
        assert_eq!(covers("https://h/a/b", "/a//b/c"), Some(2));
        for path in ["/", "/mcpx", "/x/mcp", "/MCP"] {
            assert_eq!(covers("https://h/mcp", path), None, "{path}");
        }
    }
}

//! SPIFFE IDs and their trust domains (SPIFFE-ID §2).
//!
//! All functions are `#[inline]`, so that the module has no codegen unit of its own: another unit changes what
//! is inlined on the path of every request (`bench/instructions/run`).

/// Returns why a text is not the name of a trust domain (SPIFFE-ID §2.1), or `None` if it is one.
#[inline]
pub(crate) fn problem_of_trust_domain(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("must not be empty")
    } else if name.len() > MAX_TRUST_DOMAIN {
        Some("must have at most 255 bytes")
    } else if name.contains("://") {
        Some("must be the name of the trust domain without `spiffe://`, as in `example.org`")
    } else if !name.bytes().all(is_of_trust_domain) {
        Some(
            "must consist of lower-case letters, digits, dots, hyphens and underscores, as in \
             `example.org`",
        )
    } else {
        None
    }
}

/// Returns the trust domain of a workload's SPIFFE ID, if the text is well formed (SPIFFE-ID §2). The text is
/// not normalised: a port, user information, a query, an escape, an upper-case trust domain or a missing path
/// makes it malformed.
#[inline]
pub(crate) fn trust_domain(id: &str) -> Option<&str> {
    if id.len() > MAX_ID {
        return None;
    }
    let (trust_domain, path) = id.strip_prefix("spiffe://")?.split_once('/')?;
    let is_segment =
        |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(is_of_segment);
    (problem_of_trust_domain(trust_domain).is_none() && path.split('/').all(is_segment))
        .then_some(trust_domain)
}

#[inline]
fn is_of_trust_domain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_')
}

#[inline]
fn is_of_segment(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

// The maximum bytes of a trust domain's name and of a SPIFFE ID (SPIFFE-ID §2.3).
const MAX_TRUST_DOMAIN: usize = 255;
const MAX_ID: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_ids_have_their_trust_domain() {
        for (id, expected) in [
            ("spiffe://example.org/svc", "example.org"),
            ("spiffe://example.org/ns/shop/sa/Orders_1.2-3", "example.org"),
            ("spiffe://a_b-c.1/..x/...", "a_b-c.1"),
            ("spiffe://x/y", "x"),
        ] {
            assert_eq!(trust_domain(id), Some(expected), "{id}");
        }
        let longest = format!("spiffe://{}/{}", "d".repeat(255), "p".repeat(2048 - 265));
        assert_eq!(longest.len(), 2048);
        assert!(trust_domain(&longest).is_some());
    }

    #[test]
    fn malformed_ids_have_no_trust_domain() {
        for id in [
            "",
            "spiffe",
            "spiffe:",
            "spiffe://",
            "spiffe:///svc",
            "spiffe:/example.org/svc",
            "spiffe:example.org/svc",
            "spiffe://example.org",
            "spiffe://example.org/",
            "spiffe://example.org/svc/",
            "spiffe://example.org//svc",
            "spiffe://example.org/a//b",
            "spiffe://example.org/.",
            "spiffe://example.org/..",
            "spiffe://example.org/../x",
            "spiffe://example.org/a/./b",
            "spiffe://example.org:443/svc",
            "spiffe://example.org:/svc",
            "spiffe://user@example.org/svc",
            "spiffe://user:pw@example.org/svc",
            "spiffe://@example.org/svc",
            "spiffe://Example.org/svc",
            "spiffe://EXAMPLE.ORG/svc",
            "SPIFFE://example.org/svc",
            "Spiffe://example.org/svc",
            "spiffe://example%2eorg/svc",
            "spiffe://example.org/%73vc",
            "spiffe://example.org/a%2fb",
            "spiffe://example.org/svc?x",
            "spiffe://example.org?x/svc",
            "spiffe://example.org/svc#x",
            "spiffe://example.org#/svc",
            "spiffe://example.org\\/svc",
            "spiffe://example.org/s\\vc",
            "spiffe://example.org /svc",
            " spiffe://example.org/svc",
            "spiffe://example.org/svc ",
            "spiffe://example.org/svc\n",
            "spiffe://example.org/sv\0c",
            "spiffe://ex\u{e4}mple.org/svc",
            "spiffe://example.org/sv\u{e7}",
            "spiffe://[::1]/svc",
            "https://example.org/svc",
            "spiffe://*/svc",
        ] {
            assert_eq!(trust_domain(id), None, "{id:?}");
        }
        let long = |domain: usize, path: usize| {
            format!("spiffe://{}/{}", "d".repeat(domain), "p".repeat(path))
        };
        assert_eq!(trust_domain(&long(256, 1)), None);
        assert_eq!(trust_domain(&long(255, 2048 - 264)), None);
    }
}

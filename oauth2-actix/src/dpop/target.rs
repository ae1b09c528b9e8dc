//! The target URI of a proof: compares `htu` with the URI of the request (RFC 9449 §4.3, check 9).
//!
//! Both are compared in the normal form of RFC 3986 §6.2.2 and §6.2.3. The crate `url` follows the WHATWG instead, which
//! makes more URIs equal: it drops tabs, reads backslashes as slashes, and knows more forms of an address.

use crate::config::resource_uri::ResourceUri;

/// The base URLs of the API, as its clients see them.
#[derive(Debug)]
pub(crate) struct Targets {
    bases: Box<[Base]>,
}

/// The part of a target URI that comes from the configuration, in its normal form.
#[derive(Debug, PartialEq, Eq)]
struct Base {
    is_tls: bool,
    /// The host, and the port unless it is the default.
    authority: Box<str>,
    /// The path that a proxy removes before the request arrives here. It has no trailing slash, and may be empty.
    prefix: Box<str>,
}

impl Targets {
    /// Reads base URLs: https, or http to a loopback host, each with the path that a proxy removes.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the first URL that is not valid, then what is expected.
    pub(crate) fn new(base_urls: &[String]) -> Result<Self, String> {
        if base_urls.is_empty() {
            return Err("there is no base URL; expected at least one, such as \
                        `https://api.example.com`"
                .to_owned());
        }
        let bases = base_urls.iter().map(|url| Base::parse(url)).collect::<Result<_, _>>()?;
        Ok(Self { bases })
    }

    /// Returns the target URI in its normal form, if `htu` names it. Query and fragment of `htu` are ignored.
    ///
    /// `path` is the path of the request as received, without its query. One with a dot segment has no target URI: RFC
    /// 3986 §5.2.4 would remove the segment, but the router does not, so that the proof would be for another route.
    /// With `is_handshake`, `wss` and `ws` in `htu` mean `https` and `http`.
    pub(crate) fn matches(&self, htu: &str, path: &str, is_handshake: bool) -> Option<String> {
        if htu.len() > MAX_LENGTH || path.len() > 3 * MAX_LENGTH {
            return None;
        }
        if is_plain(path) && self.bases.iter().any(|base| base.is_followed_by(htu, path)) {
            return Some(htu.to_owned());
        }
        let htu = Htu::parse(htu, is_handshake)?;
        let path = Path::decode(path).filter(|path| !path.has_dot_segment())?;
        let base = self.bases.iter().find(|base| htu.is(base, &path))?;
        let scheme = if base.is_tls { "https" } else { "http" };
        Some(format!("{scheme}://{}{}", base.authority, htu.path))
    }
}

impl Base {
    fn parse(url: &str) -> Result<Self, String> {
        let problem = |problem: &str| {
            format!("{problem}; expected a base URL such as `https://api.example.com`")
        };
        if url.contains(['?', '#']) {
            return Err(problem("the URL has a query or fragment"));
        }
        let normal = ResourceUri::parse(url)?.text();
        let (scheme, rest) = split(&normal).ok_or_else(|| problem("the URL has no host"))?;
        let is_tls = scheme == "https";
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        // The URL parser also accepts other spellings, which `htu` must not have.
        let is_normal = split(url).is_some_and(|(written_scheme, rest)| {
            let written = rest.split('/').next().unwrap_or_default();
            written_scheme.eq_ignore_ascii_case(scheme)
                && normal_authority(written, is_tls).as_deref() == Some(authority)
        });
        if !is_normal {
            return Err(format!(
                "the URL is not in its normal form; expected `{scheme}://{authority}{path}`"
            ));
        }
        let prefix = path.trim_end_matches('/');
        Ok(Self { is_tls, authority: authority.into(), prefix: prefix.into() })
    }

    /// Returns whether `uri` is this base, then `path`, byte by byte.
    fn is_followed_by(&self, uri: &str, path: &str) -> bool {
        let scheme = if self.is_tls { "https://" } else { "http://" };
        let rest = uri.strip_prefix(scheme);
        let rest = rest.and_then(|rest| rest.strip_prefix(&*self.authority));
        rest.and_then(|rest| rest.strip_prefix(&*self.prefix)) == Some(path)
    }
}

/// An `htu` in its normal form, without query and fragment.
struct Htu {
    is_tls: bool,
    authority: String,
    path: String,
}

impl Htu {
    fn parse(htu: &str, is_handshake: bool) -> Option<Self> {
        let end = htu.find(['?', '#']).unwrap_or(htu.len());
        if !htu.bytes().all(is_allowed) {
            return None;
        }
        let (scheme, rest) = split(&htu[..end])?;
        let is = |name: &str| scheme.eq_ignore_ascii_case(name);
        let is_tls = match () {
            () if is("https") || (is_handshake && is("wss")) => true,
            () if is("http") || (is_handshake && is("ws")) => false,
            () => return None,
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let authority = normal_authority(authority, is_tls)?;
        let path = Path::decode(if path.is_empty() { "/" } else { path })?;
        Some(Self { is_tls, authority, path: path.without_dot_segments() })
    }

    /// Returns whether this is the URI of a request for `path`.
    fn is(&self, base: &Base, path: &Path) -> bool {
        let rest = self.path.strip_prefix(&*base.prefix);
        // A proxy that removes the prefix can pass on a request for the bare prefix only as one for `/`.
        let is_path = |rest: &str| rest == path.0 || (rest.is_empty() && path.0 == "/");
        self.is_tls == base.is_tls && self.authority == *base.authority && rest.is_some_and(is_path)
    }
}

/// A path in which each escape has upper-case digits, and unreserved characters are not escaped (RFC 3986 §6.2.2).
struct Path(String);

impl Path {
    /// Returns `None` if the path does not begin with a slash, or has a malformed escape or a character that no URI has.
    fn decode(path: &str) -> Option<Self> {
        if !path.starts_with('/') {
            return None;
        }
        let mut decoded = String::with_capacity(path.len());
        let mut bytes = path.bytes();
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                if !is_allowed(byte) || matches!(byte, b'?' | b'#') {
                    return None;
                }
                decoded.push(byte.into());
                continue;
            }
            let (high, low) = (bytes.next()?, bytes.next()?);
            let digit = |byte: u8| char::from(byte).to_digit(16);
            // An escape is decoded once: `%252e` stays the escape of `%`, then `2e`.
            let value = char::from_u32(digit(high)? << 4 | digit(low)?)?;
            if value.is_ascii_alphanumeric() || "-._~".contains(value) {
                decoded.push(value);
            } else {
                let upper = |byte: u8| char::from(byte.to_ascii_uppercase());
                decoded.extend(['%', upper(high), upper(low)]);
            }
        }
        Some(Self(decoded))
    }

    fn has_dot_segment(&self) -> bool {
        self.0.contains("/.") && self.0.split('/').any(|segment| matches!(segment, "." | ".."))
    }

    /// Removes dot segments (RFC 3986 §5.2.4).
    fn without_dot_segments(self) -> String {
        if !self.has_dot_segment() {
            return self.0;
        }
        let mut segments = Vec::new();
        let mut rest = self.0.split('/').skip(1).peekable();
        while let Some(segment) = rest.next() {
            let is_last = rest.peek().is_none();
            match segment {
                "." | ".." => {
                    if segment == ".." {
                        segments.pop();
                    }
                    if is_last {
                        segments.push("");
                    }
                }
                segment => segments.push(segment),
            }
        }
        format!("/{}", segments.join("/"))
    }
}

/// Splits a URL after its scheme.
fn split(url: &str) -> Option<(&str, &str)> {
    url.split_once("://")
}

/// Returns host and port in lower case and without a default port (RFC 3986 §6.2.3), unless there is no host.
fn normal_authority(authority: &str, is_tls: bool) -> Option<String> {
    let without_port = authority.strip_suffix(':');
    let without_port =
        without_port.or_else(|| authority.strip_suffix(if is_tls { ":443" } else { ":80" }));
    let authority = without_port.unwrap_or(authority);
    (!authority.is_empty()).then(|| authority.to_ascii_lowercase())
}

/// Returns whether the byte may be in an `htu`: no white space, no control character, nothing beyond ASCII, and no
/// backslash, which some parsers read as a slash.
fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'\\'
}

/// Returns whether a path is in its normal form at first sight.
fn is_plain(path: &str) -> bool {
    let is_plain = |byte: u8| is_allowed(byte) && !matches!(byte, b'%' | b'?' | b'#');
    // A search for a text of two bytes would take longer to set up.
    let has_dot = path.as_bytes().windows(2).any(|pair| pair == b"/.");
    path.starts_with('/') && !has_dot && path.bytes().all(is_plain)
}

/// The maximum bytes of an `htu`. A path may have three times as many, since `htu` may have fewer escapes.
const MAX_LENGTH: usize = 2_048;

#[cfg(test)]
mod tests {
    use actix_web::dev::Url;
    use proptest::prelude::*;

    use super::*;

    fn targets(base_urls: &[&str]) -> Targets {
        let base_urls: Vec<_> = base_urls.iter().map(|&url| url.to_owned()).collect();
        Targets::new(&base_urls).expect("base URLs")
    }

    fn matches(base_url: &str, htu: &str, path: &str) -> Option<String> {
        targets(&[base_url]).matches(htu, path, false)
    }

    #[test]
    fn base_urls_that_are_not_plain_origins_with_a_path_are_refused() {
        for url in [
            "",
            "api.example.com",
            "/orders",
            "http://api.example.com",
            "ftp://api.example.com",
            "wss://api.example.com",
            "https://user@api.example.com",
            "https://user:password@api.example.com",
            "https://@api.example.com",
            "https://api.example.com?x",
            "https://api.example.com/?",
            "https://api.example.com/#x",
            "https://api.example.com/a/../b",
            "https://api.example.com/a//b",
            "https://api.example.com/%61",
            "https://api.example.com\\orders",
            "https://api.exa\tmple.com",
            " https://api.example.com",
            "https://api.example.com ",
            "https://api.example.com/ ",
            "https:api.example.com",
            "https:///api.example.com",
            "https://b\u{fc}cher.example",
            "https://%61pi.example.com",
            "https://0x7f.1",
            "https://[0:0:0:0:0:0:0:1]",
            "https://api.example.com:0443",
            "https://0.0.0.0",
        ] {
            let problem = Targets::new(&[url.to_owned()]).expect_err(url);
            assert!(!problem.is_empty(), "{url}");
        }
        assert!(Targets::new(&[]).expect_err("none").contains("; expected"));
    }

    #[test]
    fn base_urls_are_kept_in_their_normal_form() {
        for (url, is_tls, authority, prefix) in [
            ("https://api.example.com", true, "api.example.com", ""),
            ("HTTPS://API.Example.com:443/", true, "api.example.com", ""),
            ("https://api.example.com:8443/v1/", true, "api.example.com:8443", "/v1"),
            ("https://api.example.com:/V1/a", true, "api.example.com", "/V1/a"),
            ("http://127.0.0.1:8080", false, "127.0.0.1:8080", ""),
            ("http://localhost:80", false, "localhost", ""),
            ("http://[::1]:8080", false, "[::1]:8080", ""),
        ] {
            let base = Base::parse(url).expect(url);
            let expected = Base { is_tls, authority: authority.into(), prefix: prefix.into() };
            assert_eq!(base, expected, "{url}");
        }
    }

    #[test]
    fn htu_that_names_the_request_matches_in_every_form_of_rfc_3986() {
        const BASE: &str = "https://api.example.com";
        for (htu, path, normal) in [
            ("https://api.example.com/orders", "/orders", "/orders"),
            ("HTTPS://API.EXAMPLE.COM/orders", "/orders", "/orders"),
            ("https://api.example.com:443/orders", "/orders", "/orders"),
            ("https://api.example.com:/orders", "/orders", "/orders"),
            ("https://api.example.com/a/../orders", "/orders", "/orders"),
            ("https://api.example.com/a/%2E%2e/./orders", "/orders", "/orders"),
            ("https://api.example.com/../orders", "/orders", "/orders"),
            ("https://api.example.com/%6frders", "/orders", "/orders"),
            ("https://api.example.com/orders", "/%6Frders", "/orders"),
            ("https://api.example.com/a%2fb", "/a%2Fb", "/a%2Fb"),
            ("https://api.example.com/a%2fb", "/a%2fb", "/a%2Fb"),
            ("https://api.example.com/%252e%252e/b", "/%252e%252e/b", "/%252e%252e/b"),
            ("https://api.example.com/%7euser/%C3%a4", "/~user/%c3%A4", "/~user/%C3%A4"),
            ("https://api.example.com/...", "/...", "/..."),
            ("https://api.example.com/a/.b", "/a/.b", "/a/.b"),
            ("https://api.example.com/a/.", "/a/", "/a/"),
            ("https://api.example.com/a/b/..", "/a/", "/a/"),
            ("https://api.example.com", "/", "/"),
            ("https://api.example.com/", "/", "/"),
            ("https://api.example.com?x=1", "/", "/"),
            ("https://api.example.com/orders?x=1#y", "/orders", "/orders"),
            ("https://api.example.com/orders#y?x", "/orders", "/orders"),
            ("https://api.example.com//a//", "//a//", "//a//"),
            (
                "https://api.example.com/a;v=1:@!$&'()*+,=",
                "/a;v=1:@!$&'()*+,=",
                "/a;v=1:@!$&'()*+,=",
            ),
            ("https://api.example.com/a|b[]{}^", "/a|b[]{}^", "/a|b[]{}^"),
        ] {
            let normal = format!("{BASE}{normal}");
            assert_eq!(matches(BASE, htu, path), Some(normal), "{htu} for {path}");
        }
    }

    #[test]
    fn htu_of_another_target_does_not_match() {
        for (htu, path) in [
            ("http://api.example.com/orders", "/orders"),
            ("wss://api.example.com/orders", "/orders"),
            ("https://api.example.com:80/orders", "/orders"),
            ("https://api.example.com:8443/orders", "/orders"),
            ("https://api.example.com:0443/orders", "/orders"),
            ("https://api.example.com:443:443/orders", "/orders"),
            ("https://api.example.com./orders", "/orders"),
            ("https://evil.example/orders", "/orders"),
            ("https://api.example.com.evil.example/orders", "/orders"),
            ("https://api.example.com@evil.example/orders", "/orders"),
            ("https://user@api.example.com/orders", "/orders"),
            ("https://@api.example.com/orders", "/orders"),
            ("https://%61pi.example.com/orders", "/orders"),
            ("https://api.example.com\\@evil.example/orders", "/orders"),
            ("https://api.example.com/orders/", "/orders"),
            ("https://api.example.com/orders", "/orders/"),
            ("https://api.example.com/Orders", "/orders"),
            ("https://api.example.com//orders", "/orders"),
            ("https://api.example.com/orders%20", "/orders"),
            ("https://api.example.com/orders%00", "/orders"),
            ("https://api.example.com/a%2Fb", "/a/b"),
            ("https://api.example.com/a/b", "/a%2fb"),
            ("https://api.example.com/a%2F..%2Forders", "/orders"),
            ("https://api.example.com/%252e%252e/orders", "/orders"),
            ("https://api.example.com/%2525", "/%25"),
            ("https://api.example.com/a%2Bb", "/a+b"),
            ("https://api.example.com/a%3Bb", "/a;b"),
            ("https://api.example.com/a%7Cb", "/a|b"),
            ("/orders", "/orders"),
            ("//api.example.com/orders", "/orders"),
            ("https:/api.example.com/orders", "/orders"),
            ("https:///orders", "/orders"),
            ("https://:443/orders", "/orders"),
            ("", "/"),
            ("https://", "/"),
        ] {
            assert_eq!(matches("https://api.example.com", htu, path), None, "{htu} for {path}");
        }
    }

    #[test]
    fn htu_that_is_no_uri_matches_nothing_even_byte_by_byte() {
        for path in [
            "/a b", "/a\tb", "/a\nb", "/a\u{7f}", "/\u{e4}", "/a\\b", "/%", "/%2", "/%zz",
            "/%%32e", "/%2%65", "a", "*", "",
        ] {
            let htu = format!("https://h{path}");
            if !path.is_empty() {
                assert_eq!(matches("https://h", &htu, path), None, "{path:?}");
            }
            assert_eq!(matches("https://h", "https://h/", path), None, "{path:?}");
        }
        // A query is no part of the path, so that the caller has made a mistake.
        assert_eq!(matches("https://h", "https://h/a?b", "/a?b"), None);
        assert_eq!(matches("https://h", "https://h/a#b", "/a#b"), None);
    }

    #[test]
    fn request_with_a_dot_segment_has_no_target() {
        for path in ["/a/../b", "/a/..", "/./b", "/.", "/..", "/a/%2e%2E/b", "/a/.%2e", "/%2e/b"] {
            for htu in ["https://h/b", "https://h/a/", "https://h/", &format!("https://h{path}")] {
                assert_eq!(matches("https://h", htu, path), None, "{htu} for {path}");
            }
        }
    }

    #[test]
    fn over_long_htu_matches_nothing() {
        let path = |length: usize| format!("/{}", "a".repeat(length));
        let longest = path(MAX_LENGTH - "https://h/".len());
        let htu = format!("https://h{longest}");
        assert_eq!(matches("https://h", &htu, &longest), Some(htu.clone()));
        assert_eq!(matches("https://h", &format!("{htu}a"), &format!("{longest}a")), None);
        assert_eq!(matches("https://h", &format!("{htu}?"), &longest), None);
        assert_eq!(matches("https://h", "https://h/", &path(3 * MAX_LENGTH)), None);
    }

    #[test]
    fn path_that_a_proxy_removes_is_in_front_of_the_path() {
        let matches = |htu: &str, path: &str| matches("https://h/api/v1", htu, path);
        let normal = |path: &str| Some(format!("https://h{path}"));
        assert_eq!(matches("https://h/api/v1/a", "/a"), normal("/api/v1/a"));
        assert_eq!(matches("https://h/api/v1/", "/"), normal("/api/v1/"));
        assert_eq!(matches("https://h/%61pi/v1/a", "/a"), normal("/api/v1/a"));
        // No other path of a request can have come from it.
        assert_eq!(matches("https://h/api/v1", "/"), normal("/api/v1"));
        for (htu, path) in [
            ("https://h/a", "/a"),
            ("https://h/api/v1a", "/a"),
            ("https://h/api/v1a", "a"),
            ("https://h/api/v1/../a", "/a"),
            ("https://h/api/v1/../a", "/../a"),
            ("https://h/API/v1/a", "/a"),
            ("https://h/api/v1/api/v1/a", "/a"),
            ("https://h/api/v1/", "/api/v1/"),
        ] {
            assert_eq!(matches(htu, path), None, "{htu} for {path}");
        }
    }

    #[test]
    fn each_base_url_is_a_target() {
        let targets = targets(&["https://a.example", "https://b.example/v1"]);
        assert!(targets.matches("https://a.example/x", "/x", false).is_some());
        assert!(targets.matches("https://b.example/v1/x", "/x", false).is_some());
        assert!(targets.matches("https://a.example/v1/x", "/x", false).is_none());
        assert!(targets.matches("https://b.example/x", "/x", false).is_none());
    }

    #[test]
    fn websocket_schemes_are_for_handshakes_only() {
        let targets = targets(&["https://h", "http://localhost:8080"]);
        let matches =
            |htu: &str, is_handshake: bool| targets.matches(htu, "/ws", is_handshake).is_some();
        for (htu, plain) in [
            ("https://h/ws", "http://h/ws"),
            ("wss://h/ws", "ws://h/ws"),
            ("WSS://h:443/ws", "wss://h:80/ws"),
            ("ws://localhost:8080/ws", "wss://localhost:8080/ws"),
        ] {
            assert!(matches(htu, true), "{htu}");
            assert_eq!(matches(htu, false), htu.starts_with("http"), "{htu}");
            assert!(!matches(plain, true), "{plain}");
        }
    }

    /// Parts of paths that normalisation and routing treat differently. Neighbours are easily confused.
    const PARTS: [&str; 30] = [
        "/", "%2f", "%2F", "%5c", "%5C", "a", "%61", "A", "%41", "b", ".", "%2e", "%2E", "..",
        "./", "+", "%2b", "%2B", "%25", "%", "%zz", "%00", "~", "%7E", "%c3%a4", "%C3%A4", ";",
        "%3b", "|", "%7C",
    ];

    fn any_path() -> impl Strategy<Value = String> {
        two_paths().prop_map(|(path, _)| path)
    }

    /// Returns two paths that often differ only in their spelling.
    fn two_paths() -> impl Strategy<Value = (String, String)> {
        let part = (0..PARTS.len(), prop::sample::select(vec![0, 0, 0, 0, 1, 2, PARTS.len() - 1]));
        prop::collection::vec(part, 0..8).prop_map(|parts| {
            let text = |is_other: usize| {
                let index =
                    |(part, other): &(usize, usize)| (part + is_other * other) % PARTS.len();
                let texts: Vec<_> = parts.iter().map(|part| PARTS[index(part)]).collect();
                format!("/{}", texts.concat())
            };
            (text(0), text(1))
        })
    }

    /// Returns the path as actix routes it.
    fn routed(path: &str) -> Option<String> {
        let uri = path.parse().ok()?;
        Some(Url::new(uri).path().to_owned())
    }

    /// A second reading of RFC 3986 §6.2.2: escapes by a replacement of each, then the algorithm of §5.2.4 as it stands.
    fn normal_by_the_letter(path: &str) -> Option<String> {
        let mut pieces = path.split('%');
        let mut text = pieces.next()?.to_owned();
        for piece in pieces {
            let code = piece.get(..2).filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()))?;
            let byte = u8::from_str_radix(code, 16).ok()?;
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                text.push(byte.into());
            } else {
                text += &format!("%{}", code.to_uppercase());
            }
            text += &piece[2..];
        }
        let (mut input, mut output) = (text, String::new());
        while !input.is_empty() {
            if input.starts_with("/./") || input == "/." {
                input = format!("/{}", input.get(3..).unwrap_or(""));
            } else if input.starts_with("/../") || input == "/.." {
                input = format!("/{}", input.get(4..).unwrap_or(""));
                output.truncate(output.rfind('/').unwrap_or(0));
            } else {
                let end = input[1..].find('/').map_or(input.len(), |at| at + 1);
                output += &input[..end];
                input.drain(..end);
            }
        }
        Some(output)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4096, ..ProptestConfig::default() })]

        #[test]
        fn paths_that_the_router_tells_apart_are_equal_only_by_case_of_escapes(
            (one, other) in two_paths()
        ) {
            let target = |path: &str| matches("https://h", &format!("https://h{other}"), path);
            if let (Some(own), Some(_)) = (target(&other), target(&one)) {
                // Escapes of `%`, `/` and `+` stay as they are in the router.
                let upper = |path: &str| {
                    let routed = routed(path).expect("a URI");
                    routed.replace("%2f", "%2F").replace("%2b", "%2B")
                };
                prop_assert_eq!(upper(&one), upper(&other));
                prop_assert_eq!(target(&one), Some(own));
            }
        }

        #[test]
        fn normal_form_is_that_of_rfc_3986(path in any_path()) {
            let ours = Path::decode(&path).map(Path::without_dot_segments);
            prop_assert_eq!(ours, normal_by_the_letter(&path));
        }

        #[test]
        fn htu_matches_exactly_if_the_normal_forms_are_equal(
            (one, other) in two_paths()
        ) {
            let found = matches("https://h", &format!("https://h{one}"), &other);
            let [one, normal] = [&one, &other].map(|path| normal_by_the_letter(path));
            let has_dots = other.replace("%2e", ".").replace("%2E", ".");
            let has_dots = has_dots.split('/').any(|segment| segment == "." || segment == "..");
            let expected = one.filter(|one| !has_dots && Some(one) == normal.as_ref());
            prop_assert_eq!(found, expected.map(|path| format!("https://h{path}")));
        }

        #[test]
        fn normal_form_of_a_match_matches_again(path in any_path()) {
            if let Some(normal) = matches("https://h", &format!("https://h{path}"), &path) {
                prop_assert_eq!(matches("https://h", &normal, &path), Some(normal.clone()));
                let path = normal.strip_prefix("https://h").expect("the base");
                prop_assert_eq!(matches("https://h", &normal, path), Some(normal.clone()));
            }
        }

        #[test]
        fn no_text_panics(htu in ".{0,40}", path in ".{0,40}", is_handshake: bool) {
            let targets = targets(&["https://h/a", "http://localhost"]);
            let _ = targets.matches(&htu, &path, is_handshake);
        }
    }
}

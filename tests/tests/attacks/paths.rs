//! Attacks by paths, methods and headers.

use oauth2_actix::{Algorithm, MissingToken, Provider, testing::SigningKey};
use oauth2_actix_tests::{
    client::{Answer, Connection, raw},
    key_server::{Answer as Script, KeyServer},
    policy,
};

use crate::target::{
    AUDIENCE, CANARY, Rejection, Target, bearer, builder, es256, good, is_rejection, provider,
    request,
};

fn public(paths: &[&str]) -> Target {
    let oauth2 = policy::builder().provider("test", provider()).public_paths(paths.iter().copied());
    Target::behind(oauth2.build().unwrap())
}

fn send(target: &Target, method: &str, path: &str, lines: &[&str]) -> Answer {
    let lines: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    raw(target.api.server().address(), &request(method, path, &lines))
}

/// Asserts that the request is rejected without a token, and that no private handler ran.
#[track_caller]
fn is_private(target: &Target, method: &str, path: &str, lines: &[&str]) {
    let before = target.api.private_calls();
    let answer = send(target, method, path, lines);
    let what = format!("{method} {path} {lines:?}");
    is_rejection(&what, &answer, Rejection::NoToken);
    assert_eq!(target.api.private_calls(), before, "{what}: a handler ran");
}

#[track_caller]
fn is_public(target: &Target, method: &str, path: &str) {
    let answer = send(target, method, path, &[]);
    assert_eq!((answer.status, answer.body.as_str()), (200, "public"), "{method} {path}");
}

/// CVE-2025-54576 (GHSA-7rh7-c77v-6434: `?`), CVE-2026-41059 (GHSA-pxq7-h93f-9jrg: `#`), CVE-2020-8595,
/// CVE-2021-39156: a private path that its query or fragment makes public.
#[test]
fn private_path_with_a_public_query_or_fragment_stays_private_cve_2025_54576_cve_2026_41059_cve_2020_8595_cve_2021_39156()
 {
    let target = public(&["/", "/public", "/docs/{tail:.*}"]);
    for path in [
        "/me?/public",
        "/me?x=/public",
        "/me?/docs/x",
        "/me?x=/docs/",
        "/me??/public",
        "/me?a#/public",
        "/me#/public",
        "/me#/docs/x",
        "/me%23/docs/x",
        "/me%3F/docs/x",
        "/me%3f/public",
        "/me#",
        "/me?",
        "/me?access_token=canary",
    ] {
        is_private(&target, "GET", path, &[]);
    }
    is_private(&target, "GET", "/docs/?/me", &[]);
    for path in ["/public?", "/public?x=/me", "/?/me", "/docs/x?/me", "/docs/x?y#z"] {
        is_public(&target, "GET", path);
    }
    target.still_works("queries and fragments");
}

/// `..`, `//`, `%2F`, `%2e`, `%61`, a trailing slash: CVE-2019-9901, CVE-2021-29492, CVE-2021-31920,
/// CVE-2023-4853 and CVE-2022-31692 (the matcher and the router disagree), CVE-2022-23553.
#[test]
fn private_path_with_dots_slashes_or_escapes_stays_private_cve_2019_9901_cve_2021_29492_cve_2023_4853()
 {
    let target = public(&["/", "/public", "/docs/{tail:.*}", "/users/{id:[^m].*}"]);
    for path in [
        "/docs/../me",
        "/docs/..",
        "/docs/../",
        "/docs/x/../../me",
        "/docs/./../me",
        "/docs/%2e%2e/me",
        "/docs/%2E%2E/me",
        "/docs/.%2e/me",
        "/docs/%2e./me",
        "/docs/..%2fme",
        "/docs/..%2Fme",
        "/docs/%2e%2e%2fme",
        "/docs/..%5cme",
        "/docs/..\\me",
        "/public/../me",
        "/./me",
        "/../me",
        "/..",
        "//",
        "//me",
        "//public",
        "/public/",
        "/public//",
        "//docs/x",
        "/public/.",
        "/public/..",
        "/public%2F",
        "/public%2f..%2fme",
        "/%2e/public",
        "/%2fpublic",
        "/me/../public",
        "/me/",
        "/m%65",
        "/%6d%65",
        "/%6De",
        "/m%2565",
        "/users/me",
        "/users/%6de",
        "/users/%6D%65",
        "/%75sers/me",
        "/docs%2fx",
        "/docs",
        "/docs/",
        "/docs//",
        "/%64ocs/",
        "/do%63s",
        "/docs%2f..%2fme",
        "http://api/me",
        "http://api/docs/../me",
        "https://canary.test/me",
        "http://api//docs/x",
    ] {
        is_private(&target, "GET", path, &[]);
    }
    for path in ["/%70ublic", "/publi%63", "/docs/x/", "/docs/x", "/docs/%2fx", "/%64ocs/x", "/"] {
        is_public(&target, "GET", path);
    }
    // Escaped twice: an ordinary name for the router.
    is_public(&target, "GET", "/docs/%252e%252e/me");
    // actix has no path parameters as Java has: `..;` is a name, and the route is that of `/docs/`.
    is_public(&target, "GET", "/docs/..;/me");
    assert_eq!(send(&target, "GET", "/users/x", &[]).status, 200);
    target.still_works("dots and escapes");
}

/// Path parameters by `;` and `%3B`: CVE-2026-39852, CVE-2026-50559 (Quarkus). A line end in an expression:
/// CVE-2022-22978. A wildcard that means something else to the router: CVE-2023-34034, CVE-2023-20860. The
/// base path of the matcher: CVE-2026-22753, CVE-2026-22754.
#[test]
fn private_path_with_parameters_line_ends_or_wildcards_stays_private_cve_2026_39852_cve_2022_22978_cve_2023_34034()
 {
    let target = public(&["/public", "/docs/{tail:.*}", "/users/{id}"]);
    // `{id}` makes every single segment public, also a private route of that form. It does not match the next
    // segment.
    for path in [
        "/me;/public",
        "/me;x=/docs/",
        "/me%3B/docs/x",
        "/public;",
        "/public;x=1",
        "/public;/me",
        "/public;/../me",
        "/;/public",
        "/;x/me",
        "/public%3b",
        "/me%0a/docs/x",
        "/me%0d%0a",
        "/public%0a",
        "/public%0A/me",
        "/public%00",
        "/public%20",
        "/%0apublic",
        "/users",
        "/users/",
        "/users/a/b",
        "/users/x/../me",
        "/users/%0a/x",
        "/api/public",
        "/api/docs/x",
        "/publicpublic",
        "/*",
        "/**",
        "/docs*",
        "/{tail}",
        "/docs{tail}",
        "*",
    ] {
        let answer = send(&target, "GET", path, &[]);
        // actix rejects an invalid request target.
        assert!(answer.status == 400, "{path}: {answer:?}");
        if path != "*" {
            is_rejection(path, &answer, Rejection::NoToken);
        }
    }
    // Paths that a configured pattern matches, line ends included.
    for path in ["/docs/a;b", "/docs/%0a", "/docs/a%0d%0ab", "/docs/a%00b"] {
        is_public(&target, "GET", path);
    }
    assert_eq!(target.api.private_calls(), 1, "only the call with a valid token");
    // Within a scope, the whole path counts.
    let scoped = policy::builder().provider("test", provider()).public_paths(["/health"]);
    let oauth2 = scoped.build().unwrap();
    let server = oauth2_actix::testing::LocalServer::start(move |listener| {
        use actix_web::{App, HttpResponse, HttpServer, web};
        let app = move || {
            App::new()
                .service(
                    web::scope("/api")
                        .wrap(oauth2.clone())
                        .default_service(web::to(HttpResponse::Ok)),
                )
                .default_service(web::to(HttpResponse::NotFound))
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    for path in ["/api/me", "/api", "/api/", "/api/x/health", "/api/health/x"] {
        let answer = raw(server.address(), &request("GET", path, &[]));
        is_rejection(path, &answer, Rejection::NoToken);
    }
}

/// `/public` must not open `/publications`; case; other methods on a public path; OPTIONS with or without a
/// preflight.
#[test]
fn public_prefix_other_case_and_preflights_open_no_private_path() {
    let target = public(&["/", "/public", "/docs/{tail:.*}"]);
    for path in [
        "/publications",
        "/publicx",
        "/public-x",
        "/public.json",
        "/PUBLIC",
        "/Public",
        "/pUblic",
        "/DOCS/x",
        "/Docs/",
        "/docsx",
        "/docs-x/y",
        "/me",
        "/ME",
        "/typed",
        "/scope",
        "/role",
        "/ws",
        "/no-such-route",
    ] {
        is_private(&target, "GET", path, &[]);
    }
    for method in [
        "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "Get", "CANARY",
        "M-SEARCH",
    ] {
        is_private(&target, method, "/me", &[]);
        // A path in `public_paths` is public for every method, as documented.
        is_public(&target, method, "/public");
    }
    // A response to HEAD has no body, despite its length.
    let mut head = Connection::open(target.api.server().address());
    head.send(&request("HEAD", "/me", &[]));
    assert_eq!(head.read(12), b"HTTP/1.1 400");
    for lines in [
        vec!["Origin: https://canary.test"],
        vec!["Access-Control-Request-Method: GET"],
        vec!["Access-Control-Request-Headers: authorization"],
        vec!["Origin: null", "Access-Control-Request-Method: GET"],
        vec!["Origin: https://canary.test", "Access-Control-Request-Method: GET"],
    ] {
        for method in ["OPTIONS", "GET"] {
            let before = target.api.private_calls();
            let mut answer = send(&target, method, "/me", &lines);
            // A rejection of a cross-origin request exposes headers.
            let exposed = answer.headers.len();
            answer.headers.retain(|(name, _)| name != "access-control-expose-headers");
            assert_eq!(exposed - answer.headers.len(), usize::from(lines[0].starts_with('O')));
            is_rejection(method, &answer, Rejection::NoToken);
            assert_eq!(target.api.private_calls(), before);
        }
    }
    target.still_works("methods");
}

/// CVE-2025-29927 (`x-middleware-subrequest`), CVE-2026-40575 (GHSA-7x63-xv5r-3p2x: `X-Forwarded-Uri`): a
/// header of the client claims that no token is needed, that the request is another one, or that it was
/// checked.
#[test]
fn client_header_opens_no_private_path_cve_2025_29927_cve_2026_40575_ghsa_7x63_xv5r_3p2x() {
    let target = public(&["/public"]);
    for line in [
        "x-middleware-subrequest: middleware",
        "x-middleware-subrequest: middleware:middleware:middleware:middleware:middleware",
        "X-Forwarded-Uri: /public",
        "X-Forwarded-Path: /public",
        "X-Forwarded-Prefix: /public",
        "X-Original-URL: /public",
        "X-Original-URI: /public",
        "X-Rewrite-URL: /public",
        "X-Envoy-Original-Path: /public",
        "X-HTTP-Method-Override: OPTIONS",
        "X-Forwarded-Host: 127.0.0.1",
        "X-Forwarded-For: 127.0.0.1",
        "X-Real-IP: 127.0.0.1",
        "Forwarded: for=127.0.0.1;host=localhost",
        "X-Forwarded-User: canary-admin",
        "X-Remote-User: canary-admin",
        "X-Auth-Request-User: canary-admin",
        "X-Forwarded-Access-Token: canary",
        "X-Authenticated: true",
        "Referer: http://api/public",
        "Upgrade: websocket",
        "Upgrade: h2c",
        "Connection: Upgrade, Authorization",
        "User-Agent: kube-probe/1.30",
        "X-Internal: true",
        "Cookie: token=canary; access_token=canary; session=canary",
        "Sec-WebSocket-Protocol: public",
    ] {
        is_private(&target, "GET", "/me", &[line]);
        is_private(&target, "POST", "/me", &[line]);
    }
    target.still_works("headers");
}

/// Two `Authorization` headers, values joined by a comma, a token in header and query: CVE-2026-26308,
/// CVE-2026-31838. Any scheme accepted: CVE-2026-47673 (GHSA-f577-qrjj-4474); `bearer`, `BEARER`, tabs, no
/// space, bytes that are not ASCII, nothing.
#[test]
fn authorization_twice_joined_or_of_another_scheme_is_rejected_cve_2026_26308_cve_2026_31838_cve_2026_47673()
 {
    let target = Target::start();
    let token = good().sign(es256());
    let bad = good().claim("role", "canary-admin").expires_in(-5).sign(es256());
    let good_line = bearer(&token);
    let line = |text: &[u8]| [b"Authorization: ".as_slice(), text].concat();
    for pair in [
        [good_line.clone(), good_line.clone()],
        [good_line.clone(), bearer(&bad)],
        [bearer(&bad), good_line.clone()],
        [good_line.clone(), line(b"Basic Y2FuYXJ5OmNhbmFyeQ==")],
        [line(b"Basic Y2FuYXJ5OmNhbmFyeQ=="), good_line.clone()],
        [good_line.clone(), line(b"")],
        [line(b""), good_line.clone()],
        [good_line.clone(), [b"AUTHORIZATION: Bearer ".as_slice(), token.as_bytes()].concat()],
    ] {
        target.rejects_lines("two headers", &pair, Rejection::MalformedHeader);
    }
    let text = |parts: &[&[u8]]| parts.concat();
    let t = token.as_bytes();
    for value in [
        b"".to_vec(),
        b"Bearer".to_vec(),
        b"bearer".to_vec(),
        b"Bearer =".to_vec(),
        b"Bearer ,".to_vec(),
        t.to_vec(),
        text(&[b"Bearer", t]),
        text(&[b"Bearer\t", t]),
        text(&[b"Bearer \t", t]),
        text(&[b"Bearer:", t]),
        text(&[b"Bearer: ", t]),
        text(&[b"Bearer ", t, b",", t]),
        text(&[b"Bearer ", t, b", Bearer ", t]),
        text(&[b"Bearer ", bad.as_bytes(), b",", t]),
        text(&[b"Bearer ", t, b" ", t]),
        text(&[b"Bearer ", t, b";"]),
        text(&[b"Bearer ", t, b" realm=canary"]),
        text(&[b"Bearer token=", t]),
        text(&[b"Bearer token=\"", t, b"\""]),
        text(&[b"Bearer \"", t, b"\""]),
        text(&[b"Bearer '", t, b"'"]),
        text(&[b"Bearer <", t, b">"]),
        text(&[b"Bearer Bearer ", t]),
        text(&[b"Basic ", t]),
        text(&[b"DPoP ", t]),
        text(&[b"Token ", t]),
        text(&[b"JWT ", t]),
        text(&[b"MAC ", t]),
        text(&[b"Digest ", t]),
        text(&[b"Negotiate ", t]),
        text(&[b"BearerX ", t]),
        text(&[b"XBearer ", t]),
        text(&[b"Bear er ", t]),
        text(&[b"B\xc3\xabarer ", t]),
        text(&[b"Bearer\xa0", t]),
        text(&[b"Bearer \xa0", t]),
        text(&[b"Bearer ", t, b"\xff"]),
        text(&[b"Bearer ", t, b"\xc3\xa9"]),
        text(&[b"\xef\xbb\xbfBearer ", t]),
        text(&[b"Bearer ", t, b"%20"]),
        text(&[b"Bearer ", t, b"\\"]),
    ] {
        let attack = value.escape_ascii().to_string();
        let rejection =
            if has_other_scheme(&value) { Rejection::NoToken } else { Rejection::MalformedHeader };
        target.rejects_lines(&attack, &[line(&value)], rejection);
    }
    for scheme in ["bearer", "BEARER", "bEaReR", "Bearer  ", "Bearer     "] {
        let lines = [line(format!("{scheme} {token}").as_bytes())];
        assert_eq!(target.send("/me", &lines).status, 200, "{scheme}");
    }
    // A token in another location is ignored, also beside an invalid one.
    for path in [
        format!("/me?access_token={token}"),
        format!("/me?token={token}&Authorization=Bearer%20{token}"),
        format!("/me?{token}"),
    ] {
        target.rejects_at(
            "in the query",
            &path,
            &path.replace("/me", "/ws"),
            &[],
            Rejection::NoToken,
        );
        let lines = [bearer(&bad)];
        target.rejects_at(
            "in both",
            &path,
            &path.replace("/me", "/ws"),
            &lines,
            Rejection::Expired,
        );
    }
    for name in ["Proxy-Authorization", "X-Authorization", "Authentication", "X-Access-Token"] {
        let lines = [format!("{name}: Bearer {token}").into_bytes()];
        target.rejects_lines(name, &lines, Rejection::NoToken);
    }
    let form = format!("access_token={token}");
    let body = [
        b"Content-Type: application/x-www-form-urlencoded".to_vec(),
        format!("Content-Length: {}", form.len()).into_bytes(),
    ];
    let bytes = [request("POST", "/me", &body), form.into_bytes()].concat();
    is_rejection("in the body", &raw(target.api.server().address(), &bytes), Rejection::NoToken);
    target.still_works("all of these");
}

/// CVE-2021-21378: where a missing token is allowed, an invalid one, or one of an unknown issuer, is accepted
/// too. Here a private route rejects an invalid token; a public one ignores it, and has no claims.
#[test]
fn invalid_token_is_rejected_where_a_missing_one_is_allowed_cve_2021_21378() {
    for missing in [MissingToken::BadRequest, MissingToken::Unauthorized] {
        let target = Target::behind(builder().missing_token_status(missing).build().unwrap());
        let attacker = SigningKey::generate(Algorithm::ES256, "ES256");
        for (attack, token, rejection) in [
            ("another key", good().sign(&attacker), Rejection::Signature),
            (
                "unknown issuer",
                good().claim("iss", "https://canary.test").sign(es256()),
                Rejection::WrongResource,
            ),
            (
                "another audience",
                good().claim("aud", "canary").sign(es256()),
                Rejection::WrongResource,
            ),
            ("expired", good().expires_in(-9).sign(es256()), Rejection::Expired),
            ("garbage", "canary".to_owned(), Rejection::Malformed),
        ] {
            target.rejects(attack, &token, rejection);
            for path in ["/optional", "/public"] {
                let answer = target.send(path, &[bearer(&token)]);
                assert_eq!(answer.status, 200, "{attack}");
                assert!(!answer.body.contains(CANARY), "{attack}: {}", answer.body);
            }
            // A public path whose handler requires claims.
            let lines = [bearer(&token)];
            target.rejects_at(attack, "/claims-on-public", "/claims-on-public", &lines, rejection);
        }
        let answer = target.send("/me", &[]);
        assert_eq!(answer.status, if missing == MissingToken::Unauthorized { 401 } else { 400 });
    }
}

/// Text of the token, a kid or a claim with quotes and line ends, in any part of the response.
#[test]
fn challenge_holds_no_text_of_the_token() {
    let target = Target::start();
    for text in [
        "\" canary=\"1",
        "\", error=\"canary",
        "canary\r\nSet-Cookie: canary=1",
        "canary\r\n\r\n<script>alert(1)</script>",
        "canary\n canary: 1",
        "canary\\",
        "canary\u{0}",
        "canary\u{85}\u{2028}",
        "\u{1f426}canary",
    ] {
        for (token, rejection) in [
            (good().header("kid", text).sign(es256()), Rejection::Signature),
            (good().header("alg", text).sign(es256()), Rejection::Signature),
            (good().header("typ", text).sign(es256()), Rejection::Malformed),
            (good().claim("iss", text).sign(es256()), Rejection::WrongResource),
            (good().claim("aud", text).sign(es256()), Rejection::WrongResource),
            (good().claim("exp", text).sign(es256()), Rejection::Malformed),
            (good().claim(text, text).claim("nbf", text).sign(es256()), Rejection::Malformed),
            (good().claim("sub", text).expires_in(-1).sign(es256()), Rejection::Expired),
        ] {
            target.rejects(text, &token, rejection);
        }
        let role = good().claim("role", text).claim("scope", text).sign(es256());
        target.rejects_at(text, "/role", "/ws-role", &[bearer(&role)], Rejection::NotPermitted);
    }
    for path in ["/canary%22%0d%0aX-Canary:%201", "/%3Cscript%3Ecanary", "/canary?%22canary"] {
        target.rejects_at(path, path, path, &[], Rejection::NoToken);
    }
    for value in ["Basic canary\"", "canary=\"", "Bearer canary\" x", "\"canary\""] {
        let lines = [format!("Authorization: {value}").into_bytes()];
        let other = has_other_scheme(value.as_bytes());
        target.rejects_lines(
            value,
            &lines,
            if other { Rejection::NoToken } else { Rejection::MalformedHeader },
        );
    }
    // A configured realm with characters that would end it.
    let target = Target::behind(builder().realm("a\"b\\c").build().unwrap());
    let answer = target.send("/me", &[]);
    assert_eq!(answer.challenge(), r#"Bearer realm="a\"b\\c""#);
    // Unavailable keys: the response holds neither their URL nor the cause.
    let server = KeyServer::start(Script::body(500, &[], b"canary")).unwrap();
    let url = format!("{}?canary=canary", server.url());
    let down = Provider::new().issuer("https://down.test").audience(AUDIENCE).keys(url);
    let oauth2 =
        builder().provider("canary-provider", down).key_refresh_minutes(60).build().unwrap();
    let target = Target::behind(oauth2);
    let token = good().claim("iss", "https://down.test").sign(es256());
    target.rejects("no keys", &token, Rejection::Unavailable);
}

/// RUSTSEC-2025-0004 / CVE-2025-24898 and RUSTSEC-2025-0022 / CVE-2025-3416 (openssl), RUSTSEC-2021-0081
/// (actix-http), GHSA-gcqf-3g44-vc9p and GHSA-8v2v-wjwg-vx6r (actix-files): versions with known
/// vulnerabilities. The lock file has none, the manifests permit none, and cargo-deny has no exceptions.
#[test]
fn dependencies_have_no_known_vulnerabilities_rustsec_2025_0004_rustsec_2025_0022_rustsec_2021_0081()
 {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let lock: toml::Table =
        std::fs::read_to_string(format!("{root}/Cargo.lock")).unwrap().parse().unwrap();
    for (name, floor) in
        [("openssl", [0, 10, 72]), ("actix-http", [3, 0, 0]), ("actix-files", [0, 6, 10])]
    {
        let versions: Vec<[u64; 3]> = lock["package"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|package| package["name"].as_str() == Some(name))
            .map(|package| {
                let version = package["version"].as_str().unwrap();
                let numbers: Vec<u64> =
                    version.splitn(3, '.').map(|part| part.parse().unwrap()).collect();
                numbers.try_into().unwrap()
            })
            .collect();
        assert!(!versions.is_empty(), "{name}");
        for version in versions {
            assert!(version >= floor, "{name} {version:?}");
        }
    }
    let manifest: toml::Table =
        std::fs::read_to_string(format!("{root}/Cargo.toml")).unwrap().parse().unwrap();
    assert_eq!(manifest["workspace"]["dependencies"]["openssl"].as_str(), Some("0.10.72"));
    let deny: toml::Table =
        std::fs::read_to_string(format!("{root}/deny.toml")).unwrap().parse().unwrap();
    assert!(deny["advisories"].get("ignore").is_none(), "{}", deny["advisories"]);
}

/// Credentials of another scheme count as none (RFC 6750 §3.1): a scheme is an HTTP token.
fn has_other_scheme(value: &[u8]) -> bool {
    let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
    let is_token =
        scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte));
    !scheme.is_empty() && is_token && !scheme.eq_ignore_ascii_case(b"bearer")
}

//! `public_paths`: a request without a token is accepted exactly if the router serves one of these patterns
//! for its path and for the normal forms of its path, and only if its path contains the text of a pattern.

use actix_web::{App, HttpResponse, http::Method, test, web};
use arbitrary::{Arbitrary, Unstructured};
use oauth2_actix::{Algorithm, OAuth2, Provider, testing::SigningKey};

use crate::app::{SERVED_BY, call};

#[derive(Arbitrary, Debug)]
struct Input {
    patterns: Vec<Vec<Segment>>,
    path: Vec<Piece>,
}

/// A segment of a pattern.
#[derive(Arbitrary, Debug)]
enum Segment {
    Docs,
    Me,
    Empty,
    Id,
    Digits,
    Mixed,
    Tail,
    Text(u8),
    Thumb,
    Expression(Vec<u8>),
}

/// A piece of a request's path.
#[derive(Arbitrary, Debug)]
enum Piece {
    Slash,
    Docs,
    Me,
    Dot,
    Encoded(u8),
    Text(u8),
    Query,
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary(&mut Unstructured::new(data)) else { return };
    let patterns: Vec<String> = input.patterns.iter().take(4).map(|p| pattern(p)).collect();
    let path = format!("/{}", input.path.iter().take(24).map(piece).collect::<String>());
    let key = SigningKey::from_secret(Algorithm::HS256, "1", &[7; 32]);
    let provider = Provider::new()
        .issuer("https://idp.test")
        .audience("api")
        .algorithms([Algorithm::HS256])
        .keys(key.jwk_set());
    let builder = OAuth2::builder().provider("p", provider).public_paths(patterns.clone());
    // `build()` rejects patterns that would make the router panic.
    let Ok(oauth2) = builder.build() else { return };
    actix_web::rt::System::new().block_on(async move {
        let configure = |config: &mut web::ServiceConfig| {
            for pattern in &patterns {
                let served_by = pattern.clone();
                config.route(
                    pattern,
                    web::to(move || {
                        let response = HttpResponse::Ok()
                            .insert_header((SERVED_BY, served_by.clone()))
                            .finish();
                        async move { response }
                    }),
                );
            }
            config.default_service(web::to(|| async {
                HttpResponse::Ok().insert_header((SERVED_BY, "private")).finish()
            }));
        };
        let plain = test::init_service(App::new().configure(configure)).await;
        let guarded = test::init_service(App::new().wrap(oauth2).configure(configure)).await;
        let Some(answer) = call(&plain, &Method::GET, &path, None).await else { return };
        let guarded = call(&guarded, &Method::GET, &path, None).await.expect("as before");
        let mut is_public = true;
        for form in forms(&path) {
            let served = call(&plain, &Method::GET, &form, None).await;
            is_public &=
                served.is_some_and(|served| served.1.as_deref().is_some_and(|by| by != "private"));
        }
        match guarded {
            (400, None) => {
                assert!(!is_public || has_dots(&path), "{patterns:?} do not make {path} public")
            }
            other => {
                assert!(is_public, "{patterns:?} make {path} public");
                assert_eq!(other, answer);
                let seen = as_the_router_sees(&path);
                let contains = |pattern: &String| contains_in_order(&seen, &texts(pattern));
                assert!(patterns.iter().any(contains), "{patterns:?} make {path} public");
            }
        }
    });
}

/// Returns the path and its normal forms, as `NormalizePath` creates them: with slashes merged, and also
/// without those at its end.
fn forms(path: &str) -> [String; 3] {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let trimmed = format!("/{}", segments.join("/"));
    let slash = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    [path.to_owned(), format!("{trimmed}{slash}"), trimmed]
}

/// Decodes a path as the router does: all but `%25`, `%2F` and `%2B`.
fn as_the_router_sees(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut bytes = Vec::new();
    let mut at = 0;
    while let Some(byte) = path.as_bytes().get(at) {
        let code =
            path.as_bytes().get(at + 1..at + 3).and_then(|code| std::str::from_utf8(code).ok());
        let decoded = code
            .filter(|_| *byte == b'%')
            .and_then(|code| u8::from_str_radix(code, 16).ok())
            .filter(|byte| !b"%/+".contains(byte));
        bytes.push(decoded.unwrap_or(*byte));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the texts outside the braces of a pattern, with an empty one at an end that is a dynamic segment.
fn texts(pattern: &str) -> Vec<String> {
    let (mut texts, mut depth) = (vec![String::new()], 0);
    let pattern = pattern.strip_suffix('*').filter(|rest| rest.ends_with('}')).unwrap_or(pattern);
    for character in pattern.chars() {
        match character {
            '{' => {
                depth += 1;
                if depth == 1 {
                    texts.push(String::new());
                }
            }
            '}' if depth > 0 => depth -= 1,
            other if depth == 0 => texts.last_mut().expect("one").push(other),
            _ => {}
        }
    }
    texts
}

/// Returns whether a path contains these texts in their order, the first at its start and the last at its
/// end.
fn contains_in_order(path: &str, texts: &[String]) -> bool {
    let [first, middle @ .., last] = texts else { return path == texts[0] };
    let mut rest = path.strip_prefix(first.as_str());
    for text in middle {
        rest = rest.and_then(|rest| Some(&rest[rest.find(text.as_str())? + text.len()..]));
    }
    rest.is_some_and(|rest| rest.ends_with(last.as_str()))
}

/// Returns whether a path has a segment `.` or `..`. Such a path is never public by a pattern.
fn has_dots(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let path = path.replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    path.split(['/', '\\']).any(|segment| segment == "." || segment == "..")
}

fn pattern(segments: &[Segment]) -> String {
    let mut pattern = String::new();
    for (index, segment) in segments.iter().take(5).enumerate() {
        pattern.push('/');
        match segment {
            Segment::Docs => pattern.push_str("docs"),
            Segment::Me => pattern.push_str("me"),
            Segment::Empty => {}
            Segment::Id => pattern.push_str(&format!("{{id{index}}}")),
            Segment::Digits => pattern.push_str(&format!("{{n{index}:\\d+}}")),
            Segment::Mixed => pattern.push_str(&format!("x{{m{index}}}y")),
            Segment::Tail => {
                pattern.push_str("{tail:.*}");
                break;
            }
            Segment::Text(byte) => pattern.push(char::from(b' ' + byte % 95)),
            Segment::Thumb => pattern.push_str("thumb*"),
            Segment::Expression(bytes) => {
                let parts = bytes.iter().take(6).map(|byte| match byte % 10 {
                    0 => "(",
                    1 => ")",
                    2 => "|",
                    3 => "[",
                    4 => "]",
                    5 => ".*",
                    6 => "\\",
                    7 => "(?x)",
                    8 => "#",
                    _ => "a",
                });
                pattern.push_str(&format!("{{e{index}:{}}}", parts.collect::<String>()));
            }
        }
    }
    if pattern.is_empty() { "/".to_owned() } else { pattern }
}

fn piece(piece: &Piece) -> String {
    match piece {
        Piece::Slash => "/".to_owned(),
        Piece::Docs => "docs".to_owned(),
        Piece::Me => "me".to_owned(),
        Piece::Dot => ".".to_owned(),
        Piece::Encoded(byte) => format!("%{byte:02x}"),
        Piece::Text(byte) => char::from(b' ' + byte % 95).to_string(),
        Piece::Query => "?".to_owned(),
    }
}

//! `public_paths`: what is let in without a token is exactly what the router serves at these patterns.

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
    // Patterns that actix does not take are refused here, before the router would panic.
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
        let Some(plain) = call(&plain, &Method::GET, &path, None).await else { return };
        let guarded = call(&guarded, &Method::GET, &path, None).await.expect("as before");
        let is_public = plain.1.as_deref().is_some_and(|by| by != "private");
        match guarded {
            (400, None) => {
                assert!(!is_public || has_dots(&path), "{patterns:?} do not open {path}")
            }
            answer => {
                assert!(is_public, "{patterns:?} open {path}");
                assert_eq!(answer, plain);
            }
        }
    });
}

/// Such paths are never public by a pattern, whatever the router says.
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
            // A brace that opens no pattern is refused by a panic that is caught, which a fuzzer takes for a
            // crash.
            Segment::Text(byte) => match char::from(b' ' + byte % 95) {
                '{' | '}' => pattern.push('-'),
                other => pattern.push(other),
            },
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

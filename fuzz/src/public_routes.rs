//! `#[public]`: the response of a public route to a request without a token is the same as without `OAuth2`,
//! and no other route responds.

use std::{cell::RefCell, rc::Rc};

use actix_web::{
    App, HttpResponse, get, guard,
    http::Method,
    route, test,
    web::{self, ServiceConfig},
};
use arbitrary::{Arbitrary, Unstructured};
use futures_util::future::LocalBoxFuture;
use oauth2_actix::{Algorithm, OAuth2, Provider, public, testing::SigningKey};

use crate::app::{SERVED_BY, call};

#[derive(Arbitrary, Debug)]
struct Input {
    method: u8,
    host: u8,
    path: Vec<Piece>,
}

#[derive(Arbitrary, Debug)]
enum Piece {
    Slash,
    Word(u8),
    Encoded(u8),
    Text(u8),
    Query,
}

const WORDS: [&str; 12] =
    ["api", "v2", "items", "users", "me", "files", "health", "only", "a", "b", "twin", ".."];

fn served(by: &'static str) -> HttpResponse {
    HttpResponse::Ok().insert_header((SERVED_BY, by)).finish()
}

#[public]
#[get("/health")]
async fn health() -> HttpResponse {
    served("public health")
}

#[public]
#[get("/items/{id}")]
async fn item() -> HttpResponse {
    served("public item")
}

#[public]
#[get("/users/{id}")]
async fn user() -> HttpResponse {
    served("public user")
}

#[public]
#[route("/files/{tail:.*}", method = "GET", method = "HEAD")]
async fn files() -> HttpResponse {
    served("public files")
}

#[public]
#[get("/twin")]
async fn twin() -> HttpResponse {
    served("public twin")
}

#[public]
#[get("")]
async fn root() -> HttpResponse {
    served("public root of a scope")
}

fn private(name: &'static str) -> actix_web::Route {
    web::to(move || async move { served(name) })
}

fn configure(config: &mut ServiceConfig) {
    config
        .route("/users/me", private("private me"))
        .route("/items/{id}/{revision}", private("private revision"))
        .route("/files", private("private files"))
        .service(
            web::scope("/api")
                .route("/twin", web::post().to(|| async { served("private twin, POST") }))
                .service(twin)
                .service(web::scope("/v2").service(item).service(files).service(root))
                .service(
                    web::scope("/only")
                        .guard(guard::Host("only.test"))
                        .service(item)
                        .route("/items/{id}", private("private, other method")),
                )
                .service(web::scope("/{a}").service(user).route("/b", private("private b")))
                .default_service(private("private default of a scope")),
        )
        .service(web::scope("/only").guard(guard::Host("other.test")).service(health))
        .service(web::scope("/only").route("/health", private("private health, other host")))
        .service(health)
        .service(user)
        .service(files)
        .route("/{tail:.*}", private("private catch-all"));
}

/// The status of a response and the name of the handler. None if the request is not valid HTTP.
type Answer = Option<(u16, Option<String>)>;
type Caller =
    Rc<dyn Fn(Method, String, Option<&'static str>) -> LocalBoxFuture<'static, (Answer, Answer)>>;

thread_local! {
    // Never dropped, because actix's own thread-locals may be dropped before this one.
    static APPS: &'static (RefCell<actix_web::rt::SystemRunner>, Caller) = {
        let runtime = actix_web::rt::System::new();
        let caller = runtime.block_on(apps());
        Box::leak(Box::new((RefCell::new(runtime), caller)))
    };
}

/// Returns the same routes without and with `OAuth2`.
async fn apps() -> Caller {
    let key = SigningKey::from_secret(Algorithm::HS256, "1", &[7; 32]);
    let provider = Provider::new()
        .issuer("https://idp.test")
        .audience("api")
        .algorithms([Algorithm::HS256])
        .keys(key.jwk_set());
    let oauth2 = OAuth2::builder().provider("p", provider).build().expect("a policy");
    let plain = test::init_service(App::new().configure(configure)).await;
    let guarded = test::init_service(App::new().wrap(oauth2).configure(configure)).await;
    let apps = Rc::new((plain, guarded));
    Rc::new(move |method, path, host| {
        let apps = Rc::clone(&apps);
        Box::pin(async move {
            let plain = call(&apps.0, &method, &path, host).await;
            (plain, call(&apps.1, &method, &path, host).await)
        })
    })
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary(&mut Unstructured::new(data)) else { return };
    let path = format!("/{}", input.path.iter().take(24).map(piece).collect::<String>());
    let method = match input.method % 6 {
        0 | 1 => Method::GET,
        2 => Method::HEAD,
        3 => Method::POST,
        4 => Method::OPTIONS,
        _ => Method::from_bytes(b"ODD").expect("a method"),
    };
    let host = [None, Some("only.test"), Some("other.test")][usize::from(input.host % 3)];
    let (plain, guarded) = APPS.with(|(runtime, caller)| {
        runtime.borrow().block_on(caller(method.clone(), path.clone(), host))
    });
    let (Some(plain), Some(guarded)) = (plain, guarded) else { return };
    if plain.1.as_deref().is_some_and(|by| by.starts_with("public")) {
        assert_eq!(guarded, plain, "{method} {path} {host:?}");
    } else {
        assert_eq!(guarded, (400, None), "{method} {path} {host:?} for {plain:?}");
    }
}

fn piece(piece: &Piece) -> String {
    match piece {
        Piece::Slash => "/".to_owned(),
        Piece::Word(index) => WORDS[usize::from(*index) % WORDS.len()].to_owned(),
        Piece::Encoded(byte) => format!("%{byte:02x}"),
        Piece::Text(byte) => char::from(b' ' + byte % 95).to_string(),
        Piece::Query => "?".to_owned(),
    }
}

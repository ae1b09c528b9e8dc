//! Random layouts of apps. Each request is compared with the same request to the same layout without a
//! policy.

mod comparison;

use std::{
    cell::{Cell, RefCell},
    future::{Ready, ready},
    rc::Rc,
};

use actix_http::Request;
use actix_web::{
    App, FromRequest, HttpRequest, HttpResponse,
    body::{MessageBody, to_bytes},
    dev::{Payload, Service, ServiceRequest, ServiceResponse},
    guard::{self, GuardContext},
    http::{Method, Uri},
    middleware::{Condition, Next, NormalizePath, TrailingSlash, from_fn},
    test::{TestRequest, init_service},
    web::{self, Bytes, ServiceConfig},
};
use oauth2_actix::{
    Algorithm, OAuth2, Provider,
    testing::{SigningKey, Token},
};

pub(crate) use comparison::run;

thread_local! {
    /// The handlers and extractors that ran for the present request.
    static RAN: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    /// Whether a middleware that waits ran before its handler.
    static WAITED: Cell<bool> = const { Cell::new(false) };
}

fn ran(what: &'static str) {
    RAN.with_borrow_mut(|all| all.push(what));
}

/// The response of a public handler: everything that it sees of the routing.
pub(crate) fn public_answer(request: &HttpRequest) -> HttpResponse {
    ran("public");
    let parameters: Vec<_> = request.match_info().iter().collect();
    HttpResponse::Ok().body(format!(
        "public {:?} {:?} {parameters:?} {} {:?}",
        request.match_pattern(),
        request.match_name(),
        request.path(),
        request.url_for_static("health").map(|url| url.to_string()).ok(),
    ))
}

/// A middleware of a handler, inside of `#[public]`.
pub(crate) async fn wait_within(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    actix_web::rt::task::yield_now().await;
    next.call(request).await
}

struct Peek;

impl FromRequest for Peek {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(_: &HttpRequest, _: &mut Payload) -> Self::Future {
        ran("extractor");
        ready(Ok(Self))
    }
}

async fn private(request: HttpRequest, _: Peek, body: Bytes) -> HttpResponse {
    ran("private");
    HttpResponse::Accepted().body(format!("private {:?} {}", request.match_pattern(), body.len()))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// The middleware of an app or a scope, from the inside to the outside.
#[derive(Clone, Copy, Debug, Default)]
struct Around {
    normalize: Option<Slashes>,
    rewrites: bool,
    waits: bool,
    has_policy: bool,
}

#[derive(Clone, Copy, Debug)]
enum Slashes {
    Trim,
    MergeOnly,
    Always,
}

impl From<Slashes> for TrailingSlash {
    fn from(mode: Slashes) -> Self {
        match mode {
            Slashes::Trim => Self::Trim,
            Slashes::MergeOnly => Self::MergeOnly,
            Slashes::Always => Self::Always,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Guarded {
    No,
    Host,
    Flag,
    Post,
    Never,
}

impl Guarded {
    fn any(random: &mut Random) -> Self {
        random.pick(&[
            Self::No,
            Self::No,
            Self::No,
            Self::Host,
            Self::Flag,
            Self::Post,
            Self::Never,
        ])
    }

    fn check(self, context: &GuardContext<'_>) -> bool {
        let head = context.head();
        match self {
            Self::No => true,
            Self::Host => head.headers().get("host").is_some_and(|host| host == "a.test"),
            Self::Flag => head.headers().contains_key("x-flag"),
            Self::Post => head.method == Method::POST,
            Self::Never => false,
        }
    }
}

#[derive(Debug)]
enum Node {
    Public(usize),
    Private {
        patterns: Vec<&'static str>,
        guarded: Guarded,
        only_post: bool,
        name: bool,
    },
    Scope {
        prefix: &'static str,
        guarded: Guarded,
        around: Around,
        nodes: Vec<Node>,
        default: bool,
    },
}

#[derive(Debug)]
struct Layout {
    nodes: Vec<Node>,
    around: Around,
    default: bool,
}

const PREFIXES: [&str; 10] = [
    "/api",
    "/v1",
    "/{tenant}",
    "/items",
    "",
    "/{dir:[a-z/]+}",
    "/{user:[^/]+}",
    "/x/{y}",
    "/api/",
    "/files",
];

const PATTERNS: [&str; 16] = [
    "/health",
    "/items/{id}",
    "/items/me",
    "/{a}",
    "/{a}/{b}",
    "/{tail:.*}",
    "",
    "/",
    "/files",
    "/files/{t:.*}",
    "/health/",
    "/{n:\\d+}",
    "/one",
    "/either",
    "/a/{b}/c",
    "/api/health",
];

/// The public handlers of a test program, with their patterns.
pub(crate) struct Handlers {
    pub(crate) patterns: &'static [&'static str],
    pub(crate) register: fn(&mut ServiceConfig, usize),
}

impl Layout {
    fn any(random: &mut Random, handlers: &Handlers) -> Self {
        let count = 1 + random.below(6);
        Self {
            nodes: (0..count).map(|_| Node::any(random, handlers, 0)).collect(),
            around: Around::any(random),
            default: random.one_in(4),
        }
    }

    fn any_around(&self, is: &impl Fn(&Around) -> bool) -> bool {
        is(&self.around) || self.nodes.iter().any(|node| node.any_around(is))
    }
}

impl Around {
    fn any(random: &mut Random) -> Self {
        Self {
            normalize: random
                .one_in(5)
                .then(|| random.pick(&[Slashes::Trim, Slashes::MergeOnly, Slashes::Always])),
            rewrites: random.one_in(12),
            waits: random.one_in(12),
            has_policy: random.one_in(12),
        }
    }
}

impl Node {
    fn any(random: &mut Random, handlers: &Handlers, depth: usize) -> Self {
        match random.below(if depth < 3 { 8 } else { 5 }) {
            0..3 => Self::Public(random.below(handlers.patterns.len())),
            3 | 4 => Self::Private {
                patterns: (0..=random.below(2)).map(|_| random.pick(&PATTERNS)).collect(),
                guarded: Guarded::any(random),
                only_post: random.one_in(4),
                name: random.one_in(6),
            },
            _ => {
                let count = random.below(5);
                Self::Scope {
                    prefix: random.pick(&PREFIXES),
                    guarded: Guarded::any(random),
                    around: Around::any(random),
                    nodes: (0..count).map(|_| Self::any(random, handlers, depth + 1)).collect(),
                    default: random.one_in(5),
                }
            }
        }
    }

    fn any_around(&self, is: &impl Fn(&Around) -> bool) -> bool {
        match self {
            Self::Scope { around, nodes, .. } => {
                is(around) || nodes.iter().any(|node| node.any_around(is))
            }
            _ => false,
        }
    }

    /// Returns a path to one of its leaves.
    fn path(&self, random: &mut Random, handlers: &Handlers) -> String {
        match self {
            Self::Public(index) => handlers.patterns[*index].to_owned(),
            Self::Private { patterns, .. } => random.pick(patterns).to_owned(),
            Self::Scope { prefix, nodes, .. } => {
                let inner = if nodes.is_empty() || random.one_in(8) {
                    String::new()
                } else {
                    nodes[random.below(nodes.len())].path(random, handlers)
                };
                format!("{prefix}{inner}")
            }
        }
    }
}

/// Registers the nodes; with policies where the layout has them, or without any.
fn configure(
    nodes: Rc<Vec<Node>>,
    handlers: &'static Handlers,
    policy: Option<OAuth2>,
) -> impl Fn(&mut ServiceConfig) {
    move |config| register(&nodes, handlers, policy.as_ref(), config)
}

fn register(
    nodes: &[Node],
    handlers: &'static Handlers,
    policy: Option<&OAuth2>,
    config: &mut ServiceConfig,
) {
    for node in nodes {
        match node {
            Node::Public(index) => (handlers.register)(config, *index),
            Node::Private { patterns, guarded, only_post, name } => {
                let guarded = *guarded;
                let mut resource = web::resource(patterns.clone())
                    .guard(guard::fn_guard(move |context| guarded.check(context)));
                if *name {
                    resource = resource.name("health");
                }
                config.service(if *only_post {
                    resource.route(web::post().to(private))
                } else {
                    resource.route(web::to(private))
                });
            }
            Node::Scope { prefix, guarded, around, nodes, default } => {
                let guarded = *guarded;
                let mut scope = web::scope(prefix)
                    .guard(guard::fn_guard(move |context| guarded.check(context)))
                    .configure(|config| register(nodes, handlers, policy, config));
                if *default {
                    scope = scope.default_service(web::to(private));
                }
                let inner = policy.filter(|_| around.has_policy);
                let mode = around.normalize.unwrap_or(Slashes::Trim);
                config.service(
                    scope
                        .wrap(Condition::new(
                            around.normalize.is_some(),
                            NormalizePath::new(mode.into()),
                        ))
                        .wrap(Condition::new(around.rewrites, from_fn_at_once(rewrite)))
                        .wrap(Condition::new(around.waits, from_fn(wait)))
                        .wrap(Condition::new(
                            inner.is_some(),
                            inner.cloned().unwrap_or_else(any_policy),
                        )),
                );
            }
        }
    }
}

/// Waits before it calls the next service.
async fn wait(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    actix_web::rt::task::yield_now().await;
    WAITED.set(true);
    next.call(request).await
}

/// Rewrites method and path by headers, as method overrides and gateways do. The path is only rewritten
/// before any of it was routed, since the part that a scope has matched cannot be replaced.
fn rewrite(request: &mut ServiceRequest) {
    let header = |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (path, method) = (header("x-path"), header("x-method"));
    if let Some(method) = method {
        request.head_mut().method = method.parse().unwrap();
    }
    let is_whole = request.match_info().unprocessed() == request.match_info().as_str();
    if let Some(uri) = path.and_then(|path| path.parse::<Uri>().ok()).filter(|_| is_whole) {
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }
}

/// A middleware that changes a request and calls the next service at once.
fn from_fn_at_once(change: fn(&mut ServiceRequest)) -> AtOnce {
    AtOnce(change)
}

struct AtOnce(fn(&mut ServiceRequest));

struct AtOnceService<S>(S, fn(&mut ServiceRequest));

impl<S, B> actix_web::dev::Transform<S, ServiceRequest> for AtOnce
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
{
    type Response = ServiceResponse<B>;
    type Error = actix_web::Error;
    type Transform = AtOnceService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(AtOnceService(service, self.0)))
    }
}

impl<S, B> Service<ServiceRequest> for AtOnceService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
{
    type Response = ServiceResponse<B>;
    type Error = actix_web::Error;
    type Future = S::Future;

    actix_web::dev::always_ready!();

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        self.1(&mut request);
        self.0.call(request)
    }
}

thread_local! {
    static KEY: SigningKey = SigningKey::from_secret(Algorithm::HS256, "1", &[7; 32]);
    static POLICIES: [OAuth2; 2] = [policy(false), policy(true)];
}

fn policy(routes_all: bool) -> OAuth2 {
    let provider = Provider::new()
        .issuer("https://idp.test")
        .audience("api")
        .algorithms([Algorithm::HS256])
        .keys(KEY.with(SigningKey::jwk_set));
    OAuth2::builder().provider("p", provider).route_before_rejection(routes_all).build().unwrap()
}

fn any_policy() -> OAuth2 {
    POLICIES.with(|[first, _]| first.clone())
}

fn token() -> String {
    KEY.with(|key| Token::new("https://idp.test", "api").sign(key))
}

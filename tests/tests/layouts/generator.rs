//! Random layouts of apps. Each request is compared with what actix's router makes of the same layout
//! without any policy.

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

thread_local! {
    /// What ran for the request in progress.
    static RAN: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    /// Whether a middleware that waits has seen it before its handler.
    static WAITED: Cell<bool> = const { Cell::new(false) };
}

fn ran(what: &'static str) {
    RAN.with_borrow_mut(|all| all.push(what));
}

/// What a public handler answers: all that it can see of the routing.
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

/// A middleware of a handler itself: inside of what makes it public.
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

/// What a test program has: public handlers, with their patterns.
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

    /// Some path towards a leaf of it.
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

/// Rewrites method and path by headers, as method overrides and gateways do. The path only before any of it
/// was routed: what scopes have taken of it cannot be replaced.
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

#[derive(Clone, Debug)]
struct Asked {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
}

impl Asked {
    fn any(random: &mut Random, layout: &Layout, handlers: &Handlers) -> Self {
        let methods = [
            Method::GET,
            Method::GET,
            Method::GET,
            Method::GET,
            Method::POST,
            Method::DELETE,
            Method::HEAD,
            Method::OPTIONS,
        ];
        let mut headers = Vec::new();
        if random.one_in(2) {
            headers.push(("host", random.pick(&["a.test", "b.test"]).to_owned()));
        }
        if random.one_in(2) {
            headers.push(("x-flag", "1".to_owned()));
        }
        if random.one_in(6) {
            headers.push(("x-method", random.pick(&["GET", "POST"]).to_owned()));
        }
        if random.one_in(6) {
            headers.push(("x-path", path(random, layout, handlers)));
        }
        Self {
            method: methods[random.below(methods.len())].clone(),
            path: path(random, layout, handlers),
            headers,
        }
    }

    fn request(&self, token: Option<&str>) -> Request {
        let mut request =
            TestRequest::default().method(self.method.clone()).uri(&self.path).set_payload("body");
        for (name, value) in &self.headers {
            request = request.insert_header((*name, value.as_str()));
        }
        if let Some(token) = token {
            request = request.insert_header(("authorization", format!("Bearer {token}")));
        }
        request.to_request()
    }
}

/// A path that is for some leaf of the layout, or nearly.
fn path(random: &mut Random, layout: &Layout, handlers: &Handlers) -> String {
    const VALUES: [&str; 9] = ["me", "7", "a", "health", "items", "a%20b", "%6de", "files", "acme"];
    let pattern = layout.nodes[random.below(layout.nodes.len())].path(random, handlers);
    let mut path = String::from(if pattern.starts_with('/') { "" } else { "/" });
    let mut rest = pattern.as_str();
    while let Some((literal, after)) = rest.split_once('{') {
        path.push_str(literal);
        let (name, after) = after.split_once('}').unwrap();
        for _ in 0..if name.contains(".*") { random.below(3) } else { 1 } {
            path.push_str(random.pick(&VALUES));
            if name.contains(".*") {
                path.push('/');
            }
        }
        rest = after;
    }
    path.push_str(rest);
    match random.below(12) {
        0 => path.push('/'),
        1 => path = path.replacen('/', "//", 1),
        2 => path.push_str("/x"),
        3 => path = path.replacen('e', "%65", 1),
        4 => path.push_str("/.."),
        5 => path = path.to_uppercase(),
        _ => {}
    }
    path
}

#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    body: String,
    ran: Vec<&'static str>,
}

async fn ask<S, B>(app: &S, request: Request) -> Answer
where
    S: Service<Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody + 'static,
{
    RAN.with_borrow_mut(Vec::clear);
    WAITED.set(false);
    let response = match app.call(request).await {
        Ok(response) => response.into_parts().1.map_into_boxed_body(),
        Err(error) => error.error_response(),
    };
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body()).await.ok().unwrap();
    Answer { status, body: String::from_utf8_lossy(&body).into_owned(), ran: RAN.take() }
}

/// How often requests were public, and all in all.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) layouts: usize,
    pub(crate) requests: usize,
    pub(crate) public: usize,
    pub(crate) hidden: usize,
    pub(crate) refused: usize,
}

/// Tries one layout with some requests.
pub(crate) async fn try_one(seed: u64, handlers: &'static Handlers, counts: &mut Counts) {
    let mut random = Random(seed);
    let layout = Layout::any(&mut random, handlers);
    let asked: Vec<Asked> = (0..24).map(|_| Asked::any(&mut random, &layout, handlers)).collect();
    let shown = format!("{layout:#?}");
    // What a request looks like says nothing where it is rewritten; nor does the end of its path where a
    // slash is added.
    let routes_all = layout
        .any_around(&|around| around.rewrites || matches!(around.normalize, Some(Slashes::Always)));
    let oauth2 = POLICIES.with(|policies| policies[usize::from(routes_all)].clone());
    let Layout { nodes, around, default } = layout;
    let nodes = Rc::new(nodes);
    let app = |policy: Option<OAuth2>| {
        let mut app = App::new().configure(configure(Rc::clone(&nodes), handlers, policy.clone()));
        if default {
            app = app.default_service(web::to(private));
        }
        let mode = around.normalize.unwrap_or(Slashes::Trim);
        app.wrap(Condition::new(around.normalize.is_some(), NormalizePath::new(mode.into())))
            .wrap(Condition::new(around.rewrites, from_fn_at_once(rewrite)))
            .wrap(Condition::new(around.waits, from_fn(wait)))
            .wrap(Condition::new(
                policy.is_some() && around.has_policy,
                policy.clone().unwrap_or_else(any_policy),
            ))
            .wrap(Condition::new(policy.is_some(), policy.unwrap_or_else(any_policy)))
    };
    let plain = init_service(app(None)).await;
    let guarded = init_service(app(Some(oauth2))).await;
    let token = token();
    counts.layouts += 1;
    for asked in asked {
        counts.requests += 1;
        let expected = ask(&plain, asked.request(None)).await;
        let is_hidden = WAITED.get();
        let is_public = expected.ran.contains(&"public");
        let answer = ask(&guarded, asked.request(None)).await;
        let context = || format!("seed {seed}, {asked:?}, hidden {is_hidden}\n{shown}");
        if is_public && !is_hidden {
            counts.public += 1;
            assert_eq!(answer, expected, "{}", context());
        } else {
            counts.hidden += usize::from(is_public);
            counts.refused += 1;
            assert_eq!(
                (answer.status, answer.ran.as_slice()),
                (400, [].as_slice()),
                "{}",
                context()
            );
        }
        let with_token = ask(&guarded, asked.request(Some(&token))).await;
        assert_eq!(with_token, expected, "with a token: {}", context());
    }
}

/// Tries as many layouts as the variable `LAYOUTS` says, or 300.
pub(crate) async fn run(handlers: &'static Handlers) {
    let count = std::env::var("LAYOUTS").ok().map_or(300, |count| count.parse().expect("a number"));
    let mut counts = Counts::default();
    for seed in 0..count {
        try_one(seed, handlers, &mut counts).await;
    }
    println!("{counts:?}");
    let Counts { layouts, requests, public, hidden, .. } = counts;
    assert!(public > requests / 50 && hidden > layouts / 100, "they mean something");
}

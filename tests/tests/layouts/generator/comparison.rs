//! Requests to an app of a layout, compared with those to the same app without a policy.

use super::*;

#[derive(Clone, Debug)]
struct Probe {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
}

impl Probe {
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

/// Returns a path to a leaf of the layout, or a similar one.
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

async fn send<S, B>(app: &S, request: Request) -> Answer
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

/// The number of layouts and requests, by kind.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) layouts: usize,
    pub(crate) requests: usize,
    pub(crate) public: usize,
    pub(crate) hidden: usize,
    pub(crate) rejected: usize,
}

/// Sends requests to one layout.
pub(crate) async fn try_one(seed: u64, handlers: &'static Handlers, counts: &mut Counts) {
    let mut random = Random(seed);
    let layout = Layout::any(&mut random, handlers);
    let probe: Vec<Probe> = (0..24).map(|_| Probe::any(&mut random, &layout, handlers)).collect();
    let shown = format!("{layout:#?}");
    // The form of a request decides nothing where it is rewritten, nor does the end of its path where a slash
    // is added.
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
    for probe in probe {
        counts.requests += 1;
        let expected = send(&plain, probe.request(None)).await;
        let is_hidden = WAITED.get();
        let is_public = expected.ran.contains(&"public");
        let answer = send(&guarded, probe.request(None)).await;
        let context = || format!("seed {seed}, {probe:?}, hidden {is_hidden}\n{shown}");
        if is_public && !is_hidden {
            counts.public += 1;
            assert_eq!(answer, expected, "{}", context());
        } else {
            counts.hidden += usize::from(is_public);
            counts.rejected += 1;
            assert_eq!(
                (answer.status, answer.ran.as_slice()),
                (400, [].as_slice()),
                "{}",
                context()
            );
        }
        let with_token = send(&guarded, probe.request(Some(&token))).await;
        assert_eq!(with_token, expected, "with a token: {}", context());
    }
}

/// Runs as many layouts as the variable `LAYOUTS` says, or 300.
pub(crate) async fn run(handlers: &'static Handlers) {
    let count = std::env::var("LAYOUTS").ok().map_or(300, |count| count.parse().expect("a number"));
    let mut counts = Counts::default();
    for seed in 0..count {
        try_one(seed, handlers, &mut counts).await;
    }
    println!("{counts:?}");
    let Counts { layouts, requests, public, hidden, .. } = counts;
    assert!(public > requests / 50 && hidden > layouts / 100, "too few public requests");
}

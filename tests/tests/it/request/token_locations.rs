//! Tokens in subprotocols, in the query, in cookies and in other headers: only if enabled, and one at most.

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use oauth2_actix::{
    Algorithm, Error, OAuth2Builder, Provider, TokenRequests,
    testing::{LocalServer, Token},
    ws,
};
use oauth2_actix_tests::{client, keys::key, log, policy, socket::Socket};
use serde_json::json;

fn builder() -> OAuth2Builder {
    let keys = key(Algorithm::ES256).jwk_set();
    let provider = Provider::new().issuer("https://idp.test").audience("api").keys(keys);
    policy::builder().provider("test", provider)
}

fn good() -> String {
    Token::new("https://idp.test", "api").sign(key(Algorithm::ES256))
}

fn expired() -> String {
    Token::new("https://idp.test", "api").expires_in(-60).sign(key(Algorithm::ES256))
}

/// An ordinary handler.
async fn plain(request: HttpRequest, body: web::Payload) -> actix_web::Result<HttpResponse> {
    let (response, mut session, _messages) = actix_ws::handle(&request, body)?;
    actix_web::rt::spawn(async move { session.text("hello").await });
    Ok(response)
}

/// A handler with subprotocols.
async fn chat(request: HttpRequest, body: web::Payload) -> actix_web::Result<HttpResponse> {
    let (response, mut session, _messages) =
        ws::upgrade(&request, body).protocols(["chat.v2", "chat"]).start()?;
    actix_web::rt::spawn(async move { session.text("hello").await });
    Ok(response)
}

fn serve(builder: OAuth2Builder) -> LocalServer {
    let oauth2 = builder.build().unwrap();
    LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .wrap(oauth2.clone())
                .route("/plain", web::get().to(plain))
                .route("/chat", web::get().to(chat))
                .route("/me", web::get().to(async || "me"))
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap()
}

/// Returns the first message, and the protocol that was selected.
async fn open(
    server: &LocalServer,
    path: &str,
    headers: &[(&'static str, &str)],
) -> (String, Option<String>) {
    let mut socket = Socket::open(&server.url(path), headers).await;
    (socket.receive().await, socket.protocol)
}

async fn offer(server: &LocalServer, path: &str, protocols: &str) -> (String, Option<String>) {
    open(server, path, &[("sec-websocket-protocol", protocols)]).await
}

fn received(text: &str, protocol: &str) -> (String, Option<String>) {
    (text.to_owned(), Some(protocol.to_owned()).filter(|protocol| !protocol.is_empty()))
}

#[tokio::test]
async fn subprotocol_holds_the_token_if_enabled() {
    let server = serve(builder().token_from_subprotocol());
    let token = good();
    for (path, protocols, picked) in [
        ("/plain", "bearer, TOKEN", "bearer"),
        ("/plain", "bearer, TOKEN, chat", "bearer"),
        ("/chat", "bearer, TOKEN, chat", "chat"),
        ("/chat", "chat, bearer, TOKEN, chat.v2", "chat"),
        ("/chat", "bearer,TOKEN,other", "bearer"),
        ("/chat", "bearer, TOKEN", "bearer"),
    ] {
        let answer = offer(&server, path, &protocols.replace("TOKEN", &token)).await;
        assert_eq!(answer, received("hello", picked), "{path} {protocols}");
    }
    // The header is still accepted.
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("sec-websocket-protocol", "chat")];
    assert_eq!(open(&server, "/chat", &headers).await, received("hello", "chat"));
}

#[tokio::test]
async fn subprotocol_with_a_missing_or_second_token_is_rejected() {
    let server = serve(builder().token_from_subprotocol());
    let (token, expired) = (good(), expired());
    for (protocols, reason, picked) in [
        ("bearer, EXPIRED", "1008 token expired", "bearer"),
        ("bearer, EXPIRED, chat", "1008 token expired", "chat"),
        ("bearer, opaque, chat", "1008 invalid token", "chat"),
        ("bearer", "1008 invalid request", "bearer"),
        ("bearer, ", "1008 invalid request", "bearer"),
        ("bearer, TOKEN, bearer, TOKEN", "1008 invalid request", "bearer"),
        // After another marker, it is not a token.
        ("Bearer, TOKEN", "1008 token missing", "Bearer"),
        ("chat", "1008 token missing", "chat"),
    ] {
        let offered = protocols.replace("TOKEN", &token).replace("EXPIRED", &expired);
        assert_eq!(
            offer(&server, "/chat", &offered).await,
            received(reason, picked),
            "{protocols}"
        );
    }
    let pair = format!("bearer, {token}");
    for value in [format!("Bearer {token}"), "Bearer".to_owned()] {
        let headers = [("authorization", value.as_str()), ("sec-websocket-protocol", &pair)];
        assert_eq!(open(&server, "/chat", &headers).await.0, "1008 invalid request", "{value}");
    }
    // A line that is not ASCII could hold a second token.
    let upgrade = client::raw_get(
        "/chat",
        &[
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            &format!("Sec-WebSocket-Protocol: bearer, {token}"),
            "Sec-WebSocket-Protocol: bearer, x\u{e4}",
        ],
    );
    let mut connection = client::Connection::open(server.address());
    connection.send(&upgrade);
    let answer = String::from_utf8_lossy(&connection.rest()).into_owned();
    assert!(answer.contains("invalid request"), "{answer}");
    // For WebSockets only.
    let request = client::client().get(server.url("/me")).header("sec-websocket-protocol", pair);
    assert_eq!(client::send(request).await.status, 400);
}

#[tokio::test]
async fn token_in_a_location_that_is_not_enabled_is_ignored() {
    let server = serve(builder());
    let token = good();
    let (pair, query) = (format!("bearer, {token}"), format!("/chat?access_token={token}"));
    let cookie = format!("access_token={token}");
    let origin = server.url("");
    let missing = "1008 token missing";
    assert_eq!(offer(&server, "/chat", &pair).await, received(missing, "bearer"));
    assert_eq!(open(&server, &query, &[]).await, received(missing, ""));
    let headers = [("cookie", cookie.as_str()), ("origin", origin.as_str())];
    assert_eq!(open(&server, "/chat", &headers).await, received(missing, ""));
    // It does not conflict with the header either.
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("cookie", &cookie)];
    assert_eq!(open(&server, &query, &headers).await, received("hello", ""));
}

#[tokio::test]
async fn query_of_a_handshake_holds_the_token_if_enabled() {
    let server = serve(builder().token_from_query(TokenRequests::WebSocket));
    let token = good();
    for query in ["access_token=TOKEN", "room=1&access_token=TOKEN&x", "%61ccess_token=TOKEN"] {
        let path = format!("/chat?{}", query.replace("TOKEN", &token));
        assert_eq!(open(&server, &path, &[]).await, received("hello", ""), "{query}");
    }
    for (query, reason) in [
        ("access_token=TOKEN&access_token=TOKEN", "1008 invalid request"),
        ("access_token=TOKEN&%61ccess_token=", "1008 invalid request"),
        ("access_token=", "1008 invalid request"),
        ("access_token", "1008 invalid request"),
        ("access_token=a%20b", "1008 invalid request"),
        ("access_token=x.y.z", "1008 invalid token"),
        ("Access_Token=TOKEN", "1008 token missing"),
        ("token=TOKEN", "1008 token missing"),
    ] {
        let path = format!("/chat?{}", query.replace("TOKEN", &token));
        assert_eq!(open(&server, &path, &[]).await, received(reason, ""), "{query}");
    }
    // Not for other requests, invalid upgrades included.
    let path = format!("/me?access_token={token}");
    assert_eq!(client::get(&server.url(&path), None).await.status, 400);
    let request = client::client()
        .get(server.url(&path))
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    assert_eq!(client::send(request).await.status, 400);
}

#[tokio::test]
async fn query_of_every_request_holds_the_token_if_enabled() {
    let server = serve(builder().token_from_query(TokenRequests::EveryRequest));
    let token = good();
    let path = format!("/me?access_token={token}");
    let answer = client::get(&server.url(&path), None).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "me"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let rejected = format!("/me?access_token={}", expired());
    let answer = client::get(&server.url(&rejected), None).await;
    assert_eq!((answer.status, answer.error().as_str()), (401, "invalid_token"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(open(&server, &path.replace("/me", "/chat"), &[]).await, received("hello", ""));
    // Two tokens are rejected, even if they are equal.
    let answer = client::get(&server.url(&path), Some(&token)).await;
    assert_eq!((answer.status, answer.error().as_str()), (400, "invalid_request"));
    // The response to a token outside of the query may be stored.
    let answer = client::get(&server.url("/me"), Some(&token)).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, None));
}

#[tokio::test]
async fn cookie_of_a_handshake_is_accepted_from_listed_origins_only() {
    let origins = ["https://app.example.com", "http://localhost:5173"];
    let server = serve(builder().token_from_cookie("__Host-token", origins));
    let cookie = format!("theme=dark; __Host-token={}; x=y", good());
    for origin in origins {
        let headers = [("cookie", cookie.as_str()), ("origin", origin)];
        assert_eq!(open(&server, "/chat", &headers).await, received("hello", ""), "{origin}");
    }
    let not_allowed = received("1008 origin not allowed", "");
    for origin in [
        "https://evil.example",
        "null",
        "",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.example",
        "https://app.example.com/",
        "HTTPS://APP.EXAMPLE.COM",
    ] {
        let headers = [("cookie", cookie.as_str()), ("origin", origin)];
        assert_eq!(open(&server, "/chat", &headers).await, not_allowed, "{origin}");
    }
    assert_eq!(open(&server, "/chat", &[("cookie", &cookie)]).await, not_allowed);
    let twice = [("cookie", cookie.as_str()), ("origin", origins[0]), ("origin", origins[0])];
    assert_eq!(open(&server, "/chat", &twice).await, not_allowed);

    let rejected = format!("__Host-token={}", expired());
    let two = format!("{cookie}; __Host-token=x");
    for (cookie, reason) in [
        (rejected.as_str(), "1008 token expired"),
        (&two, "1008 invalid request"),
        ("__Host-token=", "1008 token missing"),
        ("__Host-token=\"\"", "1008 token missing"),
        ("__Host-token", "1008 token missing"),
        ("x__Host-token=y; __host-token=z", "1008 token missing"),
    ] {
        let headers = [("cookie", cookie), ("origin", origins[0])];
        assert_eq!(open(&server, "/chat", &headers).await, received(reason, ""), "{cookie}");
    }
    let bearer = format!("Bearer {}", good());
    let both = [("cookie", cookie.as_str()), ("origin", origins[0]), ("authorization", &bearer)];
    assert_eq!(open(&server, "/chat", &both).await, received("1008 invalid request", ""));
    // Never for other requests, which any page can cause.
    let request = client::client()
        .get(server.url("/me"))
        .header("cookie", cookie)
        .header("origin", origins[0]);
    assert_eq!(client::send(request).await.status, 400);
}

/// As browsers send it after a logout.
#[tokio::test]
async fn empty_cookie_beside_another_token_is_ignored() {
    let oauth2 = builder()
        .token_from_subprotocol()
        .token_from_query(TokenRequests::WebSocket)
        .token_from_cookie("t", ["https://app.example.com"]);
    let server = serve(oauth2);
    let (pair, bearer) = (format!("bearer, {}", good()), format!("Bearer {}", good()));
    let query = format!("/chat?access_token={}", good());
    let cookie = format!("t={}", good());
    let origin = ("origin", "https://app.example.com");
    for empty in ["t=", "x=y; t=; z", "t=\"\""] {
        for (path, headers, protocol) in [
            ("/chat", [("cookie", empty), ("sec-websocket-protocol", &pair)], "bearer"),
            ("/chat", [("cookie", empty), ("authorization", &bearer)], ""),
            (&query, [("cookie", empty), origin], ""),
        ] {
            assert_eq!(open(&server, path, &headers).await, received("hello", protocol), "{empty}");
        }
        let both = format!("{cookie}; {empty}");
        let headers = [("cookie", both.as_str()), origin];
        assert_eq!(open(&server, "/chat", &headers).await, received("hello", ""), "{both}");
    }
    let headers = [("cookie", cookie.as_str()), origin];
    assert_eq!(open(&server, &query, &headers).await, received("1008 invalid request", ""));
}

#[tokio::test]
async fn named_header_holds_the_token_with_or_without_a_scheme() {
    let server = serve(builder().token_from_header("X-Forwarded-Authorization"));
    let token = good();
    let send = async |lines: &[(&str, &str)]| {
        let mut request = client::client().get(server.url("/me"));
        for (name, value) in lines {
            request = request.header(*name, value.replace("TOKEN", &token));
        }
        client::send(request).await
    };
    let named = "x-forwarded-authorization";
    for lines in [
        &[(named, "TOKEN")][..],
        &[(named, "Bearer TOKEN")],
        &[(named, "bearer  TOKEN ")],
        // Credentials of a gateway are not a second token.
        &[(named, "TOKEN"), ("authorization", "Basic YTpi")],
        &[("authorization", "Bearer TOKEN")],
        &[("authorization", "Bearer TOKEN"), (named, "")],
        &[("authorization", "Bearer TOKEN"), (named, "Basic YTpi")],
    ] {
        assert_eq!(send(lines).await.status, 200, "{lines:?}");
    }
    assert_eq!(send(&[(named, "TOKEN")]).await.header("cache-control"), Some("private"));
    assert_eq!(send(&[("authorization", "Bearer TOKEN")]).await.header("cache-control"), None);
    for (lines, status, error) in [
        (&[(named, "TOKEN"), (named, "TOKEN")][..], 400, "invalid_request"),
        (&[(named, "TOKEN"), ("authorization", "Bearer TOKEN")], 400, "invalid_request"),
        (&[(named, "TOKEN"), ("authorization", "Bearer")], 400, "invalid_request"),
        (&[(named, "a b c")], 400, "invalid_request"),
        (&[(named, "not.a.token")], 401, "invalid_token"),
        (&[(named, "Basic YTpi")], 400, "invalid_request"),
        (&[("x-other", "TOKEN")], 400, "invalid_request"),
    ] {
        let answer = send(lines).await;
        assert_eq!((answer.status, answer.error().as_str()), (status, error), "{lines:?}");
    }
    // Without the option, no header but `Authorization` is read.
    let server = serve(builder());
    let request = client::client().get(server.url("/me")).header(named, &token);
    assert_eq!(client::send(request).await.status, 400);
}

#[tokio::test]
async fn cookie_of_a_plain_request_requires_the_same_or_a_listed_origin() {
    let app = "https://app.example.com";
    let server = serve(builder().token_from_cookie_on_every_request("__Host-token", [app]));
    let cookie = format!("__Host-token={}", good());
    let send = async |method: reqwest::Method, lines: &[(&str, &str)]| {
        let mut request =
            client::client().request(method, server.url("/me")).header("cookie", &cookie);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        client::send(request).await
    };
    let site = "sec-fetch-site";
    let (get, head, post) = (reqwest::Method::GET, reqwest::Method::HEAD, reqwest::Method::POST);
    for (method, lines, status) in [
        (&get, &[(site, "same-origin")][..], 200),
        (&get, &[(site, "none")], 200),
        // The middleware accepts it: the route has only GET.
        (&head, &[(site, "none")], 404),
        (&post, &[(site, "same-origin")], 404),
        (&post, &[(site, "none")], 403),
        (&get, &[(site, "same-site"), ("origin", app)], 200),
        (&get, &[("origin", app)], 200),
        (&get, &[(site, "same-site")], 403),
        (&get, &[(site, "same-site"), ("origin", "https://other.example.com")], 403),
        (&get, &[(site, "cross-site"), ("origin", app)], 403),
        (&get, &[(site, "SAME-ORIGIN")], 403),
        (&get, &[(site, ""), ("origin", app)], 403),
        (&get, &[(site, "same-origin"), (site, "cross-site")], 403),
        (&get, &[(site, "same-site"), ("origin", app), ("origin", app)], 403),
        (&get, &[("origin", "null")], 403),
        (&get, &[], 403),
    ] {
        assert_eq!(send(method.clone(), lines).await.status, status, "{method} {lines:?}");
    }
    let answer = send(get.clone(), &[(site, "same-origin")]).await;
    assert_eq!(answer.header("cache-control"), Some("private"));
    let both = [(site, "same-origin"), ("authorization", "Bearer x.y.z")];
    assert_eq!(send(get.clone(), &both).await.status, 400);
    let gateway = [(site, "same-origin"), ("authorization", "Basic YTpi")];
    assert_eq!(send(get.clone(), &gateway).await.status, 200);
    // An upgrade requires a listed origin, even with fetch metadata of the same origin.
    let headers = [("cookie", cookie.as_str()), (site, "same-origin")];
    assert_eq!(open(&server, "/chat", &headers).await, received("1008 origin not allowed", ""));
    let headers = [("cookie", cookie.as_str()), ("origin", app)];
    assert_eq!(open(&server, "/chat", &headers).await, received("hello", ""));
    // After a logout, an empty cookie counts as none.
    let request = client::client()
        .get(server.url("/me"))
        .bearer_auth(good())
        .header("cookie", "__Host-token=");
    assert_eq!(client::send(request).await.status, 200);
}

#[tokio::test]
async fn error_responses_to_query_tokens_are_not_stored() {
    async fn failing_handler() -> Result<&'static str, actix_web::Error> {
        Err(actix_web::error::ErrorConflict("busy"))
    }
    async fn failing_middleware(
        request: actix_web::dev::ServiceRequest,
        next: actix_web::middleware::Next<actix_web::body::BoxBody>,
    ) -> Result<actix_web::dev::ServiceResponse, actix_web::Error> {
        if request.path() == "/handler-error" {
            return Err(actix_web::error::ErrorForbidden("no"));
        }
        if request.path() == "/own" {
            return Err(Error::from(oauth2_actix::ErrorKind::SignatureInvalid).into());
        }
        next.call(request).await
    }
    async fn waiting_middleware(
        request: actix_web::dev::ServiceRequest,
        next: actix_web::middleware::Next<actix_web::body::BoxBody>,
    ) -> Result<actix_web::dev::ServiceResponse, actix_web::Error> {
        actix_web::rt::task::yield_now().await;
        next.call(request).await
    }
    #[oauth2_actix::public]
    #[actix_web::get("/public")]
    async fn public_route() -> &'static str {
        "public"
    }
    let oauth2 = builder().token_from_query(TokenRequests::EveryRequest).build().unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .wrap(actix_web::middleware::from_fn(failing_middleware))
                .wrap(oauth2.clone())
                .route("/handler", web::get().to(failing_handler))
                // A rejected token, and a public route behind a middleware that waits.
                .service(
                    web::scope("/waits")
                        .wrap(actix_web::middleware::from_fn(waiting_middleware))
                        .service(public_route),
                )
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    for (path, token, status) in [
        ("/handler", good(), 409),
        ("/handler-error", good(), 403),
        ("/own", good(), 401),
        ("/waits/public", expired(), 401),
    ] {
        let url = server.url(&format!("{path}?access_token={token}"));
        let answer = client::get(&url, None).await;
        let seen = (answer.status, answer.header("cache-control"));
        assert_eq!(seen, (status, Some("no-store")), "{path}");
        let answer = client::get(&server.url(path), Some(&token)).await;
        assert_eq!((answer.status, answer.header("cache-control")), (status, None), "{path}");
    }
}

#[tokio::test]
async fn no_token_is_echoed_or_logged() {
    log::keep();
    let oauth2 = builder()
        .token_from_subprotocol()
        .token_from_query(TokenRequests::EveryRequest)
        .token_from_cookie("t", ["https://app.example.com"]);
    let server = serve(oauth2);
    for token in [good(), expired(), "opaque-opaque-opaque".to_owned()] {
        let (pair, cookie) = (format!("bearer, {token}, chat"), format!("t={token}"));
        let query = format!("/chat?access_token={token}");
        let cookies = [("cookie", cookie.as_str()), ("origin", "https://app.example.com")];
        for (path, headers) in [
            ("/chat", &[("sec-websocket-protocol", pair.as_str())][..]),
            (&query, &[]),
            ("/chat", &cookies),
            (&query, &cookies),
        ] {
            let mut socket = Socket::open(&server.url(path), headers).await;
            let received = socket.receive().await;
            assert!(!socket.answer.contains(&token) && !received.contains(&token));
        }
        let answer = client::get(&server.url(&query.replace("chat", "me")), None).await;
        assert!(!format!("{:?} {}", answer.headers, answer.body).contains(&token));
        assert!(log::lines_with(&[&token]).is_empty());
    }
}

#[test]
fn settings_of_token_locations_are_checked() {
    let read = |settings: serde_json::Value| {
        let mut all = json!({"providers": {"idp": {
            "issuer": "https://idp.test", "audience": "api", "keys": key(Algorithm::ES256).jwk_set(),
        }}});
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        serde_json::from_value::<OAuth2Builder>(all)
            .map_err(|error| error.to_string())
            .and_then(|builder| builder.build().map_err(|error| error.to_string()))
    };
    for settings in [
        json!({"token_from_subprotocol": true, "token_from_query": "web_socket"}),
        json!({"token_from_query": "every_request"}),
        json!({"token_from_query": "websocket"}),
        json!({"token_from_cookie": {"name": "__Host-t", "origins": ["https://[::1]:8443"]}}),
        json!({"token_from_cookie": {"name": "__Host-t", "requests": "every_request"}}),
        json!({"token_from_header": "Cf-Access-Jwt-Assertion"}),
    ] {
        assert!(read(settings.clone()).is_ok(), "{settings}");
    }
    for (settings, named) in [
        (json!({"token_from_query": true}), "token_from_query"),
        (json!({"token_from_cookie": "t"}), "token_from_cookie"),
        (json!({"token_from_cookie": {"name": "t"}}), "at least one origin"),
        (json!({"token_from_cookie": {"name": "t", "origins": []}}), "at least one origin"),
        (json!({"token_from_cookie": {"name": "t", "origins": ["*"]}}), "\"*\" is not an origin"),
        (json!({"token_from_cookie": {"name": "t", "origins": ["null"]}}), "is not an origin"),
        (
            json!({"token_from_cookie": {"name": "t", "origins": ["https://*.a.example"]}}),
            "without a wildcard",
        ),
        (
            json!({"token_from_cookie": {"name": "t", "origins": ["https://a.example."]}}),
            "a trailing dot",
        ),
        (
            json!({"token_from_cookie": {
                "name": "t", "origins": ["https://a.*"], "requests": "every_request",
            }}),
            "without a wildcard",
        ),
        (json!({"token_from_cookie": {"name": "t", "requests": "all"}}), "every_request"),
        (json!({"token_from_header": "X Token"}), "not a valid header name"),
        (json!({"token_from_header": ""}), "not a valid header name"),
        (json!({"token_from_header": "authorization"}), "always read"),
        (json!({"token_from_header": "Cookie"}), "token_from_cookie"),
        (
            json!({"token_from_cookie": {"name": "t", "origins": ["https://a.example/"]}}),
            "is not an origin",
        ),
        (
            json!({"token_from_cookie": {"name": "t", "origins": ["https://a.example:443"]}}),
            "is not an origin",
        ),
        (
            json!({"token_from_cookie": {"name": "a b", "origins": ["https://a.example"]}}),
            "not a valid cookie name",
        ),
    ] {
        let error = read(settings).map(drop).unwrap_err();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn error_of_an_origin_that_is_not_allowed_is_403() {
    let error: Error = oauth2_actix::ErrorKind::OriginNotAllowed.into();
    assert_eq!((error.status().as_u16(), error.code()), (403, Some("invalid_request")));
}

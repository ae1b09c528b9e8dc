//! The metadata documents.

use actix_web::{App, HttpResponse, HttpServer, http::Method, web};
use oauth2_actix::{Resource, TokenRequests, testing::LocalServer};
use oauth2_actix_tests::{
    client::{client, get, send},
    log,
};
use serde_json::{Value, json};

use super::{ISSUER, MCP, builder, start, token};

const PATH: &str = "/.well-known/oauth-protected-resource/mcp";
const OF_HOST: &str = "/.well-known/oauth-protected-resource";

async fn document(server: &LocalServer, path: &str) -> Value {
    let answer = get(&server.url(path), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

#[actix_web::test]
async fn document_has_the_members_that_are_configured_and_no_empty_list() {
    let resource = Resource::new(MCP)
        .name("Orders")
        .name_in("de", "Bestellungen")
        .documentation("https://docs.example.com/")
        .policy("https://docs.example.com/policy")
        .terms_of_service("https://docs.example.com/terms")
        .scopes(["orders:read"])
        .member("signed_metadata", "e30.e30.x");
    let server = start(builder().resource(resource).build().unwrap());
    assert_eq!(
        document(&server, PATH).await,
        json!({
            "resource": MCP,
            "authorization_servers": [ISSUER],
            "scopes_supported": ["orders:read"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Orders",
            "resource_name#de": "Bestellungen",
            "resource_documentation": "https://docs.example.com/",
            "resource_policy_uri": "https://docs.example.com/policy",
            "resource_tos_uri": "https://docs.example.com/terms",
            "signed_metadata": "e30.e30.x",
        })
    );
    let none = Resource::new(MCP).scopes(Vec::<&str>::new()).authorization_servers(["https://as"]);
    let oauth2 = builder().token_from_query(TokenRequests::EveryRequest).resource(none);
    let document = document(&start(oauth2.build().unwrap()), PATH).await;
    assert_eq!(
        document,
        json!({
            "resource": MCP,
            "authorization_servers": ["https://as"],
            "bearer_methods_supported": ["header", "query"],
        })
    );
}

#[actix_web::test]
async fn scopes_of_the_programs_access_rules_are_the_default() {
    let document = document(&start(builder().resource(MCP).build().unwrap()), PATH).await;
    let scopes = document["scopes_supported"].as_array().unwrap();
    assert!(scopes.contains(&json!("refunds:write")), "{scopes:?}");
}

#[actix_web::test]
async fn document_needs_no_token_whatever_the_authorization_header_says() {
    let server = start(builder().resource(MCP).build().unwrap());
    for path in [PATH, OF_HOST] {
        for authorization in ["", "Bearer", "Bearer x", "Basic eA==", "Bearer a.b.c, Bearer d"] {
            let request = client().get(server.url(path)).header("authorization", authorization);
            assert_eq!(send(request).await.status, 200, "{path} {authorization}");
        }
        assert_eq!(get(&server.url(path), Some(&token(MCP))).await.status, 200);
        assert_eq!(get(&server.url(path), Some(&token("other"))).await.status, 200);
        assert_eq!(document(&server, path).await["resource"], MCP);
    }
}

#[actix_web::test]
async fn only_the_document_is_public() {
    let server = start(builder().resource(MCP).build().unwrap());
    for path in [
        "/.well-known/oauth-protected-resource/",
        "/.well-known/oauth-protected-resource/mcp/",
        "/.well-known/oauth-protected-resource/other",
        "/.well-known/oauth-protected-resource//mcp",
        "/.well-known/../.well-known/oauth-protected-resource/mcp",
        "/x/.well-known/oauth-protected-resource/mcp",
        "/.well-known/openid-configuration",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: api\r\n\r\n");
        let answer = oauth2_actix_tests::client::raw(server.address(), request.as_bytes());
        assert_eq!(answer.status, 401, "{path}");
    }
}

#[actix_web::test]
async fn path_of_a_document_that_is_not_mounted_stays_private_and_is_logged_once() {
    log::keep();
    let unmounted = "https://unmounted.example/unmounted";
    let oauth2 = builder().resource(unmounted).build().unwrap();
    let server = LocalServer::start(move |listener| {
        let app =
            move || App::new().default_service(web::to(HttpResponse::Ok)).wrap(oauth2.clone());
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let path = "/.well-known/oauth-protected-resource/unmounted";
    for _ in 0..2 {
        assert_eq!(get(&server.url(path), None).await.status, 401);
    }
    assert_eq!(get(&server.url(path), Some(&token(unmounted))).await.status, 200);
    let lines =
        log::lines_with(&["no route of this app serves the metadata document", "unmounted"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let mounted = start(builder().resource("https://mounted.example/mounted").build().unwrap());
    assert_eq!(get(&mounted.url("/"), None).await.status, 401);
    let lines = log::lines_with(&["no route of this app serves the metadata document", "/mounted"]);
    assert!(lines.is_empty(), "{lines:?}");
}

#[actix_web::test]
async fn document_is_the_same_for_every_host_header() {
    let server = start(builder().resource(MCP).build().unwrap());
    let plain = get(&server.url(PATH), None).await.body;
    let request = client()
        .get(server.url(PATH))
        .header("host", "evil.example")
        .header("x-forwarded-host", "evil.example")
        .header("forwarded", "host=evil.example;proto=http");
    assert_eq!(send(request).await.body, plain);
}

#[actix_web::test]
async fn document_can_be_cached_and_read_by_pages() {
    let server = start(builder().resource(MCP).build().unwrap());
    let url = server.url(PATH);
    let answer = get(&url, None).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let etag = answer.header("etag").unwrap();
    for (known, status) in
        [(etag, 304), (&*format!("W/{etag}, \"x\""), 304), ("*", 304), ("\"x\"", 200), ("x", 200)]
    {
        let answer = send(client().get(&url).header("if-none-match", known)).await;
        assert_eq!(answer.status, status, "{known}");
        assert_eq!(answer.header("etag"), Some(etag));
    }
    let head = send(client().head(&url)).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let preflight = client()
        .request(Method::OPTIONS.as_str().parse().unwrap(), &url)
        .header("origin", "https://inspector.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "mcp-protocol-version");
    let preflight = send(preflight).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    assert_eq!(preflight.header("access-control-allow-headers"), Some("*"));
    for method in ["POST", "PUT", "DELETE"] {
        let answer = send(client().request(method.parse().unwrap(), &url)).await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"));
    }
}

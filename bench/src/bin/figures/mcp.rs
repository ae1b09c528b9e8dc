//! The time that access rules of an MCP endpoint add to a call of a tool with a body of 4 KiB.

use actix_http::Request;
use actix_web::{
    App, HttpResponse,
    test::{TestRequest, init_service},
    web,
};
use oauth2_actix::{
    Algorithm, TokenCacheConfig, mcp, requirement,
    testing::{SigningKey, Token},
};
use oauth2_actix_bench as kit;
use serde_json::{Value, json};

use crate::{
    policies::policy,
    report::Report,
    turns::{Arm, medians, micros},
};

pub(crate) fn run(report: &mut Report, _: &[String]) {
    let key = SigningKey::generate(Algorithm::ES256, "key-1");
    let token: Token = kit::padded(kit::token(), &key, 800);
    let authorization = format!("Bearer {}", token.sign(&key));
    let rules = || {
        let rules = mcp::Access::builder().require(requirement::scopes(["email"]));
        (0..20).fold(rules, |rules, number| {
            rules.tool(format!("tool-{number}"), requirement::scopes(["orders:read"]))
        })
    };
    let app = |access: Option<mcp::AccessBuilder>| {
        let oauth2 = policy(&key, TokenCacheConfig::new());
        let handler = || web::to(HttpResponse::Ok);
        let access = access.map(|access| access.build().unwrap());
        kit::InProcess::new(init_service(App::new().wrap(oauth2).configure(|config| {
            let scope = web::scope("/mcp");
            match access {
                None => config.service(scope.default_service(handler())),
                Some(access) => config.service(scope.wrap(access).default_service(handler())),
            };
        })))
    };
    let apps = [app(None), app(Some(rules())), app(Some(rules().decide_by_headers()))];
    for (what, arguments) in
        [("one long text", json!({"text": "a".repeat(LENGTH)})), ("many members", many_members())]
    {
        let body = body(arguments);
        report.heading(format_args!("a call of a tool, {} bytes: {what}", body.len()));
        let mut arms: Vec<Arm<'_>> = Vec::new();
        for app in &apps {
            let (body, authorization) = (&body, &authorization);
            arms.push(Box::new(move |_| {
                assert_eq!(app.call(request(authorization, body)), 200);
            }));
        }
        let times = medians(CALLS, &mut arms);
        report.figure("without rules", format_args!("{:.2} us", micros(times[0])));
        for (what, time, bound) in
            [("rules, by the body", times[1], 20.0), ("rules, by the headers", times[2], 10.0)]
        {
            let added = micros(time) - micros(times[0]);
            let value = format!("{added:.2} us more");
            report.bound(what, value, format_args!("at most {bound} us"), added <= bound);
        }
    }
}

fn request(authorization: &str, body: &str) -> Request {
    TestRequest::post()
        .uri("/mcp")
        .insert_header(("authorization", authorization))
        .insert_header(("content-type", "application/json"))
        .insert_header(("mcp-protocol-version", "2026-07-28"))
        .insert_header(("mcp-method", "tools/call"))
        .insert_header(("mcp-name", "tool-7"))
        .set_payload(body.to_owned())
        .to_request()
}

fn body(arguments: Value) -> String {
    let params = json!({"name": "tool-7", "arguments": arguments});
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string()
}

/// Returns lists of objects with members of all types.
fn many_members() -> Value {
    let mut items = Vec::new();
    while Value::from(items.clone()).to_string().len() < LENGTH {
        let id = items.len();
        items.push(
            json!({"id": id, "name": "an item", "price": 12.5, "tags": ["a", "b"], "ok": true}),
        );
    }
    json!({"items": items})
}

const LENGTH: usize = 4000;
const CALLS: usize = 3000;

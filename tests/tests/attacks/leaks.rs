//! No part of a token is written: not to the log of any crate at any level, not by `Debug`.

use std::{
    collections::{HashMap, HashSet},
    error::Error as StdError,
    fmt::Write as _,
    sync::mpsc,
};

use actix_web::{App, HttpServer, dev::Service};
use oauth2_actix::{
    Algorithm, Claims, Error, Keys, Provider, TypedClaims,
    tenants::{Tenant, TenantLookup, Tenants},
    testing::{IdentityProvider, LocalServer, SigningKey},
};
use oauth2_actix_tests::{
    alone, api,
    client::{Connection, raw},
    forge::{self, by, forge},
    key_server::{Answer, KeyServer},
    keys::key,
    log, policy,
};
use serde_json::json;

use crate::target::{
    AUDIENCE, CANARY, WINDOW, bearer, es256, good, payload, provider, request, with_header,
    with_payload,
};

struct Customers {
    issuer: String,
}

impl TenantLookup for Customers {
    async fn find_by_issuer(
        &self,
        issuer: &str,
    ) -> Result<Option<Tenant>, Box<dyn StdError + Send + Sync>> {
        if issuer.contains("broken") {
            return Err("the database is down".into());
        }
        Ok((issuer == self.issuer).then(|| {
            let provider = Provider::new().issuer(issuer).audience(AUDIENCE).keys(Keys::discover());
            Tenant::new("acme", provider)
        }))
    }
}

/// Returns valid, invalid and malformed tokens, with canaries in every position.
fn tokens(idp: &IdentityProvider, customer: &IdentityProvider, down: &str) -> Vec<String> {
    let attacker = SigningKey::generate(Algorithm::ES256, "canary-attacker");
    let rich = || {
        good()
            .claim("email", "canary@canary.test")
            .claim("role", "canary-role")
            .claim("scope", "canary:read canary:write")
            .claim("deep", json!({"list": ["canary-deep", {"more": "canary-more"}]}))
    };
    let mut tokens = vec![
        rich().sign(es256()),
        rich().sign(key(Algorithm::RS256)),
        rich().sign(key(Algorithm::HS256)),
        rich().sign(&attacker),
        rich().header("kid", "canary-kid").sign(es256()),
        rich().header("kid", "canary\r\nkid").sign(es256()),
        rich().header("kid", 7).sign(es256()),
        rich().header("typ", "canary-typ").sign(es256()),
        rich().header("alg", "canary-alg").sign(es256()),
        rich().header("crit", json!(["canary-crit"])).sign(es256()),
        rich().header("jku", "http://127.0.0.1:9/canary-jku").sign(&attacker),
        rich().header("jwk", attacker.public_jwk()).sign(&attacker),
        rich().expires_in(-7).sign(es256()),
        rich().claim("exp", "canary-exp").sign(es256()),
        rich().claim("exp", 1e300).sign(es256()),
        rich().claim("nbf", 4_000_000_000_u64).sign(es256()),
        rich().claim("iat", "canary-iat").sign(es256()),
        rich().claim("aud", "canary-aud").sign(es256()),
        rich().claim("aud", json!(["canary-aud", 1])).sign(es256()),
        rich().claim("iss", "https://canary-issuer.test").sign(es256()),
        rich().claim("iss", "https://canary-broken.test").sign(es256()),
        rich().claim("iss", json!(["canary-issuer"])).sign(es256()),
        rich().claim("iss", down).sign(es256()),
        rich().claim("iss", down).header("kid", "canary-down").sign(&attacker),
        rich().claim("sub", json!({"canary-sub": "canary"})).sign(es256()),
        with_header(&json!({"x": "canary", "y": "canary-member"})),
        with_payload(payload().replacen('{', "{\"sub\":\"canary-twice\",", 1)),
        with_payload(payload().replacen('{', "{\"canary-name\":1,\"canary-name\":2,", 1)),
        with_payload("canary, and no JSON"),
        with_payload("{\"canary\": canary}"),
        with_payload("{\"canary\":\"\\ucanary\"}"),
        with_payload(forge::nested("{\"canary-deep\":", "1", "}", 200)),
        forge("canary, and no JSON", payload(), by(es256())),
        forge(
            "{\"alg\":\"ES256\",\"kid\":\"canary-a\",\"kid\":\"canary-b\"}",
            payload(),
            by(es256()),
        ),
        "canarycanarycanary".to_owned(),
        "canarycanary.canarycanary.canarycanary".to_owned(),
        rich().claim("filler", "canary".repeat(4_000)).sign(es256()),
    ];
    let whole = tokens[0].clone();
    let [header, claims, signature] = forge::parts(&whole);
    tokens.push(format!("{header}.{claims}."));
    tokens.push(format!("{header}.{claims}.{signature}="));
    tokens.push(format!("{header}.{claims}.{signature}.{signature}"));
    tokens.push(whole[..whole.len() - 5].to_owned());
    for idp in [idp, customer] {
        let token = || idp.token().claim("sub", "canary-user").claim("role", "canary-role");
        tokens.push(token().sign(&idp.key()));
        tokens.push(token().sign(&attacker));
        tokens.push(token().header("kid", "canary-idp").sign(&idp.key()));
        tokens.push(token().expires_in(-3).sign(&idp.key()));
    }
    tokens
}

#[test]
fn logs_and_debug_output_hold_no_part_of_a_token() {
    alone::run(module_path!(), "alone_logs_and_debug_output_hold_no_part_of_a_token");
}

#[test]
#[ignore = "in a process of its own, started by `logs_and_debug_output_hold_no_part_of_a_token`"]
fn alone_logs_and_debug_output_hold_no_part_of_a_token() {
    // Every target at every level, the `log` crate included.
    log::keep_all();
    tracing::trace!(target: "another_crate", "the log is kept");

    let idp = IdentityProvider::start(AUDIENCE).unwrap();
    let customer = IdentityProvider::start(AUDIENCE).unwrap();
    let down = KeyServer::start(Answer::status(500)).unwrap();
    let discovered = Provider::new().issuer(idp.issuer()).audience(AUDIENCE).keys(Keys::discover());
    let broken = Provider::new().issuer("https://down.test").audience(AUDIENCE).keys(down.url());
    let hmac = Provider::new()
        .issuer("https://hmac.test")
        .audience(AUDIENCE)
        .algorithms([Algorithm::HS256])
        .keys(key(Algorithm::HS256).jwk_set());
    let mut shown = String::new();
    for provider in [&discovered, &broken, &hmac, &provider()] {
        writeln!(shown, "{provider:?}").unwrap();
    }
    let builder = policy::builder()
        .provider("test", provider())
        .provider("discovered", discovered)
        .provider("down", broken)
        .provider("hmac", hmac)
        .tenants(Tenants::new(Customers { issuer: customer.issuer().to_owned() }))
        .public_paths(api::PUBLIC_PATHS)
        .key_refresh_minutes(60);
    writeln!(shown, "{builder:?}").unwrap();
    let oauth2 = builder.build().unwrap();
    let (sender, errors) = mpsc::channel();
    let policy = oauth2.clone();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            let sender = sender.clone();
            App::new().configure(api::routes).wrap(policy.clone()).wrap_fn(
                move |request, service| {
                    let sender = sender.clone();
                    let answer = service.call(request);
                    async move {
                        let answer = answer.await?;
                        // What an access log of the application may write.
                        let error = answer.response().extensions().get::<Error>().cloned();
                        let _ = sender.send(format!("{answer:?} {error:?}"));
                        if let Some(error) = error {
                            tracing::info!(%error, ?error, "an access log");
                        }
                        Ok(answer)
                    }
                },
            )
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let address = server.address();
    let tokens = tokens(&idp, &customer, "https://down.test");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut accepted = 0;
    for token in &tokens {
        for path in
            ["/me", "/optional", "/claims-on-public", "/typed", "/scope", "/role", "/no-such"]
        {
            let answer = raw(address, &request("GET", path, &[bearer(token)]));
            accepted += usize::from(answer.status == 200 && path == "/me");
            // A handler may echo claims of a valid token.
            if answer.status != 200 {
                writeln!(shown, "{answer:?}").unwrap();
            }
        }
        let mut socket = vec![
            b"Connection: Upgrade".to_vec(),
            b"Upgrade: websocket".to_vec(),
            b"Sec-WebSocket-Version: 13".to_vec(),
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==".to_vec(),
            bearer(token),
        ];
        // An opaque text may be the name of a protocol.
        if token.starts_with("eyJ") {
            socket.push(format!("Sec-WebSocket-Protocol: {token}").into_bytes());
        }
        for path in ["/ws", "/ws-role"] {
            let mut connection = Connection::open(address);
            connection.send(&request("GET", path, &socket));
            writeln!(shown, "{:?}", connection.answer()).unwrap();
        }
        match runtime.block_on(oauth2.verify(token)) {
            Ok(claims) => {
                let claims: Claims = claims;
                let admin = claims.require_claim("role", "admin").unwrap_err();
                let scope = claims.require_scope("orders:read").unwrap_err();
                writeln!(shown, "{claims:?} {admin:?} {admin} {scope:?} {scope}").unwrap();
            }
            Err(error) => {
                let source = StdError::source(&error).map(|source| format!("{source} {source:?}"));
                writeln!(shown, "{error:?} {error} {:?} {source:?}", error.kind()).unwrap();
            }
        }
        for lines in [
            vec![bearer(token), bearer(token)],
            vec![format!("Authorization: Basic {token}").into_bytes()],
            vec![format!("Authorization: Bearer \"{token}\"").into_bytes()],
        ] {
            writeln!(shown, "{:?}", raw(address, &request("GET", "/me", &lines))).unwrap();
        }
    }
    writeln!(
        shown,
        "{oauth2:?} {:?} {:?}",
        oauth2.key_status(),
        std::any::type_name::<TypedClaims<()>>()
    )
    .unwrap();
    writeln!(shown, "{}", serde_json::to_string(&oauth2.key_status()).unwrap()).unwrap();
    drop(server);
    shown.extend(errors);
    assert!(accepted >= 4, "{accepted} tokens were accepted: too few");

    let log = log::text();
    // The whole log was captured.
    for word in
        ["another_crate", "oauth2_actix", "request rejected", "actix_", "hyper", "an access log"]
    {
        assert!(
            log.contains(word),
            "{word} is not in the log, so that the test would prove nothing"
        );
    }
    let mut windows: HashMap<&[u8], usize> = HashMap::new();
    for (index, token) in tokens.iter().enumerate() {
        for part in token.split('.') {
            for window in part.as_bytes().windows(WINDOW) {
                windows.insert(window, index);
            }
        }
    }
    // The names of claims are not secret, and `Debug` of `Claims` shows them.
    let mut problems = HashSet::new();
    for (what, text) in [("log", &log), ("debug", &shown)] {
        for line in text.lines() {
            if line.to_ascii_lowercase().contains(CANARY) {
                problems.insert(format!("{what}: {line}"));
            }
            for window in line.as_bytes().windows(WINDOW) {
                if let Some(index) = windows.get(window) {
                    problems.insert(format!("{what}, of token {index}: {line}"));
                    break;
                }
            }
        }
    }
    let mut problems: Vec<String> =
        problems.into_iter().map(|line| line.chars().take(600).collect()).collect();
    problems.sort_unstable();
    problems.truncate(10);
    assert!(problems.is_empty(), "{problems:#?}");
}

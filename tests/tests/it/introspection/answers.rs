//! Which answers accept a token, and what a client learns of the others.

use std::time::SystemTime;

use actix_web::{
    App, HttpResponse,
    test::{self, TestRequest},
    web,
};
use oauth2_actix::{
    Algorithm, Binding, Claims,
    dpop::Dpop,
    requirement,
    testing::{DpopProof, SigningKey},
};
use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn active_token_has_the_claims_of_the_answer() {
    let setup = Setup::start(Answer::status(500));
    let members = json!({"scope": "a b", "client_id": "shop", "username": "Ann", "roles": ["x"]});
    setup.server.answer(setup.active(members));
    let claims = setup.oauth2.verify("opaque-token").await.unwrap();
    assert_eq!(claims.subject(), Some("ann"));
    assert_eq!((claims.issuer(), claims.provider()), (ISSUER, "p"));
    assert!(claims.has_scope("b") && claims.client_id() == Some("shop"));
    assert_eq!(claims.get("roles"), Some(&json!(["x"])));
    assert_eq!(claims.expose_token(), "opaque-token");
    assert_eq!(claims.jose_header().algorithm, None);
    assert_eq!(claims.time_left(), seconds(3600));
    let request = setup.server.last_request();
    assert!(request.starts_with("POST /introspect HTTP/1.1"), "{request}");
    assert!(
        request.ends_with("\r\n\r\ntoken=opaque-token&token_type_hint=access_token"),
        "{request}"
    );
    assert!(request.contains("accept: application/json"), "{request}");
}

/// The members of an answer, and the kind of the rejection. None: the token is accepted.
fn cases(now: u64) -> Vec<(Value, Option<&'static str>)> {
    let accepted = None;
    let missing = Value::Null;
    vec![
        (json!({}), accepted),
        (json!({"iss": missing}), accepted),
        (json!({"iss": "https://other.test"}), Some("unknown_issuer")),
        (json!({"iss": format!("{ISSUER}/")}), Some("unknown_issuer")),
        (json!({"iss": [ISSUER]}), Some("claim_invalid")),
        (json!({"aud": missing}), Some("audience_mismatch")),
        (json!({"aud": "other"}), Some("audience_mismatch")),
        (json!({"aud": ["other", "api"]}), accepted),
        (json!({"aud": ["other"]}), Some("audience_mismatch")),
        (json!({"aud": ["api", 7]}), Some("claim_invalid")),
        (json!({"aud": {"api": true}}), Some("claim_invalid")),
        (json!({"aud": []}), Some("audience_mismatch")),
        (json!({"exp": missing}), accepted),
        (json!({"exp": now}), Some("expired")),
        (json!({"exp": now + 1}), accepted),
        (json!({"exp": "soon"}), Some("claim_invalid")),
        (json!({"nbf": now + 60}), Some("not_yet_valid")),
        (json!({"nbf": now}), accepted),
        (json!({"sub": 7}), Some("claim_invalid")),
        (json!({"sub": missing}), accepted),
        (json!({"token_type": "Bearer"}), accepted),
        (json!({"token_type": "bearer"}), accepted),
        (json!({"token_type": "access_token"}), accepted),
        (json!({"token_type": "refresh_token"}), Some("type_not_allowed")),
        (json!({"token_type": "DPoP"}), Some("sender_constrained")),
        (json!({"token_type": "N_A"}), Some("type_not_allowed")),
        (json!({"token_type": 7}), Some("type_not_allowed")),
        (json!({"token_use": "access_token"}), accepted),
        (json!({"token_use": "refresh_token"}), Some("type_not_allowed")),
        (json!({"typ": "Bearer"}), accepted),
        (json!({"typ": "Refresh"}), Some("type_not_allowed")),
        (json!({"typ": "Offline"}), Some("type_not_allowed")),
        (json!({"typ": "ID"}), Some("type_not_allowed")),
        (json!({"typ": "logout+jwt"}), Some("type_not_allowed")),
        (json!({"cnf": {"jkt": "x"}}), Some("sender_constrained")),
        (json!({"cnf": {"x5t#S256": "x"}}), Some("sender_constrained")),
        (json!({"cnf": {}}), Some("sender_constrained")),
        (json!({"cnf": 7}), Some("sender_constrained")),
    ]
}

#[tokio::test]
async fn answer_is_checked_as_the_claims_of_a_token_are() {
    let setup = Setup::start(Answer::status(500));
    for (index, (members, expected)) in cases(setup.clock.unix_seconds()).into_iter().enumerate() {
        setup.server.answer(setup.active(members.clone()));
        let found = setup.oauth2.verify(&format!("token-{index}")).await;
        let kind = found.err().map(|error| error.kind_name());
        assert_eq!(kind, expected, "{members}");
    }
}

#[tokio::test]
async fn inactive_token_is_rejected_whatever_else_the_answer_has() {
    let setup = Setup::start(Answer::json(&json!({"active": false})));
    assert_eq!(setup.verify("one").await, Err(ErrorKind::TokenInactive));
    let more = json!({"active": false, "exp": "x", "aud": 7, "sub": [], "iss": {}});
    setup.server.answer(Answer::json(&more));
    assert_eq!(setup.verify("two").await, Err(ErrorKind::TokenInactive));
}

#[tokio::test]
async fn client_learns_the_same_of_every_token_that_is_not_accepted() {
    let setup = Setup::start(Answer::json(&json!({"active": false})));
    let app = App::new()
        .wrap(setup.oauth2.clone())
        .route("/", web::get().to(async |_: Claims| HttpResponse::Ok()));
    let app = test::init_service(app).await;
    let mut answers = Vec::new();
    let now = setup.clock.unix_seconds();
    let rejected = cases(now).into_iter().filter(|(_, kind)| kind.is_some());
    for (index, members) in [None].into_iter().chain(rejected.map(|(it, _)| Some(it))).enumerate() {
        if let Some(members) = members {
            setup.server.answer(setup.active(members));
        }
        let request =
            TestRequest::get().insert_header(("authorization", format!("Bearer t{index}")));
        let response = test::call_service(&app, request.to_request()).await;
        let status = response.status();
        let challenge = response.headers().get("www-authenticate").unwrap().clone();
        answers.push((status, challenge, test::read_body(response).await));
    }
    assert!(answers.len() > 20);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(answers[0].0.as_u16(), 401);
    let body: Value = serde_json::from_slice(&answers[0].2).unwrap();
    assert_eq!(body["error"], "invalid_token");
}

#[tokio::test]
async fn answer_without_an_audience_is_accepted_only_by_the_dangerous_option() {
    let setup = Setup::with(
        Answer::status(500),
        |introspection| introspection.dangerous_without_audience(true),
        |provider| provider,
    );
    setup.server.answer(setup.active(json!({"aud": null})));
    assert_eq!(setup.verify("without").await, Ok(()));
    for aud in [json!("other"), json!([]), json!(["x", "y"])] {
        setup.server.answer(setup.active(json!({"aud": aud})));
        assert!(
            setup.verify(&format!("token-{aud}").replace(['"', '[', ']', ','], "-")).await.is_err()
        );
    }
}

#[tokio::test]
async fn requirements_clients_and_subjects_of_the_provider_apply() {
    let setup = Setup::with(
        Answer::status(500),
        |introspection| introspection,
        |provider| {
            provider
                .clients(["shop"])
                .subjects(["ann"])
                .require(requirement::claim("tenant", "ours"))
        },
    );
    for (members, expected) in [
        (json!({"client_id": "shop", "tenant": "ours"}), None),
        (json!({"client_id": "web", "tenant": "ours"}), Some("client_not_allowed")),
        (json!({"client_id": "shop", "tenant": "ours", "sub": "bob"}), Some("subject_not_allowed")),
        (json!({"client_id": "shop"}), Some("requirement_not_met")),
    ] {
        setup.server.answer(setup.active(members.clone()));
        let token = format!("token-{}", members.to_string().len());
        let kind = setup.oauth2.verify(&token).await.err().map(|error| error.kind_name());
        assert_eq!(kind, expected, "{members}");
    }
}

#[tokio::test]
async fn token_without_an_end_is_accepted_while_the_provider_says_so() {
    let setup = Setup::start(Answer::status(500));
    setup.server.answer(setup.active(json!({"exp": null})));
    let claims = setup.oauth2.verify("endless").await.unwrap();
    assert!(claims.expires_at() > SystemTime::now() + seconds(365 * 24 * 3600));
    setup.server.answer(Answer::json(&json!({"active": false})));
    setup.clock.advance(seconds(60));
    assert_eq!(setup.verify("endless").await, Err(ErrorKind::TokenInactive));
}

#[tokio::test]
async fn bound_token_needs_its_proof_also_if_it_is_opaque() {
    let key = SigningKey::generate(Algorithm::ES256, "client");
    let server = KeyServer::start(Answer::status(500)).unwrap();
    let clock = ManualClock::new();
    let provider = introspected(at(&server)).dpop(Binding::Allowed);
    let oauth2 = builder(&clock)
        .provider("p", provider)
        .dpop(Dpop::new().base_url("https://api.example"))
        .build()
        .unwrap();
    let members = json!({"token_type": "DPoP", "cnf": {"jkt": key.thumbprint()}});
    server.answer(active(&clock, members));
    let app =
        App::new().wrap(oauth2).route("/x", web::get().to(async |_: Claims| HttpResponse::Ok()));
    let app = test::init_service(app).await;
    let get = |scheme: &str, proof: Option<String>| {
        let mut request = TestRequest::get()
            .uri("/x")
            .insert_header(("authorization", format!("{scheme} bound-token")));
        if let Some(proof) = proof {
            request = request.insert_header(("dpop", proof));
        }
        request.to_request()
    };
    let proof = || {
        let proof = DpopProof::new("GET", "https://api.example/x", "bound-token");
        proof.claim("iat", clock.unix_seconds()).sign(&key)
    };
    for round in 0..2 {
        let status = test::call_service(&app, get("DPoP", Some(proof()))).await.status();
        assert_eq!(status.as_u16(), 200, "{round}");
        let status = test::call_service(&app, get("Bearer", None)).await.status();
        assert_eq!(status.as_u16(), 401, "{round}");
        let status = test::call_service(&app, get("DPoP", None)).await.status();
        assert_eq!(status.as_u16(), 401, "{round}");
    }
}

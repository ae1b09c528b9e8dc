//! Another or a more recent authentication (RFC 9470): attributes, values, policies and the challenge.

use std::time::Duration;

use actix_web::{HttpMessage, HttpRequest, HttpResponse, get, post, web};
use oauth2_actix::{
    Claims, ConfigErrorKind, Error, ErrorKind, MissingToken, OAuth2Builder, Provider, access,
    guarded, public, require_acr, require_auth_age, require_claim, require_scope, requirement,
    testing::ManualClock,
};
use oauth2_actix_tests::keys::key;
use serde_json::{Value, json};

use super::{Answer, app, builder, policies::from_json, send, token};

const OTP: &str = "urn:otp";
const FIVE_MINUTES: u64 = 300;

#[require_scope("pay")]
#[require_acr("urn:key", OTP)]
#[require_auth_age(FIVE_MINUTES)]
#[require_claim("role", "payer")]
#[post("/step-up/payments")]
async fn pay() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[get("/step-up/recent")]
#[require_auth_age(60)]
async fn recent() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[guarded]
mod guarded_module {
    use actix_web::{HttpResponse, get};
    use oauth2_actix::{require_acr, require_auth_age};

    #[get("/step-up/guarded/acr")]
    #[require_acr(["urn:key"])]
    pub(super) async fn acr() -> HttpResponse {
        HttpResponse::Ok().finish()
    }

    #[get("/step-up/guarded/age")]
    #[require_auth_age(60)]
    pub(super) async fn age() -> HttpResponse {
        HttpResponse::Ok().finish()
    }
}

/// Has the form of the private routes, so that requests for them are routed.
#[public]
#[get("/step-up/{public}")]
async fn alike() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// Says what it is to do in the code of the handler.
#[get("/step-up/code")]
async fn in_code(claims: Claims) -> Result<HttpResponse, Error> {
    claims.require(&requirement::acr([OTP]))?;
    Ok(HttpResponse::Ok().finish())
}

fn configure(config: &mut web::ServiceConfig) {
    let either = requirement::any([requirement::acr(["urn:key"]), requirement::scopes(["admin"])]);
    config
        .service(pay)
        .service(
            web::resource("/step-up/policy")
                .wrap(requirement::policy("stepped-up"))
                .route(web::get().to(HttpResponse::Ok)),
        )
        .service(in_code)
        .service(guarded_module::acr)
        .service(guarded_module::age)
        .service(recent)
        .service(
            web::scope("/step-up/wrapped")
                .wrap(either)
                .route("/x", web::get().to(HttpResponse::Ok)),
        );
}

fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn challenge(scope: &str, parameters: &str) -> String {
    let scope = if scope.is_empty() { String::new() } else { format!("scope=\"{scope}\", ") };
    format!(
        "Bearer {scope}realm=\"api\", error=\"insufficient_user_authentication\", {parameters}, \
         error_description=\"Another or a more recent authentication is required.\""
    )
}

#[actix_web::test]
async fn token_without_the_authentication_gets_401_before_403() {
    let app = app(builder().build().unwrap(), configure).await;
    let of_payments = challenge("pay", "acr_values=\"urn:key urn:otp\", max_age=\"300\"");
    let forbidden = |scope: &str| {
        let scope = if scope.is_empty() { String::new() } else { format!("scope=\"{scope}\", ") };
        format!(
            "Bearer {scope}realm=\"api\", error=\"insufficient_scope\", \
             error_description=\"The token does not permit this.\""
        )
    };
    let fresh = now() - 10;
    for (claims, status, challenge) in [
        (json!({}), 401, of_payments.clone()),
        (json!({"scope": "pay", "role": "payer"}), 401, of_payments.clone()),
        (json!({"acr": OTP, "scope": "pay", "role": "payer"}), 401, of_payments.clone()),
        (json!({"acr": OTP, "auth_time": fresh - 400, "scope": "pay"}), 401, of_payments.clone()),
        (json!({"acr": "urn:pwd", "auth_time": fresh, "scope": "pay"}), 401, of_payments),
        (json!({"acr": OTP, "auth_time": fresh}), 403, forbidden("pay")),
        (json!({"acr": OTP, "auth_time": fresh, "scope": "pay"}), 403, forbidden("")),
        (
            json!({"acr": "urn:key", "auth_time": fresh, "scope": "pay", "role": "payer"}),
            200,
            String::new(),
        ),
    ] {
        let answer = send(&app, "POST", "/step-up/payments", Some(&token(claims.clone()))).await;
        assert_eq!((answer.status, answer.challenge), (status, challenge), "{claims}");
        if status == 401 {
            let body: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(body["error"], "insufficient_user_authentication");
        }
    }
}

#[actix_web::test]
async fn challenge_begins_with_the_metadata_and_the_scopes() {
    let oauth2 = builder().resource("https://api.test/pay").build().unwrap();
    let app = app(oauth2, configure).await;
    let answer = send(&app, "POST", "/step-up/payments", Some(&token(json!({})))).await;
    let metadata = "https://api.test/.well-known/oauth-protected-resource/pay";
    let expected = challenge("pay", "acr_values=\"urn:key urn:otp\", max_age=\"300\"").replacen(
        "Bearer ",
        &format!("Bearer resource_metadata=\"{metadata}\", "),
        1,
    );
    assert_eq!((answer.status, answer.challenge), (401, expected));
}

#[actix_web::test]
async fn every_form_of_the_requirement_challenges() {
    let app = app(builder().build().unwrap(), configure).await;
    let otp = json!({"acr": OTP, "auth_time": now()});
    for (path, claims, expected) in [
        ("recent", json!({"acr": OTP}), challenge("", "max_age=\"60\"")),
        ("recent", otp.clone(), String::new()),
        ("policy", json!({}), challenge("reports:read", "acr_values=\"urn:otp\", max_age=\"600\"")),
        ("guarded/acr", otp.clone(), challenge("", "acr_values=\"urn:key\"")),
        ("guarded/age", json!({}), challenge("", "max_age=\"60\"")),
        ("code", json!({"acr": "x"}), challenge("", "acr_values=\"urn:otp\"")),
        ("code", otp.clone(), String::new()),
        ("wrapped/x", otp, challenge("admin", "acr_values=\"urn:key\"")),
        ("wrapped/x", json!({"scope": "admin"}), String::new()),
        ("wrapped/x", json!({"acr": "urn:key"}), String::new()),
    ] {
        let token = token(claims.clone());
        let answer = send(&app, "GET", &format!("/step-up/{path}"), Some(&token)).await;
        let status = if expected.is_empty() { 200 } else { 401 };
        assert_eq!((answer.status, answer.challenge), (status, expected), "{path} {claims}");
    }
}

#[actix_web::test]
async fn cached_token_is_judged_by_the_time_of_each_request() {
    let clock = ManualClock::new();
    let oauth2 = builder().clock(clock.clone()).leeway(Duration::from_secs(5)).build().unwrap();
    let app = app(oauth2.clone(), configure).await;
    let token = token(json!({"auth_time": clock.unix_seconds()}));
    for (advance, status) in [(0, 200), (60, 200), (5, 200), (1, 401), (100, 401)] {
        clock.advance(Duration::from_secs(advance));
        let answer = send(&app, "GET", "/step-up/recent", Some(&token)).await;
        assert_eq!(answer.status, status, "{advance}");
    }
    // The token itself is still accepted.
    assert_eq!(
        oauth2.verify(&token).await.unwrap().get("auth_time"),
        Some(&json!(clock.unix_seconds() - 166))
    );
}

#[actix_web::test]
async fn request_without_a_valid_token_is_rejected_as_everywhere() {
    let oauth2 = builder()
        .missing_token_status(MissingToken::Unauthorized)
        .public_paths(["/step-up/recent"])
        .build()
        .unwrap();
    let app = app(oauth2, |config| {
        config.configure(configure).service(alike);
    })
    .await;
    for (path, token) in [
        ("/step-up/recent", None),
        ("/step-up/recent", Some("a.b.c")),
        ("/step-up/policy", None),
        ("/step-up/policy", Some("a.b.c")),
    ] {
        let Answer { status, challenge, .. } = send(&app, "GET", path, token).await;
        assert_eq!(status, 401, "{path}");
        assert!(
            !challenge.contains("insufficient") && !challenge.contains("max_age"),
            "{challenge}"
        );
        assert_eq!(challenge.contains("error=\"invalid_token\""), token.is_some());
    }
}

#[actix_web::test]
async fn rejected_handshake_is_closed_with_1008() {
    let app = app(builder().build().unwrap(), configure).await;
    let request = actix_web::test::TestRequest::get()
        .uri("/step-up/guarded/acr")
        .insert_header(("authorization", format!("Bearer {}", token(json!({})))))
        .insert_header(("connection", "Upgrade"))
        .insert_header(("upgrade", "websocket"))
        .insert_header(("sec-websocket-version", "13"))
        .insert_header(("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="));
    let response = actix_web::test::call_service(&app, request.to_request()).await;
    assert_eq!(response.status(), 101);
    let error = response.response().extensions().get::<Error>().cloned().unwrap();
    let kind = ErrorKind::InsufficientAuthentication {
        acr_values: vec!["urn:key".to_owned()],
        max_age: None,
    };
    assert_eq!((error.kind(), error.kind_name()), (&kind, "insufficient_authentication"));
    assert_eq!(
        error.to_string(),
        "the authentication of the token's subject does not satisfy the requirement: acr urn:key"
    );
    assert_eq!(
        error.hint().unwrap(),
        "the token has no claim `acr`: let the provider add it to access tokens"
    );
    let body = actix_web::test::read_body(response).await;
    assert_eq!(&body[..], b"\x88\x22\x03\xf0insufficient user authentication");
}

#[test]
fn rows_name_the_authentication() {
    let lines: Vec<String> = access::routes()
        .iter()
        .filter(|route| route.handler().starts_with("access::step_up::"))
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        lines,
        [
            "handler access::step_up::recent authentication within 60 s",
            "GET /step-up/guarded/acr acr urn:key (access::step_up::guarded_module::acr)",
            "GET /step-up/guarded/age authentication within 60 s (access::step_up::guarded_module::age)",
            "POST /step-up/payments scope pay and any acr of urn:key urn:otp and authentication within 300 s and claim role = \"payer\" (access::step_up::pay)",
            "GET /step-up/{public} public (access::step_up::alike)",
        ]
    );
}

#[test]
fn longer_age_is_a_change_that_people_judge() {
    let table = |access: &str| {
        let json = access::routes().to_json().replace("authentication within 300 s", access);
        access::Routes::from_json(&json).unwrap()
    };
    let changes: Vec<_> = table("authentication within 600 s")
        .changes_since(&access::routes())
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        changes,
        [
            "different: `POST /step-up/payments` no longer requires authentication within 300 s",
            "different: `POST /step-up/payments` now requires authentication within 600 s",
        ]
    );
}

#[actix_web::test]
async fn requirement_is_read_through_serde() {
    let settings = |requirement: Value| {
        json!({"policies": {
            "reports": {"scopes": ["reports:read"]}, "back-office": {"policy": "reports"},
            "stepped-up": requirement,
        }})
    };
    for (requirement, met, unmet) in [
        (json!({"acr": ["urn:key", "urn:otp"]}), json!({"acr": "urn:otp"}), json!({"acr": "x"})),
        (json!({"acr": "urn:otp"}), json!({"acr": "urn:otp"}), json!({"acr": ["urn:otp"]})),
        (
            json!({"auth_age_seconds": 300}),
            json!({"auth_time": now() - 100}),
            json!({"auth_time": now() - 400}),
        ),
        (json!({"auth_age_seconds": "300"}), json!({"auth_time": now()}), json!({})),
    ] {
        let oauth2 = from_json(settings(requirement)).unwrap().build().unwrap();
        let app = app(oauth2, configure).await;
        for (claims, status) in [(met, 200), (unmet, 401)] {
            let token = token(claims.clone());
            let answer = send(&app, "GET", "/step-up/policy", Some(&token)).await;
            assert_eq!(answer.status, status, "{claims}");
        }
    }
    for (requirement, problem) in [
        (json!({"acr": []}), "the list is empty"),
        (json!({"acr": ["a b"]}), "\"a b\" is not a value of `acr`"),
        (json!({"acr": ["a", ""]}), "\"\" is not a value of `acr`"),
        (json!({"acr": ["a\""]}), "is not a value of `acr`"),
        (json!({"acr": {"a": 1}}), "must be text or a list of texts"),
        (json!({"acr": ["a"], "auth_age_seconds": 1}), "must be a map with one of"),
        (json!({"auth_age_seconds": 0}), "between 1 s and 365 days"),
        (json!({"auth_age_seconds": 1e12}), "between 1 s and 365 days"),
        (json!({"auth_age_seconds": -1}), "zero or more"),
        (json!({"auth_age_seconds": "soon"}), "must be a number of seconds"),
        (json!({"acr": ["a"], "value": 1}), "unknown member \"value\" beside \"acr\""),
    ] {
        let error = from_json(settings(requirement)).unwrap_err();
        assert!(error.contains("policies.stepped-up: ") && error.contains(problem), "{error}");
    }
}

#[test]
fn age_cannot_be_required_of_every_token() {
    let of_an_hour = || requirement::auth_age(Duration::from_secs(3_600));
    let provider = || {
        let keys = key(oauth2_actix::Algorithm::ES256).jwk_set();
        Provider::new().issuer("https://other.test").audience("api").keys(keys)
    };
    let nested = requirement::any([requirement::scopes(["a"]), requirement::policy("stepped-up")]);
    let cases: [(OAuth2Builder, Option<&str>); 3] = [
        (builder().require(of_an_hour()), None),
        (builder().provider("p", provider().require(of_an_hour())), Some("p")),
        (builder().provider("p", provider().require(nested)), Some("p")),
    ];
    for (builder, provider) in cases {
        let error = builder.build().unwrap_err();
        assert_eq!(
            (error.kind(), error.provider(), error.field()),
            (ConfigErrorKind::Conflict, provider, "require"),
            "{error}"
        );
        assert!(error.to_string().contains("age of the authentication"), "{error}");
    }
    assert!(builder().require(requirement::acr([OTP])).build().is_ok());
}

/// The claims of a request, as a handler gets them.
#[actix_web::test]
async fn claims_in_the_extensions_satisfy_the_same_requirement() {
    async fn decide(request: HttpRequest) -> String {
        let extensions = request.extensions();
        let claims = extensions.get::<Claims>().unwrap();
        claims.satisfies(&requirement::acr([OTP])).to_string()
    }
    let app = app(builder().build().unwrap(), |config| {
        config.route("/step-up/decide", web::get().to(decide));
    })
    .await;
    for (acr, expected) in [(OTP, "true"), ("urn:pwd", "false")] {
        let token = token(json!({"acr": acr}));
        let answer = send(&app, "GET", "/step-up/decide", Some(&token)).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, expected));
    }
}

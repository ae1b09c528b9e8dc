//! A policy for the tests, and requests with valid tokens.

use std::sync::LazyLock;

use actix_web::{http::header::AUTHORIZATION, test::TestRequest};
use oauth2_actix::{
    Algorithm, OAuth2, Provider,
    testing::{SigningKey, Token},
};
use serde_json::{Map, Value};

const ISSUER: &str = "https://idp.test";
const AUDIENCE: &str = "api";

static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::generate(Algorithm::ES256, "key-1"));

pub(crate) fn oauth2() -> OAuth2 {
    let provider = Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(KEY.jwk_set());
    OAuth2::builder().provider("test", provider).build().expect("a policy")
}

pub(crate) fn get(path: &str) -> TestRequest {
    TestRequest::get().uri(path)
}

pub(crate) fn get_as(path: &str, claims: &Value) -> TestRequest {
    let claims: Map<String, Value> = claims.as_object().expect("an object").clone();
    let token = Token::new(ISSUER, AUDIENCE).claims(claims).sign(&KEY);
    get(path).insert_header((AUTHORIZATION, format!("Bearer {token}")))
}

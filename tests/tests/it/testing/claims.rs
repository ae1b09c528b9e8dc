//! What the crate offers to tests of an application.

use serde_json::json;

#[test]
fn claims_for_unit_tests_have_a_provider_and_no_token() {
    let claims = oauth2_actix::testing::claims(json!({"sub": "ann", "role": ["admin"]}));
    assert_eq!((claims.provider(), claims.subject()), ("test", Some("ann")));
    assert!(claims.has_claim("role", "admin"));
    assert_eq!((claims.issuer(), claims.expose_token()), ("https://idp.test", ""));
    assert!(claims.expires_at() > std::time::SystemTime::now());
    assert_eq!(claims.jose_header(), oauth2_actix::JoseHeader::default());
}

//! Tokens of any form: none is accepted, and the form of a parsed one is canonical.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth2_actix::{__fuzz, Algorithm, OAuth2, Provider, testing::SigningKey};

static POLICY: LazyLock<OAuth2> = LazyLock::new(|| {
    let keys: Vec<_> = [Algorithm::HS256, Algorithm::ES256, Algorithm::RS256, Algorithm::EdDSA]
        .map(|algorithm| SigningKey::generate(algorithm, "1").public_jwk())
        .into();
    let provider = Provider::new()
        .issuer("https://idp.test")
        .audience("api")
        .algorithms([Algorithm::HS256, Algorithm::ES256, Algorithm::RS256, Algorithm::EdDSA])
        .keys(serde_json::Value::from(keys));
    OAuth2::builder().provider("p", provider).build().expect("a policy")
});

pub fn run(data: &[u8]) {
    let Ok(token) = std::str::from_utf8(data) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    assert!(
        runtime.block_on(POLICY.verify(token)).is_err(),
        "a token without a valid signature is accepted"
    );
    let Some((_, _, signature, signed)) = __fuzz::jws(token) else { return };
    assert_eq!(token.matches('.').count(), 2);
    // Canonical: encoding the decoded parts returns the same text.
    let (content, tail) = token.split_at(signed);
    assert_eq!(tail, format!(".{}", URL_SAFE_NO_PAD.encode(signature)));
    for part in content.split('.') {
        let decoded = URL_SAFE_NO_PAD.decode(part).expect("base64url");
        assert_eq!(URL_SAFE_NO_PAD.encode(&decoded), part);
        assert!(__fuzz::strict_object(&decoded).is_some());
    }
}

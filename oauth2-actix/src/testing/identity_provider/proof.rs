//! DPoP proofs at the token endpoint (RFC 9449 §5).

use actix_web::HttpRequest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use url::Url;

use super::{IdentityProvider, parameters::Problem};
use crate::{
    dpop::client_key::ClientKey,
    jose::{algorithm::Algorithm, key_policy::CryptoBackend},
    json::object::Object,
};

/// The algorithms of proofs, which the metadata publishes.
pub(super) const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::ES256, Algorithm::EdDSA, Algorithm::Ed25519, Algorithm::PS256, Algorithm::RS256];

/// Returns the thumbprint of the client's key, if the request has a proof. A proof may be used again until it is too
/// old, unlike at an API: the code and the refresh token of the request may not.
pub(super) fn thumbprint(
    provider: &IdentityProvider,
    request: &HttpRequest,
) -> Result<Option<String>, Problem> {
    let mut proofs = request.headers().get_all("dpop");
    let proof = match (proofs.next(), proofs.next()) {
        (None, _) => return Ok(None),
        (Some(proof), None) => proof.as_bytes(),
        _ => return Err(invalid("There is more than one DPoP header.")),
    };
    let endpoint = format!("{}/token", provider.issuer());
    checked(proof, request.method().as_str(), &endpoint, provider.now().as_secs_f64()).map(Some)
}

/// Checks a proof, and returns the thumbprint of its key.
fn checked(proof: &[u8], method: &str, endpoint: &str, now: f64) -> Result<String, Problem> {
    let parts: Vec<_> = proof.split(|byte| *byte == b'.').collect();
    let [header, payload, signature] = parts[..] else {
        return Err(invalid("The DPoP proof is not a signed JWT."));
    };
    let not_base64url = |_| invalid("A part of the DPoP proof is not base64url.");
    let decoded = |part| URL_SAFE_NO_PAD.decode(part).map_err(not_base64url);
    let object = |part| {
        Object::parse(&decoded(part)?)
            .map_err(|_| invalid("A part of the DPoP proof is not a JSON object."))
    };

    let header_members = object(header)?;
    if header_members.get("typ").is_none_or(|typ| typ != "dpop+jwt") {
        return Err(invalid("The typ of the DPoP proof is not dpop+jwt."));
    }
    if header_members.contains("crit") || header_members.contains("b64") {
        return Err(invalid("The DPoP proof has crit or b64, and no extension is supported."));
    }
    let alg = header_members.get("alg").and_then(Value::as_str);
    let algorithm = ALGORITHMS.into_iter().find(|algorithm| alg == Some(algorithm.name()));
    let algorithm = algorithm.ok_or(invalid(
        "The alg of the DPoP proof is not one of dpop_signing_alg_values_supported.",
    ))?;
    let Some(Value::Object(jwk)) = header_members.get("jwk") else {
        return Err(invalid("The DPoP proof has no jwk."));
    };
    let unusable = |_| invalid("The jwk of the DPoP proof is not a public key for its alg.");
    let jwk = serde_json::to_string(jwk).map_err(|_| invalid("The DPoP proof has no jwk."))?;
    let key = ClientKey::read(&jwk, algorithm).map_err(unusable)?;
    let verifier = key.verifier(algorithm, CryptoBackend::default()).map_err(unusable)?;
    let signed = &proof[..header.len() + 1 + payload.len()];
    if !verifier.accepts(signed, &decoded(signature)?) {
        return Err(invalid("The signature of the DPoP proof is not one of its jwk."));
    }

    let claims = object(payload)?;
    let text = |name| claims.get(name).and_then(Value::as_str);
    if text("jti").is_none_or(str::is_empty) {
        return Err(invalid("The DPoP proof has no jti."));
    }
    if text("htm") != Some(method) {
        return Err(invalid("The htm of the DPoP proof is not the method of the request."));
    }
    if text("htu").and_then(without_query) != without_query(endpoint) {
        return Err(invalid("The htu of the DPoP proof is not the URL of the token endpoint."));
    }
    let issued_at = claims.get("iat").and_then(Value::as_f64);
    if issued_at.is_none_or(|iat| !(now - MAX_AGE..=now + CLOCK_SKEW).contains(&iat)) {
        return Err(invalid("The iat of the DPoP proof is not of the last minute."));
    }
    Ok(URL_SAFE_NO_PAD.encode(key.thumbprint()))
}

/// Returns a URL without its query and fragment (RFC 9449 §4.3).
fn without_query(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    Some(url)
}

fn invalid(description: &'static str) -> Problem {
    Problem::new("invalid_dpop_proof", description)
}

/// The maximum age of a proof in seconds.
const MAX_AGE: f64 = 60.0;

/// The seconds by which the clock of a client may be ahead.
const CLOCK_SKEW: f64 = 10.0;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{DpopProof, SigningKey};

    const ENDPOINT: &str = "http://127.0.0.1:8081/token";

    fn valid() -> DpopProof {
        DpopProof::new("POST", ENDPOINT, "").without("ath").claim("iat", 1_000)
    }

    fn check(proof: &DpopProof, key: &SigningKey) -> Result<String, Problem> {
        checked(proof.sign(key).as_bytes(), "POST", ENDPOINT, 1_000.0)
    }

    #[test]
    fn proof_of_each_algorithm_has_the_thumbprint_of_its_key() {
        for algorithm in ALGORITHMS {
            let key = SigningKey::generate(algorithm, "client");
            assert_eq!(check(&valid(), &key), Ok(key.thumbprint()), "{algorithm}");
        }
    }

    #[test]
    fn proof_of_another_request_time_or_form_is_refused() {
        let key = SigningKey::generate(Algorithm::ES256, "client");
        let other = SigningKey::generate(Algorithm::ES256, "other");
        let mut private = key.bare_jwk();
        private["d"] = json!("AQAB");
        for accepted in [
            valid().claim("htu", "HTTP://127.0.0.1:8081/token?x#y"),
            valid().claim("iat", 940),
            valid().claim("iat", 1_009.5),
            valid().claim("ath", "of another request"),
        ] {
            assert_eq!(check(&accepted, &key), Ok(key.thumbprint()), "{accepted:?}");
        }
        for refused in [
            valid().header("typ", "JWT"),
            valid().header("typ", json!(null)),
            valid().header("alg", "none"),
            valid().header("alg", "HS256"),
            valid().header("alg", "ES384"),
            valid().header("crit", json!(["exp"])),
            valid().header("jwk", json!(null)),
            valid().header("jwk", private),
            valid().header("jwk", other.bare_jwk()),
            valid().without("jti"),
            valid().claim("jti", ""),
            valid().claim("htm", "GET"),
            valid().claim("htm", "post"),
            valid().without("htm"),
            valid().claim("htu", "http://127.0.0.1:8081/token/"),
            valid().claim("htu", "http://127.0.0.1:8082/token"),
            valid().claim("htu", "/token"),
            valid().without("htu"),
            valid().claim("iat", 939),
            valid().claim("iat", 1_011),
            valid().claim("iat", "1000"),
            valid().without("iat"),
        ] {
            let problem = check(&refused, &key).expect_err("a refused proof");
            assert_eq!(problem.error, "invalid_dpop_proof", "{refused:?}");
        }
        let proof = valid().sign(&key);
        let (signed, _) = proof.rsplit_once('.').expect("a signature");
        for text in [format!("{signed}."), signed.into(), format!("{proof}.x"), String::new()] {
            assert!(checked(text.as_bytes(), "POST", ENDPOINT, 1_000.0).is_err());
        }
    }
}

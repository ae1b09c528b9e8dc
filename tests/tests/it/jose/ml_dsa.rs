//! ML-DSA (RFC 9964): accepted only where it is named, and compared with the implementation in `fips204`.

use fips204::{
    ml_dsa_44, ml_dsa_65, ml_dsa_87,
    traits::{SerDes, Signer, Verifier},
};
use oauth2_actix::{
    Algorithm, Binding, ConfigErrorKind, CryptoBackend, ErrorKind, OAuth2, Provider,
    dpop::Dpop,
    testing::{SigningKey, Token},
};
use oauth2_actix_tests::{
    api::Api,
    client,
    forge::b64,
    key_server::{Answer, KeyServer},
    keys::{ML_DSA, key},
    log, policy,
};
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.test";

fn provider() -> Provider {
    Provider::new().issuer(ISSUER).audience("api")
}

/// Builds a policy with AWS-LC, whatever the environment says.
fn policy(provider: Provider) -> OAuth2 {
    let builder = policy::builder().crypto_backend(CryptoBackend::AwsLc);
    builder.provider("test", provider).build().unwrap()
}

async fn kind(oauth2: &OAuth2, token: &str) -> ErrorKind {
    oauth2.verify(token).await.expect_err("rejected").kind().clone()
}

#[tokio::test]
async fn token_of_each_parameter_set_is_accepted_over_http_with_the_default_length() {
    let keys: Vec<_> = ML_DSA.iter().map(SigningKey::public_jwk).collect();
    let names = ML_DSA.iter().map(SigningKey::algorithm);
    let oauth2 = policy(provider().keys(json!({ "keys": keys })).algorithms(names));
    let api = Api::start(oauth2);
    for (key, length) in ML_DSA.iter().zip([3_300..3_800, 4_500..5_000, 6_300..6_800]) {
        let token = Token::new(ISSUER, "api").sign(key);
        assert!(length.contains(&token.len()), "{}: {}", key.algorithm(), token.len());
        let response = client::get(&api.url("/me"), Some(&token)).await;
        assert_eq!(response.status, 200, "{}", key.algorithm());
        // Claims take space too: an ML-DSA-87 token of 12,000 characters is within the default of 16,384 bytes.
        let long = Token::new(ISSUER, "api").claim("note", "x".repeat(4_000)).sign(key);
        let response = client::get(&api.url("/me"), Some(&long)).await;
        assert_eq!(response.status, 200, "{}", key.algorithm());
    }
}

#[tokio::test]
async fn token_is_rejected_where_the_algorithm_is_not_named() {
    for key in ML_DSA.iter() {
        let token = Token::new(ISSUER, "api").sign(key);
        let keys = json!({"keys": [key.public_jwk(), self::key(Algorithm::ES256).public_jwk()]});
        let others = [Algorithm::MlDsa44, Algorithm::MlDsa65, Algorithm::MlDsa87];
        let others = others.into_iter().filter(|other| *other != key.algorithm());
        let by_default = policy(provider().keys(keys.clone()));
        let by_others =
            policy(provider().keys(keys.clone()).algorithms(others.chain([Algorithm::ES256])));
        for oauth2 in [by_default, by_others] {
            assert_eq!(kind(&oauth2, &token).await, ErrorKind::AlgorithmNotAllowed);
            // The key beside it is used.
            let token = Token::new(ISSUER, "api").sign(self::key(Algorithm::ES256));
            oauth2.verify(&token).await.unwrap();
        }
        let named = policy(provider().keys(keys).algorithms([key.algorithm().name()]));
        named.verify(&token).await.unwrap();
    }
}

#[tokio::test]
async fn algorithm_named_in_serde_is_accepted() {
    let key = key(Algorithm::MlDsa65);
    let settings = |algorithms: Value| {
        policy::from_json(json!({
            "providers": {"test": {
                "issuer": ISSUER, "audience": "api", "keys": key.public_jwk(), "algorithms": algorithms,
            }},
            "crypto_backend": "aws_lc",
        }))
    };
    let oauth2 = settings(json!(["ES256", "ML-DSA-65"])).unwrap().build().unwrap();
    oauth2.verify(&Token::new(ISSUER, "api").sign(key)).await.unwrap();
    for name in ["MLDSA65", "ml-dsa-65", "ML-DSA", "MlDsa65"] {
        let message = match settings(json!([name])) {
            Err(error) => error.to_string(),
            Ok(builder) => builder.build().map(drop).unwrap_err().to_string(),
        };
        assert!(message.contains(name) && message.contains("ML-DSA-65"), "{message}");
    }
}

#[test]
fn openssl_as_library_for_signatures_is_a_build_error() {
    let keys =
        json!({"keys": [key(Algorithm::MlDsa44).public_jwk(), key(Algorithm::ES256).public_jwk()]});
    let provider = provider().keys(keys).algorithms(["ES256", "ML-DSA-44"]);
    let builder = policy::builder().crypto_backend(CryptoBackend::OpenSsl);
    let error = builder.provider("test", provider).build().map(drop).unwrap_err();
    let faults: Vec<_> = error.faults().collect();
    assert_eq!((faults.len(), faults[0].field()), (1, "algorithms"), "{error:#}");
    assert_eq!(faults[0].kind(), ConfigErrorKind::Conflict);
    assert!(faults[0].message().contains("expected `aws_lc`"), "{}", faults[0].message());
}

#[test]
fn fapi2_and_dpop_refuse_ml_dsa() {
    let provider = provider()
        .keys(key(Algorithm::MlDsa44).public_jwk())
        .algorithms(["ML-DSA-44"])
        .dpop(Binding::Required);
    let builder = policy::builder().crypto_backend(CryptoBackend::AwsLc).provider("test", provider);
    let dpop = || Dpop::new().base_url("https://api.test");
    builder.clone().dpop(dpop()).build().unwrap();
    let error = builder
        .clone()
        .dpop(dpop())
        .fapi2()
        .dangerous_without_revocation_status(true)
        .build()
        .map(drop)
        .unwrap_err();
    assert!(error.faults().all(|fault| fault.field() == "algorithms"), "{error:#}");
    let error =
        builder.dpop(dpop().algorithms(["ES256", "ML-DSA-44"])).build().map(drop).unwrap_err();
    let faults: Vec<_> = error.faults().collect();
    assert_eq!((faults.len(), faults[0].field()), (1, "dpop.algorithms"), "{error:#}");
    assert!(faults[0].message().contains("expected an algorithm"), "{error:#}");
}

#[tokio::test]
async fn fetched_key_is_used_and_a_private_or_unnamed_one_beside_it_is_skipped() {
    let (used, unnamed) = (key(Algorithm::MlDsa65), key(Algorithm::MlDsa87));
    let mut private = key(Algorithm::MlDsa44).public_jwk();
    private["priv"] = json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let without_alg = |mut jwk: Value| {
        jwk.as_object_mut().unwrap().remove("alg");
        jwk
    };
    let keys = json!({"keys": [
        used.public_jwk(), unnamed.public_jwk(), private, without_alg(used.public_jwk()),
    ]});
    let server = KeyServer::start(Answer::body(200, &[], keys.to_string().as_bytes())).unwrap();
    log::keep();
    let provider = provider().keys(server.url()).algorithms(["ML-DSA-44", "ML-DSA-65"]);
    let builder = policy::builder().crypto_backend(CryptoBackend::AwsLc);
    let oauth2 = builder.provider("fetched-ml-dsa", provider).build().unwrap();
    oauth2.verify(&Token::new(ISSUER, "api").sign(used)).await.unwrap();
    for rejected in [unnamed, key(Algorithm::MlDsa44)] {
        assert!(oauth2.verify(&Token::new(ISSUER, "api").sign(rejected)).await.is_err());
    }
    for (level, reason) in [
        ("WARN", "its member `priv` makes it a private key"),
        ("WARN", "it has no `alg`, which names its type"),
        ("DEBUG", "only if the provider's `algorithms` name it"),
    ] {
        assert_eq!(log::lines_with(&[level, "fetched-ml-dsa", reason]).len(), 1, "{reason}");
    }
}

/// Compares AWS-LC with a parameter set of `fips204`, in both directions and for changed signatures.
macro_rules! compare {
    ($set:ident, $algorithm:expr) => {
        let algorithm = $algorithm;
        // A key and a signature of `fips204`, verified by AWS-LC.
        let (public, private) = $set::try_keygen().unwrap();
        let jwk = json!({
            "kty": "AKP", "alg": algorithm.name(), "pub": b64(public.clone().into_bytes()),
        });
        let oauth2 = policy(provider().keys(jwk).algorithms([algorithm]));
        let own = key(algorithm);
        let unsigned = Token::new(ISSUER, "api").header("kid", Value::Null).sign(own);
        let (message, _) = unsigned.rsplit_once('.').unwrap();
        let token = |signature: &[u8]| format!("{message}.{}", b64(signature));
        for context in [&[][..], b"context"] {
            let signature = private.try_sign(message.as_bytes(), context).unwrap();
            // JWS has the empty context (RFC 9964 §5).
            let result = oauth2.verify(&token(&signature)).await;
            assert_eq!(result.is_ok(), context.is_empty(), "{context:?}");
        }
        let signature = private.try_sign(message.as_bytes(), &[]).unwrap();
        for at in (0..signature.len()).step_by(31).chain([signature.len() - 1]) {
            for bit in [1, 0x80] {
                let mut changed = signature;
                changed[at] ^= bit;
                let by_fips204 = public.verify(message.as_bytes(), &changed, &[]);
                let by_aws_lc = oauth2.verify(&token(&changed)).await.is_ok();
                assert_eq!((by_fips204, by_aws_lc), (false, false), "byte {at}");
            }
        }
        // A key and a signature of AWS-LC, verified by `fips204`.
        let bytes = own.public_jwk()["pub"].as_str().map(decode).unwrap();
        let public = $set::PublicKey::try_from_bytes(bytes.try_into().unwrap()).unwrap();
        let signature = own.sign(message.as_bytes()).try_into().unwrap();
        assert!(public.verify(message.as_bytes(), &signature, &[]));
        assert!(!public.verify(&message.as_bytes()[1..], &signature, &[]));
    };
}

#[tokio::test]
async fn ml_dsa_44_agrees_with_fips204() {
    compare!(ml_dsa_44, Algorithm::MlDsa44);
}

#[tokio::test]
async fn ml_dsa_65_agrees_with_fips204() {
    compare!(ml_dsa_65, Algorithm::MlDsa65);
}

#[tokio::test]
async fn ml_dsa_87_agrees_with_fips204() {
    compare!(ml_dsa_87, Algorithm::MlDsa87);
}

fn decode(text: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

//! Tokens that are bound to the DPoP key of their client.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth2_actix::{
    Algorithm,
    testing::{DpopProof, IdentityProvider, SigningKey},
};
use oauth2_actix_tests::client::{Answer, client, send};
use serde_json::{Value, json};

use super::{
    FORM, Form, REDIRECT, ask, code, exchange, json_of, refresh, register, registered, start,
};

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::ES256, "client")
}

fn proof(idp: &IdentityProvider, key: &SigningKey) -> String {
    DpopProof::new("POST", &format!("{}/token", idp.issuer()), "").without("ath").sign(key)
}

async fn token(idp: &IdentityProvider, form: &Form, proofs: &[&str]) -> Answer {
    let mut request = client().post(format!("{}/token", idp.issuer())).header("content-type", FORM);
    for proof in proofs {
        request = request.header("dpop", *proof);
    }
    send(request.body(form.encoded())).await
}

fn credentials() -> Form {
    Form::new(&[
        ("grant_type", "client_credentials"),
        ("client_id", "quickstart"),
        ("client_secret", "quickstart"),
    ])
}

/// Returns the type of the token, and the thumbprint that it is bound to.
fn issued(idp: &IdentityProvider, answer: &Answer) -> (String, Option<String>) {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = json_of(answer);
    let payload = body["access_token"].as_str().unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    assert_eq!(claims["iss"], idp.issuer());
    let bound_to = claims["cnf"]["jkt"].as_str().map(str::to_owned);
    (body["token_type"].as_str().unwrap().to_owned(), bound_to)
}

#[tokio::test]
async fn token_of_each_grant_is_bound_to_the_key_of_the_proof() {
    let idp = start();
    let key = key();
    let bound = ("DPoP".to_owned(), Some(key.thumbprint()));

    let by_credentials = token(&idp, &credentials(), &[&proof(&idp, &key)]).await;
    assert_eq!(issued(&idp, &by_credentials), bound);
    // The claims of a request for development do not replace the binding.
    let other = credentials().with("claims", &json!({"cnf": {"jkt": "x"}}).to_string());
    let other = token(&idp, &other, &[&proof(&idp, &key)]).await;
    assert_eq!(issued(&idp, &other), bound);

    let id = registered(&idp).await;
    let code = code(&idp, &ask(&id)).await;
    let by_code = token(&idp, &exchange(&id, &code), &[&proof(&idp, &key)]).await;
    assert_eq!(issued(&idp, &by_code), bound);
    let form = refresh(&id, &json_of(&by_code));
    let by_refresh = token(&idp, &form, &[&proof(&idp, &key)]).await;
    assert_eq!(issued(&idp, &by_refresh), bound);

    let without = token(&idp, &credentials(), &[]).await;
    assert_eq!(issued(&idp, &without), ("Bearer".to_owned(), None));
}

#[tokio::test]
async fn invalid_or_repeated_proof_is_refused_and_the_code_is_kept() {
    let idp = start();
    let key = key();
    let id = registered(&idp).await;
    let code = code(&idp, &ask(&id)).await;
    let form = exchange(&id, &code);
    let good = proof(&idp, &key);
    let elsewhere = DpopProof::new("POST", "http://127.0.0.1:1/token", "").sign(&key);
    for proofs in [vec!["x"], vec![&*elsewhere], vec![&*good, &*good]] {
        let refused = token(&idp, &form, &proofs).await;
        assert_eq!((refused.status, &*refused.error()), (400, "invalid_dpop_proof"));
        assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
    }
    assert_eq!(token(&idp, &form, &[&good]).await.status, 200);
}

#[tokio::test]
async fn refresh_token_of_a_public_client_needs_the_same_key() {
    let idp = start();
    let (first, second) = (key(), key());
    let id = registered(&idp).await;
    let code = code(&idp, &ask(&id)).await;
    let by_code = token(&idp, &exchange(&id, &code), &[&proof(&idp, &first)]).await;
    let form = refresh(&id, &json_of(&by_code));
    for proofs in [vec![], vec![proof(&idp, &second)]] {
        let proofs: Vec<_> = proofs.iter().map(String::as_str).collect();
        assert_eq!(token(&idp, &form, &proofs).await.error(), "invalid_grant");
    }
    // The owner can still use it, and the next one needs the key too.
    let next = token(&idp, &form, &[&proof(&idp, &first)]).await;
    let form = refresh(&id, &json_of(&next));
    assert_eq!(token(&idp, &form, &[&proof(&idp, &second)]).await.error(), "invalid_grant");
    assert_eq!(token(&idp, &form, &[&proof(&idp, &first)]).await.status, 200);
}

#[tokio::test]
async fn refresh_token_of_a_client_with_a_secret_takes_another_key() {
    let idp = start();
    let (first, second) = (key(), key());
    let registered = register(
        &idp,
        &json!({
            "redirect_uris": [REDIRECT],
            "token_endpoint_auth_method": "client_secret_post",
            "grant_types": ["authorization_code", "refresh_token"],
        }),
    )
    .await;
    let registered = json_of(&registered);
    let id = registered["client_id"].as_str().unwrap();
    let secret = registered["client_secret"].as_str().unwrap();
    let code = code(&idp, &ask(id)).await;
    let form = exchange(id, &code).with("client_secret", secret);
    let by_code = token(&idp, &form, &[&proof(&idp, &first)]).await;
    let form = refresh(id, &json_of(&by_code)).with("client_secret", secret);
    let by_refresh = token(&idp, &form, &[&proof(&idp, &second)]).await;
    let bound = ("DPoP".to_owned(), Some(second.thumbprint()));
    assert_eq!(issued(&idp, &by_refresh), bound);
}

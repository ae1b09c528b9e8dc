//! Session ids that only their caller can use.

use oauth2_actix::{Algorithm, mcp};
use oauth2_actix_tests::{
    client::send,
    keys::key,
    mcp::{Endpoint, bare_token, message, policy_of_tokens, token, token_of, tool_call},
};
use serde_json::json;

async fn begin(endpoint: &Endpoint, token: &str) -> Option<String> {
    let initialize = message("initialize", &json!({}));
    let answer = endpoint.post(token, &[("x-begin-session", "0b3c")], &initialize).await;
    assert_eq!(answer.status, 200);
    assert_eq!(endpoint.seen().len(), 1);
    answer.header("mcp-session-id").map(str::to_owned)
}

async fn status(endpoint: &Endpoint, method: &str, token: &str, id: &str) -> u16 {
    let request = endpoint
        .request(method, token)
        .header("content-type", "application/json")
        .header("mcp-session-id", id)
        .body(tool_call("a"));
    send(request).await.status
}

#[tokio::test]
async fn session_id_is_known_to_its_caller_only() {
    let endpoint = Endpoint::start(mcp::Access::builder());
    let id = begin(&endpoint, &token_of("ann", "")).await.unwrap();
    assert!(id.starts_with("0b3c.") && id.len() == 5 + 43, "{id}");
    let bob = begin(&endpoint, &token_of("bob", "")).await.unwrap();
    assert_ne!(id, bob);
    for method in ["POST", "GET", "DELETE"] {
        assert_eq!(status(&endpoint, method, &token_of("ann", ""), &id).await, 200, "{method}");
        let [seen] = &endpoint.seen()[..] else { panic!("{method}") };
        assert_eq!(seen.session.as_deref(), Some("0b3c"), "{method}");
        for wrong in [&*bob, "0b3c", "", &id[..id.len() - 1], "0b3d", &id.to_uppercase()] {
            let answer = status(&endpoint, method, &token_of("ann", ""), wrong).await;
            assert_eq!(answer, 404, "{method} {wrong}");
        }
        assert_eq!(status(&endpoint, method, &token_of("bob", ""), &id).await, 404, "{method}");
    }
    assert_eq!(endpoint.seen(), []);
}

#[tokio::test]
async fn session_lives_through_a_new_token_of_the_same_caller_and_client() {
    let endpoint = Endpoint::start(mcp::Access::builder());
    let of = |client: &str, id: &str| {
        let token = bare_token().claim("sub", "ann").claim("client_id", client);
        token.claim("jti", id).sign(key(Algorithm::ES256))
    };
    let id = begin(&endpoint, &of("cli", "1")).await.unwrap();
    assert_eq!(status(&endpoint, "POST", &of("cli", "2"), &id).await, 200);
    assert_eq!(status(&endpoint, "POST", &of("web", "2"), &id).await, 404);
}

#[tokio::test]
async fn session_of_a_user_is_unknown_to_an_agent_that_acts_for_the_user() {
    let endpoint = Endpoint::start(mcp::Access::builder());
    let of = |actor: Option<&str>| {
        let token = bare_token().claim("sub", "ann").claim("client_id", "cli");
        let token = match actor {
            None => token,
            Some(actor) => token.claim("act", serde_json::json!({"sub": actor})),
        };
        token.sign(key(Algorithm::ES256))
    };
    let [user, agent, other] = [of(None), of(Some("agent")), of(Some("other"))];
    for owner in [&user, &agent] {
        let id = begin(&endpoint, owner).await.unwrap();
        for token in [&user, &agent, &other] {
            let expected = if token == owner { 200 } else { 404 };
            assert_eq!(status(&endpoint, "GET", token, &id).await, expected);
        }
        assert_eq!(endpoint.seen().len(), 1);
    }
}

#[tokio::test]
async fn two_servers_know_a_session_if_they_have_the_same_secret() {
    let with = |secret: [u8; 32]| Endpoint::start(mcp::Access::builder().session_secret(secret));
    let mut secret = [7; 32];
    secret[0] = 8;
    let (one, two, other) = (with(secret), with(secret), Endpoint::start(mcp::Access::builder()));
    let id = begin(&one, &token("")).await.unwrap();
    assert_eq!(status(&two, "POST", &token(""), &id).await, 200);
    assert_eq!(status(&other, "POST", &token(""), &id).await, 404);
}

#[tokio::test]
async fn caller_without_subject_and_client_gets_no_session() {
    let endpoint = Endpoint::behind(policy_of_tokens(), mcp::Access::builder());
    let unnamed = bare_token().sign(key(Algorithm::ES256));
    assert_eq!(begin(&endpoint, &unnamed).await, None);
    let id = begin(&endpoint, &token("")).await.unwrap();
    assert_eq!(status(&endpoint, "POST", &unnamed, &id).await, 404);
}

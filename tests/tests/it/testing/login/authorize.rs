//! What the authorization endpoint refuses, its page, and the user's answer.

use std::{net::SocketAddr, time::Duration};

use oauth2_actix::testing::ManualClock;
use oauth2_actix_tests::client::{raw, raw_get};
use serde_json::json;

use super::{
    API, CHALLENGE, Form, REDIRECT, STATE, ask, authorize, code, exchange, form_value, json_of,
    post, press, register, registered, sent_back, signed_in, start, token,
};

#[tokio::test]
async fn page_names_the_client_its_destination_audience_and_scopes() {
    let idp = start();
    let id = registered(&idp).await;
    let asked = ask(&id).with("scope", "orders:read orders:write").with("resource", API);
    let page = authorize(&idp, &asked).await;
    assert_eq!(page.status, 200);
    for shown in [
        "An agent",
        &id,
        "<strong>127.0.0.1:33418</strong>",
        API,
        "orders:read",
        "orders:write",
        "value=\"ann\"",
        "for development only",
    ] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("content-security-policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    assert_eq!(page.header("access-control-allow-origin"), None);
    assert!(!page.body.contains("<script"));
}

#[tokio::test]
async fn texts_of_a_client_are_escaped() {
    let idp = start();
    let metadata = json!({
        "client_name": "<script>alert(1)</script>\"'&\u{202e}",
        "redirect_uris": ["https://app.example/cb?<b>", "x'><i>:/cb", REDIRECT],
        "token_endpoint_auth_method": "none",
    });
    // No such URI is a redirect URI, or it is normalised.
    assert_eq!(register(&idp, &metadata).await.error(), "invalid_redirect_uri");
    let metadata = json!({"client_name": metadata["client_name"], "redirect_uris": [REDIRECT]});
    let client = json_of(&register(&idp, &metadata).await);
    let asked = ask(client["client_id"].as_str().unwrap())
        .with("scope", "<u>&'")
        .with("resource", "https://api.test/<img>'\"");
    let page = authorize(&idp, &asked).await;
    assert!(page.body.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\u{fffd}"));
    assert!(page.body.contains("&lt;u&gt;&amp;&#39;"));
    for raw in ["<script", "<u>", "<img", "\u{202e}"] {
        assert!(!page.body.contains(raw), "{raw}: {}", page.body);
    }
}

#[tokio::test]
async fn unknown_client_or_redirect_uri_gets_a_page_and_no_redirect() {
    let idp = start();
    let id = registered(&idp).await;
    let good = ask(&id);
    for (bad, why) in [
        (good.clone().without("client_id"), "client_id is missing"),
        (good.clone().set("client_id", "unknown<b>"), "client is unknown"),
        (good.clone().with("client_id", &id), "repeated"),
        (good.clone().set("client_id", "quickstart"), "redirect_uri is not one"),
        (good.clone().without("redirect_uri"), "redirect_uri is missing"),
        (good.clone().set("redirect_uri", "https://evil.test/callback"), "redirect_uri is not one"),
        (good.clone().set("redirect_uri", &format!("{REDIRECT}/")), "redirect_uri is not one"),
        (good.clone().set("redirect_uri", "http://localhost:33418/callback"), "is not one"),
        (good.clone().with("redirect_uri", REDIRECT), "repeated"),
        (good.clone().with("scope", &"x".repeat(9000)), "8 KiB"),
    ] {
        let page = authorize(&idp, &bad).await;
        assert_eq!((page.status, page.header("location")), (400, None), "{why}");
        assert!(page.body.contains(why), "{why}: {}", page.body);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(!page.body.contains("<form"));
    }
    assert_eq!(authorize(&idp, &good).await.status, 200);
}

#[tokio::test]
async fn other_errors_are_sent_to_the_client() {
    let idp = start();
    idp.set_scopes(["orders:read"]);
    idp.set_protected_resources([API]);
    let id = registered(&idp).await;
    let good = ask(&id).with("scope", "orders:read").with("resource", API);
    let short = &CHALLENGE[1..];
    for (bad, error) in [
        (good.clone().without("response_type"), "invalid_request"),
        (good.clone().set("response_type", "token"), "unsupported_response_type"),
        (good.clone().set("response_type", "code id_token"), "unsupported_response_type"),
        (good.clone().with("response_type", "code"), "invalid_request"),
        (good.clone().with("response_mode", "fragment"), "invalid_request"),
        // PKCE is required, and not in its plain form, which is also what a missing method means.
        (
            good.clone().without("code_challenge").without("code_challenge_method"),
            "invalid_request",
        ),
        (good.clone().without("code_challenge"), "invalid_request"),
        (good.clone().without("code_challenge_method"), "invalid_request"),
        (good.clone().set("code_challenge_method", "plain"), "invalid_request"),
        (good.clone().set("code_challenge", short), "invalid_request"),
        (good.clone().set("code_challenge", &format!("{short}=")), "invalid_request"),
        (good.clone().with("max_age", "-1"), "invalid_request"),
        (good.clone().with("prompt", "none"), "login_required"),
        (good.clone().set("scope", "orders:read orders:write"), "invalid_scope"),
        (good.clone().set("scope", "orders:read  orders:read"), "invalid_scope"),
        (good.clone().set("resource", "https://other.test/"), "invalid_target"),
        (good.clone().with("resource", "https://other.test/"), "invalid_target"),
        (good.clone().set("resource", "/mcp"), "invalid_target"),
        (good.clone().set("resource", &format!("{API}#x")), "invalid_target"),
    ] {
        let answer = authorize(&idp, &bad).await;
        let sent = sent_back(&answer);
        assert_eq!(sent.get("error"), Some(error), "{bad:?}");
        assert!(sent.get("error_description").is_some() && sent.get("code").is_none());
        assert_eq!((sent.get("state"), sent.get("iss")), (Some(STATE), Some(idp.issuer())));
    }
    let twice = sent_back(&authorize(&idp, &good.clone().with("state", "other")).await);
    assert_eq!((twice.get("error"), twice.get("state")), (Some("invalid_request"), None));
    assert_eq!(authorize(&idp, &good).await.status, 200);
}

#[tokio::test]
async fn client_that_registered_another_grant_type_only_is_refused() {
    let idp = start();
    let metadata = json!({"redirect_uris": [REDIRECT], "grant_types": ["client_credentials"]});
    let client = json_of(&register(&idp, &metadata).await);
    let sent = sent_back(&authorize(&idp, &ask(client["client_id"].as_str().unwrap())).await);
    assert_eq!(sent.get("error"), Some("unauthorized_client"));
}

#[tokio::test]
async fn loopback_redirect_uri_may_have_another_port() {
    let idp = start();
    let id = registered(&idp).await;
    let other = "http://127.0.0.1:50123/callback";
    let code = code(&idp, &ask(&id).set("redirect_uri", other)).await;
    let request = exchange(&id, &code).set("redirect_uri", other);
    assert_eq!(token(&idp, &request).await.status, 200);
}

#[tokio::test]
async fn query_of_a_redirect_uri_is_kept() {
    let idp = start();
    let uri = format!("{REDIRECT}?tenant=a%26b");
    let client = json_of(&register(&idp, &json!({"redirect_uris": [uri]})).await);
    let asked = ask(client["client_id"].as_str().unwrap()).set("redirect_uri", &uri);
    let sent = press(&idp, &authorize(&idp, &asked).await, "approve", "ann").await;
    assert_eq!((sent.get("tenant"), sent.get("state")), (Some("a&b"), Some(STATE)));
    assert!(sent.get("code").is_some());
}

#[tokio::test]
async fn user_who_denies_is_sent_back_without_a_code() {
    let idp = start();
    let id = registered(&idp).await;
    for answer in ["deny", "", "APPROVE"] {
        let page = authorize(&idp, &ask(&id)).await;
        let sent = press(&idp, &page, answer, "ann").await;
        assert_eq!((sent.get("error"), sent.get("code")), (Some("access_denied"), None));
        assert_eq!((sent.get("state"), sent.get("iss")), (Some(STATE), Some(idp.issuer())));
    }
}

#[tokio::test]
async fn form_that_is_not_from_the_page_is_refused() {
    let idp = start();
    let id = registered(&idp).await;
    let forged = Form::new(&[("user", "ann"), ("answer", "approve")]);
    // With all that an attacker knows.
    let known = Form([forged.0.clone(), ask(&id).0].concat());
    let page = authorize(&idp, &ask(&id)).await;
    let value = form_value(&page).to_owned();
    for form in [
        forged.clone(),
        known,
        forged.clone().with("form", &"x".repeat(43)),
        forged.clone().with("form", &value[1..]),
        forged.clone().with("form", &value).with("form", &value),
    ] {
        let answer = post(&idp, "/authorize", &form).await;
        assert_eq!((answer.status, answer.header("location")), (400, None), "{form:?}");
    }
    // The value is of its own request each time, and serves once.
    assert_ne!(form_value(&authorize(&idp, &ask(&id)).await), value);
    let real = forged.with("form", &value);
    assert_eq!(post(&idp, "/authorize", &real).await.status, 303);
    assert_eq!(post(&idp, "/authorize", &real).await.status, 400);
}

#[tokio::test]
async fn form_is_valid_for_less_than_10_minutes() {
    let idp = start();
    let clock = ManualClock::new();
    idp.set_clock(clock.clone());
    let id = registered(&idp).await;
    let (early, late) = (authorize(&idp, &ask(&id)).await, authorize(&idp, &ask(&id)).await);
    clock.advance(Duration::from_secs(599));
    assert!(press(&idp, &early, "approve", "ann").await.get("code").is_some());
    clock.advance(Duration::from_secs(1));
    let form = Form::new(&[("form", form_value(&late)), ("user", "ann"), ("answer", "approve")]);
    assert_eq!(post(&idp, "/authorize", &form).await.status, 400);
}

#[tokio::test]
async fn user_name_must_be_one_to_64_characters() {
    let idp = start();
    let id = registered(&idp).await;
    for user in ["", "  ", "a\nb", &"ä".repeat(65)] {
        let page = authorize(&idp, &ask(&id)).await;
        let form = Form::new(&[("form", form_value(&page)), ("user", user), ("answer", "approve")]);
        let answer = post(&idp, "/authorize", &form).await;
        assert_eq!((answer.status, answer.header("location")), (400, None), "{user:?}");
    }
    let page = authorize(&idp, &ask(&id)).await;
    assert!(press(&idp, &page, "approve", &"ä".repeat(64)).await.get("code").is_some());
}

#[tokio::test]
async fn page_is_not_shown_to_another_host_name_that_leads_to_the_provider() {
    let idp = start();
    let id = registered(&idp).await;
    let address: SocketAddr = idp.issuer().strip_prefix("http://").unwrap().parse().unwrap();
    let path = format!("/authorize?{}", ask(&id).encoded());
    let request = |host: &str| {
        let request = String::from_utf8(raw_get(&path, &["Connection: close"])).unwrap();
        request.replace("Host: api\r\n", host).into_bytes()
    };
    let evil = format!("Host: evil.test:{}\r\n", address.port());
    for host in [evil.as_str(), "Host: 127.0.0.1\r\n", "Host: \r\n"] {
        let answer = raw(address, &request(host));
        assert_eq!(answer.status, 400, "{host}");
        assert!(!answer.body.contains("name=\"form\""), "{host}");
    }
    assert_eq!(raw(address, &request(&format!("Host: {address}\r\n"))).status, 200);
}

#[tokio::test]
async fn acr_is_the_first_value_that_the_client_asks_for() {
    let idp = start();
    let id = registered(&idp).await;
    let asked = ask(&id).with("acr_values", "phr mfa").with("max_age", "0");
    let issued = signed_in(&idp, &asked).await;
    let claims = super::verified(&idp, "api", &issued).await.to_map();
    assert_eq!(claims["acr"], "phr");
    assert_eq!(claims["auth_time"], claims["iat"]);
}

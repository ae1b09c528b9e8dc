//! Which document is fetched, and what is accepted in it.

use super::*;

#[tokio::test]
async fn keys_are_fetched_from_the_discovered_jwks_uri() {
    for path in ["", "/", "/realms/shop", "/realms/shop/"] {
        let issuer = Issuer::with_document(path);
        let config = json!({
            "providers": {
                "p": {"issuer": issuer.name, "audience": "api", "keys": {"discover": true}},
            },
        });
        let configured = policy::from_json(config).unwrap().build().unwrap();
        for (count, oauth2) in [(1, issuer.policy(None)), (2, configured)] {
            assert_eq!(
                issuer.requested(),
                [count - 1, 0, count - 1],
                "nothing is fetched before a request"
            );
            assert_eq!(issuer.verify(&oauth2, key(Algorithm::ES256)).await, Ok(()), "{path:?}");
            assert_eq!(issuer.requested(), [count, 0, count], "{path:?}");
            let status = status(&oauth2);
            assert_eq!(status.source, format!("discovery of {}", issuer.name));
            assert_eq!(status.discovered, Some(issuer.server.url()));
            assert_eq!(status.state, KeyState::Fresh);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_at_cold_start_cause_one_discovery() {
    let issuer = Issuer::at("");
    let (document, release) = issuer.document(&issuer.server.url()).held();
    issuer.server.answer_at(OPENID, document);
    let oauth2 = issuer.policy(Some(HOUR));
    let token = Token::new(&issuer.name, "api").sign(key(Algorithm::ES256));
    let requests: Vec<_> = (0..100)
        .map(|_| {
            let (oauth2, token) = (oauth2.clone(), token.clone());
            tokio::spawn(async move { oauth2.verify(&token).await.is_ok() })
        })
        .collect();
    until("the document is requested", || issuer.requested()[0] == 1).await;
    release.release();
    for request in requests {
        assert!(request.await.unwrap());
    }
    assert_eq!(issuer.requested(), [1, 0, 1]);
}

#[test]
fn invalid_key_settings_name_provider_and_field() {
    for (keys, word) in [
        (json!({"discover": false}), "`discover` is neither true nor a URL"),
        (json!({"discover": 1}), "`discover` is neither true nor a URL"),
        (json!({"discover": null}), "`discover` is neither true nor a URL"),
        (json!({"discover": "idp.example"}), "`discover` is neither true nor a URL"),
        (json!({"discover": "http://idp.example"}), "the URL is http"),
        (json!({"discover": "https://idp.example?x"}), "has a query"),
        (json!({"discover": true, "file": "x"}), "are two sources: write a list"),
        (json!({"discover": true, "keys": []}), "\"keys\" does not belong beside `discover`"),
        (json!({"file": "x", "url": "x"}), "are two sources: write a list"),
        (json!({"url": 1}), "`url` is not text"),
        (json!({"url": "idp.example/jwks"}), "is malformed"),
        (json!({"inline": 1}), "`inline` is neither text nor JSON keys"),
        (json!({"inline": "https://idp.example/jwks"}), "use `Keys::url"),
        (json!({"file": 1}), "`file` is not a path"),
        (json!({"file": ""}), "`file` is not a path"),
        (json!({"file": null}), "`file` is not a path"),
        (json!({"file": ["x"]}), "`file` is not a path"),
        (json!({"discovery": true}), "neither a JWK set"),
        (json!({"Discover": true}), "neither a JWK set"),
        (json!(1), "neither text nor JSON keys"),
        (json!(null), "missing"),
    ] {
        let config = json!({
            "providers": {
                "wrong-one": {"issuer": "https://idp.test", "audience": "api", "keys": keys},
            },
        });
        let error = match serde_json::from_value::<OAuth2Builder>(config) {
            Err(error) => error.to_string(),
            Ok(builder) => builder.build().expect_err(word).to_string(),
        };
        for word in ["provider \"wrong-one\"", "keys: ", word] {
            assert!(error.contains(word), "{keys}: {error:?} does not contain {word:?}");
        }
    }
}

#[test]
fn issuer_that_is_not_a_url_is_a_build_error() {
    let build = |issuer: &str, allow_http: bool| {
        let provider = Provider::new()
            .issuer(issuer)
            .audience("api")
            .keys(Keys::discover())
            .dangerous_allow_http(allow_http);
        policy::builder().provider("p", provider).build()
    };
    for (issuer, word) in [
        ("accounts.google.com", "is malformed"),
        ("urn:example:idp", "neither https nor http"),
        ("ftp://idp.example", "neither https nor http"),
        ("http://idp.example", "http"),
        ("https://user:secret@idp.example", "password"),
        ("https://idp.example/?tenant=1", "query"),
        ("https://idp.example/#x", "fragment"),
        ("https://", "is malformed"),
    ] {
        let error = build(issuer, false).expect_err(issuer);
        assert_eq!((error.provider(), error.field()), (Some("p"), "keys"), "{error}");
        let error = error.to_string();
        assert!(error.contains("issuer") && error.contains(word), "{issuer}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    assert!(build("http://keycloak:8080/realms/x", true).is_ok());
    assert!(build("https://idp.example/realms/x", false).is_ok());
}

#[tokio::test]
async fn first_of_several_issuers_is_discovered() {
    let (first, second) = (Issuer::with_document("/one"), Issuer::with_document("/two"));
    let provider = first.provider().issuer(&second.name).issuer("accounts.example");
    let oauth2 = policy::builder().provider("p", provider).build().unwrap();
    for issuer in [second.name.as_str(), "accounts.example", &first.name] {
        let token = Token::new(issuer, "api").sign(key(Algorithm::ES256));
        assert!(oauth2.verify(&token).await.is_ok(), "{issuer}");
    }
    assert_eq!((first.requested(), second.requested()), ([1, 0, 1], [0, 0, 0]));
}

#[tokio::test]
async fn oauth_metadata_is_fetched_if_the_openid_document_fails() {
    let elsewhere = KeyServer::start(good_keys()).unwrap();
    for path in ["", "/realms/shop"] {
        let issuer = Issuer::at(path);
        let named = issuer.server.url();
        issuer.server.answer_at(&issuer.oauth(), issuer.document(&named));
        let other = json!({"issuer": "https://other.example", "jwks_uri": elsewhere.url()});
        for (index, first) in [
            Answer::status(404),
            Answer::status(500),
            Answer::status(204),
            Answer::redirect(301, &elsewhere.url()),
            Answer::redirect(302, &issuer.server.url_of(&issuer.oauth())),
            Answer::redirect(307, &elsewhere.url()),
            Answer::redirect(308, &elsewhere.url()),
            Answer::body(200, &[("content-type", "text/html")], b"<html>not here</html>"),
            Answer::json(&other),
            Answer::json(&json!({"issuer": issuer.name})),
        ]
        .into_iter()
        .enumerate()
        {
            issuer.server.answer_at(&issuer.openid(), first);
            let oauth2 = issuer.policy(None);
            assert_eq!(issuer.verify(&oauth2, key(Algorithm::ES256)).await, Ok(()), "{index}");
            let count = index as u64 + 1;
            assert_eq!(issuer.requested(), [count; 3], "{index}");
            assert_eq!(status(&oauth2).discovered, Some(issuer.server.url()));
        }
    }
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn failed_connection_causes_no_second_document_request() {
    let issuer = Issuer::at("");
    issuer.server.answer_at(OAUTH, issuer.document(&issuer.server.url()));
    let too_large = vec![b' '; 1024 * 1024 + 1];
    let endless = [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".as_slice(), &too_large].concat();
    for (document, word) in [
        (Answer::reset(), "no response"),
        (Answer::raw(""), "no response"),
        (Answer::body(200, &[], &too_large), "larger than"),
        (Answer::raw(endless), "larger than"),
        (issuer.document(&issuer.server.url()).truncated(120), "broke off"),
    ] {
        let rejection = issuer.rejection(document).await;
        assert!(rejection.contains(word), "{rejection}");
    }
    assert_eq!(issuer.requested(), [5, 0, 0]);
}

#[tokio::test]
async fn failure_of_both_documents_reports_the_first_one() {
    let issuer = Issuer::at("/x");
    let rejection = issuer.rejection(Answer::status(410)).await;
    assert!(rejection.contains("status is 410"), "{rejection}");
    assert_eq!(issuer.requested(), [1, 1, 0]);
}

#[tokio::test]
async fn document_with_another_issuer_is_rejected() {
    let issuer = Issuer::at("/x");
    let name = issuer.name.as_str();
    let port = name.rsplit_once(':').unwrap().1.trim_end_matches("/x");
    let keys = issuer.server.url();
    for found in [
        json!(format!("{name}/")),
        json!(format!("{name} ")),
        json!(name.replace("http", "HTTP")),
        json!(name.replace("http", "https")),
        json!(name.replace("/x", "/X")),
        json!(name.replace("/x", "/%78")),
        json!(name.replace("/x", "")),
        json!(name.replace("/x", "/y/../x")),
        json!(name.replace("127.0.0.1", "localhost")),
        json!(name.replace(&format!(":{port}"), ":1")),
        json!(name.replace(&format!(":{port}"), "")),
        json!("https://other.example/x"),
        json!(""),
        json!([name]),
        json!(null),
    ] {
        let document = Answer::json(&json!({"issuer": found, "jwks_uri": keys}));
        let rejection = issuer.rejection(document).await;
        assert!(rejection.contains("not of the configured issuer"), "{found}: {rejection}");
        if let Some(found) = found.as_str() {
            assert!(rejection.contains(&format!("{found:?}")), "{rejection}");
        }
    }
    assert_eq!(issuer.server.requests_at(JWKS), 0);

    // The opposite: the configured issuer ends with the slash.
    let slashed = Issuer::at("/x/");
    let document = json!({"issuer": slashed.server.url_of("/x"), "jwks_uri": slashed.server.url()});
    let rejection = slashed.rejection(Answer::json(&document)).await;
    assert!(rejection.contains("trailing slash included"), "{rejection}");
}

#[tokio::test]
async fn invalid_documents_are_rejected() {
    let issuer = Issuer::at("/x");
    let name = json!(issuer.name);
    let keys = json!(issuer.server.url());
    let naming = |uri: &str| json!({"issuer": issuer.name, "jwks_uri": uri}).to_string();
    for (document, word) in [
        (String::new(), "not a JSON object"),
        ("[]".to_owned(), "not a JSON object"),
        ("\u{feff}{}".to_owned(), "no issuer"),
        (format!(r#"{{"issuer":{name},"issuer":{name},"jwks_uri":{keys}}}"#), "member twice"),
        (
            format!(r#"{{"issuer":{name},"jwks_uri":"https://evil.example/","jwks_uri":{keys}}}"#),
            "member twice",
        ),
        (format!(r#"{{"issuer":{name},"jwks_uri":{keys}"#), "not accepted: EOF"),
        (
            format!(r#"{{"issuer":{name},"jwks_uri":"\ud800"}}"#),
            "not accepted: unexpected end of hex",
        ),
        (format!(r#"{{"jwks_uri":{keys}}}"#), "no issuer"),
        (format!(r#"{{"issuer":{name}}}"#), "no `jwks_uri`"),
        (format!(r#"{{"issuer":{name},"jwks_uri":[{keys}]}}"#), "no `jwks_uri`"),
        (format!(r#"{{"issuer":{name},"jwks_uri":null}}"#), "no `jwks_uri`"),
        (naming("http://keys.example/jwks"), "an http `jwks_uri`"),
        (naming("http://169.254.169.254/latest"), "configure the https URL of the keys"),
        (naming("http://0.0.0.0/jwks"), "names no host"),
        (naming("file:///etc/keys.json"), "neither https nor http"),
        (naming("https://user:secret@keys.example/"), "password"),
        (naming("/jwks.json"), "is malformed"),
        (naming(""), "is malformed"),
    ] {
        let rejection = issuer.rejection(Answer::body(200, &[], document.as_bytes())).await;
        assert!(rejection.contains(word), "{document}: {rejection}");
        assert!(
            rejection.contains(OPENID) && !rejection.contains("secret"),
            "{document}: {rejection}"
        );
    }
    assert_eq!(issuer.server.requests_at(JWKS), 0);
}

/// Members that are not read do not make the document invalid.
#[tokio::test]
async fn unread_members_of_a_document_may_be_invalid() {
    let issuer = Issuer::at("/x");
    let (name, keys) = (json!(issuer.name), json!(issuer.server.url()));
    for unread in [
        r#""\ud800""#,
        r#"{"y":1,"y":2}"#,
        "1e999",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    ] {
        let document =
            format!(r#"{{"x":{unread},"issuer":{name},"jwks_uri":{keys},"x":{unread}}}"#);
        issuer.server.answer_at(&issuer.openid(), Answer::body(200, &[], document.as_bytes()));
        let oauth2 = issuer.policy(None);
        assert_eq!(issuer.verify(&oauth2, key(Algorithm::ES256)).await, Ok(()), "{unread:.20}");
    }
}

/// The issuer has a loopback name, and its document names a host of the internal network.
#[tokio::test]
async fn http_jwks_uri_is_fetched_only_if_http_is_allowed() {
    let issuer = Issuer::at("/realms/x");
    let port = issuer.server.url_of("").rsplit_once(':').unwrap().1.to_owned();
    let inside = format!("http://keycloak:{port}{JWKS}");
    let document = json!({"issuer": issuer.name, "jwks_uri": inside});
    let rejection = issuer.rejection(Answer::json(&document)).await;
    assert!(rejection.contains("an http `jwks_uri`"), "{rejection}");
    assert_eq!(issuer.server.requests_at(JWKS), 0);
    let oauth2 = policy::builder()
        .provider("p", issuer.provider().dangerous_allow_http(true))
        .configure_http_client(|client| client.resolve("keycloak", ([127, 0, 0, 1], 0).into()))
        .build()
        .unwrap();
    assert_eq!(issuer.verify(&oauth2, key(Algorithm::ES256)).await, Ok(()));
    assert_eq!(issuer.server.requests_at(JWKS), 1);
    assert_eq!(status(&oauth2).discovered, Some(inside));
}

#[tokio::test]
async fn failure_at_the_jwks_uri_is_reported_and_redirects_are_not_followed() {
    let elsewhere = KeyServer::start(good_keys()).unwrap();
    let issuer = Issuer::with_document("/x");
    for (answer, word) in [
        (Answer::redirect(301, &elsewhere.url()), "redirects"),
        (Answer::redirect(302, &elsewhere.url()), "redirects"),
        (Answer::redirect(303, &elsewhere.url()), "redirects"),
        (Answer::redirect(307, &elsewhere.url()), "redirects"),
        (Answer::redirect(308, &elsewhere.url()), "redirects"),
        (Answer::status(500), "status is 500"),
        (Answer::json(&json!({"keys": []})), "no keys"),
        (issuer.document(&elsewhere.url()), "a discovery document"),
    ] {
        issuer.server.answer_at(JWKS, answer);
        let error = issuer.policy(None).warm_up().await.unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(elsewhere.requests(), 0);
    assert_eq!(issuer.requested(), [8, 0, 8]);
}

#[tokio::test]
async fn jwks_uri_may_name_another_host() {
    let keys = KeyServer::start(good_keys()).unwrap();
    let issuer = Issuer::at("");
    issuer.publish(&keys.url_of("/elsewhere?kind=sig"));
    let oauth2 = issuer.policy(None);
    assert_eq!(issuer.verify(&oauth2, key(Algorithm::ES256)).await, Ok(()));
    assert!(keys.last_request().starts_with("GET /elsewhere?kind=sig HTTP/1.1\r\n"));
    // Without the query, which may hold a secret.
    assert_eq!(status(&oauth2).discovered, Some(keys.url_of("/elsewhere")));
    assert_eq!((keys.requests(), issuer.requested()), (1, [1, 0, 0]));
}

#[tokio::test]
async fn symmetric_keys_are_never_discovered() {
    let issuer = Issuer::with_document("");
    let set: Value = json!({"keys": [key(Algorithm::HS256).public_jwk()]});
    issuer.server.answer_at(JWKS, Answer::json(&set));
    let error = issuer.policy(None).warm_up().await.unwrap_err().to_string();
    assert!(error.contains("no usable key"), "{error}");
    let named = issuer.provider().algorithms([Algorithm::HS256]);
    let error = policy::builder().provider("p", named).build().unwrap_err();
    assert_eq!((error.provider(), error.field()), (Some("p"), "algorithms"));
}

/// A public issuer, and a document at an internal name.
#[tokio::test]
async fn document_may_be_at_another_address_than_the_issuer() {
    let public = "https://sso.example/realms/shop";
    for (issuer, at, document) in [
        (public, "/realms/shop", "/realms/shop/.well-known/openid-configuration"),
        (public, "/realms/shop/", "/realms/shop/.well-known/openid-configuration"),
        (public, "/realms/shop", "/.well-known/oauth-authorization-server/realms/shop"),
        (public, "/x/.well-known/openid-configuration", "/x/.well-known/openid-configuration"),
        (public, "/.well-known/x?policy=b2c_1", "/.well-known/x"),
        ("accounts.example", "/", OPENID),
    ] {
        let server = KeyServer::start(Answer::status(404)).unwrap();
        server.answer_at(JWKS, good_keys());
        let publish = |issuer: &str| {
            let names = json!({"issuer": issuer, "jwks_uri": server.url()});
            server.answer_at(document, Answer::json(&names));
        };
        publish(issuer);
        let address = server.url_of(at);
        let token = Token::new(issuer, "api").sign(key(Algorithm::ES256));
        for keys in [Keys::discover_at(&address), Keys::from(json!({"discover": address}))] {
            publish(issuer);
            let provider = Provider::new().issuer(issuer).audience("api").keys(keys);
            let oauth2 = policy::builder().provider("p", provider).build().unwrap();
            assert!(oauth2.verify(&token).await.is_ok(), "{issuer} at {at}");
            let status = status(&oauth2);
            let shown = format!("discovery of {issuer} at {}", address.split('?').next().unwrap());
            assert_eq!((status.source, status.discovered), (shown, Some(server.url())));
            // The address is not the issuer: the document must name the configured one.
            for other in [&address, &format!("{issuer}/"), "https://evil.example"] {
                publish(other);
                server.answer_at(JWKS, Answer::status(404));
                let error = oauth2.refresh_keys().await.unwrap_err().to_string();
                // Of two documents, the failure of the first one is reported.
                let is_first = !document.contains("oauth-authorization-server");
                assert!(!is_first || error.contains(&format!("issuer {other:?}")), "{error}");
                server.answer_at(JWKS, good_keys());
            }
        }
        assert!(!server.last_request().contains("policy") || at.contains('?'));
    }
}

#[tokio::test]
async fn exact_document_address_is_the_only_one_fetched() {
    let server = KeyServer::start(Answer::status(404)).unwrap();
    let at = server.url_of(OPENID);
    let provider = Provider::new().issuer("https://sso.example").audience("api");
    let oauth2 =
        policy::builder().provider("p", provider.keys(Keys::discover_at(at))).build().unwrap();
    assert!(oauth2.warm_up().await.is_err());
    assert_eq!((server.requests(), server.requests_at(OPENID)), (1, 1));
}

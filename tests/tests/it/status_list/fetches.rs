//! Lists that are wrong or missing, and how often a list is fetched.

use std::time::Duration;

use futures_util::future::join_all;
use oauth2_actix::Algorithm;
use oauth2_actix_tests::{key_server::Answer, keys::key, log, policy, wait::until};
use serde_json::{Value, json};

use super::{Api, answer, deflate, sign};

const UNAVAILABLE: &str = "revocation_status_unavailable";

#[tokio::test]
async fn list_that_is_wrong_is_not_used_and_its_tokens_get_503() {
    type Change = fn(&Api) -> String;
    let cases: &[(&str, Change)] = &[
        ("another key", |api| api.list(&[0]).sign(key(Algorithm::ES384))),
        ("another list", |api| sign(&api.list(&[0]).claim("sub", api.server.url_of("/lists/2")))),
        ("another issuer", |api| sign(&api.list(&[0]).claim("iss", "https://other.test"))),
        ("no iat", |api| sign(&api.list(&[0]).without("iat"))),
        ("the future", |api| sign(&api.list(&[0]).claim("iat", api.clock.unix_seconds() + 61))),
        ("expired", |api| sign(&api.list(&[0]).claim("exp", api.clock.unix_seconds()))),
        ("a ttl of zero", |api| sign(&api.list(&[0]).claim("ttl", 0))),
        ("a ttl of text", |api| sign(&api.list(&[0]).claim("ttl", "120"))),
        ("another type", |api| sign(&api.list(&[0]).header("typ", "JWT"))),
        ("no type", |api| sign(&api.list(&[0]).header("typ", Value::Null))),
        ("three bits", |api| with_list(api, json!({"bits": 3, "lst": deflate(&[0])}))),
        ("no zlib", |api| with_list(api, json!({"bits": 1, "lst": "AAAA"}))),
        ("no list", |api| sign(&api.list(&[0]).without("status_list"))),
        ("a bomb", |api| with_list(api, json!({"bits": 1, "lst": deflate(&vec![0; 50 << 20])}))),
        ("no JWT", |_| "x.y".to_owned()),
        ("nothing", |_| String::new()),
    ];
    for (what, list) in cases {
        let api = Api::start();
        api.serve(&list(&api));
        let error = api.oauth2.verify(&api.token(0)).await.unwrap_err();
        assert_eq!(error.kind_name(), UNAVAILABLE, "{what}");
        assert_eq!(error.status().as_u16(), 503, "{what}");
        api.publish(&[0]);
        api.clock.advance(Duration::from_secs(61));
        assert_eq!(api.decide(&api.token(0)).await, "accepted", "{what}, later");
    }
}

fn with_list(api: &Api, list: Value) -> String {
    sign(&api.list(&[0]).claim("status_list", list))
}

#[tokio::test]
async fn response_that_is_not_a_list_is_not_used() {
    let api = Api::start();
    let list = sign(&api.list(&[0]));
    let typed =
        |status, name: &str| Answer::body(status, &[("content-type", name)], list.as_bytes());
    api.server.answer_at("/other", answer(&list));
    for (what, answer) in [
        ("404", Answer::status(404)),
        ("500", typed(500, "application/statuslist+jwt")),
        ("a redirect", Answer::redirect(302, &api.server.url_of("/other"))),
        ("another content type", typed(200, "application/jwt")),
        ("no content type", Answer::body(200, &[], list.as_bytes())),
        ("a cut body", answer(&list).truncated(200)),
        ("a reset connection", Answer::reset()),
        ("a large body", answer(&"x".repeat(3 << 20))),
    ] {
        let api = Api {
            server: oauth2_actix_tests::key_server::KeyServer::start(answer).unwrap(),
            ..Api::start()
        };
        let lists = oauth2_actix::status_list::StatusList::hosts([super::authority(&api.server)]);
        let policy = super::builder(lists).clock(api.clock.clone());
        let api = Api { oauth2: policy.build().unwrap(), ..api };
        assert_eq!(api.decide(&api.token(0)).await, UNAVAILABLE, "{what}");
    }
    assert_eq!(api.server.requests_at("/other"), 0);
}

#[tokio::test]
async fn request_says_what_it_accepts() {
    let api = Api::start();
    assert_eq!(api.decide(&api.token(0)).await, "accepted");
    let request = api.server.last_request().to_ascii_lowercase();
    assert!(request.starts_with("get /lists/1 http/1.1"), "{request}");
    assert!(request.contains("accept: application/statuslist+jwt"), "{request}");
    assert!(!request.contains("authorization"), "{request}");
}

#[tokio::test]
async fn list_that_cannot_be_fetched_is_not_fetched_for_every_token() {
    let api = Api::start();
    api.server.answer_at(super::PATH, Answer::status(500));
    for index in 0..50 {
        assert_eq!(api.decide(&api.token(index)).await, UNAVAILABLE);
    }
    assert_eq!(api.fetches(), 1);
    api.publish(&[0]);
    assert_eq!(api.decide(&api.token(0)).await, UNAVAILABLE, "within the backoff");
    api.clock.advance(Duration::from_secs(61));
    assert_eq!(api.decide(&api.token(0)).await, "accepted");
    assert_eq!(api.fetches(), 2);
}

/// The host serves a list from before the last one, such as from a cache.
#[tokio::test]
async fn older_list_does_not_replace_a_newer_one() {
    log::keep();
    let api = Api::start();
    let older = sign(&api.list(&[0, 0]));
    api.clock.advance(Duration::from_secs(10));
    api.publish(&[0, 1]);
    assert_eq!(api.decide(&api.token(1)).await, "token_revoked");
    api.serve(&older);
    // After 80 % of 120 s, the list is fetched again.
    api.clock.advance(Duration::from_secs(97));
    assert_eq!(api.decide(&api.token(0)).await, "accepted");
    until("the rejection of the older list", || {
        let list = api.server.url_of(super::PATH);
        !log::lines_with(&["a status list cannot be used", "`iat` is earlier", &list]).is_empty()
    })
    .await;
    assert_eq!(api.decide(&api.token(1)).await, "token_revoked");
    assert_eq!(api.decide(&api.token(0)).await, "accepted");
    api.clock.advance(Duration::from_secs(23));
    assert_eq!(api.decide(&api.token(0)).await, UNAVAILABLE, "the newer one has expired");
    api.publish(&[0, 0]);
    api.clock.advance(Duration::from_secs(61));
    assert_eq!(api.decide(&api.token(1)).await, "accepted");
}

#[tokio::test]
async fn requests_at_the_same_time_share_one_fetch() {
    let api = Api::start();
    let (held, release) = answer(&sign(&api.list(&[0; 100]))).held();
    api.server.answer_at(super::PATH, held);
    let tokens: Vec<String> = (0..100).map(|index| api.token(index)).collect();
    let all = join_all(tokens.iter().map(|token| api.decide(token)));
    let release = async {
        until("the fetch", || api.fetches() > 0).await;
        release.release();
    };
    let (decisions, ()) = tokio::join!(all, release);
    assert!(decisions.iter().all(|decision| *decision == "accepted"), "{decisions:?}");
    assert_eq!(api.fetches(), 1);
}

/// It is fetched again after 80 % of its time, while requests go on.
#[tokio::test]
async fn list_is_fetched_again_in_the_background_before_its_end() {
    let api = Api::start();
    let token = api.token(0);
    assert_eq!(api.decide(&token).await, "accepted");
    api.clock.advance(Duration::from_secs(95));
    assert_eq!(api.decide(&token).await, "accepted");
    assert_eq!(api.fetches(), 1);
    let (held, release) = answer(&sign(&api.list(&[1]))).held();
    api.server.answer_at(super::PATH, held);
    api.clock.advance(Duration::from_secs(2));
    for _ in 0..20 {
        assert_eq!(api.decide(&token).await, "accepted", "nothing waits for the fetch");
    }
    until("the fetch", || api.fetches() == 2).await;
    release.release();
    let mut decision = "accepted";
    for _ in 0..1000 {
        decision = api.decide(&token).await;
        if decision != "accepted" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(decision, "token_revoked");
    assert_eq!(api.fetches(), 2);
}

/// Returns for how many seconds a list with these claims is used.
async fn ends(claims: &[(&str, Value)], max_age: Option<u64>) -> u64 {
    let api = Api::with(|lists| match max_age {
        Some(age) => lists.max_age(Duration::from_secs(age)),
        None => lists,
    });
    let mut list = api.list(&[0]).without("ttl").without("exp");
    for (name, value) in claims {
        list = match *name {
            "exp" => list.claim("exp", api.clock.unix_seconds() + value.as_u64().unwrap()),
            name => list.claim(name, value.clone()),
        };
    }
    api.serve(&sign(&list));
    let token = api.token(0);
    assert_eq!(api.decide(&token).await, "accepted");
    api.server.answer_at(super::PATH, Answer::status(500));
    let mut seconds = 0;
    while api.decide(&token).await == "accepted" {
        api.clock.advance(Duration::from_secs(1));
        seconds += 1;
    }
    seconds
}

/// Eight lists are being fetched: the fetch of a ninth one waits in the queue.
#[tokio::test]
async fn number_of_fetches_at_the_same_time_is_bounded() {
    let api = Api::start();
    let mut held = Vec::new();
    let tokens: Vec<String> = (0..9)
        .map(|index| {
            let path = format!("/parallel/{index}");
            let uri = api.server.url_of(&path);
            let list = api.list(&[0]).claim("sub", uri.clone());
            let (list, release) = answer(&sign(&list)).held();
            api.server.answer_at(&path, list);
            held.push(release);
            sign(&api.token_with(json!({"status_list": {"idx": 0, "uri": uri}})))
        })
        .collect();
    let waiting = join_all(tokens.iter().map(|token| api.decide(token)));
    let released = async {
        let count = || -> u64 {
            (0..9).map(|index| api.server.requests_at(&format!("/parallel/{index}"))).sum()
        };
        until("eight fetches", || count() == 8).await;
        held.clear();
    };
    let (decisions, ()) = tokio::join!(waiting, released);
    assert_eq!(decisions, ["accepted"; 9]);
}

/// A list is used until its end, and not a second longer.
#[tokio::test]
async fn list_that_cannot_be_refreshed_is_used_until_its_end() {
    assert_eq!(ends(&[("ttl", json!(20))], None).await, 20);
    assert_eq!(ends(&[("exp", json!(30))], None).await, 30);
    assert_eq!(ends(&[("ttl", json!(20)), ("exp", json!(10))], None).await, 10);
    assert_eq!(ends(&[], None).await, 300);
    assert_eq!(ends(&[("ttl", json!(43_200))], Some(40)).await, 40);
}

#[tokio::test]
async fn number_of_lists_is_bounded() {
    // Without the cache, no token keeps a list.
    if std::env::var_os(policy::TOKEN_CACHE).is_some() {
        return;
    }
    let api = Api::start();
    api.server.answer(Answer::status(404));
    for index in 0..200 {
        let uri = api.server.url_of(&format!("/many/{index}"));
        let token = api.token_with(json!({"status_list": {"idx": 0, "uri": uri}}));
        assert_eq!(api.decide(&sign(&token)).await, UNAVAILABLE);
    }
    let after_many = api.server.requests();
    assert!(after_many <= 64, "lists that tokens in the cache reference are kept: {after_many}");
}

/// Tokens in the cache reference lists that have expired, such as those of the days before.
#[tokio::test]
async fn new_list_is_used_where_an_earlier_one_has_expired() {
    // Without the cache, no token keeps a list.
    if std::env::var_os(policy::TOKEN_CACHE).is_some() {
        return;
    }
    let api = Api::start();
    let token = |index: usize| {
        let path = format!("/day/{index}");
        let uri = api.server.url_of(&path);
        let list = api.list(&[0]).claim("sub", uri.clone());
        api.server.answer_at(&path, answer(&sign(&list)));
        sign(&api.token_with(json!({"status_list": {"idx": 0, "uri": uri}})))
    };
    let first = token(0);
    assert_eq!(api.decide(&first).await, "accepted");
    for index in 1..64 {
        assert_eq!(api.decide(&token(index)).await, "accepted");
    }
    assert_eq!(api.decide(&token(64)).await, UNAVAILABLE);
    api.clock.advance(Duration::from_secs(120));
    assert_eq!(api.decide(&token(65)).await, "accepted");
    // The token of a list that was removed is verified again.
    assert_eq!(api.decide(&first).await, "accepted");
}

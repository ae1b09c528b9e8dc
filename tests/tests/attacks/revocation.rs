//! Attacks with tokens that were revoked, and on the deny list itself.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{FutureExt, future::BoxFuture};
use oauth2_actix::{
    Algorithm, OAuth2, OAuth2Builder, Provider, TokenCacheConfig, TokenRequests,
    revocation::{
        DenyList, LoadedEntries, Revocation, RevocationEntry, RevocationStore, StoreError,
    },
    testing::{ManualClock, SigningKey, Token},
};
use oauth2_actix_tests::{client::Connection, wait::until};

use crate::target::{AUDIENCE, ISSUER, Rejection, Target, bearer, builder, es256, good};

fn policy() -> OAuth2Builder {
    builder().deny_list(DenyList::new())
}

/// A token whose text is its only id.
fn without_ids() -> Token {
    good().without("jti").without("sub").claim("x", "canary")
}

fn revoke(oauth2: &OAuth2, token: &str) {
    let claims = oauth2.verify(token).now_or_never().unwrap().unwrap();
    oauth2.revoke(Revocation::token(&claims)).now_or_never().unwrap().unwrap();
}

/// Replaces the second half of an ECDSA signature, s, by the order of the curve less s. That is another valid signature
/// of the same content, and needs no key.
fn malleate(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = 0;
    for (order, s) in P256_ORDER.iter().zip(&mut signature[32..]).rev() {
        let difference = i16::from(*order) - i16::from(*s) - borrow;
        borrow = i16::from(difference < 0);
        *s = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The order of the curve P-256 (SEC 2 §2.4.2).
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

#[test]
fn revoked_token_with_another_valid_signature_is_rejected() {
    let oauth2 = policy().build().unwrap();
    let target = Target::behind(oauth2.clone());
    for token in [without_ids(), good().claim("jti", "canary-2")] {
        let token = token.sign(es256());
        let twin = malleate(&token);
        assert_ne!(token, twin);
        target.accepts("a token", &token);
        target.accepts("its twin, since the signature is valid", &twin);
        revoke(&oauth2, &token);
        target.rejects("a revoked token", &token, Rejection::Revoked);
        target.rejects("its twin", &twin, Rejection::Revoked);
    }
}

#[test]
fn revoked_token_is_rejected_in_every_location_and_spelling() {
    let policy = policy()
        .token_from_query(TokenRequests::EveryRequest)
        .token_from_header("x-canary-token")
        .token_from_subprotocol();
    let oauth2 = policy.build().unwrap();
    let target = Target::behind(oauth2.clone());
    let token = good().claim("jti", "canary-2").sign(es256());
    revoke(&oauth2, &token);
    for scheme in ["bearer", "BEARER  "] {
        let line = format!("Authorization: {scheme} {token}").into_bytes();
        target.rejects_lines(scheme, &[line], Rejection::Revoked);
    }
    // Responses to tokens in other locations have further headers.
    let before = target.api.private_calls();
    for value in [token.clone(), format!("Bearer {token}")] {
        let line = format!("X-Canary-Token: {value}").into_bytes();
        let answer = target.send("/bare", &[line]);
        assert_eq!((answer.status, answer.error().as_str()), (401, "invalid_token"));
    }
    let answer = target.send(&format!("/bare?access_token={token}"), &[]);
    assert_eq!((answer.status, answer.error().as_str()), (401, "invalid_token"));
    let line = format!("Sec-WebSocket-Protocol: bearer, {token}").into_bytes();
    let close = target.close_of("the subprotocol", "/ws-bare", &[line], "");
    assert_eq!(close, (1008, "token revoked".to_owned()));
    assert_eq!(target.api.private_calls(), before);
}

/// A provider whose tokens the attacker gets with any ids. It logs out, which revokes its own tokens.
#[test]
fn token_of_another_issuer_with_the_same_ids_revokes_nothing_of_the_first() {
    let evil_key = SigningKey::generate(Algorithm::ES256, "evil");
    let evil_issuer = "https://evil.test";
    let evil = Provider::new().issuer(evil_issuer).audience(AUDIENCE).keys(evil_key.jwk_set());
    let oauth2 = policy().provider("evil", evil).build().unwrap();
    let target = Target::behind(oauth2.clone());
    let ids = |token: Token| {
        token.claim("jti", "j").claim("sub", "s").claim("sid", "i").claim("client_id", "c")
    };
    let victims = ids(good()).sign(es256());
    let attackers = ids(good().claim("iss", evil_issuer)).sign(&evil_key);
    revoke(&oauth2, &attackers);
    for revocation in [
        Revocation::subject(evil_issuer, "s"),
        Revocation::session(evil_issuer, "i"),
        Revocation::client(evil_issuer, "c"),
        Revocation::all(evil_issuer),
        // Where one text ends and the next begins is a part of the hash.
        Revocation::subject(&format!("{ISSUER}s"), ""),
        Revocation::subject("", &format!("{ISSUER}s")),
        Revocation::all(&format!("{ISSUER}/")),
    ] {
        oauth2.revoke(revocation).now_or_never().unwrap().unwrap();
    }
    target.rejects("the attacker's token", &attackers, Rejection::Revoked);
    target.accepts("the victim's token", &victims);
}

/// Clients send their tokens without a pause, while these are revoked one by one.
#[test]
fn request_that_is_sent_after_the_revocation_is_rejected_under_load() {
    const TOKENS: usize = 64;
    let oauth2 = policy().build().unwrap();
    let target = Target::behind(oauth2.clone());
    let address = target.api.server().address();
    let tokens: Vec<String> = (0..TOKENS)
        .map(|index| good().claim("jti", format!("canary-{index}")).sign(es256()))
        .collect();
    let revoked: Vec<AtomicBool> = (0..TOKENS).map(|_| AtomicBool::new(false)).collect();
    let (is_over, accepted, rejected) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for client in 0..4 {
            let (tokens, revoked, is_over) = (&tokens, &revoked, &is_over);
            let (accepted, rejected) = (&accepted, &rejected);
            scope.spawn(move || {
                let mut connection = Connection::open(address);
                for turn in client.. {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    let index = turn % TOKENS;
                    let was_revoked = revoked[index].load(Ordering::SeqCst);
                    connection.get("/bare", Some(&tokens[index]));
                    match connection.answer().status {
                        200 => {
                            assert!(!was_revoked, "{index} was revoked before it was sent");
                            accepted.fetch_add(1, Ordering::SeqCst);
                        }
                        401 => {
                            rejected.fetch_add(1, Ordering::SeqCst);
                        }
                        other => panic!("{other}"),
                    }
                }
            });
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        for (index, flag) in revoked.iter().enumerate() {
            // All clients go on while entries are added.
            let sofar = accepted.load(Ordering::SeqCst) + rejected.load(Ordering::SeqCst);
            while accepted.load(Ordering::SeqCst) + rejected.load(Ordering::SeqCst) < sofar + 20 {
                assert!(Instant::now() < deadline);
                thread::yield_now();
            }
            let revocation = Revocation::token_id(ISSUER, &format!("canary-{index}"));
            oauth2.revoke(revocation).now_or_never().unwrap().unwrap();
            flag.store(true, Ordering::SeqCst);
        }
        is_over.store(true, Ordering::SeqCst);
    });
    let (accepted, rejected) = (accepted.into_inner(), rejected.into_inner());
    assert!(accepted > TOKENS && rejected > TOKENS, "{accepted} {rejected}");
    for token in &tokens {
        target.rejects("a revoked token", token, Rejection::Revoked);
    }
}

#[test]
fn flood_that_evicts_tokens_from_the_cache_brings_no_revoked_token_back() {
    let cache = TokenCacheConfig::new().max_entries(4);
    let oauth2 = policy().token_cache(cache).build().unwrap();
    let target = Target::behind(oauth2.clone());
    let token = good().claim("jti", "canary-revoked").sign(es256());
    for _ in 0..3 {
        target.accepts("a token, which is cached", &token);
    }
    revoke(&oauth2, &token);
    for index in 0..50 {
        let other = good().claim("jti", format!("canary-{index}")).sign(es256());
        target.accepts("another token", &other);
        assert_eq!(target.send("/bare", &[bearer(&token)]).status, 401);
    }
    target.rejects("a revoked token", &token, Rejection::Revoked);
}

/// A store that never confirms an entry.
struct Down;

impl RevocationStore for Down {
    fn add(&self, _: RevocationEntry) -> BoxFuture<'static, Result<(), StoreError>> {
        async { Err("the store is down".into()) }.boxed()
    }

    fn load(&self, _: Option<&[u8]>) -> BoxFuture<'static, Result<LoadedEntries, StoreError>> {
        async { Ok(LoadedEntries::later(Vec::new(), [0])) }.boxed()
    }
}

/// A client that logs out again and again with one token, and one that does so with each of its tokens.
#[test]
fn flood_of_logouts_is_bounded_by_the_size_of_the_list() {
    const MAX: usize = 100;
    for deny_list in [DenyList::new(), DenyList::with_store(Down)] {
        let clock = ManualClock::new();
        let policy = builder().clock(clock.clone()).deny_list(deny_list.max_entries(MAX));
        let oauth2 = policy.build().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            until("the list is loaded", || oauth2.is_ready()).await;
            let status = || oauth2.deny_list_status().unwrap();
            let claims = oauth2.verify(&good().sign(es256())).await.unwrap();
            for _ in 0..10 * MAX {
                let _ = oauth2.revoke(Revocation::token(&claims)).await;
                clock.advance(Duration::from_millis(10));
                // Each has another end, by the clock.
                let _ = oauth2.revoke(Revocation::subject(ISSUER, "canary")).await;
            }
            assert_eq!(status().entries, 2);
            assert!(status().unsaved <= MAX, "{:?}", status());
            for index in 0..10 * MAX {
                let revocation = Revocation::token_id(ISSUER, &format!("canary-{index}"));
                let _ = oauth2.revoke(revocation).await;
            }
            assert_eq!(status().entries, MAX);
            assert!(status().unsaved <= MAX, "{:?}", status());
        });
    }
}

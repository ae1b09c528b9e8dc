//! Hostile tenants: their documents are slow to parse, and tokens with made-up key ids cause repeated fetches
//! of them. At the same time, a good provider and a good tenant rotate their keys. The first tokens of the new keys
//! must be accepted within a second.

use oauth2_actix_tests::key_server::{Answer, KeyServer};
use std::{
    collections::HashMap,
    error::Error,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::{Compression, write::GzEncoder};
use oauth2_actix::{
    Algorithm, Keys, OAuth2, Provider,
    tenants::{Tenant, TenantLookup, Tenants},
    testing::{SigningKey, Token},
};
use serde_json::{Value, json};
use tokio::runtime::{self, Runtime};

use crate::{
    api::{AUDIENCE, ISSUER, jwk_set, wait},
    child,
    memory::resident,
    random::{made_up, random},
    report::Report,
};

/// `neighbours [TENANTS SECONDS]`: this number of hostile tenants for this time. Without arguments: the whole
/// series.
pub(crate) fn run(report: &mut Report, arguments: &[String]) {
    let documents = slow_documents();
    if let [tenants, seconds] = arguments {
        let (tenants, seconds) = (tenants.parse().unwrap(), seconds.parse().unwrap());
        for document in &documents {
            rotations(report, tenants, Duration::from_secs(seconds), document);
        }
        return;
    }
    for tenants in [0, 2, 8] {
        rotations(report, tenants, DURATION, &documents[0]);
    }
    for document in &documents {
        rotations(report, 20, DURATION, document);
    }
    memory(report);
}

/// Rotates the keys of a good provider and of a good tenant beside hostile tenants.
fn rotations(report: &mut Report, tenants: usize, duration: Duration, document: &Document) {
    report.heading(format_args!("{tenants} hostile tenants, each with {}", document.name));
    let setup = Setup::new(tenants, document);
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.unwrap();
    let start = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    for issuer in &setup.hostile_issuers {
        let token = Token::new(issuer, AUDIENCE).expires_in(3600);
        let (oauth2, forger) = (setup.oauth2.clone(), setup.forger.clone());
        let stop = Arc::clone(&stop);
        runtime.spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(500));
            while !stop.load(Ordering::Relaxed) {
                ticks.tick().await;
                let token = token.clone().header("kid", made_up()).sign(&forger);
                let oauth2 = oauth2.clone();
                // A task of its own, so that a token that waits does not delay the next one.
                tokio::spawn(async move { oauth2.verify(&token).await.map(drop) });
            }
        });
    }
    // Rotates shortly after the start of the first fetches, and after each cooldown.
    let mut slowest = [Duration::ZERO; 2];
    let mut round = 0;
    while start.elapsed() < duration {
        thread::sleep(Duration::from_millis(100));
        round += 1;
        for (slowest, time) in slowest.iter_mut().zip(setup.rotate(&runtime, round)) {
            *slowest = time.max(*slowest);
        }
        let next = start + COOLDOWN * round;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    stop.store(true, Ordering::Relaxed);
    let fetches = setup.hostile.requests();
    report
        .figure("rotations, and fetches of hostile documents", format_args!("{round}, {fetches}"));
    for (name, time) in ["the provider", "the good tenant"].iter().zip(slowest) {
        report.bound(
            format_args!("slowest first token of a new key of {name}"),
            format_args!("accepted after {:.3} s", time.as_secs_f64()),
            "less than 1 s",
            time < Duration::from_secs(1),
        );
    }
    runtime.shutdown_background();
}

/// Measures what a policy keeps of large documents, each in a process of its own.
fn memory(report: &mut Report) {
    report.heading(format_args!("memory of {MEMORY_TENANTS} hostile tenants"));
    for (index, document) in large_documents().iter().enumerate() {
        let [taken] = child::numbers(&[CHILD, &index.to_string()]);
        report.bound(
            format_args!("for each, with {}", document.name),
            format_args!("{taken} KiB"),
            "at most 512 KiB",
            taken <= 512,
        );
    }
}

/// Runs in the child process: prints how many KiB each tenant takes.
pub(crate) fn child(arguments: &[String]) {
    let [index] = arguments else { panic!("INDEX") };
    let document = large_documents().swap_remove(index.parse().unwrap());
    let setup = Setup::new(MEMORY_TENANTS + 1, &document);
    let fetch = |issuer: &String| {
        let token = Token::new(issuer, AUDIENCE).header("kid", made_up());
        let _ = wait(setup.oauth2.verify(&token.sign(&setup.forger)));
    };
    // The first fetch includes allocations that are made only once.
    let (first, others) = setup.hostile_issuers.split_first().unwrap();
    fetch(first);
    let before = resident();
    others.iter().for_each(fetch);
    assert_eq!(setup.hostile.requests(), 1 + MEMORY_TENANTS as u64);
    println!("{}", resident().saturating_sub(before) / MEMORY_TENANTS as u64);
}

struct Setup {
    oauth2: OAuth2,
    hostile: KeyServer,
    hostile_issuers: Vec<String>,
    forger: SigningKey,
    /// The key servers of the good provider and of the good tenant.
    good: [KeyServer; 2],
}

impl Setup {
    fn new(tenants: usize, document: &Document) -> Self {
        let forger = SigningKey::generate(Algorithm::ES256, "forger");
        let first = SigningKey::generate(Algorithm::ES256, "key-0");
        let good = [(); 2].map(|()| KeyServer::start(jwk_set([&first])).unwrap());
        let hostile = KeyServer::start(document.answer.clone()).unwrap();
        let provider =
            |issuer: &str, keys: Keys| Provider::new().issuer(issuer).audience(AUDIENCE).keys(keys);
        let hostile_issuers: Vec<String> =
            (0..tenants).map(|index| hostile.url_of(&format!("/{index}"))).collect();
        let mut known: HashMap<String, Tenant> = hostile_issuers
            .iter()
            .map(|issuer| {
                let keys = match document.location {
                    Location::Keys => Keys::from(format!("{issuer}/jwks.json")),
                    Location::Discovery => Keys::discover(),
                };
                (issuer.clone(), Tenant::new(issuer, provider(issuer, keys)))
            })
            .collect();
        let tenant = Tenant::new("good-tenant", provider(GOOD_TENANT, good[1].url().into()));
        known.insert(GOOD_TENANT.to_owned(), tenant);
        let oauth2 = OAuth2::builder()
            .provider("good", provider(ISSUER, good[0].url().into()))
            .tenants(Tenants::new(Directory(known)))
            .key_refresh_minutes(30)
            .build()
            .unwrap();
        for issuer in [ISSUER, GOOD_TENANT] {
            wait(oauth2.verify(&Token::new(issuer, AUDIENCE).sign(&first))).unwrap();
        }
        Self { oauth2, hostile, hostile_issuers, forger, good }
    }

    /// Replaces both keys at once. Returns how long it takes until their tokens are accepted.
    fn rotate(&self, runtime: &Runtime, round: u32) -> [Duration; 2] {
        let key = SigningKey::generate(Algorithm::ES256, &format!("key-{round}"));
        self.good.iter().for_each(|server| server.answer(jwk_set([&key])));
        let start = Instant::now();
        let waiting = [ISSUER, GOOD_TENANT].map(|issuer| {
            let token = Token::new(issuer, AUDIENCE).expires_in(3600).sign(&key);
            let oauth2 = self.oauth2.clone();
            runtime.spawn(async move {
                while oauth2.verify(&token).await.is_err() {
                    assert!(
                        start.elapsed() < TIMEOUT,
                        "the new key was not accepted within {TIMEOUT:?}"
                    );
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                start.elapsed()
            })
        });
        waiting.map(|waiting| runtime.block_on(waiting).unwrap())
    }
}

struct Directory(HashMap<String, Tenant>);

impl TenantLookup for Directory {
    async fn find_by_issuer(
        &self,
        issuer: &str,
    ) -> Result<Option<Tenant>, Box<dyn Error + Send + Sync>> {
        Ok(self.0.get(issuer).cloned())
    }
}

/// A document that a hostile tenant publishes.
struct Document {
    name: &'static str,
    location: Location,
    answer: Answer,
}

#[derive(Clone, Copy)]
enum Location {
    Keys,
    /// Instead of the issuer's metadata document.
    Discovery,
}

impl Document {
    fn keys(name: &'static str, answer: Answer) -> Self {
        Self { name, location: Location::Keys, answer }
    }
}

fn slow_documents() -> Vec<Document> {
    let bare = |algorithm| SigningKey::generate(algorithm, "").bare_jwk();
    let p384 = bare(Algorithm::ES384);
    let lists = |bytes| Answer::body(200, &[], nested_lists(bytes).as_bytes());
    vec![
        Document::keys("1,024 P-384 keys", many(&p384, 1024)),
        Document::keys("64 P-384 keys", many(&p384, 64)),
        Document::keys("64 secp256k1 keys", many(&bare(Algorithm::ES256K), 64)),
        Document::keys("64 P-521 keys", many(&bare(Algorithm::ES512), 64)),
        Document::keys("64 Ed448 keys", many(&bare(Algorithm::Ed448), 64)),
        Document::keys("64 RSA keys of 8,192 bits", many(&large_rsa(), 64)),
        Document::keys("256 KiB of lists", lists(256 << 10)),
        Document::keys("1 MiB of lists", lists(1 << 20)),
        Document::keys("64 MiB of spaces in gzip", bomb()),
        Document {
            name: "1 MiB of lists as metadata document",
            location: Location::Discovery,
            answer: lists(1 << 20),
        },
    ]
}

fn large_documents() -> Vec<Document> {
    let mut long_id = SigningKey::generate(Algorithm::ES256, "").bare_jwk();
    long_id["kid"] = json!("x".repeat(200 * 1024));
    let p521 = SigningKey::generate(Algorithm::ES512, "").bare_jwk();
    vec![
        Document::keys("64 RSA keys of 8,192 bits", many(&large_rsa(), 64)),
        Document::keys("737 RSA keys of 8,192 bits", many(&large_rsa(), 737)),
        Document::keys("64 P-521 keys", many(&p521, 64)),
        Document::keys("one key with an id of 200 KiB", many(&long_id, 1)),
    ]
}

/// Returns keys that differ only in their ids. Parsing them takes as long as parsing different keys.
fn many(jwk: &Value, count: usize) -> Answer {
    let keys: Vec<Value> = (0..count)
        .map(|index| {
            let mut jwk = jwk.clone();
            let kid = jwk["kid"].as_str().unwrap_or_default();
            jwk["kid"] = json!(format!("{kid}{index}"));
            jwk
        })
        .collect();
    Answer::json(&json!({"keys": keys}))
}

/// Returns a JWK with a modulus that is random and odd. Without its factors, no parser can see that it is
/// invalid.
fn large_rsa() -> Value {
    let mut modulus = Vec::with_capacity(1024);
    while modulus.len() < 1024 {
        modulus.extend(random().to_be_bytes());
    }
    modulus[0] |= 0x80;
    modulus[1023] |= 1;
    json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB"})
}

/// Returns a JWK with a member that takes much time and memory to parse.
fn nested_lists(bytes: usize) -> String {
    let lists = "[],".repeat(bytes / 3 - 32);
    format!(r#"{{"keys":[{{"kty":"EC","x":[{lists}0]}}]}}"#)
}

fn bomb() -> Answer {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b' '; 64 << 20]).unwrap();
    Answer::body(200, &[("content-encoding", "gzip")], &encoder.finish().unwrap())
}

pub(crate) const CHILD: &str = "neighbours-child";
const MEMORY_TENANTS: usize = 100;
const GOOD_TENANT: &str = "https://good-tenant.test";
/// The default time between two fetches that unknown key ids cause.
const COOLDOWN: Duration = Duration::from_secs(10);
/// Long enough for two rotations: one during the first fetches of all tenants, one during the second ones.
const DURATION: Duration = Duration::from_secs(11);
const TIMEOUT: Duration = Duration::from_secs(90);

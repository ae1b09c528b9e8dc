//! Policies with and without the cache of verified tokens make the same decisions, after any sequence of
//! events.

use std::{
    collections::BTreeMap,
    error::Error,
    mem::{Discriminant, discriminant},
    sync::{Arc, LazyLock, Mutex, MutexGuard},
    time::Duration,
};

use oauth2_actix::{
    Algorithm, Claims, ErrorKind, KeySource, Keys, OAuth2, Provider, TokenCacheConfig,
    tenants::{Tenant, TenantLookup, Tenants},
    testing::{ManualClock, SigningKey, Token},
};
use oauth2_actix_tests::{keys::key, policy};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Keys of providers; the last three have the kids of the first three.
static SIGNING: LazyLock<Vec<SigningKey>> = LazyLock::new(|| {
    (0..6).map(|index| SigningKey::generate(Algorithm::ES256, &format!("k{}", index % 3))).collect()
});

/// The published keys of one provider, by index, and their shapes.
#[derive(Clone, Debug, Default)]
struct Published {
    keys: Vec<(usize, Shape)>,
    fails: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Plain,
    WithoutKid,
    ForAnother,
    NotForSignatures,
}

#[derive(Clone, Default)]
struct Source(Arc<Mutex<Published>>);

impl Source {
    fn published(&self) -> MutexGuard<'_, Published> {
        self.0.lock().unwrap()
    }
}

impl KeySource for Source {
    async fn load(&self) -> Result<String, Box<dyn Error + Send + Sync>> {
        let Published { keys, fails } = self.published().clone();
        if fails {
            return Err("out of order".into());
        }
        let keys = keys.iter().map(|(index, shape)| {
            let mut jwk = SIGNING[*index].public_jwk();
            let members = jwk.as_object_mut().unwrap();
            match shape {
                Shape::Plain => {}
                Shape::WithoutKid => drop(members.remove("kid")),
                Shape::ForAnother => drop(members.insert("alg".into(), json!("ES384"))),
                Shape::NotForSignatures => drop(members.insert("use".into(), json!("enc"))),
            }
            jwk
        });
        // One key is always usable, since an empty set never replaces another.
        let spare = key(Algorithm::EdDSA).public_jwk();
        Ok(json!({"keys": keys.chain([spare]).collect::<Vec<Value>>()}).to_string())
    }
}

/// Tenants, each with the index of its present key.
#[derive(Clone, Default)]
struct Customers(Arc<Mutex<BTreeMap<String, usize>>>);

impl TenantLookup for Customers {
    async fn find_by_issuer(
        &self,
        issuer: &str,
    ) -> Result<Option<Tenant>, Box<dyn Error + Send + Sync>> {
        Ok(self.0.lock().unwrap().get(issuer).map(|index| {
            let provider = Provider::new().issuer(issuer).audience("api");
            Tenant::new("customer", provider.keys(SIGNING[*index].jwk_set()))
        }))
    }
}

/// Pseudorandom numbers, the same in each run (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// The policies, and the state around them.
struct World {
    dice: Dice,
    clock: ManualClock,
    /// The sources of the two providers of one issuer, and of the one with a refresh of zero.
    first: Source,
    second: Source,
    always: Source,
    customers: Customers,
    /// One policy without a cache, and several with one.
    policies: Vec<OAuth2>,
    tokens: Vec<String>,
    seen: Seen,
}

/// The decisions so far, so that a run without interesting ones fails.
#[derive(Debug, Default)]
struct Seen {
    accepted: usize,
    hits: usize,
    rejected: BTreeMap<String, usize>,
}

#[derive(Debug, PartialEq)]
enum Decision {
    Accepted { provider: String, claims: Value },
    Rejected(Discriminant<ErrorKind>),
}

const SHARED: &str = "https://shared.test";
const ALWAYS: &str = "https://always.test";
const INLINE: &str = "https://inline.test";
const STRICT: &str = "https://strict.test";
const CUSTOMERS: [&str; 3] =
    ["https://one.customer.test", "https://two.customer.test", "https://no.customer.test"];

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let clock = ManualClock::new();
        let known = CUSTOMERS[..2].iter().map(|issuer| ((*issuer).to_owned(), 0));
        let customers = Customers(Arc::new(Mutex::new(known.collect())));
        let [first, second, always] = [0; 3].map(|_| Source::default());
        let bounds = [
            TokenCacheConfig::disabled(),
            TokenCacheConfig::new(),
            TokenCacheConfig::new().max_entries(1),
            TokenCacheConfig::new().max_entries(6),
            TokenCacheConfig::new().max_bytes(6_000),
        ];
        let max_age = dice.one_in(2);
        let policies = bounds.map(|bounds| {
            let of = |issuer: &str, audience: &str, keys: Keys| {
                Provider::new().issuer(issuer).audience(audience).keys(keys)
            };
            let secret = key(Algorithm::HS256);
            let inline = of(INLINE, "api", secret.jwk_set().into());
            let strict = of(STRICT, "api", SIGNING[0].jwk_set().into());
            let always = of(ALWAYS, "api", Keys::source(always.clone()));
            let builder = policy::builder()
                .provider("first", of(SHARED, "api", Keys::source(first.clone())))
                .provider("second", of(SHARED, "other", Keys::source(second.clone())))
                .provider("always", always.key_refresh(Duration::ZERO))
                .provider("inline", inline.algorithms([Algorithm::HS256]))
                .provider("strict", strict.require_at_jwt(true))
                .tenants(Tenants::new(customers.clone()).lifetime(HOUR))
                // Only steps and unknown keys cause fetches.
                .key_refresh(365 * DAY)
                .stale_window(365 * DAY)
                .leeway(Duration::from_secs(5))
                .token_cache(bounds)
                .clock(clock.clone());
            let builder = if max_age { builder.max_token_age(2 * HOUR) } else { builder };
            builder.build().unwrap()
        });
        let (policies, tokens, seen) = (policies.into(), Vec::new(), Seen::default());
        Self { dice, clock, first, second, always, customers, policies, tokens, seen }
    }

    /// Fetches all keys for all policies, and ignores failures.
    async fn refresh(&self) {
        for policy in &self.policies {
            let _ = policy.refresh_keys().await;
        }
    }

    async fn step(&mut self) {
        match self.dice.below(40) {
            0 => {
                let keys = self.some_keys();
                self.first.published().keys = keys;
                // An unknown key may cause the fetch later.
                if !self.dice.one_in(4) {
                    self.refresh().await;
                }
            }
            1 => {
                let keys = self.some_keys();
                self.second.published().keys = keys;
                self.refresh().await;
            }
            2 => {
                let keys = self.some_keys();
                self.always.published().keys = keys;
            }
            3 => {
                let source = self.dice.of(&[&self.first, &self.second, &self.always]).clone();
                let fails = !source.published().fails;
                source.published().fails = fails;
                self.refresh().await;
                self.wait(Duration::from_secs(61)).await;
            }
            4..7 => {
                let by = self.dice.of(&[1, 1, 4, 5, 30, 600]);
                self.wait(Duration::from_secs(by)).await;
            }
            7 => {
                let by = self.dice.of(&[HOUR, HOUR, 2 * HOUR, DAY, 366 * DAY]);
                self.wait(by).await;
            }
            8 => {
                let issuer = self.dice.of(&CUSTOMERS[..2]).to_owned();
                let index = self.dice.below(SIGNING.len());
                let is_one = !self.dice.one_in(3);
                {
                    let mut customers = self.customers.0.lock().unwrap();
                    customers.remove(&issuer);
                    if is_one {
                        customers.insert(issuer, index);
                    }
                }
                // The next lookup is due and waited for. An earlier one might run in the background.
                self.wait(HOUR).await;
            }
            9..15 => {
                let token = self.new_token();
                // A rejected token may be accepted later, but most never are.
                if self.send(&token).await || self.dice.one_in(4) {
                    self.tokens.push(token);
                }
            }
            15..17 => {
                let token = self.spoiled();
                let _ = self.send(&token).await;
            }
            _ if self.tokens.is_empty() => {}
            _ => {
                // The latest tokens are the most frequent.
                let age = self.dice.of(&[1, 1, 2, 2, 3, 5, 8, 20, 1000]);
                let index = self.tokens.len().saturating_sub(1 + self.dice.below(age));
                let token = self.tokens[index].clone();
                for _ in 0..self.dice.of(&[1, 1, 2, 3]) {
                    self.send(&token).await;
                }
            }
        }
    }

    async fn wait(&self, time: Duration) {
        self.clock.advance(time);
        // A background refresh might end earlier for one policy than for another.
        self.refresh().await;
    }

    fn some_keys(&mut self) -> Vec<(usize, Shape)> {
        use Shape::{ForAnother, NotForSignatures, Plain, WithoutKid};
        (0..1 + self.dice.below(4))
            .map(|_| {
                let shapes = [Plain, Plain, Plain, WithoutKid, ForAnother, NotForSignatures];
                (self.dice.below(SIGNING.len()), self.dice.of(&shapes))
            })
            .collect()
    }

    fn new_token(&mut self) -> String {
        let dice = &mut self.dice;
        let now = self.clock.unix_seconds().cast_signed();
        let issuer = dice.of(&[
            SHARED,
            SHARED,
            SHARED,
            ALWAYS,
            INLINE,
            STRICT,
            CUSTOMERS[0],
            CUSTOMERS[1],
            CUSTOMERS[2],
        ]);
        let audience = dice.of(&["api", "other", "both", "both", "none"]);
        let audience = match audience {
            "both" => json!(["api", "other"]),
            one if issuer == SHARED => json!(one),
            _ => json!("api"),
        };
        let mut token = Token::new(issuer, "api")
            .claim("client_id", "client")
            .claim("aud", audience)
            .claim("jti", dice.below(usize::MAX).to_string())
            .claim("iat", now - dice.of(&[0, 0, 0, 60, 7_200, -30]))
            .claim("exp", now + dice.of(&[-5, -4, 1, 30, 3_600, 400 * 86_400, 800 * 86_400]));
        if dice.one_in(3) {
            token = token.claim("nbf", now + dice.of(&[-60, 5, 6, 30]));
        }
        if dice.one_in(4) {
            token = token.header("typ", dice.of(&["JWT", "JWT", "at+jwt", "dpop+jwt"]));
        }
        if dice.one_in(4) {
            token = token.header("kid", Value::Null);
        }
        if dice.one_in(4) {
            token = token.claim("x", json!(vec![json!({"a": [1]}); dice.below(20)]));
        }
        match issuer {
            INLINE => token.sign(key(Algorithm::HS256)),
            STRICT => token.sign(&SIGNING[0]),
            _ => token.sign(&SIGNING[dice.below(SIGNING.len())]),
        }
    }

    /// Changes a token, or mixes the parts of two.
    fn spoiled(&mut self) -> String {
        if self.tokens.is_empty() {
            return "x.y.z".to_owned();
        }
        let (one, other) = (self.dice.of(&self.tokens), self.dice.of(&self.tokens));
        let index = self.dice.below(one.len());
        match self.dice.below(4) {
            0 => format!("{}{}", &one[..index], &one[index + 1..]),
            1 => format!("{}A{}", &one[..index], &one[index + 1..]),
            2 => format!(
                "{}{}",
                &one[..=one.rfind('.').unwrap()],
                &other[other.rfind('.').unwrap() + 1..]
            ),
            _ => one[index..].to_owned(),
        }
    }

    /// Sends a token to all policies, and returns whether it is accepted.
    async fn send(&mut self, token: &str) -> bool {
        let mut expected = None;
        for (index, policy) in self.policies.iter().enumerate() {
            let entries = policy.token_cache_status().entries;
            let decision = policy.verify(token).await;
            // The bounds hold, and the policy without a cache caches nothing.
            let status = policy.token_cache_status();
            assert!(status.entries <= [0, usize::MAX, 1, 6, usize::MAX][index], "{status}");
            assert!(status.bytes <= [0, usize::MAX, usize::MAX, usize::MAX, 6_000][index]);
            assert_eq!(status.entries == 0, status.bytes == 0, "{status}");
            let decision = match decision {
                Ok(claims) => {
                    self.seen.accepted += 1;
                    if index == 1 && entries == status.entries {
                        let again = policy.verify(token).await.unwrap();
                        self.seen.hits += usize::from(are_one(&claims, &again));
                    }
                    Decision::Accepted {
                        provider: claims.provider().to_owned(),
                        claims: claims.to_map().into(),
                    }
                }
                Err(error) => {
                    assert_eq!(status.entries, entries, "a rejected token changed the cache");
                    let kind = format!("{:?}", error.kind());
                    let name = kind.split([' ', '(']).next().unwrap().to_owned();
                    *self.seen.rejected.entry(name).or_default() += 1;
                    Decision::Rejected(discriminant(error.kind()))
                }
            };
            match &expected {
                None => expected = Some(decision),
                Some(expected) => assert_eq!(&decision, expected, "policy {index}"),
            }
        }
        matches!(expected, Some(Decision::Accepted { .. }))
    }
}

fn are_one(one: &Claims, other: &Claims) -> bool {
    std::ptr::eq(one.get("iss").unwrap(), other.get("iss").unwrap())
}

#[test]
fn decisions_with_and_without_cache_are_equal() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut seen = Seen::default();
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for step in 0..STEPS {
            let run = std::panic::AssertUnwindSafe(|| runtime.block_on(world.step()));
            if let Err(panic) = std::panic::catch_unwind(run) {
                eprintln!("seed {seed}, step {step}");
                std::panic::resume_unwind(panic);
            }
        }
        seen.accepted += world.seen.accepted;
        seen.hits += world.seen.hits;
        for (kind, count) in world.seen.rejected {
            *seen.rejected.entry(kind).or_default() += count;
        }
    }
    eprintln!("{seen:?}");
    assert!(seen.accepted > 1_000 && seen.hits > 100, "{seen:?}");
    for kind in [
        "AudienceMismatch",
        "Expired",
        "UnknownIssuer",
        "UnknownKey",
        "KeysUnavailable",
        "NotYetValid",
        "SignatureInvalid",
        "TokenMalformed",
        "TokenTooOld",
        "TypeNotAllowed",
    ] {
        assert!(seen.rejected.get(kind).is_some_and(|count| *count > 5), "{kind}: {seen:?}");
    }
}

const SEEDS: u64 = 10;
const STEPS: usize = 150;

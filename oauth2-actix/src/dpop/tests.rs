//! Figures, for release builds on an idle machine: `bench/README.md` has the command.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use openssl::sha::sha256;
use serde_json::json;

use super::{
    client_key::{ClientKey, ClientKeys},
    nonce::Nonces,
    proof::{Presented, ProofChecker},
    target::Targets,
    *,
};
use crate::{
    jose::{
        algorithm::{Algorithm, AlgorithmSet},
        key_policy::CryptoBackend,
    },
    testing::SigningKey,
};

const NOW: Duration = Duration::from_secs(1_700_000_000);

/// Returns the times of the two parts of a call: medians, in the quietest of many runs. The parts take turns, as in a
/// server, since each is faster alone in a loop.
fn quiet_times<T>(mut first: impl FnMut() -> T, mut second: impl FnMut(T)) -> [Duration; 2] {
    const CALLS: usize = 500;
    let mut quietest = [Duration::MAX; 2];
    for _ in 0..60 {
        let mut times = [(); 2].map(|()| Vec::with_capacity(CALLS));
        for _ in 0..CALLS {
            let start = Instant::now();
            let between = first();
            let middle = Instant::now();
            second(between);
            times[1].push(middle.elapsed());
            times[0].push(middle - start);
        }
        let medians = times.map(median);
        quietest = [0, 1].map(|part| medians[part].min(quietest[part]));
    }
    quietest
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
#[ignore = "it measures time: it needs a release build on an idle machine"]
fn check_of_a_proof_adds_at_most_three_microseconds_to_its_signature() {
    const LIMIT: Duration = Duration::from_micros(3);
    // An access token of the usual size.
    let token = vec![b'a'; 900];
    let mut over = Vec::new();
    for algorithm in [Algorithm::ES256, Algorithm::Ed25519, Algorithm::PS256, Algorithm::RS256] {
        for with_nonce in [false, true] {
            let nonces = || Nonces::new(&[7; 32], None, Duration::from_secs(300)).expect("nonces");
            let key = SigningKey::generate(algorithm, "1");
            let jwk = key.bare_jwk();
            let mut payload = json!({
                "jti": "0f1c2d3e-4b5a-6978-8796-a5b4c3d2e1f0",
                "htm": "GET",
                "htu": "https://api.example.com/v1/orders/4711",
                "iat": NOW.as_secs(),
                "ath": URL_SAFE_NO_PAD.encode(sha256(&token)),
            });
            if with_nonce {
                payload["nonce"] = json!(nonces().issue(NOW));
            }
            let header = json!({"typ": "dpop+jwt", "alg": algorithm.name(), "jwk": jwk});
            let [header, payload] =
                [header, payload].map(|json| URL_SAFE_NO_PAD.encode(json.to_string()));
            let signed = format!("{header}.{payload}");
            let signature = key.sign(signed.as_bytes());
            let proof = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&signature));
            let text = jwk.to_string();
            let client_key = ClientKey::read(&text, algorithm).expect("a key");
            let checker = ProofChecker {
                algorithms: AlgorithmSet::by_default(),
                max_age: Duration::from_secs(60),
                clock_skew: Duration::from_secs(5),
                targets: Targets::new(&["https://api.example.com".to_owned()]).expect("a URL"),
                nonces: with_nonce.then(nonces),
                keys: ClientKeys::default(),
                crypto: CryptoBackend::AwsLc,
            };
            let token_hash = sha256(&token);
            let presented = Presented {
                proof: proof.as_bytes(),
                method: "GET",
                path: "/v1/orders/4711",
                is_handshake: false,
                token_hash: &token_hash,
                thumbprint: &client_key.thumbprint(),
                now: NOW,
            };
            checker.check(&presented).expect("accepted");
            let [added, signature] = quiet_times(
                || checker.check_unverified(black_box(&presented)).expect("accepted"),
                |proof| {
                    assert!(proof.verifier.accepts(black_box(proof.signed), &proof.signature));
                },
            );
            println!(
                "{:8} {} nonce: {signature:?} for the signature, {added:?} for all else",
                algorithm.name(),
                if with_nonce { "with a" } else { "without" },
            );
            if added > LIMIT {
                over.push((algorithm, with_nonce, added));
            }
        }
    }
    assert!(over.is_empty(), "more than {LIMIT:?}: {over:?}");
}

#[test]
#[ignore = "it measures time and memory: it needs a release build on an idle machine"]
fn used_proof_takes_less_than_a_microsecond_and_80_bytes() {
    const LIMIT: Duration = Duration::from_micros(1);
    const MIB: usize = 1024 * 1024;
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        let pages = statm.split(' ').nth(1).expect("pages");
        4_096 * pages.parse::<usize>().expect("a number")
    };
    let proof = |number: usize| UsedProof {
        id: sha256(&number.to_be_bytes()),
        key: sha256(&(number % 1_000).to_be_bytes()),
        since: NOW,
        now: NOW + Duration::from_secs(number as u64 / 10_000),
        until: NOW + Duration::from_secs(number as u64 / 10_000 + 61),
    };
    // The time also of the proofs that expire during the test: at 10,000 a second, some 600,000 are valid.
    let store = MemoryReplayStore::new();
    let proofs: Vec<_> = (0..2_000_000).map(proof).collect();
    let insert = |proofs: &[UsedProof]| {
        let start = Instant::now();
        for proof in proofs {
            let insertion = store.insert_once(proof.clone()).now_or_never();
            assert!(matches!(insertion, Some(Insertion::Fresh)));
        }
        start.elapsed() / 1_000
    };
    let time = median(proofs.chunks(1_000).map(insert).collect());
    drop((proofs, store));
    // The memory of a full store, whose proofs expire in one of 61 seconds.
    let store = MemoryReplayStore::new();
    let before = resident();
    let mut count = 0;
    for number in 0.. {
        let mut proof = proof(number);
        proof.now = NOW;
        proof.until = NOW + Duration::from_secs(number as u64 % 61);
        match store.insert_once(proof).now_or_never().expect("ready") {
            Insertion::Fresh => count += 1,
            Insertion::Seen => panic!("seen"),
            Insertion::Unavailable(_) => break,
        }
    }
    let real = resident().saturating_sub(before);
    println!(
        "{time:?} for an insertion; {count} proofs in 64 MiB: {} bytes each by count, {} by the system",
        64 * MIB / count,
        real / count
    );
    assert!(time < LIMIT && 64 * MIB / count < 80 && real < 96 * MIB);
}

//! A cached token in a policy of 1,000 providers, one of which has 1,000 keys, against the same token in a
//! policy of one provider with one key.

use oauth2_actix::{Algorithm, OAuth2, Provider, testing::SigningKey};
use oauth2_actix_bench as kit;
use serde_json::{Value, json};

use crate::{
    policies::verify,
    report::Report,
    turns::{Arm, medians, micros},
};

pub(crate) fn run(report: &mut Report, _: &[String]) {
    let keys: Vec<SigningKey> = (0..MANY)
        .map(|index| SigningKey::generate(Algorithm::ES256, &format!("key-{index}")))
        .collect();
    let key = &keys[MANY / 2];
    let small = OAuth2::builder().provider("idp", kit::provider(key.jwk_set())).build().unwrap();
    let big = big(&keys);
    let token = kit::padded(kit::token(), key, 800).sign(key);
    let arm = |oauth2| -> Arm<'_> {
        let token = &token;
        Box::new(move |_| (0..EACH).for_each(|_| drop(verify(oauth2, token).unwrap())))
    };
    let times = medians(ROUNDS, &mut [arm(&small), arm(&big)]);
    let each = |index: usize| format!("{:.3} us", micros(times[index]) / f64::from(EACH));
    report.figure("1 provider with 1 key", each(0));
    report.figure("1,000 providers, one with 1,000 keys", each(1));
    let ratio = times[1].div_duration_f64(times[0]);
    report.bound("ratio", format_args!("{ratio:.4}"), "at most 1.05", ratio <= 1.05);
}

/// Returns the policy with many providers. The provider of the token is in the middle, and has all keys.
fn big(keys: &[SigningKey]) -> OAuth2 {
    let all: Vec<Value> = keys.iter().map(SigningKey::public_jwk).collect();
    keys.iter()
        .enumerate()
        .fold(OAuth2::builder(), |builder, (index, key)| {
            let provider = if index == MANY / 2 {
                kit::provider(json!({"keys": all}))
            } else {
                let issuer = format!("https://idp-{index}.test");
                Provider::new().issuer(issuer).audience(kit::AUDIENCE).keys(key.jwk_set())
            };
            builder.provider(format!("provider-{index}"), provider)
        })
        .build()
        .unwrap()
}

const MANY: usize = 1000;
const ROUNDS: usize = 1001;
/// Verifications that are timed together, because reading the clock takes time too.
const EACH: u32 = 20;

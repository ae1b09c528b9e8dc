//! Claims of any form with a valid signature: accepted exactly if a second implementation of the rules
//! accepts them, and only if another JSON parser reads the same claims.

use std::{sync::LazyLock, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth2_actix::{
    __fuzz, Algorithm, OAuth2, Provider,
    requirement::{self, ClaimValues},
    testing::{ManualClock, SigningKey},
};
use serde_json::{Map, Value};

struct Setup {
    key: SigningKey,
    policy: OAuth2,
    clock: ManualClock,
}

static SETUP: LazyLock<Setup> = LazyLock::new(|| {
    let key = SigningKey::from_secret(Algorithm::HS256, "1", &[7; 32]);
    let clock = ManualClock::new();
    let provider = Provider::new()
        .issuer("https://idp.test")
        .audience("api")
        .algorithms([Algorithm::HS256])
        .keys(key.jwk_set());
    let policy = OAuth2::builder()
        .provider("p", provider)
        .leeway(Duration::from_secs(30))
        .clock(clock.clone())
        .build()
        .expect("a policy");
    Setup { key, policy, clock }
});

pub fn run(data: &[u8]) {
    let setup = &*SETUP;
    let now = setup.clock.unix_seconds();
    // The corpora remain valid over time because NOW is replaced by the present time.
    let claims = String::from_utf8_lossy(data).replace("NOW", &now.to_string());
    let content = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","kid":"1"}"#),
        URL_SAFE_NO_PAD.encode(claims.as_bytes())
    );
    let signature = URL_SAFE_NO_PAD.encode(setup.key.sign(content.as_bytes()));
    let token = format!("{content}.{signature}");
    if token.len() > 16 * 1024 {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let answer = runtime.block_on(setup.policy.verify(&token));
    let strict = __fuzz::strict_object(claims.as_bytes());
    let lenient = serde_json::from_str::<Map<String, Value>>(&claims).ok();
    if let Some(strict) = &strict {
        assert_eq!(Some(strict), lenient.as_ref(), "two readers differ");
    }
    let expected = strict.as_ref().is_some_and(|claims| is_good(claims, now as f64));
    assert_eq!(answer.is_ok(), expected, "{claims}: {answer:?}");
    let Ok(accepted) = answer else { return };
    assert_eq!(Some(accepted.to_map()), strict);
    // No method of the claims panics, and requirements agree with each other.
    for name in ["role", "scope", "/a/b", "", "/", "~", "/~2"] {
        let has = accepted.has_claim(name, "admin");
        assert_eq!(has, accepted.satisfies(&requirement::claim(name, "admin")));
        if has {
            assert!(accepted.satisfies(&requirement::claim(name, ClaimValues::present())));
        }
    }
    for scope in accepted.scopes() {
        assert!(!scope.is_empty() && !scope.contains(' '));
        assert!(accepted.has_scope(scope));
    }
}

/// Checks the rules, as a second implementation.
fn is_good(claims: &Map<String, Value>, now: f64) -> bool {
    let text = |name: &str| claims.get(name).is_none_or(Value::is_string);
    let time = |name: &str| match claims.get(name) {
        None => Some(None),
        Some(Value::Number(number)) => {
            let seconds = number.as_f64()?;
            (0.0..=253_402_300_799.0).contains(&seconds).then_some(Some(seconds))
        }
        Some(_) => None,
    };
    let audience = match claims.get("aud") {
        Some(Value::String(one)) => one == "api",
        Some(Value::Array(many)) => {
            many.iter().all(Value::is_string) && many.iter().any(|one| one == "api")
        }
        _ => false,
    };
    let (Some(Some(exp)), Some(nbf), Some(_)) = (time("exp"), time("nbf"), time("iat")) else {
        return false;
    };
    claims.get("iss").is_some_and(|issuer| issuer == "https://idp.test")
        && text("sub")
        && text("jti")
        && audience
        && now < exp + 30.0
        && nbf.is_none_or(|nbf| nbf <= now + 30.0)
}

//! Attacks by size: the cost of a token is bounded by its length.

use std::{sync::LazyLock, time::Duration};

use futures_util::FutureExt;
use oauth2_actix::OAuth2;
use oauth2_actix_tests::{
    client::Connection,
    forge::{self, b64, by, forge, nested},
};
use serde_json::json;

use crate::target::{
    Rejection, Target, bearer, builder, es256, good, payload, request, with_payload,
};

/// The verification of any of these takes much less CPU time, also in a debug build.
const BOUND: Duration = Duration::from_secs(1);

/// Asserts that the token is rejected, and that the rejection costs little CPU time.
#[track_caller]
fn rejects(target: &Target, attack: &str, token: &str, rejection: Rejection) {
    static OAUTH2: LazyLock<OAuth2> = LazyLock::new(|| builder().build().unwrap());
    target.rejects(attack, token, rejection);
    costs_little(&OAUTH2, attack, token);
}

/// Measures the CPU time of this thread, which is independent of the load of the machine.
#[track_caller]
fn costs_little(oauth2: &OAuth2, attack: &str, token: &str) {
    let before = cpu_time();
    let checked = oauth2.verify(token).now_or_never();
    let cost = cpu_time() - before;
    assert!(checked.expect("at once").is_err(), "{attack}");
    assert!(cost < BOUND, "{attack}: {cost:?}");
}

fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// CVE-2025-27144 (go-jose), CVE-2025-30204 (golang-jwt), CVE-2025-22868 (x/oauth2): many dots, or a huge
/// header, that is split at great cost. CVE-2025-61920: segments of any size.
#[test]
fn many_dots_or_oversized_segments_cost_little_cve_2025_27144_cve_2025_30204_cve_2025_22868_cve_2025_61920()
 {
    let target = Target::start();
    let big = "A".repeat(60_000);
    let token = good().sign(es256());
    let [header, claims, signature] = forge::parts(&token);
    for (attack, text) in [
        ("dots", ".".repeat(16_000)),
        ("more dots than the limit", ".".repeat(60_000)),
        ("a token and dots", format!("{token}{}", ".".repeat(10_000))),
        ("dots and a token", format!("{}{token}", ".".repeat(10_000))),
        ("parts", "e30.".repeat(4_000)),
        ("tokens", format!("{token}.").repeat(100)),
        ("a huge header", format!("{big}.{claims}.{signature}")),
        ("a huge payload", format!("{header}.{big}.{signature}")),
        ("a huge signature", format!("{header}.{claims}.{big}")),
        ("one part", big.clone()),
        ("a huge kid", good().header("kid", "canary".repeat(9_000)).sign(es256())),
        ("a huge claim", good().claim("canary", "canary".repeat(9_000)).sign(es256())),
        ("many claims", {
            let members: Vec<String> = (0..3_000).map(|n| format!("\"canary{n}\":{n}")).collect();
            with_payload(format!("{{{}}}", members.join(",")))
        }),
    ] {
        rejects(&target, attack, &text, Rejection::Malformed);
    }
    // Long, but within the limit.
    let fits = good().claim("filler", "x".repeat(11_000)).sign(es256());
    assert!(fits.len() <= 16_384 && fits.len() > 14_000);
    target.accepts("14 kB", &fits);
    let long_signature = format!("{header}.{claims}.{}", "A".repeat(12_000));
    rejects(&target, "a signature of 9 kB", &long_signature, Rejection::Signature);
    // The limit is exact.
    let exact = Target::behind(builder().max_token_length(token.len()).build().unwrap());
    exact.accepts("as long as the limit", &token);
    exact.rejects("one more", &format!("{token}A"), Rejection::Malformed);
    // actix rejects a head that is too long, and continues.
    let mut connection = Connection::open(target.api.server().address());
    connection.send(&request("GET", "/me", &[bearer(&"A".repeat(100_000))]));
    assert!((400..=431).contains(&connection.answer().status));
    target.still_works("a head of 100 kB");
}

/// Compressed JWE: CVE-2024-28180, CVE-2024-28176, CVE-2024-28122, CVE-2024-21319, CVE-2024-33664
/// (GHSA-cjwg-qfpm-7377), CVE-2025-63811. Iterations of PBES2 that the token chooses: CVE-2023-52428,
/// GHSA-2c7c-3mj9-8fqh, CVE-2022-36083. Nothing is inflated or derived: five parts are not a token, and such
/// a header over three parts is rejected.
#[test]
fn compressed_jwe_and_pbes2_cost_little_cve_2024_28180_cve_2024_28176_cve_2024_33664_cve_2023_52428()
 {
    let target = Target::start();
    for header in [
        json!({"alg": "dir", "enc": "A256GCM", "zip": "DEF"}),
        json!({"alg": "RSA-OAEP", "enc": "A256GCM", "zip": "DEF", "kid": "RS256"}),
        json!({"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2_147_483_647, "p2s": "AAAA"}),
        json!({"alg": "PBES2-HS512+A256KW", "enc": "A256GCM", "p2c": u64::MAX, "p2s": "AAAA"}),
        json!({"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 1e300, "zip": "DEF"}),
    ] {
        let text = header.to_string();
        let jwe =
            format!("{}.{}.{}.{}.AAAA", b64(&text), b64([1; 40]), b64([2; 12]), b64([0; 9_000]));
        rejects(&target, &text, &jwe, Rejection::Malformed);
        rejects(&target, &text, &forge(&text, payload(), by(es256())), Rejection::Signature);
    }
    // A signed token with DEFLATE as its payload and a matching header: the payload is not JSON.
    let mut deflated = vec![0xed, 0xc1, 0x01, 0x01, 0x00, 0x00, 0x00, 0x80];
    deflated.resize(1_000, 0);
    let mut header = forge::header(es256());
    header["zip"] = json!("DEF");
    rejects(
        &target,
        "DEFLATE",
        &forge(header.to_string(), deflated, by(es256())),
        Rejection::Malformed,
    );
}

/// CVE-2025-53864 (GHSA-xwmg-2g98-w7v9): JSON nested so deep that reading it ends the stack, in the header
/// or in the claims.
#[test]
fn deeply_nested_json_costs_little_cve_2025_53864_ghsa_xwmg_2g98_w7v9() {
    let target = Target::start();
    for (open, inner, close) in [
        ("[", "", "]"),
        ("{\"a\":", "1", "}"),
        ("[{\"a\":", "1", "}]"),
        ("[[", "", "]]"),
        ("[", "", ""),
    ] {
        for depth in [130, 1_000, 1_800] {
            let deep = nested(open, inner, close, depth);
            let claims = payload().replacen('{', &format!("{{\"canary\":{deep},"), 1);
            let header =
                forge::header(es256()).to_string().replacen('{', &format!("{{\"x\":{deep},"), 1);
            let attack = format!("{depth} of {open}");
            rejects(&target, &attack, &with_payload(&claims), Rejection::Malformed);
            rejects(&target, &attack, &forge(header, payload(), by(es256())), Rejection::Malformed);
            rejects(&target, &attack, &with_payload(&deep), Rejection::Malformed);
        }
    }
    // As deep as a limit of 16 kB permits, and deeper where the limit is another.
    let generous = builder().max_token_length(100_000).build().unwrap();
    let wide = Target::behind(generous.clone());
    for depth in [12_000, 30_000] {
        let deep = nested("[", "", "]", depth);
        let claims = payload().replacen('{', &format!("{{\"canary\":{deep},"), 1);
        if claims.len() < 60_000 {
            let token = with_payload(claims);
            wide.rejects("deeper", &token, Rejection::Malformed);
            costs_little(&generous, "deeper", &token);
        }
    }
    // The limit of 32 levels is well below that of serde_json.
    let claims_of_depth = |depth: usize| {
        let deep = nested("[", "", "]", depth - 1);
        payload().replacen('{', &format!("{{\"x\":{deep},"), 1)
    };
    target.accepts("32 levels", &with_payload(claims_of_depth(32)));
    for depth in [33, 34, 64, 127, 128, 129] {
        rejects(
            &target,
            "more levels",
            &with_payload(claims_of_depth(depth)),
            Rejection::Malformed,
        );
    }
}

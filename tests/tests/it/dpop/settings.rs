//! The faults of the configuration.

use std::time::Duration;

use oauth2_actix::{Binding, ConfigErrorKind, dpop::Dpop};
use oauth2_actix_tests::policy;

use super::{BASE, provider};

fn fault(dpop: Option<Dpop>, binding: Binding) -> (ConfigErrorKind, String) {
    let mut builder = policy::builder().provider("idp", provider().dpop(binding));
    if let Some(dpop) = dpop {
        builder = builder.dpop(dpop);
    }
    let error = builder.build().map(drop).expect_err("a fault");
    (error.kind(), error.to_string())
}

#[test]
fn settings_that_cannot_work_are_reported() {
    use ConfigErrorKind::{Conflict, Empty, Missing, OutOfRange, Unknown};
    let dpop = || Dpop::new().base_url(BASE);
    let seconds = Duration::from_secs;
    for (settings, kind, field) in [
        (None, Missing, "dpop.base_urls: missing"),
        (Some(dpop().algorithms(["ES255"])), Unknown, "dpop.algorithms: \"ES255\""),
        (Some(dpop().algorithms([""; 0])), Empty, "dpop.algorithms"),
        (Some(dpop().max_age(seconds(0))), OutOfRange, "dpop.max_age_seconds"),
        (Some(dpop().max_age(seconds(601))), OutOfRange, "dpop.max_age_seconds"),
        (Some(dpop().clock_skew(seconds(301))), OutOfRange, "dpop.clock_skew_seconds"),
        (Some(dpop().nonce_secret([1; 31])), OutOfRange, "dpop.nonce_secret"),
        (Some(dpop().previous_nonce_secret([1; 32])), Conflict, "dpop.nonce_secret: is missing"),
        (
            Some(dpop().nonce_secret([1; 32]).nonce_lifetime(seconds(9))),
            OutOfRange,
            "dpop.nonce_lifetime_seconds",
        ),
    ] {
        let (found, text) = fault(settings, Binding::Allowed);
        assert_eq!(found, kind, "{text}");
        assert!(text.contains(field), "{text}");
    }
    let (_, text) = fault(Some(dpop().algorithms(["HS256"])), Binding::Allowed);
    assert!(text.contains("HS256 is symmetric"), "{text}");
    for url in ["http://api.test", "https://api.test/?q", "https://a@api.test", "api.test", ""] {
        let (_, text) = fault(Some(Dpop::new().base_url(url)), Binding::Allowed);
        assert!(text.contains("dpop.base_urls"), "{text}");
    }
    let (kind, text) = fault(Some(dpop()), Binding::Off);
    assert_eq!(kind, Conflict, "{text}");
    let unchecked = provider().dpop(Binding::Allowed).dangerous_accept_bound_tokens(true);
    let builder = policy::builder().provider("idp", unchecked).dpop(dpop());
    assert_eq!(builder.build().map(drop).unwrap_err().kind(), Conflict);
}

#[test]
fn secret_is_not_shown() {
    let dpop = Dpop::new().base_url(BASE).nonce_secret("canary-canary-canary-canary-canary");
    assert!(!format!("{dpop:?}").contains("canary"));
    let builder = policy::builder().provider("idp", provider().dpop(Binding::Allowed)).dpop(dpop);
    assert!(!format!("{builder:?} {:?}", builder.clone().build()).contains("canary"));
}

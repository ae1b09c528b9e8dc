//! Settings that cannot work.

use oauth2_actix::{
    Algorithm, ClientAuthentication, ConfigErrorKind as Kind, OAuth2Builder, Provider,
    introspection::Introspection,
    logout::{BackchannelLogout, SecurityEvents},
    revocation::DenyList,
};
use oauth2_actix_tests::{keys::key, policy};

use super::ISSUER;

fn without_list() -> OAuth2Builder {
    let keys = || key(Algorithm::ES256).jwk_set();
    policy::builder()
        .provider("idp", Provider::new().issuer(ISSUER).audience("api").keys(keys()))
        .provider(
            "spiffe",
            Provider::new().spiffe_trust_domain("example.org").audience("api").keys(keys()),
        )
        .provider(
            "opaque",
            Provider::new().issuer("https://opaque.test").audience("api").introspection(
                Introspection::at("https://opaque.test/introspect")
                    .authentication(ClientAuthentication::basic("api", "a-secret")),
            ),
        )
        .provider(
            "hmac",
            Provider::new()
                .issuer("https://hmac.test")
                .audience("api")
                .algorithms([Algorithm::HS256])
                .keys(key(Algorithm::HS256).jwk_set()),
        )
}

fn builder() -> OAuth2Builder {
    without_list().deny_list(DenyList::new())
}

#[test]
fn receiver_that_cannot_work_fails_to_build() {
    let logout = || BackchannelLogout::new().client("idp", "app");
    let events = || SecurityEvents::new().audience("idp", "https://api.test");
    let with = |logout| builder().backchannel_logout(logout);
    let with_events = |events| builder().security_events(events);
    for (builder, kind, provider, field, message) in [
        (
            without_list().backchannel_logout(logout()),
            Kind::Missing,
            None,
            "backchannel_logout",
            "no deny list is configured; expected `deny_list`",
        ),
        (
            without_list().security_events(events()),
            Kind::Missing,
            None,
            "security_events",
            "no deny list is configured; expected `deny_list`",
        ),
        (
            with(BackchannelLogout::new()),
            Kind::Missing,
            None,
            "backchannel_logout.clients",
            "expected at least one client id",
        ),
        (
            with(logout().client("spife", "app")),
            Kind::Unknown,
            Some("spife"),
            "backchannel_logout.clients",
            "no provider has this name, did you mean \"spiffe\"?",
        ),
        (
            with(logout().client("spiffe", "app")),
            Kind::Conflict,
            Some("spiffe"),
            "backchannel_logout.clients",
            "has no `issuer`",
        ),
        (
            with(logout().client("opaque", "app")),
            Kind::Conflict,
            Some("opaque"),
            "backchannel_logout.clients",
            "has no `keys`",
        ),
        (
            with_events(events().audience("hmac", "https://api.test")),
            Kind::Conflict,
            Some("hmac"),
            "security_events.audiences",
            "has symmetric `algorithms` only; expected an asymmetric one",
        ),
        (
            with(logout().client("idp", "app")),
            Kind::Duplicate,
            Some("idp"),
            "backchannel_logout.clients",
            "\"app\" is listed twice",
        ),
        (
            with(logout().client("idp", "")),
            Kind::Empty,
            Some("idp"),
            "backchannel_logout.clients",
            "the client id is empty",
        ),
        (
            with_events(SecurityEvents::new()),
            Kind::Missing,
            None,
            "security_events.audiences",
            "expected at least one audience",
        ),
        (
            with_events(events().authorization("")),
            Kind::Empty,
            None,
            "security_events.authorization",
            "is empty; expected the value of the header",
        ),
        (
            with(logout().path("/hook")).security_events(events().path("/hook")),
            Kind::Conflict,
            None,
            "security_events.path",
            "\"/hook\" is also the path of `backchannel_logout`; expected a different path",
        ),
    ] {
        let error = builder.build().map(drop).unwrap_err();
        assert_eq!((error.kind(), error.provider(), error.field()), (kind, provider, field));
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(error.faults().len(), 1, "{error}");
    }
    for path in
        ["", "/", "hook", "/hook/", "//hook", "/a//b", "/{id}", "/a/../b", "/a b", "/ä", "/a?b"]
    {
        let error = with(logout().path(path)).build().map(drop).unwrap_err();
        assert_eq!(error.field(), "backchannel_logout.path", "{path}");
    }
    with(logout().path("/hooks/v1.0/log-out_~")).security_events(events()).build().unwrap();
}

#[test]
fn secret_of_the_transmitter_is_not_shown() {
    let events = SecurityEvents::new().audience("idp", "a").authorization("Bearer canary");
    let builder = builder().security_events(events);
    assert!(!format!("{builder:?}").contains("canary"));
}

//! Metadata documents of any form: a URL that is taken from one is https, and not of this host.

use std::net::IpAddr;

use oauth2_actix::__fuzz;

const ISSUER: &str = "https://idp.test/realm";

pub fn run(data: &[u8]) {
    let Some(found) = __fuzz::discovery(ISSUER, data) else { return };
    assert!(found.starts_with("https://"), "{found}");
    let rest = &found["https://".len()..];
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    assert!(!host.contains('@'));
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_end_matches('.');
    assert!(name != "localhost" && !name.ends_with(".localhost"), "{found}");
    let inner = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = inner.parse::<IpAddr>() {
        let address = address.to_canonical();
        assert!(!address.is_loopback() && !address.is_unspecified(), "{found}");
    }
    // Members that are not read may contain values that serde_json rejects, such as a lone surrogate.
    if let Ok(document) = serde_json::from_slice::<serde_json::Value>(data) {
        assert_eq!(document["issuer"], ISSUER);
    }
}

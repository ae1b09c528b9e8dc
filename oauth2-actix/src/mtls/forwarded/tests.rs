use actix_web::http::header::HeaderValue;
use base64::{Engine, prelude::BASE64_STANDARD};

use super::*;

/// Stands for a certificate: one DER sequence.
const DER: [u8; 4] = [0x30, 0x02, 0x02, 0x00];
const PROXY: &str = "10.0.3.7:50000";
const CLIENT: &str = "192.0.2.1:50000";
const SECRET: &str = "4f1e5d2c3b4a59687786958493a2b1c0";

type Answer = Result<Option<ClientCertificate>, CertificateFault>;

fn forwarded() -> ClientCertificate {
    ClientCertificate::from_der(&DER).unwrap()
}

/// The certificate that a peer has itself.
fn own() -> ClientCertificate {
    ClientCertificate::from_der(&[0x30, 0x00]).unwrap()
}

fn value() -> String {
    format!(":{}:", BASE64_STANDARD.encode(DER))
}

fn by_peer() -> ForwardedCertificate {
    ForwardedCertificate::rfc9440().from_peers(["10.0.3.0/24", "fd00:3::1"])
}

fn by_secret() -> ForwardedCertificate {
    ForwardedCertificate::rfc9440().with_secret_header("X-Proxy-Secret", SECRET)
}

/// Asks for the certificate of a request with these headers, of a peer that has a certificate of its own.
fn ask(settings: &ForwardedCertificate, peer: Option<&str>, headers: &[(&str, &str)]) -> Answer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let peer = peer.map(|peer| peer.parse().unwrap());
    settings.resolve().unwrap().certificate(&map, peer, Some(own()))
}

fn fault(answer: Answer) -> String {
    answer.unwrap_err().to_string()
}

fn faults(settings: &ForwardedCertificate) -> Vec<String> {
    settings.resolve().unwrap_err().faults().map(ToString::to_string).collect()
}

#[test]
fn certificate_of_a_listed_peer_is_that_of_the_header() {
    let header = [("client-cert", &*value())];
    for peer in [PROXY, "10.0.3.255:1", "[::ffff:10.0.3.7]:1", "[fd00:3::1]:1"] {
        assert_eq!(ask(&by_peer(), Some(peer), &header), Ok(Some(forwarded())), "{peer}");
    }
}

#[test]
fn header_of_another_peer_is_refused_whatever_its_value_is() {
    let peers = [CLIENT, "10.0.2.255:1", "10.0.4.0:1", "[::ffff:10.0.4.7]:1", "[fd00:3::2]:1"];
    for peer in peers {
        for value in [&*value(), "", "malformed"] {
            let fault = fault(ask(&by_peer(), Some(peer), &[("client-cert", value)]));
            assert!(fault.contains("expected it from the configured proxy alone"), "{fault}");
        }
    }
    let fault = fault(ask(&by_peer(), Some(CLIENT), &[("client-cert", &value())]));
    assert!(fault.starts_with("client-cert was sent by 192.0.2.1;"), "{fault}");
}

#[test]
fn claim_of_another_address_in_a_header_changes_nothing() {
    for name in ["x-forwarded-for", "x-real-ip", "forwarded", "x-client-ip"] {
        let headers = [("client-cert", &*value()), (name, "10.0.3.7")];
        assert!(ask(&by_peer(), Some(CLIENT), &headers).is_err(), "{name}");
        let headers = [("client-cert", &*value()), (name, "192.0.2.1")];
        assert_eq!(ask(&by_peer(), Some(PROXY), &headers), Ok(Some(forwarded())), "{name}");
    }
}

#[test]
fn certificate_of_another_peer_without_the_header_is_its_own() {
    assert_eq!(ask(&by_peer(), Some(CLIENT), &[]), Ok(Some(own())));
    assert_eq!(ask(&by_secret(), Some(CLIENT), &[]), Ok(Some(own())));
}

#[test]
fn certificate_of_the_proxy_itself_is_never_that_of_a_client() {
    assert_eq!(ask(&by_peer(), Some(PROXY), &[]), Ok(None));
    assert_eq!(ask(&by_peer(), Some(PROXY), &[("client-cert", "")]), Ok(None));
    let secret = ("x-proxy-secret", SECRET);
    assert_eq!(ask(&by_secret(), Some(CLIENT), &[secret]), Ok(None));
    assert_eq!(ask(&by_secret(), Some(CLIENT), &[secret, ("client-cert", "")]), Ok(None));
}

#[test]
fn peer_without_an_address_needs_the_secret() {
    let header = ("client-cert", &*value());
    let fault = fault(ask(&by_peer(), None, &[header]));
    assert!(fault.contains("a peer without an address"), "{fault}");
    let secret = ("x-proxy-secret", SECRET);
    assert_eq!(ask(&by_secret(), None, &[header, secret]), Ok(Some(forwarded())));
    assert!(ask(&by_secret(), None, &[header]).is_err());
    let both = by_secret().from_peers(["10.0.3.7"]);
    assert!(ask(&both, None, &[header, secret]).is_err());
}

#[test]
fn secret_that_is_wrong_or_repeated_is_refused() {
    let header = ("client-cert", &*value());
    let longer = format!("{SECRET}0");
    let other = SECRET.replace("4f", "4e");
    for wrong in ["", &SECRET[1..], &longer, &other] {
        for headers in [&[header, ("x-proxy-secret", wrong)][..], &[("x-proxy-secret", wrong)]] {
            let fault = fault(ask(&by_secret(), Some(CLIENT), headers));
            assert!(fault.starts_with("x-proxy-secret came without the secret"), "{fault}");
            assert!(wrong.is_empty() || !fault.contains(wrong), "{fault}");
        }
    }
    let secret = ("x-proxy-secret", SECRET);
    assert!(ask(&by_secret(), Some(CLIENT), &[header, secret, secret]).is_err());
    assert!(ask(&by_secret(), Some(CLIENT), &[header]).is_err());
}

#[test]
fn peer_and_secret_are_both_required_if_both_are_set() {
    let both = by_secret().from_peers(["10.0.3.7"]);
    let (header, secret) = (("client-cert", &*value()), ("x-proxy-secret", SECRET));
    assert_eq!(ask(&both, Some(PROXY), &[header, secret]), Ok(Some(forwarded())));
    let without_secret = fault(ask(&both, Some(PROXY), &[header]));
    assert!(without_secret.contains("came without the secret"), "{without_secret}");
    // Its own certificate is not that of a client either.
    assert!(ask(&both, Some(PROXY), &[]).is_err());
    let other_peer = fault(ask(&both, Some(CLIENT), &[header, secret]));
    assert!(other_peer.contains("x-proxy-secret was sent by 192.0.2.1"), "{other_peer}");
    assert!(ask(&both, Some(CLIENT), &[header]).is_err());
    assert_eq!(ask(&both, Some(CLIENT), &[]), Ok(Some(own())));
}

#[test]
fn two_lines_of_the_header_are_refused() {
    for second in [&*value(), "", "malformed"] {
        let headers = [("client-cert", &*value()), ("Client-Cert", second)];
        let fault = fault(ask(&by_peer(), Some(PROXY), &headers));
        assert_eq!(fault, "client-cert was sent more than once; expected it once");
    }
    let joined = format!("{0}, {0}", value());
    assert!(ask(&by_peer(), Some(PROXY), &[("client-cert", &joined)]).is_err());
}

#[test]
fn header_over_the_maximum_length_is_refused_and_one_of_it_is_read() {
    let settings = ForwardedCertificate::haproxy("X-Der").from_peers(["10.0.3.7"]);
    let der = |length: u16| {
        let [high, low] = (length - 4).to_be_bytes();
        let mut der = vec![0x30, 0x82, high, low];
        der.resize(usize::from(length), 0);
        der
    };
    let longest = BASE64_STANDARD.encode(der(12_288));
    assert_eq!(longest.len(), MAX_LENGTH);
    assert!(ask(&settings, Some(PROXY), &[("x-der", &longest)]).unwrap().is_some());
    let longer = BASE64_STANDARD.encode(der(12_289));
    let fault = fault(ask(&settings, Some(PROXY), &[("x-der", &longer)]));
    assert_eq!(fault, "x-der has 16388 bytes; expected at most 16384");
}

#[test]
fn malformed_header_is_refused_without_its_value_in_the_text() {
    for value in ["malformed", "\u{e9}", ":bWFsZm9ybWVk:"] {
        let fault = fault(ask(&by_peer(), Some(PROXY), &[("client-cert", value)]));
        assert!(fault.starts_with("client-cert is malformed; expected "), "{fault}");
        assert!(!fault.contains("bWFsZm9ybWVk"), "{fault}");
    }
}

#[test]
fn settings_without_a_trusted_proxy_are_a_fault() {
    let error = ForwardedCertificate::envoy().resolve().unwrap_err();
    assert_eq!((error.kind(), error.field()), (ConfigErrorKind::Missing, PEERS));
    let none: [&str; 0] = [];
    assert!(ForwardedCertificate::envoy().from_peers(none).resolve().is_err());
}

#[test]
fn peers_that_cannot_be_meant_are_faults() {
    for (peer, expected) in [
        ("", "expected an IP address or a network"),
        ("proxy.example.com", "expected an IP address or a network"),
        ("10.0.3.7:443", "expected an IP address or a network"),
        ("10.0.3.0/33", "expected an IP address or a network"),
        (" 10.0.3.7", "expected an IP address or a network"),
        ("0.0.0.0/0", "trusts every peer"),
        ("::/0", "trusts every peer"),
        ("10.0.3.7/8", "expected 10.0.0.0/8 or 10.0.3.7"),
        ("::ffff:10.0.3.7", "expected it as IPv4"),
    ] {
        let faults = faults(&ForwardedCertificate::rfc9440().from_peers([peer]));
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with("forwarded_certificate.from_peers: "), "{faults:?}");
        assert!(faults[0].contains(expected), "{faults:?}");
    }
}

#[test]
fn header_names_and_secrets_that_cannot_be_used_are_faults() {
    let of_header =
        |name: &str| faults(&ForwardedCertificate::nginx(name).from_peers(["10.0.3.7"]));
    for name in ["", "X SSL", "X-SSL:", "X-\u{e9}"] {
        assert!(of_header(name)[0].contains("is not a header name"), "{name}");
    }
    let of_secret = |secret: &str| {
        faults(&ForwardedCertificate::rfc9440().with_secret_header("X-Proxy-Secret", secret))
    };
    for (secret, expected) in [
        ("short", "the secret has 5 bytes; expected 32 to 1024"),
        (&SECRET.repeat(33), "the secret has 1056 bytes; expected 32 to 1024"),
        (&SECRET.replace('1', " "), "not visible ASCII"),
        (&"a".repeat(32), "are equal"),
    ] {
        let faults = of_secret(secret);
        assert!(faults[0].starts_with("forwarded_certificate.secret: "), "{faults:?}");
        assert!(faults[0].contains(expected), "{faults:?}");
        assert!(!faults[0].contains(secret), "{faults:?}");
    }
    let same = ForwardedCertificate::rfc9440().with_secret_header("Client-Cert", SECRET);
    assert!(faults(&same)[0].contains("expected two headers"));
}

#[test]
fn debug_shows_no_secret() {
    let settings = by_secret();
    let text = format!("{settings:?} {:?}", settings.resolve().unwrap());
    assert!(!text.contains(SECRET) && text.contains("X-Proxy-Secret"), "{text}");
}

//! The resolver for hosts that a document names: it refuses addresses that only machines of a private network reach.
//!
//! The addresses that are checked are those that are connected to, so that a name that resolves to another address a
//! moment later gains nothing (RFC 8725bis §3.10).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves names by the system, and keeps public addresses alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublicResolver;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let resolved: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(public(resolved)?.into_iter()) as Addrs)
        })
    }
}

/// Keeps the public addresses. Fails if there is none.
fn public(mut resolved: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    resolved.retain(|address| is_public(address.ip()));
    if resolved.is_empty() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, NOT_PUBLIC));
    }
    Ok(resolved)
}

/// Returns whether an address is reached through the internet: not a loopback, link-local or private one, nor one
/// that stands for such an address in IPv6, nor one of a special purpose (RFC 6890).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = match (a, b) {
        // "This network", private networks of providers (RFC 6598), protocol assignments, benchmarks, and what is
        // reserved.
        (0, _) | (100, 64..=127) | (198, 18 | 19) | (240.., _) => true,
        (192, 0) => c == 0,
        _ => false,
    };
    !(is_special
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // NAT64 (RFC 6052) and 6to4 (RFC 3056) lead to an IPv4 address.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Local NAT64 (RFC 8215), Teredo and other protocol assignments (RFC 2928), documentation (RFC 3849, RFC 9637).
        [0x64, 0xff9b, 1, ..]
        | [0x2001, 0..=0x1ff, ..]
        | [0x2001, 0xdb8, ..]
        | [0x3fff, 0..=0xfff, ..] => false,
        // Global unicast (RFC 4291 §2.4). All others have a special purpose or are not assigned.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// What the log says of a host that is refused.
const NOT_PUBLIC: &str =
    "the host resolves to no public address, and the metadata document that names it is at one";

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn addresses_of_private_networks_and_special_purposes_are_not_public() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(ip(text)), "{text}");
        }
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::1",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(is_public(ip(text)), "{text}");
        }
    }

    #[test]
    fn private_addresses_of_a_host_are_dropped() {
        let at = |text: &str| SocketAddr::new(ip(text), 0);
        let mixed = vec![at("10.0.0.1"), at("1.1.1.1"), at("::1"), at("2606:4700::1111")];
        assert_eq!(public(mixed).expect("two remain"), [at("1.1.1.1"), at("2606:4700::1111")]);
        for private in [vec![], vec![at("127.0.0.1")], vec![at("169.254.169.254"), at("fe80::1")]] {
            assert!(public(private).is_err());
        }
    }
}

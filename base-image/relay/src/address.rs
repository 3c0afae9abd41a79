//! Addresses that a relay never carries to: its own, those of one link, where clouds serve credentials, and those that are no single host.
//!
//! Private networks are not among them: databases live there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where clouds serve metadata beside the link-local addresses.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)];

/// Why this address is never carried to; `None`: it may be.
#[must_use]
pub fn never(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => never_v4(address),
        IpAddr::V6(address) => match inner(address) {
            Some(inner) => never_v4(inner),
            None => never_v6(address),
        },
    }
}

fn never_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [first, ..] = address.octets();
    match () {
        () if first == 0 => Some("no address of a host"),
        () if address.is_loopback() => Some("loopback: the relay itself"),
        () if address.is_link_local() => Some("link-local, where clouds serve metadata and credentials"),
        () if METADATA_V4.contains(&address) => Some("the metadata service of a cloud"),
        () if first >= 224 => Some("no address of a single host"),
        () => None,
    }
}

fn never_v6(address: Ipv6Addr) -> Option<&'static str> {
    let [first, second, ..] = address.segments();
    match () {
        () if address.is_unspecified() => Some("no address of a host"),
        () if address.is_loopback() => Some("loopback: the relay itself"),
        // With the site-local ones of old, which are routed nowhere either.
        () if first & 0xff80 == 0xfe80 => Some("link-local"),
        () if (first, second) == (0xfd00, 0xec2) || METADATA_V6.contains(&address) => {
            Some("the metadata service of a cloud")
        }
        () if address.is_multicast() => Some("no address of a single host"),
        () => None,
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, translated (NAT64) or tunnelled (6to4).
fn inner(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_link_local_and_loopback_are_never_carried_to_however_they_are_written() {
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::ffff:127.0.0.1",
        ];
        for text in refused {
            assert!(never(text.parse().unwrap()).is_some(), "{text}");
        }
    }

    #[test]
    fn private_and_public_addresses_are_carried_to() {
        let carried = [
            "10.0.0.7",
            "172.17.0.1",
            "192.168.1.2",
            "100.64.0.1",
            "93.184.216.34",
            "2001:db8::1",
            "fd00::7",
            "::ffff:10.0.0.7",
            "64:ff9b::a00:7",
        ];
        for text in carried {
            assert_eq!(never(text.parse().unwrap()), None, "{text}");
        }
    }
}

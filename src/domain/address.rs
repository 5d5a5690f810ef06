//! Addresses: every way to write one address gives the same value, for peers, proxies, networks and targets.
//!
//! Never: resolves a host name, or takes a network for an address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};

/// Bits of an IPv6 address before the IPv4 address that it holds.
const MAPPED_BITS: u8 = 96;

/// The address that a text holds: alone, in brackets, with a port, or in a URL. IPv4 inside IPv6 is IPv4.
pub fn address(text: &str) -> Option<IpAddr> {
    let host = host_of(text.trim())?;
    let with_port = || host.parse::<SocketAddr>().ok().map(|found| found.ip());
    let bracketed = || host.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let found: IpAddr = host.parse().ok().or_else(with_port).or_else(bracketed)?;
    Some(found.to_canonical())
}

/// The network that a text holds, or the single address. IPv4 inside IPv6 is IPv4, as for addresses.
pub fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let network = match text.parse::<IpNet>() {
        Ok(network) => network.trunc(),
        Err(_no_network) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    Some(match network.addr().to_canonical() {
        IpAddr::V4(inside) if network.max_prefix_len() == 128 => mapped(inside, network.prefix_len())?,
        IpAddr::V4(_) | IpAddr::V6(_) => network,
    })
}

fn mapped(inside: Ipv4Addr, prefix_len: u8) -> Option<IpNet> {
    Ipv4Net::new(inside, prefix_len.checked_sub(MAPPED_BITS)?).ok().map(IpNet::V4)
}

/// The text without scheme and path. Digits after a slash are the length of a network, not a path.
fn host_of(text: &str) -> Option<&str> {
    let (in_url, rest) = match text.split_once("://") {
        Some((_scheme, rest)) => (true, rest),
        None => (false, text),
    };
    let Some((host, path)) = rest.split_once(['/', '?', '#']) else { return Some(rest) };
    let is_network = !in_url && !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_digit());
    (!is_network).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(address(text).map(|found| found.to_string()).as_deref(), expected, "{text:?}");
    }

    #[test]
    fn every_way_to_write_an_address_gives_one_value() {
        for text in [
            "10.0.1.18",
            " 10.0.1.18 ",
            "10.0.1.18:9182",
            "10.0.1.18:9182/metrics",
            "10.0.1.18/",
            "http://10.0.1.18",
            "HTTPS://10.0.1.18:9182/metrics?a=1#x",
            "http://10.0.1.18/24",
            "::ffff:10.0.1.18",
            "::FFFF:10.0.1.18",
            "::ffff:a00:112",
            "[::ffff:10.0.1.18]",
            "[::ffff:10.0.1.18]:9182",
            "http://[::FFFF:0A00:0112]:9182/metrics",
        ] {
            check(text, Some("10.0.1.18"));
        }
        for text in [
            "2001:DB8::1",
            "[2001:db8:0:0::1]",
            "[2001:db8::1]:9182",
            "https://[2001:DB8::1]/probe",
            "2001:db8::0001",
        ] {
            check(text, Some("2001:db8::1"));
        }
    }

    #[test]
    fn what_only_looks_like_an_address_is_none() {
        for text in [
            "",
            "win-web-18",
            "win-web-18:9182",
            "http://win-web-18:9182/metrics",
            "10.0.1",
            "10.0.1.256",
            "010.0.0.1",
            "10.0.0.1/24",
            "2001:db8::/32",
            "10.0.1.18.corp.example",
            "http://user@10.0.1.18/",
            "10.0.1.18:99999",
            "10.0.1.18:",
            "fe80::1%eth0",
            "10.0.1.18,10.0.1.19",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn a_network_of_ipv4_inside_ipv6_is_one_of_ipv4() {
        for (text, expected) in [
            ("10.0.0.9/8", Some("10.0.0.0/8")),
            ("10.0.0.9", Some("10.0.0.9/32")),
            ("::ffff:10.0.0.9/104", Some("10.0.0.0/8")),
            ("::ffff:10.0.0.9", Some("10.0.0.9/32")),
            ("2001:db8::1/32", Some("2001:db8::/32")),
            ("::/0", Some("::/0")),
            ("example/8", None),
            ("10.0.0.1:80", None),
        ] {
            assert_eq!(network(text).map(|found| found.to_string()).as_deref(), expected, "{text:?}");
        }
    }
}

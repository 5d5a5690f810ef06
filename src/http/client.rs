//! The client's address: the peer, unless the peer is a proxy that the configuration believes.
//!
//! Never: believes a header that anyone could have written.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::HttpRequest;
use ipnet::IpNet;

use crate::domain::address::address;

/// Header in which proxies name the hops before them.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// Hops that are read at most, from the nearest on.
const HOPS_MAX: usize = 16;

/// The address of whoever sent the request.
pub(super) fn client_ip(req: &HttpRequest, trusted: &[IpNet]) -> IpAddr {
    let peer = req.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |addr| addr.ip());
    let hops: Vec<&str> = req
        .headers()
        .get_all(FORWARDED_FOR)
        .map(|value| value.to_str().unwrap_or(""))
        .flat_map(|value| value.split(','))
        .collect();
    of_hops(peer, &hops, trusted)
}

/// From the peer backwards: the first hop that is no trusted proxy. A hop that cannot be read ends the walk.
fn of_hops(peer: IpAddr, hops: &[&str], trusted: &[IpNet]) -> IpAddr {
    let mut nearest = peer.to_canonical();
    for hop in hops.iter().rev().take(HOPS_MAX) {
        if !trusted.iter().any(|net| net.contains(&nearest)) {
            break;
        }
        let Some(further) = address(hop) else { break };
        nearest = further;
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, hops: &[&str], expected: &str) {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let peer = peer.parse().unwrap();
        assert_eq!(of_hops(peer, hops, &trusted).to_string(), expected, "{peer} {hops:?}");
    }

    #[test]
    fn a_forged_header_from_a_stranger_is_ignored() {
        check("203.0.113.9", &["192.0.2.1"], "203.0.113.9");
        check("203.0.113.9", &[], "203.0.113.9");
    }

    #[test]
    fn behind_trusted_proxies_the_last_untrusted_hop_counts() {
        check("10.0.0.1", &["198.51.100.7", "192.0.2.1"], "192.0.2.1");
        check("10.0.0.1", &["192.0.2.1", "10.0.0.2"], "192.0.2.1");
        check("::ffff:10.0.0.1", &["192.0.2.1"], "192.0.2.1");
        check("10.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1");
        check("10.0.0.1", &["192.0.2.1", "[::ffff:10.0.0.2]:443"], "192.0.2.1");
    }

    #[test]
    fn an_unreadable_hop_ends_the_walk() {
        check("10.0.0.1", &["192.0.2.1", "unknown"], "10.0.0.1");
        check("10.0.0.1", &["10.0.0.3", "10.0.0.2"], "10.0.0.3");
        check("10.0.0.1", &[], "10.0.0.1");
    }
}

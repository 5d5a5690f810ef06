//! Ports: whether anything at the server's private address takes a connection.
//!
//! Never: sends a byte, or takes trouble of our own machine for silence of the other.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::domain::corroboration::Seen;

/// What came of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Knock {
    /// It was taken.
    Answers,
    /// Refused, or nobody answered.
    Closed,
    /// The trouble is on our side, or cannot be told from it.
    Unclear(String),
}

/// Connects to every port at once. One that takes the connection disagrees. A public address is not asked: a
/// firewall in front of it looks like silence.
pub async fn ports_closed(address: IpAddr, ports: &[u16], within: Duration) -> Seen {
    if !is_private(address) {
        return Seen::CouldNotTell("the server's address is not a private one".to_owned());
    }
    let mut knocks = JoinSet::new();
    for &port in ports {
        knocks.spawn(async move { (port, knock(SocketAddr::new(address, port), within).await) });
    }
    let mut seen = Vec::new();
    while let Some(done) = knocks.join_next().await {
        seen.extend(done.ok());
    }
    seen.sort_by_key(|(port, _)| *port);
    judge(&seen, ports.len())
}

fn judge(seen: &[(u16, Knock)], wanted: usize) -> Seen {
    let open: Vec<String> =
        seen.iter().filter(|(_, knock)| *knock == Knock::Answers).map(|(port, _)| port.to_string()).collect();
    if !open.is_empty() {
        return Seen::Disagrees(format!("port {} takes connections", open.join(", ")));
    }
    let unclear = seen.iter().find_map(|(port, knock)| match knock {
        Knock::Unclear(why) => Some(format!("port {port}: {why}")),
        Knock::Answers | Knock::Closed => None,
    });
    match unclear {
        Some(why) => Seen::CouldNotTell(why),
        None if seen.len() == wanted && wanted > 0 => {
            Seen::Agrees("none of the ports takes a connection".to_owned())
        }
        None => Seen::CouldNotTell("not every port could be tried".to_owned()),
    }
}

async fn knock(address: SocketAddr, within: Duration) -> Knock {
    match timeout(within, TcpStream::connect(address)).await {
        Ok(Ok(_stream)) => Knock::Answers,
        Ok(Err(error)) => kind_of(error.kind()),
        // Nobody answered in time.
        Err(_elapsed) => Knock::Closed,
    }
}

/// Only an answer of the server itself, or silence until the end of the time. "Unreachable" is said by our machine or by a
/// router between: of the way, not of the server.
fn kind_of(kind: ErrorKind) -> Knock {
    let closed = [ErrorKind::ConnectionRefused, ErrorKind::TimedOut];
    if closed.contains(&kind) { Knock::Closed } else { Knock::Unclear(kind.to_string()) }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(2);
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    async fn port() -> (tokio::net::TcpListener, u16) {
        let listener = tokio::net::TcpListener::bind((HERE, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[tokio::test]
    async fn only_when_no_port_takes_a_connection_it_agrees() {
        let (listener, open) = port().await;
        let (gone, closed) = port().await;
        drop(gone);
        assert!(matches!(ports_closed(HERE, &[closed], WITHIN).await, Seen::Agrees(_)));
        let both = ports_closed(HERE, &[closed, open], WITHIN).await;
        assert_eq!(both, Seen::Disagrees(format!("port {open} takes connections")));
        drop(listener);
    }

    #[tokio::test]
    async fn a_public_address_is_not_asked() {
        for address in ["203.0.113.9", "8.8.8.8", "2001:db8::1"] {
            let seen = ports_closed(address.parse().unwrap(), &[3389], WITHIN).await;
            assert!(matches!(seen, Seen::CouldNotTell(_)), "{address}: {seen:?}");
        }
    }

    #[test]
    fn trouble_of_ours_is_no_silence_of_the_server() {
        for theirs in [ErrorKind::ConnectionRefused, ErrorKind::TimedOut] {
            assert_eq!(kind_of(theirs), Knock::Closed, "{theirs:?}");
        }
        let unreachable = [ErrorKind::HostUnreachable, ErrorKind::NetworkUnreachable];
        for ours in [ErrorKind::PermissionDenied, ErrorKind::Other].into_iter().chain(unreachable) {
            assert!(matches!(kind_of(ours), Knock::Unclear(_)), "{ours:?}");
        }
        let unclear = (1, Knock::Unclear("x".into()));
        assert!(matches!(judge(&[(2, Knock::Closed), unclear.clone()], 2), Seen::CouldNotTell(_)));
        assert!(matches!(judge(&[unclear, (2, Knock::Answers)], 2), Seen::Disagrees(_)));
        assert!(matches!(judge(&[(2, Knock::Closed)], 2), Seen::CouldNotTell(_)));
        assert!(matches!(judge(&[], 0), Seen::CouldNotTell(_)));
    }
}

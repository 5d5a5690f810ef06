//! `health`: how a running service is, for container runtimes and scripts that have no HTTP client.
//!
//! Never: needs a token, a sound configuration or a store.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;

use super::client::{TrustArgs, ask_openly, text_of};
use super::failure::Failure;
use super::out::{Out, clean};
use super::place::ConfigArgs;
use crate::config::{Environment, listener};

/// Ask a running service whether deliveries can be taken in, or only whether it lives
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang health
  unhang health --live --within 2
  unhang health --url http://127.0.0.1:8080
  unhang health --url https://unhang.example --ca-file /etc/unhang/tls/ca.pem

Needs no token. Without --url or UNHANG_URL it asks the configured `server.ops_listen`, or else `server.listen`, over
loopback where that is every address; nothing else of the configuration needs to be sound. A certificate of its own
listener is not looked at unless --ca-file is given: its name is not that of an address, and nothing secret is said.
Exit code 0: it is so; 1: it answered that it is not; 3: no answer in time.")]
pub(super) struct HealthArgs {
    /// Ask `/livez` (does the process serve?) instead of `/readyz` (can deliveries be taken in?)
    #[arg(long)]
    live: bool,
    /// Longest wait, in seconds
    #[arg(long, default_value_t = 3, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=60))]
    within: u64,
    /// Address of the service; else the configured listener
    #[arg(long, env = "UNHANG_URL", value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Asks and tells.
pub(super) async fn run(args: HealthArgs, out: &mut Out) -> Result<(), Failure> {
    let asked = match args.url {
        Some(url) => Asked { url, own: false },
        None => configured(&args.config)?,
    };
    let page = if args.live { "livez" } else { "readyz" };
    // Whoever names authorities wants them asked.
    let any_certificate = asked.own && !args.trust.is_named();
    let within = Duration::from_secs(args.within);
    let (status, answer) = ask_openly(&asked.url, page, within, any_certificate, &args.trust).await?;
    if status == 200 {
        return Ok(out.line(if args.live { "alive" } else { "ready" })?);
    }
    let why = clean(&text_of(&answer, "detail"));
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    Err(Failure::not_so(format!("{} answered {status}{why}", asked.url.trim_end_matches('/'))))
}

/// What is asked.
struct Asked {
    url: String,
    /// It is the listener of the configuration, and not an address that somebody named.
    own: bool,
}

/// The address of the configured listener as this machine reaches it.
fn configured(config: &ConfigArgs) -> Result<Asked, Failure> {
    let listener = listener(config.path().as_deref(), &Environment::of_process()).map_err(|problems| {
        let told = problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message));
        Failure::usage(told.collect::<Vec<_>>().join("\n"))
    })?;
    if listener.addr.port() == 0 {
        return Err(Failure::usage("server.listen: port 0 is any port; name the address with --url"));
    }
    let scheme = if listener.tls { "https" } else { "http" };
    Ok(Asked { url: format!("{scheme}://{}", reachable(listener.addr)), own: true })
}

/// Every address is no address to ask: loopback of the same kind is.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_asked_over_loopback_of_its_kind() {
        for (listen, asked) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("127.0.0.1:9", "127.0.0.1:9"),
            ("10.0.0.7:8080", "10.0.0.7:8080"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }
}

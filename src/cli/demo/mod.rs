//! `demo`: the whole loop on this machine: simulator, service, real HTTP deliveries.
//!
//! Never: uses a real key, the configuration of the machine, or a short cut past the door.

use std::net::SocketAddr;

use clap::Args;
use tempfile::TempDir;

use super::failure::Failure;
use super::out::Out;
use super::serve::Signals;
use crate::app::{self, App};
use crate::config::{Environment, check_report, load};
use crate::telemetry::{self, LogFormat, chain};

mod config;
mod payload;
mod player;
mod proof;
mod story;

use config::Keys;
use player::Player;

/// Play the whole loop on embedded parts; nothing to set up, nothing real is touched
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang demo                              play the story, then stay up to be looked at
  unhang demo --listen 127.0.0.1:8090
  unhang demo --once                       play the story and end; exit 0 when every step was as expected, else 1")]
pub(super) struct DemoArgs {
    /// Address of the service; else 127.0.0.1:8080, and any free port with --once
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Play the story and end
    #[arg(long)]
    once: bool,
    /// Which log lines are written, such as info or `unhang::dispatcher=debug`
    #[arg(long, env = "UNHANG_LOG", default_value = "off", value_name = "FILTER")]
    log_filter: String,
}

/// Plays the story.
pub(super) async fn run(args: DemoArgs, out: &mut Out) -> Result<(), Failure> {
    telemetry::init(LogFormat::Text, &args.log_filter);
    let mut signals = Signals::listen()?;
    let folder = TempDir::new()
        .map_err(|error| Failure::unreachable(format!("cannot make a temporary folder: {error}")))?;
    let mut cloud = Box::pin(simulator::start(config::any_port(), simulator::Scenario::demo(), None))
        .await
        .map_err(|error| Failure::unreachable(chain(&error)))?;
    let listen = args.listen.unwrap_or_else(|| if args.once { config::any_port() } else { config::USUAL });
    let keys = Keys::make()?;
    let path = config::write(folder.path(), &cloud.endpoint(), listen, &keys)
        .map_err(|error| Failure::unreachable(format!("cannot write the demo's configuration: {error}")))?;
    let outcome = load(Some(&path), &Environment::default());
    let Ok(loaded) = outcome else {
        return Err(Failure::usage(format!(
            "the demo's configuration is broken: {}",
            check_report(&outcome)
        )));
    };
    let app = Box::pin(app::start(loaded.config)).await?;
    let url = format!("http://{}", app.addr());
    out.line(format_args!(
        "unhang {} at {url}, a simulated NAVER Cloud at {}",
        env!("CARGO_PKG_VERSION"),
        cloud.endpoint()
    ))?;
    let played = tokio::select! {
        played = Box::pin(play(&app, &url, &cloud, &keys, out)) => played,
        _ = signals.stop() => Err(Failure::not_so("stopped before the story was over")),
    };
    let played = match played {
        Ok(as_expected) if !args.once => {
            invite(&url, &cloud.endpoint(), &keys, out)?;
            tokio::select! {
                _ = signals.stop() => {}
                () = app.failed() => {}
            }
            Ok(as_expected)
        }
        other => other,
    };
    let clean = Box::pin(app.stop()).await;
    cloud.stop().await;
    match played? {
        true if clean => Ok(()),
        true => Err(Failure::not_so("the story went well, but the service left something behind")),
        false => Err(Failure::not_so("the story did not go as expected; look for ✗ above")),
    }
}

async fn play(
    app: &App,
    url: &str,
    cloud: &simulator::Running,
    keys: &Keys,
    out: &mut Out,
) -> Result<bool, Failure> {
    let mut player = Player::new(url, cloud, keys)?;
    player.wait_until_ready().await?;
    let mut as_expected = true;
    for scene in story::scenes() {
        as_expected &= player.play(&scene, out).await?;
    }
    Ok(proof::show(&mut player, app, out).await? && as_expected)
}

/// What a visitor can do now.
fn invite(url: &str, endpoint: &str, keys: &Keys, out: &mut Out) -> Result<(), Failure> {
    let lines = [
        String::new(),
        format!("It stays up until Ctrl-C. Dashboard, with one of the tokens below: {url}/"),
        String::new(),
        "Tokens (good for this demo only):".to_owned(),
        format!("  viewer    {}", keys.viewer.secret),
        format!("  oncall    {}   (operator)", keys.oncall.secret),
        format!("  lead      {}   (approver)", keys.lead.secret),
        String::new(),
        "Try:".to_owned(),
        format!("  export UNHANG_URL={url} UNHANG_TOKEN={}", keys.oncall.secret),
        format!("  unhang why {}", story::APP),
        format!("  curl -s -H \"Authorization: Bearer $UNHANG_TOKEN\" '{url}/api/v1/audit?outcome=accepted'"),
        format!("  curl -s -X POST {endpoint}/_simulator/servers/90000101/hang"),
        format!(
            "  curl -s -X POST {url}/webhooks/{} -H 'Authorization: Bearer {}' \\",
            config::ALERTMANAGER,
            keys.alertmanager
        ),
        format!("    -H 'Content-Type: application/json' -d '{}'", payload::by_hand("90000101")),
        format!("  curl -s {endpoint}/_simulator/ledger"),
    ];
    for line in lines {
        out.line(line)?;
    }
    out.flush()?;
    Ok(())
}

//! `serve`: runs the service until it is told to stop, or must.
//!
//! Never: starts with half a configuration, or drops the old one for a broken new one.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;
use super::place::ConfigArgs;
use crate::app::{self, App};
use crate::config::Problem;
use crate::telemetry::{self, LogFormat};

/// Run the service
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang serve --config /etc/unhang/unhang.toml
  unhang serve --log-format json --log-filter info,unhang::dispatcher=debug
  kill -HUP $(pidof unhang)     read the configuration again; a broken one is refused and the old one kept
  kill -TERM $(pidof unhang)    stop: no new interrupts at once, the one in flight is awaited")]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// How log lines look; else text on a terminal and JSON elsewhere
    #[arg(long, value_enum)]
    log_format: Option<LogStyle>,
    /// Which log lines are written, such as info or `unhang::dispatcher=debug`
    #[arg(long, env = "UNHANG_LOG", default_value = "info", value_name = "FILTER")]
    log_filter: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogStyle {
    /// One JSON object a line
    Json,
    /// For a terminal
    Text,
}

/// The signals that a service listens to.
#[derive(Debug)]
pub(super) struct Signals {
    reload: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on.
    pub(super) fn listen() -> Result<Self, Failure> {
        let on = |kind| {
            signal(kind).map_err(|error| Failure::unreachable(format!("cannot listen to signals: {error}")))
        };
        Ok(Self {
            reload: on(SignalKind::hangup())?,
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }

    /// Waits until somebody asks for the end.
    pub(super) async fn stop(&mut self) -> &'static str {
        stop_of(&mut self.terminate, &mut self.interrupt).await
    }
}

async fn stop_of(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Runs the service.
pub(super) async fn run(args: ServeArgs) -> Result<(), Failure> {
    let loaded = args.config.load_or_tell()?;
    telemetry::init(style(args.log_format), &args.log_filter);
    tell(&loaded.warnings);
    let mut signals = Signals::listen()?;
    let app = Box::pin(app::start(loaded.config)).await?;
    let failed = loop {
        tokio::select! {
            signal = stop_of(&mut signals.terminate, &mut signals.interrupt) => {
                tracing::info!(signal, "stopping");
                break false;
            }
            () = app.failed() => break true,
            _ = signals.reload.recv() => tokio::select! {
                () = reload(&app, &args.config) => {}
                signal = stop_of(&mut signals.terminate, &mut signals.interrupt) => {
                    tracing::info!(signal, "stopping");
                    break false;
                }
            },
        }
    };
    let clean = Box::pin(app.stop()).await;
    match (failed, clean) {
        (true, _) => Err(Failure::unreachable(
            "stopped because of a fault after which nobody can be sure; the log says which",
        )),
        (false, false) => {
            Err(Failure::not_so("stopped, but something had to be left behind; the log says what"))
        }
        (false, true) => {
            tracing::info!("stopped");
            Ok(())
        }
    }
}

fn style(wanted: Option<LogStyle>) -> LogFormat {
    match wanted {
        Some(LogStyle::Text) => LogFormat::Text,
        None if std::io::stderr().is_terminal() => LogFormat::Text,
        Some(LogStyle::Json) | None => LogFormat::Json,
    }
}

fn tell(warnings: &[Problem]) {
    for warning in warnings {
        tracing::warn!(key = warning.key, "configuration: {}", warning.message);
    }
}

async fn reload(app: &App, config: &ConfigArgs) {
    // Files may lie where nobody answers: not on a thread that listens to signals.
    let wanted = config.clone();
    let Ok(loaded) = tokio::task::spawn_blocking(move || wanted.load()).await else { return };
    match loaded {
        Ok(loaded) => {
            tell(&loaded.warnings);
            let hash = loaded.config.hash.clone();
            match Box::pin(app.reload(loaded.config)).await {
                Ok(()) => tracing::info!(config.hash = hash, "the configuration was read again"),
                Err(error) => tracing::error!(
                    error = %telemetry::chain(&error),
                    "the new configuration is in force, but its event could not be stored"
                ),
            }
        }
        Err(problems) => {
            for problem in &problems {
                tracing::error!(key = problem.key, "configuration: {}", problem.message);
            }
            // Whatever else is wrong: somebody may have asked because of a renewed certificate.
            app.look_at_certificates();
            tracing::error!(problems = problems.len(), "the new configuration is refused; the old one stays");
        }
    }
}

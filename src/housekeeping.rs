//! Housekeeping: keeps the ballast where there is room for it, shows that the hold file can be looked at, and looks
//! whether the files of the store are still there while nobody writes.
//!
//! Never: decides anything, or makes or removes a hold.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::service::{Service, hold_file};

/// Gap between two looks at the files of the store.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Gap between two looks at the ballast.
const BALLAST_AGAIN: Duration = Duration::from_secs(5);
/// Gap between two self-checks of the hold file.
const SELF_CHECK: Duration = Duration::from_hours(24);

/// Runs until the service stops.
pub async fn run(service: Arc<Service>) {
    let (mut checked, mut kept): (Option<Instant>, Option<Instant>) = (None, None);
    while !service.stopping.is_cancelled() && service.look_at_files().is_none() {
        if kept.is_none_or(|at| at.elapsed() >= BALLAST_AGAIN) {
            keep_ballast(&service).await;
            kept = Some(Instant::now());
        }
        if checked.is_none_or(|at| at.elapsed() >= SELF_CHECK) {
            check_hold_file(&service);
            checked = Some(Instant::now());
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = service.stopping.cancelled() => {}
        }
    }
}

async fn keep_ballast(service: &Service) {
    let ballast = service.ballast();
    // Where the file system cannot allocate, zeros are written: not on a thread that serves.
    let kept = tokio::task::spawn_blocking(move || ballast.keep()).await;
    match kept.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(true) => tracing::info!("the ballast beside the store is there"),
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, "the ballast beside the store could not be made"),
    }
}

/// Asks the hold file as every claim does, and says so: a stop that nobody ever tried is no stop.
fn check_hold_file(service: &Service) {
    let path = service.config().store.hold_file.clone();
    let seen = hold_file(&path);
    let now = service.clock.now().duration_since(Timestamp::UNIX_EPOCH).as_secs_f64();
    service.metrics.hold_file_check.set(now);
    tracing::info!(path = %path.display(), seen = seen.as_deref().unwrap_or("none"), "the hold file was looked at");
}

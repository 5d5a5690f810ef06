//! Server role: keeps the keys of the cloud fresh where the machine's role gives them, and says when there are none.
//!
//! Never: sends with keys that have run out, or makes the start wait for them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::CloudConfig;
use crate::ncloud::{ClientError, Clients, RoleKeys, RoleReader};
use crate::service::Service;

/// What sending is halted by while there are no keys.
const MATTER: &str = "server role";
/// Gaps between two looks: after a failure, and the longest. What is handed out may be the same keys for hours.
const GAPS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(5));

/// Who asks for the keys, and how the last ones stand.
#[derive(Debug)]
pub struct Keeper {
    reader: RoleReader,
    /// Until when the last keys are good; `None`: there were none.
    good: Option<Until>,
    halted: bool,
    failing: bool,
}

/// How long keys are good.
#[derive(Debug, Clone, Copy)]
enum Until {
    Time(Timestamp),
    /// The metadata service did not say it in a way that can be read: the cloud will refuse them.
    NotSaid,
}

/// Asks once, before anything else asks the cloud. `None` where the keys come from somewhere else.
pub async fn begin(service: &Service, cloud: &Clients) -> Result<Option<Keeper>, ClientError> {
    let config = service.config();
    let Some(role) = &config.cloud.server_role else { return Ok(None) };
    let reader = RoleReader::new(role)?;
    let mut keeper = Keeper { reader, good: None, halted: false, failing: false };
    keeper.look(service, cloud).await;
    Ok(Some(keeper))
}

/// Keeps asking until the service stops.
pub async fn run(keeper: Option<Keeper>, service: Arc<Service>, cloud: Arc<Clients>) {
    let Some(mut keeper) = keeper else { return service.stopping.cancelled().await };
    while !service.stopping.is_cancelled() {
        let pause = keeper.pause(service.clock.wall());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = service.stopping.cancelled() => return,
        }
        keeper.look(&service, &cloud).await;
    }
}

impl Keeper {
    /// Half of the time that is left, so that two looks may fail.
    fn pause(&self, now: Timestamp) -> Duration {
        let (short, long) = GAPS;
        match self.good {
            _ if self.failing => short,
            Some(Until::Time(until)) => {
                let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
                (left / 2).clamp(Duration::from_secs(1), long)
            }
            Some(Until::NotSaid) | None => long,
        }
    }

    async fn look(&mut self, service: &Service, cloud: &Clients) {
        let fresh = match self.reader.keys().await {
            Ok(keys) => self.take(service, cloud, keys),
            Err(why) => Err(why),
        };
        let now = service.clock.wall();
        match fresh {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the metadata service gives keys of the server role again");
                }
                if std::mem::take(&mut self.halted) {
                    service.resume(MATTER);
                    // What failed for want of keys is asked again.
                    service.inventory.notify_one();
                    service.lookups.notify_one();
                    service.work.notify_one();
                }
            }
            Err(why) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(why, "the metadata service gives no keys of the server role; asked again");
                }
                let run_out = match self.good {
                    Some(Until::Time(until)) => until <= now,
                    Some(Until::NotSaid) => false,
                    None => true,
                };
                if run_out && !std::mem::replace(&mut self.halted, true) {
                    service
                        .halt(MATTER, &format!("there are no keys of the server role that are good: {why}"));
                }
            }
        }
    }

    fn take(&mut self, service: &Service, cloud: &Clients, keys: RoleKeys) -> Result<(), String> {
        if keys.until.is_some_and(|until| until <= service.clock.wall()) {
            return Err("the keys that it gives have run out".to_owned());
        }
        let config = service.config();
        let RoleKeys { access_key, secret_key, until } = keys;
        let with = CloudConfig { access_key, secret_key, ..config.cloud.clone() };
        cloud.renew_keys(&with).map_err(|error| error.to_string())?;
        if until.is_none() && self.good.is_none() {
            tracing::warn!(
                "the metadata service does not say in a way that can be read until when its keys are good"
            );
        }
        self.good = Some(until.map_or(Until::NotSaid, Until::Time));
        Ok(())
    }
}

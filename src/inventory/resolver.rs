//! Resolver: looks up the targets of pending alerts, the sources in turns.
//!
//! Never: lets the names of one source delay another's, or takes a failed look-up for an empty one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{decide_all, keep, look_up, note_failure, region_unknown, target_of};
use crate::domain::facts::TargetFact;
use crate::domain::limits::later;
use crate::domain::server::{RegionCode, Server};
use crate::domain::target::{TargetName, fact_of};
use crate::domain::turns::{OPEN_NAMES_MAX, Offered, Turns};
use crate::ncloud::{Clients, ReadError};
use crate::service::Service;
use crate::store::{PendingAlert, StoreError};
use crate::telemetry::chain;

/// Gap between two looks for alerts that wait for a look-up, should a wake-up be lost; a name that failed rests as long.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Shortest gap between two such looks, however many alerts come.
const LOOK_GAP: Duration = Duration::from_millis(200);
/// Most look-ups under way, each for another source: one answer that is late delays nobody else. Few, so that the read
/// before an interrupt finds its place between them.
const LOOKUPS_MAX: usize = 4;
/// Most alerts that are decided in one job of the writer.
const DECIDED_MAX: usize = 50;

type Target = (RegionCode, TargetName);
/// What a look-up found; where it found nothing, whether the account has the region at all.
type Found = (String, Target, Result<Vec<Server>, ReadError>, Option<TargetFact>);

/// Looks up the targets of pending alerts, until the service stops.
pub async fn resolve(service: Arc<Service>, cloud: Arc<Clients>) {
    let mut resolver = Resolver {
        service: Arc::clone(&service),
        cloud,
        turns: Turns::default(),
        waiting: BTreeMap::new(),
        asked: JoinSet::new(),
        busy: BTreeSet::new(),
    };
    while !service.stopping.is_cancelled() {
        let woken = service.lookups.notified();
        if let Err(error) = resolver.gather().await {
            tracing::error!(error = %chain(&error), "pending alerts could not be decided");
        }
        let next_look = async {
            tokio::time::sleep(LOOK_GAP).await;
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        };
        tokio::pin!(next_look);
        loop {
            resolver.ask();
            tokio::select! {
                Some(found) = resolver.asked.join_next() => match found {
                    Ok(found) => resolver.take(found).await,
                    // Whose look-up broke is not known; a name may be asked for twice.
                    Err(_broken) => resolver.busy.clear(),
                },
                () = &mut next_look => break,
                () = service.stopping.cancelled() => return,
            }
        }
    }
}

struct Resolver {
    service: Arc<Service>,
    cloud: Arc<Clients>,
    turns: Turns<Target>,
    /// Alerts that wait for each name, as the store had them at the last look.
    waiting: BTreeMap<Target, Vec<PendingAlert>>,
    asked: JoinSet<Found>,
    /// Sources and names whose look-up is under way.
    busy: BTreeSet<(String, Target)>,
}

impl Resolver {
    /// Looks what waits now, and decides what needs no look-up or gets none.
    async fn gather(&mut self) -> Result<(), StoreError> {
        let config = self.service.config();
        let now = Instant::now();
        let rows: Vec<_> = self.service.store.pending_alerts().await?;
        let rows: Vec<_> = rows.into_iter().map(|pending| (target_of(&config, &pending), pending)).collect();
        let wanted: BTreeSet<(&str, &Target)> = rows
            .iter()
            .filter_map(|(target, pending)| Some((pending.source.as_str(), target.as_ref()?)))
            .collect();
        self.turns.retain(|source, target| wanted.contains(&(source, target)));
        self.waiting.clear();
        let (mut aimless, mut refused) = (Vec::new(), Vec::new());
        for (target, pending) in rows {
            match target {
                // No policy claims it any more, or not by a target that can be looked up; deciding anew says so.
                None => aimless.push(pending),
                Some(target) => match self.turns.offer(&pending.source, &target, now) {
                    Offered::Open => self.waiting.entry(target).or_default().push(pending),
                    Offered::TooMany => refused.push(pending),
                },
            }
        }
        if !refused.is_empty() {
            // There may be more behind them.
            self.service.lookups.notify_one();
            let sources: BTreeSet<&str> = refused.iter().map(|pending| pending.source.as_str()).collect();
            tracing::warn!(?sources, alerts = refused.len(), "too many names wait for a look-up");
        }
        let why = format!(
            "{OPEN_NAMES_MAX} names of this source wait for a look-up already; the next notice asks again"
        );
        for (alerts, fact) in [(aimless, None), (refused, Some(TargetFact::Unreadable { why }))] {
            for some in alerts.chunks(DECIDED_MAX) {
                decide_all(&self.service, &config, some.to_vec(), fact.clone()).await?;
            }
        }
        Ok(())
    }

    /// Begins the look-ups whose turn it is.
    fn ask(&mut self) {
        while self.asked.len() < LOOKUPS_MAX {
            let is_served = |source: &str, target: &Target| {
                self.busy.iter().any(|(served, name)| served == source || name == target)
            };
            let Some((source, target)) = self.turns.next(Instant::now(), is_served) else { return };
            self.busy.insert((source.clone(), target.clone()));
            let (service, cloud) = (Arc::clone(&self.service), Arc::clone(&self.cloud));
            self.asked.spawn(async move {
                let found = look_up(&service, &cloud, &target.0, &target.1).await;
                let nothing = found.as_ref().map_or(true, Vec::is_empty);
                let elsewhere = if nothing { region_unknown(&cloud, &target.0).await } else { None };
                (source, target, found, elsewhere)
            });
        }
    }

    /// Decides the alerts that waited for a name, or lets it wait again.
    async fn take(&mut self, (source, target, found, elsewhere): Found) {
        self.busy.remove(&(source, target.clone()));
        let alerts = self.waiting.remove(&target).unwrap_or_default();
        let decided = match (found, elsewhere) {
            (_, Some(fact)) => {
                decide_all(&self.service, &self.service.config(), alerts, Some(fact)).await.map(|()| true)
            }
            (Ok(servers), None) => self.decide(&target, servers, alerts).await.map(|()| true),
            (Err(error), None) => self.failed(&target, &error, alerts).await.map(|()| false),
        };
        match decided {
            Ok(true) => self.turns.retain(|_, open| *open != target),
            Ok(false) => self.turns.again(&target, Instant::now() + LOOK_AGAIN),
            Err(error) => {
                tracing::error!(error = %chain(&error), "pending alerts could not be decided");
                self.turns.again(&target, Instant::now() + LOOK_AGAIN);
            }
        }
    }

    async fn decide(
        &self,
        (region, name): &Target,
        servers: Vec<Server>,
        alerts: Vec<PendingAlert>,
    ) -> Result<(), StoreError> {
        let fact = fact_of(name, &servers.iter().collect::<Vec<_>>());
        keep(&self.service, region, name, servers, self.service.clock.now()).await?;
        decide_all(&self.service, &self.service.config(), alerts, Some(fact)).await
    }

    /// Each alert has its own time, and after a downtime it begins with the start.
    async fn failed(
        &mut self,
        target: &Target,
        error: &ReadError,
        alerts: Vec<PendingAlert>,
    ) -> Result<(), StoreError> {
        tracing::warn!(error = %chain(error), "a target could not be looked up yet");
        let (config, now) = (self.service.config(), self.service.clock.now());
        let time_is_up = |alert: &PendingAlert| {
            now >= later(alert.received_at.max(self.service.started_at), config.inventory.lookup_for)
        };
        let (given_up, patient): (Vec<_>, Vec<_>) = alerts.into_iter().partition(time_is_up);
        if !patient.is_empty() {
            self.waiting.insert(target.clone(), patient);
        }
        if given_up.is_empty() {
            return Ok(());
        }
        let (region, name) = target;
        let why = format!("the look-up of {name} failed: {error}");
        note_failure(&self.service, region.clone(), why.clone(), now).await?;
        decide_all(&self.service, &config, given_up, Some(TargetFact::Unreadable { why })).await
    }
}

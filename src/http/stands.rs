//! How policies stand: mode, demotion, record and breaker, for the API and for the pages.
//!
//! Never: judges; the domain does, from rows of the store.

use jiff::Timestamp;

use crate::config::Config;
use crate::domain::breaker::{Breaker, bad_in_a_row, breaker};
use crate::domain::ladder::{self, Record};
use crate::domain::policy::{Mode, Policy};
use crate::service::Service;
use crate::store::{ResetRow, StandingRow, StoreError};

/// How the breaker of a policy stands.
#[derive(Debug)]
pub(super) struct BreakerStand {
    /// Closed, open or half open.
    pub(super) breaker: Breaker,
    /// Bad attempts in a row.
    pub(super) bad_in_a_row: usize,
    /// When a person last reset it.
    pub(super) reset: Option<ResetRow>,
}

/// Asks the breaker of a policy.
pub(super) async fn breaker_of(
    service: &Service,
    config: &Config,
    policy: &str,
    now: Timestamp,
) -> Result<BreakerStand, StoreError> {
    let rules = &config.rules.breaker;
    let (tried, reset) = service.store.breaker_of(policy, rules.failures).await?;
    Ok(BreakerStand { breaker: breaker(rules, &tried, now), bad_in_a_row: bad_in_a_row(&tried), reset })
}

/// One policy with what it has shown.
#[derive(Debug)]
pub(super) struct Stand<'c> {
    /// As configured.
    pub(super) policy: &'c Policy,
    /// Hash of it.
    pub(super) hash: String,
    /// The mode that holds.
    pub(super) effective: Mode,
    /// Its demotion or promotion.
    pub(super) standing: StandingRow,
    /// What it has shown.
    pub(super) record: Record,
}

/// Every policy in the order of the configuration.
pub(super) async fn stands<'c>(service: &Service, config: &'c Config) -> Result<Vec<Stand<'c>>, StoreError> {
    let mut all = Vec::new();
    for policy in &config.rules.policies {
        let standing = service.store.standing_of(&policy.name).await?;
        all.push(Stand {
            policy,
            hash: policy.hash(),
            effective: ladder::effective(policy.mode, standing.demoted.as_ref()),
            standing,
            record: service.store.record_of(&policy.name).await?,
        });
    }
    Ok(all)
}

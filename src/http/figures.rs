//! Figures that more than one answer shows: budgets as they stand, and holds in force.
//!
//! Never: counts anything itself; `domain::limits` does.

use jiff::Timestamp;
use serde::Serialize;

use crate::config::Config;
use crate::domain::facts::Past;
use crate::domain::limits::{earlier, look_back, usage};
use crate::domain::policy::Budget;
use crate::inventory::regions;
use crate::service::Service;
use crate::store::StoreError;

/// One budget as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BudgetUse {
    /// `global`, `region`, `policy` or `server`.
    pub(super) scope: &'static str,
    /// Name of the region, policy or server; empty for `global`.
    pub(super) name: String,
    /// As configured, such as `2/1h`.
    pub(super) budget: String,
    /// Attempts that count now.
    pub(super) spent: usize,
    /// Attempts that still fit.
    pub(super) remaining: usize,
    /// When the next one fits; `None` while one fits, or where none ever does.
    pub(super) free_at: Option<Timestamp>,
}

/// Every budget as it stands. Servers are listed where something counts against theirs.
pub(super) async fn budgets(
    service: &Service,
    config: &Config,
    now: Timestamp,
) -> Result<Vec<BudgetUse>, StoreError> {
    let attempts = service.store.attempts_since(earlier(now, look_back(&config.rules)), now).await?;
    Ok(of_attempts(config, &attempts, now))
}

fn of_attempts(config: &Config, attempts: &[Past], now: Timestamp) -> Vec<BudgetUse> {
    let limits = &config.rules.limits;
    let mut all = Vec::new();
    let mut put = |scope, name: &str, budgets: &[Budget], counts: &dyn Fn(&Past) -> bool| {
        let spent: Vec<Timestamp> =
            attempts.iter().filter(|past| counts(past)).map(|past| past.intent_at).collect();
        for budget in budgets {
            let usage = usage(*budget, &spent, now);
            let allowed = usize::try_from(budget.count).unwrap_or(usize::MAX);
            all.push(BudgetUse {
                scope,
                name: name.to_owned(),
                budget: budget.to_string(),
                spent: usage.spent,
                remaining: allowed.saturating_sub(usage.spent),
                free_at: usage.free_at,
            });
        }
    };
    put("global", "", &limits.global, &|_| true);
    for region in regions(config) {
        put("region", region.as_str(), &limits.region, &|past| past.region == region);
    }
    for policy in &config.rules.policies {
        put("policy", &policy.name, &policy.budget, &|past| past.policy == policy.name);
    }
    let servers: std::collections::BTreeSet<_> =
        attempts.iter().filter(|past| past.may_have_acted()).map(|past| &past.server_no).collect();
    for server in servers {
        put("server", server.as_str(), &limits.server, &|past| {
            past.server_no == *server && past.may_have_acted()
        });
    }
    all
}

/// Names of the configured sources.
pub(super) fn source_names(config: &Config) -> Vec<String> {
    config.sources.iter().map(|source| source.name.clone()).collect()
}

//! `[limits]`, `[eligibility]`, `[storm]`, `[breaker]`: what holds beyond a single policy.
//!
//! Never: reads a missing or empty limit as "no limit".

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use toml::Value;

use super::section::{Section, printable};
use crate::domain::breaker::BreakerRules;
use crate::domain::policy::{Budget, Limits};
use crate::domain::server::{Eligibility, Os};
use crate::domain::storm::StormRules;

/// Longest window that is counted in.
const BUDGET_WINDOW_MAX: SignedDuration = SignedDuration::from_hours(31 * 24);

/// Gap below which a person cannot follow.
const SPACING_USUAL_MIN: SignedDuration = SignedDuration::from_secs(10);

/// `[limits]`
pub(super) fn limits(mut section: Section<'_>) -> Limits {
    let limits = Limits {
        server: budgets(&mut section, "server", &["2/24h"]),
        region: budgets(&mut section, "region", &["2/1h"]),
        global: budgets(&mut section, "global", &["3/1h", "6/24h"]),
        in_flight: section.whole("in_flight", 1, 1..=100),
        spacing: section.duration(
            "spacing",
            SignedDuration::from_secs(60),
            SignedDuration::from_millis(1)..=SignedDuration::from_hours(24),
        ),
    };
    if limits.spacing < SPACING_USUAL_MIN {
        section.warning("spacing", "below 10s: nobody can stop the next interrupt after seeing the last");
    }
    section.finish();
    limits
}

/// `[storm]`
pub(super) fn storm(mut section: Section<'_>) -> StormRules {
    let usual = StormRules::default();
    let share = match section.take("share") {
        None => usual.share,
        Some(value) => {
            let whole = value.as_integer().and_then(|share| i32::try_from(share).ok());
            let share = value.as_float().or(whole.map(f64::from)).unwrap_or(f64::NAN);
            if !(share > 0.0 && share <= 1.0) {
                section.problem("share", "expected a part above 0 and up to 1, such as 0.1");
            }
            share
        }
    };
    if share > 0.5 {
        section.warning("share", "above 0.5: half of a region may hang at once, and nobody is asked");
    }
    let minute = SignedDuration::from_mins(1);
    let rules = StormRules {
        share,
        count: section.whole("count", usual.count, 1..=1000),
        same_zone: section.whole("same_zone", usual.same_zone, 1..=1000),
        window: section.duration("window", usual.window, minute..=SignedDuration::from_hours(24)),
    };
    section.finish();
    rules
}

/// `[breaker]`
pub(super) fn breaker(mut section: Section<'_>) -> BreakerRules {
    let usual = BreakerRules::default();
    let (minute, week) = (SignedDuration::from_mins(1), SignedDuration::from_hours(24 * 7));
    let rules = BreakerRules {
        failures: section.whole("failures", usual.failures, 1..=1000),
        open_for: section.duration("open_for", usual.open_for, minute..=week),
    };
    section.finish();
    rules
}

/// A list of budgets; the default when it is not written, a problem when it is empty.
pub(super) fn budgets(section: &mut Section<'_>, key: &'static str, default: &[&str]) -> Vec<Budget> {
    if section.is_empty_list(key) {
        section.problem(key, "an empty list is never read as no limit; leave the key out for the default");
    }
    let parse = |text: &str| Budget::parse(text).ok().filter(|budget| budget.window <= BUDGET_WINDOW_MAX);
    let budgets = section.list(
        key,
        "COUNT/WINDOW such as \"2/1h\"; 0/WINDOW means never, the longest window is 744h",
        parse,
    );
    budgets.unwrap_or_else(|| default.iter().filter_map(|text| Budget::parse(text).ok()).collect())
}

/// `[eligibility]`; written, it replaces the whole default table.
pub(super) fn eligibility(written: bool, mut section: Section<'_>) -> Eligibility {
    if !written {
        return Eligibility::default();
    }
    let mut table = BTreeMap::new();
    for (hypervisor, systems) in section.take_rest() {
        let key = printable(&hypervisor);
        let code_ok = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        if !(1..=20).contains(&hypervisor.len()) || !hypervisor.bytes().all(code_ok) {
            section.problem(&key, "expected a hypervisor code such as XEN or KVM");
            continue;
        }
        let Value::Array(systems) = systems else {
            section
                .problem(&key, format!("expected a list such as [\"windows\"], got {}", systems.type_str()));
            continue;
        };
        let mut set = BTreeSet::new();
        for (index, system) in systems.iter().enumerate() {
            match system.as_str() {
                Some("windows") => drop(set.insert(Os::Windows)),
                Some("linux") => drop(set.insert(Os::Linux)),
                Some(_) | None => {
                    section.problem(&format!("{key}[{index}]"), "expected one of windows, linux");
                }
            }
        }
        table.insert(hypervisor, set);
    }
    if table.values().all(BTreeSet::is_empty) {
        section.warning("", "lists no system: no server may be interrupted");
    }
    Eligibility(table)
}

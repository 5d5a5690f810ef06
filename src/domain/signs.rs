//! Signs of a storm that a decided alert gives: that its server fires, and that too many do.
//!
//! Never: counts itself; that is [`super::storm`].

use super::alert::{Alert, AlertStatus};
use super::decision::{Decided, Origin, Question};
use super::facts::Facts;
use super::guard::{Reason, Verdict};
use super::policy::{Policy, Rules};
use super::server::Server;
use super::storm::{self, Trip};

/// Whether the alert is a sign that its server hangs now: not one that ended, nor a late notice of it.
pub fn fires(alert: &Alert, decided: &Decided) -> bool {
    alert.status == AlertStatus::Firing && decided.reason != Some(Reason::Resolved)
}

/// The storm that an alert shows and that is not open yet: by the number of servers, or because its sender left some
/// out.
pub fn storm_shown(
    question: &Question<'_>,
    policy: &Policy,
    rules: &Rules,
    facts: &Facts,
    server: Option<&Server>,
    decided: &Decided,
) -> Option<Trip> {
    let stops = decided.trace.0.iter().any(|c| c.guard == Reason::Storm && c.verdict == Verdict::Stop);
    if facts.storm.open.is_some() || !stops || !fires(question.alert, decided) {
        return None;
    }
    // A person who replays tells nothing new about what was left out then.
    if question.truncated && question.origin == Origin::Source {
        return Some(Trip::truncated(&policy.name, server));
    }
    storm::trip(rules, &facts.storm, server?, &policy.name)
}

//! The guards that may change their mind while a remediation waits.
//!
//! Never: asked with remembered facts where an interrupt follows at once. A claim and an approval read them anew.

use jiff::{SignedDuration, Timestamp};

use super::alert::Alert;
use super::breaker;
use super::facts::{Facts, Heartbeat};
use super::guard::{Reason, Trace, Verdict};
use super::hold::Subject;
use super::limits;
use super::policy::{Policy, Rules};
use super::reboot::{self, Hang};
use super::server::Server;
use super::storm;
use super::target::means;

/// What the guards that are asked again and again look at: at the decision, at the end of the hold-down,
/// at an approval and inside the intent transaction.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// Active configuration.
    pub rules: &'a Rules,
    /// Policy in charge.
    pub policy: &'a Policy,
    /// Facts read now.
    pub facts: &'a Facts,
    /// The alert that opened it.
    pub alert: &'a Alert,
    /// Its source.
    pub source: &'a str,
    /// The server.
    pub server: &'a Server,
    /// The hang that it is about.
    pub hang: Hang,
}

/// Asks every guard that may change its mind while a remediation waits.
pub fn ask_standing(trace: &mut Trace, on: &Standing<'_>, now: Timestamp) {
    ask_server(trace, on);
    reboot::ask(trace, &on.hang, on.server, on.facts, on.rules.clock_skew_max);
    ask_attestation(trace, on, now);
    ask_mutes(trace, on, now);
    ask_holds(trace, on, now);
    storm::ask(trace, on.rules, &on.facts.storm, on.server, &on.policy.name);
    breaker::ask(trace, &on.rules.breaker, &on.facts.tried, now);
    let collected_at = on.facts.guest.dump_collected_at;
    limits::ask_rest(trace, on.policy, &on.facts.attempts, on.server, collected_at, now);
    limits::ask_unwatched(trace, on.policy, &on.facts.unwatched, on.server, now);
    limits::ask_budgets(trace, on.rules, on.policy, &on.facts.attempts, on.server, now);
    ask_heartbeats(trace, &on.facts.heartbeats, now);
}

/// A heartbeat so much later than now was noted by another transaction a moment ago; a later one cannot be trusted.
const HEARTBEAT_AHEAD_MAX: SignedDuration = SignedDuration::from_secs(5);

/// A source that should give signs of life and does not would not tell either that the alert is over.
fn ask_heartbeats(trace: &mut Trace, heartbeats: &[Heartbeat], now: Timestamp) {
    if heartbeats.is_empty() {
        trace.note(Reason::Blind, Verdict::NotConfigured, "no heartbeat is configured", "-", None);
    }
    for Heartbeat { source, within, last_at } in heartbeats {
        let age = last_at.map(|at| now.duration_since(at));
        let heard = age.is_some_and(|age| age <= *within && age >= -HEARTBEAT_AHEAD_MAX);
        let verdict = if heard { Verdict::Pass } else { Verdict::Wait };
        let seen = match age {
            Some(age) => format!("last heartbeat of {source} {age:#} ago"),
            None => format!("{source} has never sent a heartbeat"),
        };
        trace.note(Reason::Blind, verdict, seen, format!("≤ {within:#}"), None);
    }
}

fn ask_server(trace: &mut Trace, on: &Standing<'_>) {
    let Standing { rules, policy, server, .. } = *on;
    let denied = policy.deny_servers.iter().any(|entry| means(entry, server.no.as_str(), &server.name));
    note_stop(trace, Reason::DeniedServer, denied, &server.name, "not on the policy's deny list", None);
    let kind = format!("{} {}", server.hypervisor_code, server.os().as_str());
    let allowed = rules.eligibility.allows(server);
    note_stop(trace, Reason::NotEligible, !allowed, &kind, "the eligibility table", None);
    note_stop(trace, Reason::NotEligible, !server.is_running(), &server.status_code, "RUN", None);
    let verdict = if server.is_idle() { Verdict::Pass } else { Verdict::Wait };
    trace.note(Reason::NotEligible, verdict, format!("operation {}", server.operation_code), "NULL", None);
}

/// Asks whether the guest said, not too long ago, that an interrupt would leave a dump.
fn ask_attestation(trace: &mut Trace, on: &Standing<'_>, now: Timestamp) {
    let Some(age_max) = on.policy.require_attestation else {
        let seen = "no attestation is asked for";
        trace.note(Reason::NotEligible, Verdict::NotConfigured, seen, "-", None);
        return;
    };
    let limit = format!("an attestation within {age_max:#} that an interrupt leaves a dump");
    let (no, seen) = match &on.facts.guest.dump_settings {
        None => (true, "the guest has attested nothing".to_owned()),
        Some(attested) => {
            let why = attested.settings.why_no_dump();
            let old = now.duration_since(attested.at) > age_max;
            let said = why.clone().unwrap_or_else(|| "a dump is written".to_owned());
            (old || why.is_some(), format!("attested at {}: {said}", attested.at))
        }
    };
    note_stop(trace, Reason::NotEligible, no, &seen, &limit, None);
}

fn ask_mutes(trace: &mut Trace, on: &Standing<'_>, now: Timestamp) {
    let Standing { rules, facts, alert, server, .. } = *on;
    let silence = facts.silences.iter().find(|silence| silence.mutes(&alert.labels, now));
    let seen = silence.map_or_else(|| "none".to_owned(), |s| format!("silence {} by {}", s.id, s.author));
    note_stop(trace, Reason::Silenced, silence.is_some(), &seen, "no silence", silence.map(|s| s.ends_at));
    let windows = rules.maintenance.iter().filter_map(|window| {
        let until = window.covers(&server.no, &server.name, &server.region, &alert.labels, now)?;
        Some((window, until))
    });
    let window = windows.max_by_key(|(_, until)| *until);
    let seen = window.map_or_else(|| "none".to_owned(), |(window, _)| format!("window {}", window.name));
    note_stop(
        trace,
        Reason::Maintenance,
        window.is_some(),
        &seen,
        "no window",
        window.map(|(_, until)| until),
    );
}

fn ask_holds(trace: &mut Trace, on: &Standing<'_>, now: Timestamp) {
    let Standing { policy, facts, source, server, .. } = *on;
    let subject = Subject { source, policy: &policy.name, region: &server.region, server: &server.no };
    let row = facts.holds.iter().find(|hold| hold.stops(subject, now));
    let seen = match (&facts.hold_file, row) {
        (Some(why), _) => why.clone(),
        (None, Some(hold)) => format!("hold {} by {}: {}", hold.id, hold.author, hold.reason),
        (None, None) => "none".to_owned(),
    };
    let stops = facts.hold_file.is_some() || row.is_some();
    note_stop(trace, Reason::Hold, stops, &seen, "no hold", row.and_then(|hold| hold.until));
    let seen = facts.quarantine.as_deref().unwrap_or("none");
    note_stop(trace, Reason::Hold, facts.quarantine.is_some(), seen, "no quarantine", None);
}

fn note_stop(trace: &mut Trace, guard: Reason, no: bool, seen: &str, limit: &str, until: Option<Timestamp>) {
    let verdict = if no { Verdict::Stop } else { Verdict::Pass };
    trace.note(guard, verdict, seen, limit, if no { until } else { None });
}

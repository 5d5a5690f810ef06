//! Somebody rebooted it: a server that was started after it hung is not the hung machine any more.
//!
//! Never: takes a confirmation for one that was given after a boot, where the clocks leave that open.

use jiff::{SignedDuration, Timestamp};

use super::evidence::UPTIME_UNIT;
use super::facts::Facts;
use super::guard::{Check, Reason, Trace, Verdict};
use super::limits::later;
use super::server::Server;

const STARTED: &str = "started ";

/// A hang, as far as anybody has told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hang {
    /// When it began: the start that the alert gives, else the first notice.
    pub began_at: Timestamp,
    /// `uptime` of the server that was decided about.
    pub decided_uptime_at: Option<Timestamp>,
    /// When a person last said that it hangs: an order, a replay, or an approval that confirms it.
    pub confirmed_at: Option<Timestamp>,
}

/// Asks whether the server that hung is still the one that runs. A boot after the decision stops; one after the alert
/// began asks a person, and only a confirmation given after the boot passes. `skew_max` is how far the cloud's clock, which
/// dates a boot, may be behind ours.
pub fn ask(trace: &mut Trace, hang: &Hang, server: &Server, facts: &Facts, skew_max: SignedDuration) {
    let booted_at = server.uptime_at.max(facts.listed_uptime_at);
    let moved = server.uptime_at != hang.decided_uptime_at || facts.listed_uptime_at > hang.decided_uptime_at;
    let is_over_at = booted_at.map(|at| later(at, skew_max.saturating_add(UPTIME_UNIT)));
    let precedes = |at: Timestamp| is_over_at.is_some_and(|over| over < at);
    let unnamed = server.uptime_at.is_none() && hang.decided_uptime_at.is_some();
    let (verdict, until) = match hang.confirmed_at {
        // The cloud told of a boot when it was decided, and does not now.
        _ if unnamed => (Verdict::Stop, None),
        // Where the cloud never named one, a person's word is all there is.
        Some(at) if booted_at.is_none() || precedes(at) => (Verdict::Pass, None),
        Some(_) => (Verdict::Stop, is_over_at),
        None if moved && hang.decided_uptime_at.is_some() => (Verdict::Stop, None),
        None if precedes(hang.began_at) => (Verdict::Pass, None),
        None => (Verdict::AskPerson, None),
    };
    let seen = booted_at.map_or_else(|| "the cloud names no start".to_owned(), |at| format!("{STARTED}{at}"));
    let limit = match hang.confirmed_at {
        Some(at) => format!("before the confirmation of {at}"),
        None => {
            let decided = hang.decided_uptime_at.map_or_else(String::new, |at| format!(", and still {at}"));
            format!("before the alert began at {}{decided}", hang.began_at)
        }
    };
    trace.note(Reason::Rebooted, verdict, seen, limit, until);
}

/// When the server was started, as the guard saw it and its trace tells.
pub fn booted_at(check: &Check) -> Option<Timestamp> {
    let seen = (check.guard == Reason::Rebooted).then_some(check.seen.as_str())?;
    seen.strip_prefix(STARTED)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, facts, server};
    use super::*;

    /// What is said of a server that was started then, of an alert that began at second 0.
    fn check(decided: Option<i64>, booted: Option<i64>, confirmed: Option<i64>, expected: Verdict) {
        listed(decided, booted, None, confirmed, expected);
    }

    fn listed(
        decided: Option<i64>,
        booted: Option<i64>,
        listed: Option<i64>,
        confirmed: Option<i64>,
        expected: Verdict,
    ) {
        let hang =
            Hang { began_at: at(0), decided_uptime_at: decided.map(at), confirmed_at: confirmed.map(at) };
        let seen = Server { uptime_at: booted.map(at), ..server() };
        let facts = Facts { listed_uptime_at: listed.map(at), ..facts() };
        let mut trace = Trace::default();
        ask(&mut trace, &hang, &seen, &facts, SignedDuration::from_secs(60));
        assert_eq!(
            trace.0[0].verdict, expected,
            "{decided:?} {booted:?} {listed:?} {confirmed:?}: {trace:?}"
        );
    }

    #[test]
    fn a_boot_clearly_before_the_alert_is_no_objection() {
        check(Some(-9000), Some(-9000), None, Verdict::Pass);
        check(Some(-61), Some(-61), None, Verdict::Pass);
        // Dated before the alert, but the cloud's clock may be behind ours.
        check(Some(-60), Some(-60), None, Verdict::AskPerson);
        check(Some(0), Some(0), None, Verdict::AskPerson);
        check(Some(600), Some(600), None, Verdict::AskPerson);
    }

    #[test]
    fn a_boot_after_the_decision_stops_whichever_way_it_moved() {
        check(Some(-9000), Some(600), None, Verdict::Stop);
        check(Some(-9000), Some(-8000), None, Verdict::Stop);
        check(Some(-9000), Some(-9999), None, Verdict::Stop);
        check(Some(600), Some(700), None, Verdict::Stop);
        listed(Some(-9000), Some(-9000), Some(-8000), None, Verdict::Stop);
        // An older list than what was decided about tells nothing new.
        listed(Some(-9000), Some(-9000), Some(-9500), None, Verdict::Pass);
    }

    #[test]
    fn only_a_confirmation_after_the_boot_passes() {
        check(Some(600), Some(600), Some(660), Verdict::Stop);
        check(Some(600), Some(600), Some(661), Verdict::Pass);
        check(Some(600), Some(700), Some(662), Verdict::Stop);
        check(Some(600), Some(700), Some(900), Verdict::Pass);
        listed(Some(600), Some(600), Some(700), Some(662), Verdict::Stop);
    }

    #[test]
    fn a_boot_that_the_cloud_does_not_name_asks_a_person() {
        check(None, None, None, Verdict::AskPerson);
        check(None, None, Some(10), Verdict::Pass);
        check(None, Some(-9000), None, Verdict::Pass);
        check(None, Some(600), None, Verdict::AskPerson);
        // It named one when it was decided.
        check(Some(-9000), None, None, Verdict::Stop);
        check(Some(-9000), None, Some(900), Verdict::Stop);
    }

    #[test]
    fn the_trace_tells_the_boot_and_when_a_confirmation_would_count() {
        let hang = Hang { began_at: at(0), decided_uptime_at: Some(at(600)), confirmed_at: Some(at(610)) };
        let seen = Server { uptime_at: Some(at(600)), ..server() };
        let mut trace = Trace::default();
        ask(&mut trace, &hang, &seen, &facts(), SignedDuration::from_secs(60));
        assert_eq!(booted_at(&trace.0[0]), Some(at(600)));
        assert_eq!(trace.0[0].until.map(Timestamp::as_second), Some(at(660).as_second()));
    }
}

//! The words and the command of each guard.

use super::super::guard::Verdict;
use super::super::testing::at;
use super::*;

fn check(guard: Reason, seen: &str, limit: &str) -> Check {
    Check { guard, verdict: Verdict::Stop, seen: seen.into(), limit: limit.into(), until: Some(at(0)) }
}

fn advice(guard: Reason, seen: &str, limit: &str) -> String {
    let about = About { server: "win-app-01", policy: Some("hung-windows"), remediation: Some("0193") };
    what_would_change(&check(guard, seen, limit), about)
}

#[test]
fn the_command_that_changes_it_is_named() {
    let told = |said: String, part: &str| assert!(said.contains(part), "{part}: {said}");
    told(advice(Reason::Hold, "hold 7 by lead: network", "no hold"), "unhang hold clear 7 ");
    told(advice(Reason::Hold, "the hold file data/HOLD is there", "no hold"), "hold clear --file");
    told(advice(Reason::Silenced, "silence 3 by oncall", "no silence"), "unhang silence end 3 ");
    told(advice(Reason::Cooldown, "until x", "cooldown 24h"), "unhang dump-collected win-app-01");
    told(advice(Reason::DumpWindow, "until x", "no dump"), "nobody can override");
    told(advice(Reason::Storm, "storm 12 in KR", "no storm"), "unhang storm clear 12 ");
    told(advice(Reason::Storm, "the sender left alerts out", "a complete group"), "max_alerts 0");
    told(advice(Reason::NotEligible, "KVM windows", "the eligibility table"), "only Windows on a listed");
    told(advice(Reason::NoPolicy, "0", "p wants a=\"b\""), "p wants a=\"b\"");
    told(advice(Reason::UnknownOpen, "0193 is unknown", "none"), "unhang settle 0193 ");
    told(advice(Reason::Duplicate, "0193 is awaiting_approval", "none"), "unhang approve 0193 ");
    told(advice(Reason::BreakerOpen, "3 bad", "3"), "`unhang breaker reset hung-windows --reason TEXT`");
    told(advice(Reason::ProposeOnly, "trust propose", "trust act"), "`unhang approve 0193 --reason TEXT`");
    let nobody = About { server: "win-app-01", policy: None, remediation: None };
    let unnamed = |guard| what_would_change(&check(guard, "x", "y"), nobody);
    told(unnamed(Reason::BreakerOpen), "`unhang breaker reset POLICY --reason TEXT`");
    told(unnamed(Reason::ProposeOnly), "`unhang approve ID --reason TEXT`");
}

#[test]
fn a_quarantine_is_shown_and_cleared_as_such() {
    let said = advice(Reason::Hold, "quarantine 4: the store does not know attempt 7", "no quarantine");
    assert!(said.contains("`unhang quarantine show`"), "{said}");
    assert!(said.contains("`unhang quarantine clear --reason TEXT`"), "{said}");
    assert!(!said.contains("unhang hold"), "{said}");
}

#[test]
fn a_cooldown_that_no_dump_ends_is_left_to_time() {
    for limit in ["no refusal within 15m", "cooldown 24h after a reboot nobody watched"] {
        let said = advice(Reason::Cooldown, "until x", &format!("{limit}{ONLY_TIME}"));
        assert!(said.starts_with("only time: ") && said.contains(limit), "{said}");
        assert!(!said.contains("unhang dump-collected"), "{said}");
    }
}

#[test]
fn each_way_to_be_blind_names_its_own_cure() {
    let cases = [
        ("an outcome could not be stored", MAY_SEND, "unhang hold clear --file"),
        ("the clock jumped 9 min", SOUND_CLOCK, "the clock of this machine"),
        ("12 MB left", ROOM_ON_DISK, "room on the disk"),
        ("last heartbeat of prometheus 9m ago", "≤ 5m", "a heartbeat of the sender"),
        ("HTTP 503", "a readable pre-flight", "reads of the cloud"),
        ("5 reads failed", "reads of the cloud that work", "reads of the cloud"),
        ("half a list", "a complete answer of the cloud", "reads of the cloud"),
    ];
    for (seen, limit, cure) in cases {
        let said = advice(Reason::Blind, seen, limit);
        assert!(said.contains(seen) && said.contains(cure), "{limit}: {said}");
    }
}

#[test]
fn every_reason_has_words() {
    for &reason in Reason::ALL {
        assert!(advice(reason, "seen", "wanted").len() > 10, "{reason:?}");
    }
}

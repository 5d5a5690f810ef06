//! What the intent transaction may do, one sentence per rule.

use super::super::corroboration::{Ask, Wanted};
use super::super::facts::{Gap, Heartbeat, Past};
use super::super::guard::Verdict;
use super::super::hold::{Hold, HoldScope};
use super::super::ladder::Demotion;
use super::super::policy::{Budget, Mode, Rules};
use super::super::remediation::Outcome;
use super::super::server::ServerNo;
use super::super::storm::{Sighting, Storm};
use super::super::testing::{at, bad, elsewhere, facts, good, past, rules, server, waiting};
use super::*;

#[path = "claim_boot_tests.rs"]
mod boots;

struct Case {
    waiting: Waiting,
    rules: Rules,
    facts: Facts,
    preflight: Option<Preflight>,
    health: Health,
}

fn case(mode: Mode) -> Case {
    Case {
        waiting: waiting(mode),
        rules: rules(mode),
        facts: facts(),
        preflight: Some(Preflight {
            read_at: at(0),
            seen: PreflightSeen::Server(Box::new(server())),
            named: None,
            signals: Vec::new(),
        }),
        health: Health::default(),
    }
}

impl Case {
    /// The pre-flight sees that it was started then.
    fn sees(&mut self, uptime: Option<i64>) {
        let seen = Server { uptime_at: uptime.map(at), ..self.waiting.server.clone() };
        let seen = PreflightSeen::Server(Box::new(seen));
        self.preflight = Some(Preflight { read_at: at(0), seen, named: None, signals: Vec::new() });
    }

    /// It was started then, as was known when it was decided.
    fn boots(&mut self, uptime: Option<i64>) {
        self.waiting.server.uptime_at = uptime.map(at);
        self.sees(uptime);
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

fn check_at(seconds: i64, case: Case, expected: &str) {
    let Case { waiting, rules, facts, preflight, health } = case;
    let (verdict, trace) = claim(&waiting, &rules, &facts, preflight.as_ref(), &health, at(seconds));
    let said = match verdict {
        Claim::Go(_) => "go".to_owned(),
        Claim::NeedPreflight => "read".to_owned(),
        Claim::Wait(check) => format!("wait {}", check.guard.as_str()),
        Claim::Cancel(check) => format!("cancel {}", check.guard.as_str()),
        Claim::AskPerson(check) => format!("ask {}", check.guard.as_str()),
        Claim::Expire(check) => format!("expire {}", check.guard.as_str()),
    };
    assert_eq!(said, expected, "{trace:#?}");
}

fn check(case: Case, expected: &str) {
    check_at(0, case, expected);
}

#[test]
fn with_every_guard_passed_it_goes() {
    check(case(Mode::Auto), "go");
}

#[test]
fn the_preflight_must_be_there_fresh_and_of_the_same_running_server() {
    check(case(Mode::Auto).with(|c| c.preflight = None), "read");
    check_at(30, case(Mode::Auto), "go");
    check_at(31, case(Mode::Auto), "read");
    let seen = |seen| {
        case(Mode::Auto).with(|c| {
            c.preflight = Some(Preflight { read_at: at(0), seen, named: None, signals: Vec::new() });
        })
    };
    check(seen(PreflightSeen::Gone), "cancel not_eligible");
    check(seen(PreflightSeen::Unreadable("503".into())), "wait blind");
    let with_server = |change: fn(&mut Server)| {
        let mut changed = server();
        change(&mut changed);
        seen(PreflightSeen::Server(Box::new(changed)))
    };
    check(with_server(|s| s.name = "other".into()), "cancel not_eligible");
    check(with_server(|s| s.created_at = at(-5)), "cancel not_eligible");
    check(with_server(|s| s.status_code = "NSTOP".into()), "cancel not_eligible");
    check(with_server(|s| s.platform_code = "LNX64".into()), "cancel not_eligible");
    check(with_server(|s| s.operation_code = "SETUP".into()), "wait not_eligible");
    check_at(3, with_server(|s| s.operation_code = "SETUP".into()), "read");
    // What the list said of the operation minutes ago does not keep the pre-flight from being read.
    check(
        case(Mode::Auto).with(|c| {
            c.waiting.server.operation_code = "SETUP".into();
            c.preflight = None;
        }),
        "read",
    );
}

#[test]
fn stops_cancel() {
    let hold = Hold {
        id: 1,
        scope: HoldScope::Global,
        author: "kim".into(),
        reason: "x".into(),
        set_at: at(0),
        until: None,
    };
    check(case(Mode::Auto).with(|c| c.facts.holds.push(hold)), "cancel hold");
    check(case(Mode::Auto).with(|c| c.facts.hold_file = Some("unreadable".into())), "cancel hold");
    check(case(Mode::Auto).with(|c| c.facts.newest_resolved_end = Some(at(-1))), "cancel resolved");
    check(case(Mode::Auto).with(|c| c.rules.policies[0].mode = Mode::Off), "cancel cancelled");
    check(case(Mode::Auto).with(|c| c.rules.policies[0].cooldown *= 2), "cancel cancelled");
    check(case(Mode::Auto).with(|c| c.rules.policies.clear()), "cancel cancelled");
    check(
        case(Mode::Auto).with(|c| c.facts.attempts.push(past(-60, Some(Outcome::Unknown)))),
        "cancel dump_window",
    );
    check(
        case(Mode::Auto).with(|c| c.facts.attempts.push(past(-7200, Some(Outcome::Accepted)))),
        "cancel cooldown",
    );
}

#[test]
fn ages_expire() {
    check_at(900, case(Mode::Auto).with(|c| c.preflight = None), "read");
    check_at(901, case(Mode::Auto).with(|c| c.preflight = None), "expire expired");
    let approved = |seconds: i64| {
        case(Mode::Approve).with(move |c| {
            c.waiting.approved_at = Some(at(-seconds));
            c.waiting.last_notice_at = at(0);
        })
    };
    check(approved(600), "go");
    check(approved(601), "expire expired");
}

#[test]
fn nobody_is_asked_twice_but_somebody_must_have_been_asked() {
    check(case(Mode::Approve), "cancel cancelled");
    check(case(Mode::Auto).with(|c| c.waiting.needs_person = true), "cancel cancelled");
    // What grows old in the queue does not act without a person; what a person approved does.
    let old = |mode| case(mode).with(|c| c.waiting.episode_started_at = Some(at(-6 * 3600 - 1)));
    check(old(Mode::Auto), "ask stale");
    check(old(Mode::Approve).with(|c| c.waiting.approved_at = Some(at(0))), "go");
}

#[test]
fn limits_of_pace_and_budget_wait() {
    let with = |attempts: Vec<Past>| case(Mode::Auto).with(|c| c.facts.attempts = attempts);
    check(with(vec![elsewhere(-60)]), "go");
    check(with(vec![elsewhere(-59)]), "wait spacing");
    let in_flight = Past { outcome: None, ..elsewhere(-100) };
    check(with(vec![in_flight]), "wait spacing");
    check(with(vec![elsewhere(-100), elsewhere(-200)]), "wait budget_region");
    check(with(vec![elsewhere(-100), elsewhere(-3600)]), "go");
    check(with(vec![elsewhere(-100), elsewhere(-3599)]), "wait budget_region");
    check(
        case(Mode::Auto).with(|c| c.rules.limits.global = vec![Budget::parse("0/1h").unwrap()]),
        "wait budget_global",
    );
    // A try of this very remediation that is proven not sent keeps no spacing, but its budget is spent.
    let own = |seconds| Past { remediation_id: "this".into(), ..past(seconds, Some(Outcome::NotSent)) };
    check(with(vec![own(-5)]), "go");
    check(with(vec![own(-20), own(-5)]), "wait budget_policy");
}

#[test]
fn a_process_that_may_not_send_waits() {
    check(case(Mode::Auto).with(|c| c.health.halted = Some("stopping".into())), "wait blind");
    check(case(Mode::Auto).with(|c| c.health.clock = Some("a day off".into())), "wait blind");
}

#[test]
fn a_stop_wins_over_a_wait_and_an_age() {
    check_at(
        5000,
        case(Mode::Auto).with(|c| {
            c.facts.hold_file = Some("there".into());
            c.facts.attempts.push(elsewhere(4999));
        }),
        "cancel hold",
    );
}

#[test]
fn the_end_of_the_hold_down_queues_or_asks() {
    let said = |case: Case, seconds| settled(&case.waiting, &case.rules, &case.facts, at(seconds)).0;
    assert_eq!(said(case(Mode::Auto), 120), Settled::Queue);
    assert_eq!(said(case(Mode::Approve), 120), Settled::AskPerson(None));
    assert_eq!(
        said(case(Mode::Auto).with(|c| c.waiting.episode_started_at = Some(at(-6 * 3600))), 120),
        Settled::AskPerson(Some(Reason::Stale))
    );
    assert!(matches!(said(case(Mode::Auto), 901), Settled::Expire(_)));
    assert!(matches!(
        said(case(Mode::Auto).with(|c| c.facts.hold_file = Some("x".into())), 120),
        Settled::Cancel(_)
    ));
}

#[test]
fn an_approval_is_taken_only_in_time_and_with_every_guard_asked_again() {
    let said = |case: Case, seconds| approvable(&case.waiting, &case.rules, &case.facts, at(seconds)).0;
    assert!(said(case(Mode::Approve), 3600).is_ok());
    assert_eq!(said(case(Mode::Approve), 3601).unwrap_err().verdict, Verdict::Expire);
    let refused = said(case(Mode::Approve).with(|c| c.facts.hold_file = Some("x".into())), 1).unwrap_err();
    assert_eq!(refused.guard, Reason::Hold);
}

fn open_storm(facts: &mut Facts) {
    facts.storm.open = Some(Storm { id: 1, opened_at: at(-9), why: "x".into() });
}

#[test]
fn a_storm_takes_back_what_waits_whoever_approved_it() {
    check(case(Mode::Auto).with(|c| open_storm(&mut c.facts)), "cancel storm");
    check(
        case(Mode::Approve).with(|c| {
            c.waiting.approved_at = Some(at(0));
            open_storm(&mut c.facts);
        }),
        "cancel storm",
    );
    let c = case(Mode::Auto).with(|c| open_storm(&mut c.facts));
    let (verdict, _) = settled(&c.waiting, &c.rules, &c.facts, at(0));
    assert!(matches!(verdict, Settled::Cancel(check) if check.guard == Reason::Storm));
    let c = case(Mode::Approve).with(|c| open_storm(&mut c.facts));
    let (verdict, _) = approvable(&c.waiting, &c.rules, &c.facts, at(0));
    assert!(verdict.is_err_and(|check| check.guard == Reason::Storm));
}

#[test]
fn servers_that_fire_while_it_waits_are_counted_at_the_intent() {
    let more = |n: u32| {
        let mut other = server();
        other.no = ServerNo::parse(&(91_000_001 + n).to_string()).unwrap();
        Sighting::of(&other, "hung-windows")
    };
    check(case(Mode::Auto).with(|c| c.facts.storm.sightings.push(&more(0))), "go");
    let two = case(Mode::Auto).with(|c| c.facts.storm.sightings = [more(0), more(1)].into_iter().collect());
    check(two, "cancel storm");
}

#[test]
fn an_open_breaker_takes_back() {
    let run = || vec![bad(-10), bad(-20), bad(-30)];
    check(case(Mode::Auto).with(|c| c.facts.tried = run()), "cancel breaker_open");
    check(case(Mode::Auto).with(|c| c.facts.tried = vec![good(-5), bad(-10), bad(-20), bad(-30)]), "go");
}

#[test]
fn a_demotion_asks_a_person_about_what_nobody_approved() {
    let demoted = || Some(Demotion { at: at(-9), why: "x".into() });
    check(case(Mode::Auto).with(|c| c.facts.demoted = demoted()), "ask shadow");
    let held = case(Mode::Auto).with(|c| {
        c.facts.demoted = demoted();
        c.facts.quarantine = Some("quarantine 1: a copy".into());
    });
    check(held, "cancel hold");
    check(
        case(Mode::Auto).with(|c| {
            c.waiting.approved_at = Some(at(0));
            c.facts.demoted = demoted();
        }),
        "go",
    );
    let c = case(Mode::Auto).with(|c| c.facts.demoted = demoted());
    let (verdict, _) = settled(&c.waiting, &c.rules, &c.facts, at(0));
    assert_eq!(verdict, Settled::AskPerson(None), "it has not been queued yet: a person can still be asked");
}

#[test]
fn a_quarantine_stops_everything_and_nothing_outlives_it() {
    let quarantined = || case(Mode::Auto).with(|c| c.facts.quarantine = Some("quarantine 1: a copy".into()));
    check(quarantined(), "cancel hold");
    let approved = quarantined().with(|c| c.waiting.approved_at = Some(at(0)));
    check(approved, "cancel hold");
}

/// A case whose policy wants one second signal that said this at second 0.
fn corroborated(seen: Seen) -> Case {
    let timeout = SignedDuration::from_secs(3);
    case(Mode::Auto).with(|c| {
        c.rules.policies[0].corroborate = vec![Wanted { ask: Ask::TcpClosed { ports: vec![3389] }, timeout }];
        c.waiting.policy_hash = c.rules.policies[0].hash();
        c.preflight.as_mut().unwrap().signals = vec![Signal { name: "tcp_closed", seen, asked_at: at(0) }];
    })
}

#[test]
fn second_signals_must_agree_and_are_asked_again_with_each_preflight() {
    let agrees = || corroborated(Seen::Agrees("closed".into()));
    let unclear = || corroborated(Seen::CouldNotTell("no answer".into()));
    check(agrees(), "go");
    check(corroborated(Seen::Disagrees("3389 answers".into())), "cancel not_corroborated");
    check(unclear(), "wait not_corroborated");
    check_at(9, unclear(), "wait not_corroborated");
    check_at(10, unclear(), "read");
    check_at(31, agrees(), "read");
    check(agrees().with(|c| c.preflight = None), "read");
    // A fresh read of the server does not refresh what was asked before it.
    let stale = agrees().with(|c| c.preflight.as_mut().unwrap().read_at = at(31));
    check_at(31, stale, "wait not_corroborated");
    check(agrees().with(|c| c.preflight.as_mut().unwrap().signals.clear()), "wait not_corroborated");
    // It may not say so for ever: the last notice grows old.
    check_at(901, unclear(), "expire expired");
}

#[test]
fn a_changed_signal_changes_the_policy_and_none_leaves_its_hash_alone() {
    let none = super::super::testing::policy(Mode::Auto);
    assert!(!serde_json::to_string(&none).unwrap().contains("corroborate"));
    let with = corroborated(Seen::Agrees(String::new())).rules.policies[0].clone();
    let mut other = with.clone();
    other.corroborate[0].ask = Ask::TcpClosed { ports: vec![445] };
    assert!(none.hash() != with.hash() && with.hash() != other.hash());
    check(
        corroborated(Seen::Agrees(String::new())).with(|c| c.rules.policies[0] = other),
        "cancel cancelled",
    );
}

fn heartbeat(seconds: Option<i64>) -> Vec<Heartbeat> {
    let within = SignedDuration::from_secs(300);
    vec![Heartbeat { source: "alertmanager".into(), within, last_at: seconds.map(at) }]
}

#[test]
fn a_source_that_gives_no_sign_of_life_makes_it_wait() {
    for (last, expected) in [
        (Some(0), "go"),
        (Some(-300), "go"),
        (Some(-301), "wait blind"),
        (Some(5), "go"),
        (Some(6), "wait blind"),
        (None, "wait blind"),
    ] {
        check(case(Mode::Auto).with(|c| c.facts.heartbeats = heartbeat(last)), expected);
        let settled = settled(
            &waiting(Mode::Auto),
            &rules(Mode::Auto),
            &{
                let mut facts = facts();
                facts.heartbeats = heartbeat(last);
                facts
            },
            at(0),
        );
        assert_eq!(settled.0, Settled::Queue, "waiting is the claim's matter: {last:?}");
    }
    // One silent source of several is enough, and stops win over waits.
    let two = || [heartbeat(Some(0)), heartbeat(None)].concat();
    check(case(Mode::Auto).with(|c| c.facts.heartbeats = two()), "wait blind");
    let held = case(Mode::Auto).with(|c| {
        c.facts.heartbeats = heartbeat(None);
        c.facts.hold_file = Some("there".into());
    });
    check(held, "cancel hold");
}

#[test]
fn failing_reads_are_read_again_and_a_full_disk_is_waited_for() {
    let no = || Some("why".to_owned());
    check(case(Mode::Auto).with(|c| c.health.reads = no()), "wait blind");
    check_at(3, case(Mode::Auto).with(|c| c.health.reads = no()), "read");
    check(case(Mode::Auto).with(|c| (c.health.reads, c.preflight) = (no(), None)), "read");
    check(case(Mode::Auto).with(|c| c.health.disk = no()), "wait blind");
    check_at(3, case(Mode::Auto).with(|c| c.health.disk = no()), "wait blind");
    check(case(Mode::Auto).with(|c| (c.health.disk, c.preflight) = (no(), None)), "wait blind");
}

#[test]
fn leap_days_year_ends_and_changes_of_summer_time_are_days_like_any_other() {
    for day in [
        "2028-02-28T23:59:30Z",
        "2028-02-29T00:00:00Z",
        "2028-03-01T00:00:00Z",
        "2027-02-28T23:59:59Z",
        "2027-12-31T23:59:59.999Z",
        "2028-01-01T00:00:00Z",
        "2027-03-28T01:00:00Z",
        "2027-10-31T01:00:00Z",
        "2038-01-19T03:14:08Z",
        "2026-11-22T03:00:00Z",
    ] {
        let now: Timestamp = day.parse().unwrap();
        let day = SignedDuration::from_hours(24);
        let case = |sent: Timestamp| {
            let mut case = case(Mode::Auto);
            let before = now - SignedDuration::from_mins(5);
            case.waiting.last_notice_at = before;
            case.waiting.alert.starts_at = Some(before);
            case.waiting.episode_started_at = Some(before);
            case.waiting.decided_at = before;
            case.waiting.server.uptime_at = Some(now - SignedDuration::from_hours(240));
            case.preflight = Some(Preflight {
                read_at: now,
                seen: PreflightSeen::Server(Box::new(case.waiting.server.clone())),
                named: None,
                signals: Vec::new(),
            });
            let attempt = past(0, Some(Outcome::Accepted));
            case.facts.attempts = vec![Past { intent_at: sent, cooldown_until: sent + day, ..attempt }];
            case.facts.heartbeats = vec![Heartbeat {
                source: "alertmanager".into(),
                within: SignedDuration::from_secs(300),
                last_at: Some(now - SignedDuration::from_secs(300)),
            }];
            case
        };
        let ask = |case: Case| {
            let Case { waiting, rules, facts, preflight, health } = case;
            claim(&waiting, &rules, &facts, preflight.as_ref(), &health, now).0
        };
        let second = SignedDuration::from_secs(1);
        let within = ask(case(now - day + second));
        assert!(
            matches!(&within, Claim::Cancel(check) if check.guard == Reason::Cooldown),
            "{now}: {within:?}"
        );
        let after = ask(case(now - day));
        assert!(matches!(&after, Claim::Go(_)), "{now}: {after:?}");
    }
}

#[test]
fn a_source_that_is_gone_takes_it_back_and_one_that_is_believed_less_needs_a_person() {
    check(case(Mode::Auto).with(|c| c.facts.trust = None), "cancel cancelled");
    let lowered = || case(Mode::Auto).with(|c| c.facts.trust = Some(Trust::Propose));
    check(lowered(), "ask propose_only");
    check(lowered().with(|c| c.waiting.approved_at = Some(at(0))), "go");
    let (verdict, _) = settled(&lowered().waiting, &lowered().rules, &lowered().facts, at(0));
    assert!(matches!(verdict, Settled::AskPerson(_)), "{verdict:?}");
}

#[test]
fn what_was_noted_while_the_clock_stood_still_is_older_than_it_seems() {
    let stood = |until: i64, minutes: i64| {
        case(Mode::Auto).with(|c| {
            c.health.stall = Some(Stall { until: at(until), by: SignedDuration::from_mins(minutes) });
        })
    };
    check(stood(0, 15), "go");
    check(stood(0, 16), "expire expired");
    check(stood(60, 16), "expire expired");
    check(stood(-1, 16), "go");
    let approved = |minutes| {
        stood(0, minutes).with(|c| {
            c.rules = rules(Mode::Approve);
            c.waiting = Waiting { approved_at: Some(at(0)), ..waiting(Mode::Approve) };
        })
    };
    check(approved(10), "go");
    check(approved(11), "expire expired");
}

#[test]
fn an_end_of_an_alert_that_opened_or_joined_takes_back() {
    check(case(Mode::Auto).with(|c| c.facts.joined_end = Some(at(-1))), "cancel resolved");
    let approved = case(Mode::Auto).with(|c| c.waiting.approved_at = Some(at(0)));
    check(approved.with(|c| c.facts.joined_end = Some(at(-1))), "cancel resolved");
}

#[test]
fn another_policy_before_it_changes_nothing() {
    let two = |mode| {
        case(Mode::Auto).with(|c| {
            let mut other = c.rules.policies[0].clone();
            other.name = "another".into();
            other.mode = mode;
            c.rules.policies.insert(0, other);
        })
    };
    check(two(Mode::Auto), "go");
    check(two(Mode::Off), "go");
}

#[test]
fn an_unsound_clock_is_read_again_by_itself() {
    let doubted = || case(Mode::Auto).with(|c| c.health.clock = Some("jumped".into()));
    check_at(2, doubted(), "wait blind");
    check_at(3, doubted(), "read");
}

#[test]
fn an_end_at_the_very_start_of_the_episode_is_its_end() {
    let ended = |seconds: i64| case(Mode::Auto).with(|c| c.facts.newest_resolved_end = Some(at(seconds)));
    check(ended(-300), "cancel resolved");
    check(ended(-301), "go");
}

#[test]
fn an_episode_of_exactly_its_age_is_not_old() {
    let of = |seconds: i64| case(Mode::Auto).with(|c| c.waiting.episode_started_at = Some(at(-seconds)));
    check(of(6 * 3600), "go");
    check(of(6 * 3600 + 1), "ask stale");
}

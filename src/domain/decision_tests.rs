//! What one alert leads to, one sentence per rule.

use jiff::SignedDuration;

use super::super::alert::{Alert, AlertStatus};
use super::super::facts::{Facts, Heartbeat, Live, Past, TargetFact};
use super::super::guest::{AttestedSettings, DumpSettings};
use super::super::hold::{Hold, HoldScope, Maintenance, NamePattern, Schedule, Silence};
use super::super::ladder::Demotion;
use super::super::matcher::{Matcher, Matchers};
use super::super::policy::{Budget, Mode, Rules, Trust};
use super::super::remediation::{Outcome, State};
use super::super::server::{RegionCode, Server, ServerNo};
use super::super::storm::{Sighting, Storm};
use super::super::testing::{alert, at, bad, elsewhere, facts, past, pending, policy, rules, server};
use super::*;

struct Case {
    alert: Alert,
    rules: Rules,
    facts: Facts,
    trust: Trust,
    truncated: bool,
    person: Option<&'static str>,
}

fn case(mode: Mode) -> Case {
    Case {
        alert: alert(),
        rules: rules(mode),
        facts: facts(),
        trust: Trust::Act,
        truncated: false,
        person: None,
    }
}

impl Case {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn decided(&self) -> Decided {
        let question = Question {
            alert: &self.alert,
            source: "alertmanager",
            trust: self.trust,
            received_at: at(0),
            truncated: self.truncated,
            origin: self.person.map_or(Origin::Source, Origin::Person),
        };
        decide(&question, &self.rules, &self.facts, at(0))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "a case is built for one check")]
fn check(case: Case, expected: &str) {
    let decided = case.decided();
    let mut said = decided.decision.as_str().to_owned();
    if let Some(reason) = decided.reason {
        said.push(' ');
        said.push_str(reason.as_str());
    }
    if let Some(until) = decided.until {
        let seconds = until.duration_since(at(0)).as_secs();
        said = format!("{said} until +{seconds}");
    }
    assert_eq!(said, expected, "{:#?}", decided.trace);
}

#[test]
fn the_mode_decides_who_acts() {
    check(case(Mode::Auto), "remediate");
    check(case(Mode::Approve), "awaiting_approval");
    check(case(Mode::Shadow), "suppressed shadow");
    check(case(Mode::Off), "ignored no_policy");
}

#[test]
fn a_source_of_trust_propose_only_proposes_unless_a_person_orders() {
    check(case(Mode::Auto).with(|c| c.trust = Trust::Propose), "awaiting_approval propose_only");
    check(
        case(Mode::Auto).with(|c| {
            c.trust = Trust::Propose;
            c.person = Some("kim");
        }),
        "remediate",
    );
}

#[test]
fn exactly_one_policy_must_match() {
    check(
        case(Mode::Auto).with(|c| c.rules.policies.push(Policy { name: "b".into(), ..policy(Mode::Auto) })),
        "suppressed ambiguous_policy",
    );
    check(
        case(Mode::Auto).with(|c| {
            c.alert.labels.insert("alertname".into(), "DiskFull".into());
        }),
        "ignored no_policy",
    );
    check(
        case(Mode::Auto).with(|c| c.rules.policies[0].sources = vec!["grafana".into()]),
        "ignored no_policy",
    );
}

#[test]
fn words_read_back_and_say_what_comes_of_them() {
    for decision in Decision::ALL {
        assert_eq!(Decision::parse(decision.as_str()), Some(decision));
        assert_eq!(serde_json::to_string(&decision).unwrap(), format!("\"{}\"", decision.as_str()));
    }
    let creating = Decision::ALL.into_iter().filter(|decision| decision.creates_remediation());
    assert_eq!(creating.collect::<Vec<_>>(), [Decision::Remediate, Decision::AwaitingApproval]);
}

#[test]
fn the_detail_says_what_a_person_is_asked_for() {
    let detail = |case: Case| case.decided().detail;
    assert_eq!(detail(case(Mode::Approve)), "the policy asks a person");
    let proposes = case(Mode::Auto).with(|c| c.trust = Trust::Propose);
    assert!(detail(proposes).starts_with("the source may only propose"));
    let old = case(Mode::Auto).with(|c| c.alert.starts_at = Some(at(-7 * 3600)));
    assert!(detail(old).starts_with("the episode is old"));
    let demotion = Demotion { at: at(-9), why: "unknown".into() };
    let demoted = case(Mode::Auto).with(|c| c.facts.demoted = Some(demotion));
    assert!(detail(demoted).starts_with("the policy was demoted"));
    let held = case(Mode::Auto).with(|c| c.facts.hold_file = Some("the hold file is there".into()));
    assert_eq!(detail(held), "the hold file is there (wanted: no hold)");
    let trusted = case(Mode::Auto).decided().trace.0;
    assert!(trusted.iter().any(|check| check.seen == "trust act"), "{trusted:?}");
}

#[test]
fn what_each_policy_would_have_wanted_is_told() {
    let wanted = |change: fn(&mut Rules)| {
        let mut case = case(Mode::Auto);
        case.alert.labels.clear();
        change(&mut case.rules);
        case.decided().trace.0[0].limit.clone()
    };
    assert_eq!(wanted(|_| {}), "hung-windows wants alertname=\"WindowsVmHung\"");
    assert_eq!(wanted(|rules| rules.policies.clear()), "exactly 1; none is configured");
    let listens = wanted(|rules| rules.policies[0].sources = vec!["alertmanager".to_owned()]);
    assert_eq!(listens, "hung-windows wants alertname=\"WindowsVmHung\"");
    let deaf = wanted(|rules| {
        rules.policies[0].sources = vec!["grafana".to_owned(), "other".to_owned()];
        rules.policies[0].mode = Mode::Off;
    });
    let all = "hung-windows wants alertname=\"WindowsVmHung\", source grafana or other, to be switched on";
    assert_eq!(deaf, all);
}

#[test]
fn a_policy_that_names_its_sources_hears_no_other_and_one_that_denies_a_name_leaves_it_alone() {
    let listens_to = |name: &'static str| {
        case(Mode::Auto).with(|case| case.rules.policies[0].sources = vec![name.to_owned()])
    };
    check(listens_to("alertmanager"), "remediate");
    check(listens_to("grafana"), "ignored no_policy");
    let denied = |name: &'static str| {
        case(Mode::Auto).with(|case| case.rules.policies[0].deny_servers = vec![name.to_owned()])
    };
    check(denied("90000001"), "suppressed denied_server");
    check(denied("win-app-01"), "suppressed denied_server");
    check(denied("win-app-02"), "remediate");
}

#[test]
fn the_target_must_be_one_known_eligible_server() {
    let target = |fact: TargetFact| case(Mode::Auto).with(|c| c.facts.target = fact);
    check(target(TargetFact::Missing { labels: vec!["x".into()] }), "suppressed target_missing");
    check(
        target(TargetFact::Malformed { label: "x".into(), why: "digits".into() }),
        "quarantined quarantined_alert",
    );
    check(target(TargetFact::Pending), "pending");
    check(target(TargetFact::Unknown { named: "x".into() }), "suppressed target_unknown");
    check(
        target(TargetFact::Ambiguous { named: "x".into(), numbers: Vec::new() }),
        "suppressed target_ambiguous",
    );
    check(target(TargetFact::Unreadable { why: "503".into() }), "suppressed blind");
    let with_server = |change: fn(&mut Server)| {
        let mut changed = server();
        change(&mut changed);
        target(TargetFact::Found(Box::new(changed)))
    };
    check(with_server(|s| s.platform_code = "LNX64".into()), "suppressed not_eligible");
    check(with_server(|s| s.hypervisor_code = "RHV".into()), "suppressed not_eligible");
    check(with_server(|s| s.status_code = "NSTOP".into()), "suppressed not_eligible");
    // Busy now says nothing about later: it is asked again before the intent.
    check(with_server(|s| s.operation_code = "SETUP".into()), "remediate");
    check(
        case(Mode::Auto).with(|c| c.rules.policies[0].deny_servers = vec!["win-app-01".into()]),
        "suppressed denied_server",
    );
}

#[test]
fn a_pending_target_does_not_hide_an_earlier_no() {
    check(
        case(Mode::Auto).with(|c| {
            c.facts.target = TargetFact::Pending;
            c.truncated = true;
        }),
        "suppressed storm",
    );
}

#[test]
fn old_and_future_notices_do_not_act() {
    let sent = |seconds| case(Mode::Auto).with(move |c| c.alert.sender_time = Some(at(seconds)));
    check(sent(-300), "remediate");
    check(sent(-301), "suppressed stale");
    check(sent(300), "remediate");
    check(sent(301), "suppressed stale");
    check(sent(-301).with(|c| c.person = Some("kim")), "remediate");
    let starts = |seconds| case(Mode::Auto).with(move |c| c.alert.starts_at = Some(at(seconds)));
    check(starts(300), "remediate");
    check(starts(301), "suppressed from_future");
    check(starts(-6 * 3600), "remediate");
    check(starts(-6 * 3600 - 1), "awaiting_approval stale");
}

#[test]
fn a_resolved_notice_and_whatever_began_before_it_do_not_act() {
    check(case(Mode::Auto).with(|c| c.alert.status = AlertStatus::Resolved), "resolved");
    let ended = |seconds| case(Mode::Auto).with(move |c| c.facts.newest_resolved_end = Some(at(seconds)));
    check(ended(-300), "suppressed resolved");
    check(ended(-301), "remediate");
    check(ended(-301).with(|c| c.alert.starts_at = None), "suppressed resolved");
    check(ended(-300).with(|c| c.person = Some("kim")), "suppressed resolved");
}

#[test]
fn a_truncated_group_and_a_no_data_alert_do_not_act() {
    check(case(Mode::Auto).with(|c| c.truncated = true), "suppressed storm");
    check(
        case(Mode::Auto).with(|c| c.alert.never_actionable = Some("no data".into())),
        "ignored quarantined_alert",
    );
}

#[test]
fn people_can_mute_and_stop() {
    let silence = Silence {
        id: 1,
        matchers: Matchers(vec![Matcher::equal("alertname", "WindowsVmHung")]),
        author: "kim".into(),
        comment: "known".into(),
        starts_at: at(-10),
        ends_at: at(10),
    };
    check(case(Mode::Auto).with(|c| c.facts.silences = [silence].into()), "suppressed silenced until +10");
    let hold =
        |scope, until| Hold { id: 1, scope, author: "kim".into(), reason: "x".into(), set_at: at(-1), until };
    let stopped_by = |scope| case(Mode::Auto).with(move |c| c.facts.holds.push(hold(scope, None)));
    check(stopped_by(HoldScope::Global), "suppressed hold");
    check(stopped_by(HoldScope::Source("alertmanager".into())), "suppressed hold");
    check(stopped_by(HoldScope::Policy("hung-windows".into())), "suppressed hold");
    check(stopped_by(HoldScope::Region("KR".into())), "suppressed hold");
    check(stopped_by(HoldScope::Server("90000001".into())), "suppressed hold");
    check(stopped_by(HoldScope::Server("90000002".into())), "remediate");
    check(case(Mode::Auto).with(|c| c.facts.holds.push(hold(HoldScope::Global, Some(at(0))))), "remediate");
    check(
        case(Mode::Auto).with(|c| c.facts.holds.push(hold(HoldScope::Global, Some(at(1))))),
        "suppressed hold until +1",
    );
    check(case(Mode::Auto).with(|c| c.facts.hold_file = Some("there".into())), "suppressed hold");
    let window = Maintenance {
        name: "patch night".into(),
        schedule: Schedule::Once { from: at(-10), until: at(10) },
        servers: vec!["win-app-01".into()],
        name_pattern: None,
        region: None,
        matchers: Matchers::default(),
    };
    let by_name = Maintenance {
        servers: Vec::new(),
        name_pattern: NamePattern::parse("win-app-.*"),
        schedule: Schedule::Once { from: at(-10), until: at(20) },
        ..window.clone()
    };
    check(
        case(Mode::Auto).with(|c| c.rules.maintenance = vec![window.clone(), by_name]),
        "suppressed maintenance until +20",
    );
    check(case(Mode::Auto).with(|c| c.rules.maintenance.push(window)), "suppressed maintenance until +10");
}

#[test]
fn a_live_remediation_is_joined_and_an_unknown_one_blocks() {
    let live = |state| {
        let live = Live { remediation_id: "r".into(), incident_id: "i".into(), state };
        case(Mode::Auto).with(move |c| c.facts.live = Some(live))
    };
    check(live(State::Settling), "duplicate duplicate");
    check(live(State::Accepted), "duplicate duplicate");
    check(live(State::Unconfirmed), "duplicate duplicate");
    check(live(State::Unknown), "suppressed unknown_open");
}

#[test]
fn an_attempt_that_may_have_acted_blocks_its_server() {
    let after = |seconds: i64, outcome| {
        case(Mode::Auto).with(move |c| c.facts.attempts.push(past(-seconds, outcome)))
    };
    let hour = 3600;
    // 8 GiB: 2 × 8.6 GB ÷ 50 MB/s + 15 min is less than 30 min.
    check(after(1799, Some(Outcome::Accepted)), "suppressed dump_window until +1");
    check(after(1800, Some(Outcome::Accepted)), &format!("suppressed cooldown until +{}", 24 * hour - 1800));
    check(after(24 * hour, Some(Outcome::Accepted)), "remediate");
    check(after(1800, Some(Outcome::Unknown)), &format!("suppressed cooldown until +{}", 24 * hour - 1800));
    check(after(1800, None), &format!("suppressed cooldown until +{}", 24 * hour - 1800));
    check(after(899, Some(Outcome::Rejected)), "suppressed cooldown until +1");
    check(after(900, Some(Outcome::Rejected)), "remediate");
    check(after(1, Some(Outcome::NotSent)), "remediate");
    check(case(Mode::Auto).with(|c| c.facts.attempts.push(elsewhere(-1))), "remediate");
    // A policy with a shorter cooldown does not shorten the one that was promised when it was sent.
    let promised = Past { cooldown_until: at(10), ..past(-1800, Some(Outcome::Accepted)) };
    check(
        case(Mode::Auto).with(|c| {
            c.rules.policies[0].cooldown = SignedDuration::from_mins(1);
            c.facts.attempts.push(promised);
        }),
        "suppressed cooldown until +10",
    );
}

#[test]
fn a_bigger_server_has_a_longer_dump_window() {
    assert_eq!(limits::dump_window(8 << 30), SignedDuration::from_mins(30));
    assert_eq!(limits::dump_window(64 << 30).as_secs(), 15 * 60 + 2749);
    assert!(limits::dump_window(u64::MAX) > SignedDuration::from_hours(24));
}

#[test]
fn waits_are_recorded_at_the_decision_and_do_not_suppress() {
    let decided = case(Mode::Auto)
        .with(|c| c.facts.attempts = vec![elsewhere(-5), elsewhere(-4), elsewhere(-3)])
        .decided();
    assert_eq!(decided.decision, Decision::Remediate);
    let waits: Vec<_> = decided
        .trace
        .0
        .iter()
        .filter(|check| check.verdict == Verdict::Wait)
        .map(|check| check.guard)
        .collect();
    assert_eq!(waits, [Reason::BudgetRegion, Reason::BudgetGlobal]);
}

/// Two more servers that fire in other zones.
fn crowd(facts: &mut Facts) {
    for n in ["91000001", "91000002"] {
        let mut other = server();
        other.no = ServerNo::parse(n).unwrap();
        other.zone_code = n.to_owned();
        other.subnet_no = n.to_owned();
        facts.storm.sightings.push(&Sighting::of(&other, "hung-windows"));
    }
}

#[test]
fn many_servers_at_once_and_an_open_storm_suppress() {
    check(case(Mode::Auto).with(|c| crowd(&mut c.facts)), "suppressed storm");
    check(case(Mode::Approve).with(|c| crowd(&mut c.facts)), "suppressed storm");
    let open = Storm { id: 1, opened_at: at(-9), why: "x".into() };
    check(case(Mode::Auto).with(|c| c.facts.storm.open = Some(open.clone())), "suppressed storm");
    check(
        case(Mode::Auto).with(|c| {
            c.facts.storm.open = Some(open);
            c.person = Some("kim");
        }),
        "suppressed storm",
    );
}

#[test]
fn a_run_of_bad_attempts_suppresses_until_the_breaker_is_half_open() {
    let run = || vec![bad(-10), bad(-20), bad(-30)];
    check(case(Mode::Auto).with(|c| c.facts.tried = run()), "suppressed breaker_open until +3590");
    check(case(Mode::Auto).with(|c| c.facts.tried = vec![bad(-3600), bad(-3700), bad(-3800)]), "remediate");
    check(
        case(Mode::Auto).with(|c| {
            c.facts.tried = vec![pending(-10), bad(-3700), bad(-3800), bad(-3900)];
        }),
        "suppressed breaker_open",
    );
}

#[test]
fn a_demoted_policy_asks_a_person_whoever_orders() {
    let demoted = || Some(Demotion { at: at(-9), why: "an attempt ended unknown".into() });
    check(case(Mode::Auto).with(|c| c.facts.demoted = demoted()), "awaiting_approval");
    check(
        case(Mode::Auto).with(|c| {
            c.facts.demoted = demoted();
            c.person = Some("kim");
        }),
        "awaiting_approval",
    );
    check(case(Mode::Shadow).with(|c| c.facts.demoted = demoted()), "suppressed shadow");
}

#[test]
fn a_collected_dump_ends_the_cooldown_and_nothing_else() {
    let hour = 3600;
    let collected = |at_seconds: i64, intent: i64, outcome| {
        case(Mode::Auto).with(|c| {
            c.facts.attempts = vec![past(intent, Some(outcome))];
            c.facts.guest.dump_collected_at = Some(at(at_seconds));
        })
    };
    check(collected(-1, -2 * hour, Outcome::Accepted), "remediate");
    check(collected(-1, -2 * hour, Outcome::Unknown), "remediate");
    check(collected(-3 * hour, -2 * hour, Outcome::Accepted), "suppressed cooldown until +79200");
    check(collected(-1, -60, Outcome::Accepted), "suppressed dump_window until +1740");
    check(collected(-1, -60, Outcome::Rejected), "suppressed cooldown until +840");
    let elsewhere = collected(-1, -2 * hour, Outcome::Accepted).with(|c| {
        c.facts.attempts[0].region = RegionCode::parse("JP").unwrap();
    });
    check(elsewhere, "suppressed cooldown until +79200");
    let spent = collected(-1, -2 * hour, Outcome::Accepted).with(|c| {
        c.rules.limits.server = vec![Budget::parse("1/24h").unwrap()];
    });
    assert_eq!(spent.decided().trace.first(Verdict::Wait).unwrap().guard, Reason::BudgetServer);
}

#[test]
fn a_policy_may_ask_for_the_word_of_the_guest() {
    let settings = |enabled| DumpSettings {
        crash_dump_enabled: enabled,
        dump_file: "%SystemRoot%\\MEMORY.DMP".into(),
        always_keep_memory_dump: Some(true),
        overwrite: None,
        auto_reboot: true,
        nmi_crash_dump: Some(true),
        page_file_mib: None,
        free_disk_mib: None,
        memory_mib: None,
    };
    let asked = |attested: Option<(i64, u8)>| {
        case(Mode::Auto).with(|c| {
            c.rules.policies[0].require_attestation = Some(SignedDuration::from_hours(1));
            c.facts.guest.dump_settings =
                attested.map(|(t, enabled)| AttestedSettings { at: at(t), settings: settings(enabled) });
        })
    };
    check(asked(None), "suppressed not_eligible");
    check(asked(Some((-3601, 1))), "suppressed not_eligible");
    check(asked(Some((-3600, 1))), "remediate");
    check(asked(Some((-3600, 0))), "suppressed not_eligible");
    check(case(Mode::Auto).with(|c| c.facts.guest.dump_settings = None), "remediate");
}

#[test]
fn a_silent_source_is_noted_and_does_not_suppress() {
    let noted = |case: &Case| {
        let decided = case.decided();
        let check = decided.trace.0.iter().find(|check| check.guard == Reason::Blind).unwrap().clone();
        (decided.decision, check.verdict, check.seen)
    };
    let (decision, verdict, _) = noted(&case(Mode::Auto));
    assert_eq!((decision, verdict), (Decision::Remediate, Verdict::NotConfigured));
    let silent = case(Mode::Auto).with(|c| {
        let within = SignedDuration::from_mins(5);
        c.facts.heartbeats = vec![Heartbeat { source: "am".into(), within, last_at: None }];
    });
    let (decision, verdict, seen) = noted(&silent);
    assert_eq!((decision, verdict), (Decision::Remediate, Verdict::Wait));
    assert_eq!(seen, "am has never sent a heartbeat");
}

/// A case whose alert began at one second and whose server was started at another.
fn booted(starts_at: Option<i64>, uptime: Option<i64>) -> Case {
    case(Mode::Auto).with(|c| {
        c.alert.starts_at = starts_at.map(at);
        let seen = Server { uptime_at: uptime.map(at), ..server() };
        c.facts.target = TargetFact::Found(Box::new(seen));
    })
}

#[test]
fn an_alert_from_before_a_boot_asks_a_person_whatever_the_mode() {
    check(booted(Some(-2000), Some(-9000)), "remediate");
    check(booted(Some(-9000), Some(-5000)), "awaiting_approval rebooted");
    check(booted(Some(-9000), Some(-9050)), "awaiting_approval rebooted");
    check(booted(Some(-9000), None), "awaiting_approval rebooted");
    check(booted(Some(-9000), Some(-5000)).with(|c| c.trust = Trust::Propose), "awaiting_approval rebooted");
    // A sender that is ahead does not hide a boot after its notice.
    check(booted(Some(200), Some(-1800)), "remediate");
    // Without a start it is the first notice that counts.
    check(booted(None, Some(-5000)), "remediate");
    check(
        booted(None, Some(-5000)).with(|c| c.facts.incident_opened_at = Some(at(-6000))),
        "awaiting_approval rebooted",
    );
    // Who orders or replays has looked.
    check(booted(Some(-9000), Some(-5000)).with(|c| c.person = Some("p")), "remediate");
    check(booted(Some(-9000), None).with(|c| c.person = Some("p")), "remediate");
}

#[test]
fn a_boot_begins_a_dump_window_whoever_caused_it() {
    check(booted(Some(-60), Some(-600)), "suppressed dump_window until +1200");
    check(booted(Some(-60), Some(-1800)), "remediate");
    // The later of the two counts.
    let both = |attempt: i64| {
        booted(Some(-60), Some(-600))
            .with(|c| c.facts.attempts = vec![past(attempt, Some(Outcome::Accepted))])
    };
    check(both(-1000), "suppressed dump_window until +1200");
    check(both(-100), "suppressed dump_window until +1700");
}

#[test]
fn what_a_policy_reads_must_be_sound_and_the_rest_may_be_anything() {
    let with = |label: &str, value: &str| {
        let (label, value) = (label.to_owned(), value.to_owned());
        case(Mode::Auto).with(move |c| drop(c.alert.labels.insert(label, value)))
    };
    for odd in ["a\r\nb", "a\tb", "\u{fffd}9"] {
        check(with("os_caption", odd), "remediate");
        check(with("server_instance_no", odd), "quarantined quarantined_alert");
        check(with("region_code", odd), "quarantined quarantined_alert");
        check(with("alertname", odd), "quarantined quarantined_alert");
        let silenced = with("os_caption", odd).with(|c| {
            let matchers = Matchers(vec![Matcher::parse("os_caption=~\"a.*\"").unwrap()]);
            let (author, comment) = ("kim".to_owned(), "moving".to_owned());
            let (starts_at, ends_at) = (at(-60), at(60));
            c.facts.silences = [Silence { id: 1, matchers, author, comment, starts_at, ends_at }].into();
        });
        check(silenced, "quarantined quarantined_alert");
    }
}

#[test]
fn nothing_opens_beside_an_end_of_the_same_server_in_one_delivery() {
    check(case(Mode::Auto).with(|c| c.facts.ended_in_delivery = true), "suppressed resolved");
}

//! Values that the tests of this room are made from.
//!
//! Never: used outside tests.

use jiff::{SignedDuration, Timestamp};

use super::alert::{Alert, AlertStatus};
use super::breaker::{BreakerRules, Tried};
use super::claim::Waiting;
use super::facts::{Facts, Past, TargetFact};
use super::guest::GuestFacts;
use super::matcher::{Matcher, Matchers};
use super::policy::{Budget, Limits, Mode, Policy, Rules, TargetKind, TargetRule, Trust};
use super::remediation::{Outcome, State};
use super::server::{Eligibility, RegionCode, Server, ServerNo};
use super::storm::{StormFacts, StormRules};

/// Seconds after the epoch of the tests.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub(super) fn region() -> RegionCode {
    RegionCode::parse("KR").unwrap()
}

pub(super) fn server() -> Server {
    Server {
        no: ServerNo::parse("90000001").unwrap(),
        region: region(),
        name: "win-app-01".into(),
        created_at: at(-1_000_000),
        uptime_at: Some(at(-100_000)),
        platform_code: "WND64".into(),
        hypervisor_code: "XEN".into(),
        status_code: "RUN".into(),
        operation_code: "NULL".into(),
        memory_bytes: 8 << 30,
        zone_code: "KR-1".into(),
        subnet_no: "150022".into(),
        placement_group_no: String::new(),
    }
}

pub(super) fn policy(mode: Mode) -> Policy {
    Policy {
        name: "hung-windows".into(),
        mode,
        matchers: Matchers(vec![Matcher::equal("alertname", "WindowsVmHung")]),
        sources: Vec::new(),
        region: region(),
        targets: vec![TargetRule { label: "server_instance_no".into(), kind: TargetKind::ServerNo }],
        deny_servers: Vec::new(),
        settle: SignedDuration::from_mins(2),
        cooldown: SignedDuration::from_hours(24),
        budget: vec![Budget::parse("2/1h").unwrap()],
        delivery_age_max: SignedDuration::from_mins(5),
        notice_age_max: SignedDuration::from_mins(15),
        episode_age_max: SignedDuration::from_hours(6),
        approval_wait: SignedDuration::from_mins(60),
        require_attestation: None,
        corroborate: Vec::new(),
    }
}

pub(super) fn rules(mode: Mode) -> Rules {
    let budgets = |texts: &[&str]| texts.iter().map(|text| Budget::parse(text).unwrap()).collect();
    Rules {
        policies: vec![policy(mode)],
        limits: Limits {
            server: budgets(&["2/24h"]),
            region: budgets(&["2/1h"]),
            global: budgets(&["3/1h", "6/24h"]),
            in_flight: 1,
            spacing: SignedDuration::from_secs(60),
        },
        eligibility: Eligibility::default(),
        maintenance: Vec::new(),
        storm: StormRules::default(),
        breaker: BreakerRules::default(),
        clock_skew_max: SignedDuration::from_secs(60),
    }
}

pub(super) fn alert() -> Alert {
    let labels = [("alertname", "WindowsVmHung"), ("server_instance_no", "90000001")];
    Alert {
        fingerprint: "00112233aabbccdd".into(),
        status: AlertStatus::Firing,
        name: "WindowsVmHung".into(),
        labels: labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        starts_at: Some(at(-300)),
        ends_at: None,
        sender_time: None,
        never_actionable: None,
    }
}

pub(super) fn facts() -> Facts {
    Facts {
        target: TargetFact::Found(Box::new(server())),
        newest_resolved_end: None,
        ended_in_delivery: false,
        trust: Some(Trust::Act),
        joined_end: None,
        live: None,
        attempts: Vec::new(),
        holds: Vec::new(),
        hold_file: None,
        silences: [].into(),
        storm: StormFacts::default(),
        tried: Vec::new(),
        demoted: None,
        quarantine: None,
        unwatched: Vec::new(),
        listed_uptime_at: None,
        incident_opened_at: None,
        guest: GuestFacts::default(),
        heartbeats: Vec::new(),
    }
}

pub(super) fn past(seconds: i64, outcome: Option<Outcome>) -> Past {
    Past {
        remediation_id: "earlier".into(),
        intent_at: at(seconds),
        server_no: server().no,
        region: region(),
        policy: "hung-windows".into(),
        outcome,
        memory_bytes: 8 << 30,
        cooldown_until: at(seconds),
    }
}

/// An attempt on another server of another policy.
pub(super) fn elsewhere(seconds: i64) -> Past {
    Past {
        remediation_id: format!("other-{seconds}"),
        server_no: ServerNo::parse("90000099").unwrap(),
        policy: "other".into(),
        ..past(seconds, Some(Outcome::Accepted))
    }
}

pub(super) fn waiting(mode: Mode) -> Waiting {
    Waiting {
        remediation_id: "this".into(),
        source: "alertmanager".into(),
        alert: alert(),
        server: server(),
        policy: "hung-windows".into(),
        policy_hash: policy(mode).hash(),
        needs_person: mode != Mode::Auto,
        last_notice_at: at(0),
        episode_started_at: Some(at(-300)),
        decided_at: at(0),
        waiting_since: at(0),
        approved_at: None,
        confirmed_at: None,
    }
}

fn tried(seconds: i64, outcome: Option<Outcome>, state: State) -> Tried {
    Tried { intent_at: at(seconds), outcome, state, by_record: false }
}

/// An attempt that was confirmed.
pub(super) fn good(seconds: i64) -> Tried {
    tried(seconds, Some(Outcome::Accepted), State::Confirmed)
}

/// An attempt whose answer was lost.
pub(super) fn bad(seconds: i64) -> Tried {
    tried(seconds, Some(Outcome::Unknown), State::Unknown)
}

/// An attempt that was accepted and is not proven yet.
pub(super) fn pending(seconds: i64) -> Tried {
    tried(seconds, Some(Outcome::Accepted), State::Accepted)
}

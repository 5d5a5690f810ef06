//! Servers, policies, limits and alerts that histories are made of: each kind of value is built in one place.
//!
//! Never: a judgement.

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use unhang::domain::alert::{Alert, AlertStatus};
use unhang::domain::breaker::BreakerRules;
use unhang::domain::hold::{Maintenance, Schedule};
use unhang::domain::matcher::{Matcher, Matchers};
use unhang::domain::policy::{Budget, Limits, Mode, Policy, Rules, TargetKind, TargetRule, Trust};
use unhang::domain::server::{Eligibility, RegionCode, Server, ServerNo};
use unhang::domain::storm::StormRules;

pub(crate) const SECOND: i64 = 1000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;

/// A moment, in milliseconds after the beginning of every history.
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap()
}

/// Milliseconds after the beginning of every history.
pub(crate) fn ms(at: Timestamp) -> i64 {
    at.as_millisecond() - 1_800_000_000_000
}

/// What a server begins as.
struct Begin {
    platform: &'static str,
    hypervisor: &'static str,
    status: &'static str,
    gib: u64,
    region: &'static str,
}

/// Servers of every history. The second has so much memory that its dump window outlasts the shortest cooldown.
const SERVERS: [Begin; 6] = [
    Begin { platform: "WND64", hypervisor: "XEN", status: "RUN", gib: 8, region: "KR" },
    Begin { platform: "WND64", hypervisor: "XEN", status: "RUN", gib: 64, region: "KR" },
    Begin { platform: "WND64", hypervisor: "KVM", status: "RUN", gib: 8, region: "KR" },
    Begin { platform: "LNX64", hypervisor: "XEN", status: "RUN", gib: 8, region: "KR" },
    Begin { platform: "WND64", hypervisor: "XEN", status: "NSTOP", gib: 8, region: "KR" },
    Begin { platform: "WND64", hypervisor: "XEN", status: "RUN", gib: 16, region: "JP" },
];

/// The servers as they are at the beginning.
pub(crate) fn servers() -> Vec<Server> {
    static BEGIN: LazyLock<Vec<Server>> = LazyLock::new(|| (0..SERVERS.len()).map(server).collect());
    BEGIN.clone()
}

fn server(index: usize) -> Server {
    let begin = &SERVERS[index];
    Server {
        no: ServerNo::parse(&format!("9000000{}", index + 1)).unwrap(),
        region: RegionCode::parse(begin.region).unwrap(),
        name: format!("win-{index}"),
        created_at: at(-100 * HOUR),
        uptime_at: Some(at(-50 * HOUR)),
        platform_code: begin.platform.to_owned(),
        hypervisor_code: begin.hypervisor.to_owned(),
        status_code: begin.status.to_owned(),
        operation_code: "NULL".to_owned(),
        memory_bytes: begin.gib << 30,
        zone_code: format!("{}-1", begin.region),
        subnet_no: "1".to_owned(),
        placement_group_no: String::new(),
    }
}

/// Names of alert rules; each has a policy of its own, but for the last, which nobody claims.
pub(crate) const KINDS: [&str; 5] = ["HungAuto", "HungAsk", "HungJp", "HungFast", "DiskFull"];

/// Sources and how far they are believed.
pub(crate) const SOURCES: [(&str, Trust); 3] =
    [("am-a", Trust::Act), ("am-b", Trust::Act), ("insight", Trust::Propose)];

/// Ways the limits bind: loose but for spacing, then one scope tight at a time, then the storm guard, then the breaker.
pub(crate) const FLAVOURS: usize = 7;
/// The one with a tight storm guard.
pub(crate) const STORMY: usize = 5;
/// The one with a tight breaker.
pub(crate) const FRAGILE: usize = 6;
/// Changes that a reload can bring: none, a changed policy, one switched off, a denied server, a maintenance window.
pub(crate) const CHANGES: usize = 5;

/// Every configuration: `flavour * CHANGES + change`.
pub(crate) static RULES: LazyLock<Vec<Rules>> = LazyLock::new(|| {
    (0..FLAVOURS).flat_map(|flavour| (0..CHANGES).map(move |change| rules(flavour, change))).collect()
});

fn policy(name: &str, kind: usize, mode: Mode, settle: i64, cooldown_minutes: i64, budget: &str) -> Policy {
    Policy {
        name: name.to_owned(),
        mode,
        matchers: Matchers(vec![Matcher::equal("alertname", KINDS[kind])]),
        sources: Vec::new(),
        region: RegionCode::parse(if kind == 2 { "JP" } else { "KR" }).unwrap(),
        targets: vec![TargetRule { label: "server_instance_no".to_owned(), kind: TargetKind::ServerNo }],
        deny_servers: Vec::new(),
        settle: SignedDuration::from_secs(settle),
        cooldown: SignedDuration::from_mins(cooldown_minutes),
        budget: vec![Budget::parse(budget).unwrap()],
        delivery_age_max: SignedDuration::from_mins(5),
        notice_age_max: SignedDuration::from_mins(15),
        episode_age_max: SignedDuration::from_hours(6),
        approval_wait: SignedDuration::from_mins(60),
        require_attestation: None,
        corroborate: Vec::new(),
    }
}

/// One configuration.
fn rules(flavour: usize, change: usize) -> Rules {
    let tight = |of: usize, text: &'static str| if flavour == of { text } else { "50/1h" };
    let budgets = |texts: &[&str]| texts.iter().map(|text| Budget::parse(text).unwrap()).collect();
    let of_policy = tight(1, "1/3h");
    let mut policies = vec![
        policy("hung-auto", 0, Mode::Auto, 120, 120, of_policy),
        policy("hung-ask", 1, Mode::Approve, 0, 35, of_policy),
        policy("hung-jp", 2, Mode::Auto, 0, 35, of_policy),
        policy("hung-fast", 3, Mode::Auto, 0, 35, of_policy),
    ];
    // A second claim on some of the fast ones: nobody can say whose limits hold.
    let mut overlap = policy("overlap", 3, Mode::Auto, 0, 35, of_policy);
    overlap.matchers.0.push(Matcher::equal("team", "two"));
    policies.push(overlap);
    match change {
        1 => policies[3].cooldown = SignedDuration::from_mins(50),
        2 => policies[3].mode = Mode::Off,
        3 => policies.iter_mut().for_each(|policy| policy.deny_servers.push("win-0".to_owned())),
        _ => {}
    }
    let maintenance = Maintenance {
        name: "works".to_owned(),
        schedule: Schedule::Once { from: at(-HOUR), until: at(10_000 * HOUR) },
        name_pattern: None,
        servers: vec!["win-2".to_owned()],
        region: None,
        matchers: Matchers::default(),
    };
    Rules {
        policies,
        limits: Limits {
            server: budgets(&[tight(4, "1/12h")]),
            region: budgets(&[tight(2, "1/3h")]),
            global: if flavour == 3 { budgets(&["2/3h", "3/24h"]) } else { budgets(&["50/1h"]) },
            in_flight: if flavour == 0 || flavour == 4 { 2 } else { 1 },
            spacing: SignedDuration::from_secs(if flavour == 0 { 600 } else { 60 }),
        },
        eligibility: Eligibility::default(),
        maintenance: if change == 4 { vec![maintenance] } else { Vec::new() },
        storm: if flavour == STORMY {
            StormRules::default()
        } else {
            StormRules { share: 1.0, count: 1000, same_zone: 1000, ..StormRules::default() }
        },
        breaker: BreakerRules {
            failures: if flavour == FRAGILE { 1 } else { 1000 },
            ..BreakerRules::default()
        },
        clock_skew_max: SignedDuration::from_secs(60),
    }
}

/// One notice of one alert, on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) server: usize,
    pub(crate) kind: usize,
    pub(crate) two_teams: bool,
    pub(crate) starts_at: Option<i64>,
    pub(crate) ends_at: Option<i64>,
    pub(crate) resolved: bool,
    pub(crate) sender_time: Option<i64>,
}

impl Notice {
    pub(crate) fn fingerprint(&self) -> String {
        format!("f-{}-{}-{}", self.server, self.kind, u8::from(self.two_teams))
    }
}

/// The alert that a source makes of a notice.
pub(crate) fn alert(notice: &Notice) -> Alert {
    let team = if notice.two_teams { "two" } else { "one" };
    let labels = [
        ("alertname", KINDS[notice.kind].to_owned()),
        ("server_instance_no", format!("9000000{}", notice.server + 1)),
        ("team", team.to_owned()),
    ];
    Alert {
        fingerprint: notice.fingerprint(),
        status: if notice.resolved { AlertStatus::Resolved } else { AlertStatus::Firing },
        name: KINDS[notice.kind].to_owned(),
        labels: labels.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
        starts_at: notice.starts_at.map(at),
        ends_at: notice.ends_at.map(at),
        sender_time: notice.sender_time.map(at),
        never_actionable: None,
    }
}

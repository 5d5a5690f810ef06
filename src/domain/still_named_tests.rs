use super::super::claim::{Claim, Health, Preflight, PreflightSeen, Settled, Waiting, claim, settled};
use super::super::policy::{Mode, Rules, TargetRule};
use super::super::server::ServerNo;
use super::super::target::ServerName;
use super::super::testing::{self, at};
use super::*;

/// A remediation of `server()` whose alert has these labels, under these target rules.
fn waiting(targets: &[&str], labels: &[(&str, &str)]) -> (Waiting, Rules) {
    let mut rules = testing::rules(Mode::Auto);
    rules.policies[0].targets = targets.iter().map(|rule| TargetRule::parse(rule).unwrap()).collect();
    let mut waiting = testing::waiting(Mode::Auto);
    waiting.policy_hash = rules.policies[0].hash();
    waiting.alert.labels.remove("server_instance_no");
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    waiting.alert.labels.extend(labels);
    (waiting, rules)
}

const TARGETS: [&str; 3] = ["label:no", "label:instance as ip", "label:host as name"];
const OURS: &str = "90000001";

fn other(number: &str, name: &str) -> Server {
    Server { no: ServerNo::parse(number).unwrap(), name: name.to_owned(), ..testing::server() }
}

fn ip() -> TargetName {
    TargetName::Ip("10.0.0.1".parse().unwrap())
}

fn named(name: &str) -> TargetName {
    TargetName::Name(ServerName::new(name))
}

fn read(name: TargetName, servers: &[Server]) -> Resolved {
    Resolved { name, servers: Ok(servers.to_vec()) }
}

fn check(labels: &[(&str, &str)], resolved: Option<&Resolved>, expected: &str) {
    let (waiting, rules) = waiting(&TARGETS, labels);
    let seen = PreflightSeen::Server(Box::new(testing::server()));
    let preflight = Preflight { read_at: at(0), seen, named: resolved.cloned(), signals: Vec::new() };
    let (verdict, trace) =
        claim(&waiting, &rules, &testing::facts(), Some(&preflight), &Health::default(), at(1));
    let said = match verdict {
        Claim::Go(_) => "go".to_owned(),
        Claim::NeedPreflight => "read".to_owned(),
        Claim::Wait(check) => format!("wait {}", check.guard.as_str()),
        Claim::Cancel(check) => format!("cancel {}", check.guard.as_str()),
        Claim::Expire(check) => format!("expire {}", check.guard.as_str()),
        Claim::AskPerson(_) => "ask".to_owned(),
    };
    assert_eq!(said, expected, "{labels:?} {resolved:?} {trace:#?}");
}

#[test]
fn an_address_must_still_lead_to_the_server_and_to_it_alone() {
    let labels = [("instance", "10.0.0.1:9182")];
    let (ours, theirs) = (testing::server(), other("90000002", "win-app-02"));
    check(&labels, Some(&read(ip(), std::slice::from_ref(&ours))), "go");
    check(&labels, Some(&read(ip(), std::slice::from_ref(&theirs))), "cancel target_changed");
    check(&labels, Some(&read(ip(), &[])), "cancel target_changed");
    check(&labels, Some(&read(ip(), &[ours.clone(), theirs])), "cancel target_changed");
    let made_anew = Server { created_at: at(-10), ..ours.clone() };
    check(&labels, Some(&read(ip(), &[made_anew])), "cancel target_changed");
    check(&labels, None, "wait blind");
    check(&labels, Some(&read(TargetName::Ip("10.0.0.2".parse().unwrap()), &[ours])), "wait blind");
    check(&labels, Some(&Resolved { name: ip(), servers: Err("503".into()) }), "wait blind");
}

#[test]
fn a_name_must_still_lead_to_the_server_and_to_it_alone() {
    let ours = testing::server();
    let whole = other("90000002", "win-app-01.corp.example");
    for name in ["WIN-APP-01", "win-app-01.corp.example"] {
        let labels = [("host", name)];
        check(&labels, Some(&read(named(name), std::slice::from_ref(&ours))), "go");
        check(&labels, Some(&read(named(name), &[])), "cancel target_changed");
        check(
            &labels,
            Some(&read(named(name), &[ours.clone(), other("90000002", "WIN-APP-01")])),
            "cancel target_changed",
        );
        check(&labels, None, "wait blind");
    }
    let labels = [("host", "win-app-01.corp.example")];
    check(&labels, Some(&read(named("win-app-01.corp.example"), &[ours, whole])), "cancel target_changed");
}

#[test]
fn a_number_needs_no_second_read_and_no_other_label_may_name_another_server() {
    let (ours, theirs) = (testing::server(), other("90000002", "win-app-02"));
    check(&[("no", OURS)], None, "go");
    check(&[("no", OURS), ("host", "WIN-APP-01.corp.example")], None, "go");
    check(&[("no", "90000002")], None, "cancel target_changed");
    let with_address = [("no", OURS), ("instance", "10.0.0.1")];
    check(&with_address, None, "wait blind");
    check(&with_address, Some(&read(ip(), std::slice::from_ref(&ours))), "go");
    check(&with_address, Some(&read(ip(), &[ours.clone(), theirs.clone()])), "go");
    check(&with_address, Some(&read(ip(), &[])), "go");
    check(&with_address, Some(&read(ip(), std::slice::from_ref(&theirs))), "cancel target_ambiguous");
    let with_name = [("no", OURS), ("host", "win-app-02")];
    check(&with_name, None, "wait blind");
    check(&with_name, Some(&read(named("win-app-02"), &[theirs])), "cancel target_ambiguous");
    check(&with_name, Some(&read(named("win-app-02"), &[])), "go");
    let (waiting, mut rules) =
        waiting(&["label:host as name", "label:no"], &[("host", "win-app-01"), ("no", "7")]);
    rules.policies[0].mode = Mode::Auto;
    let mut trace = Trace::default();
    waiting.decided().ask(&mut trace, &rules.policies[0], Some(&read(named("win-app-01"), &[ours])));
    assert_eq!(trace.first(Verdict::Stop).unwrap().guard, Reason::TargetAmbiguous);
}

#[test]
fn labels_that_name_nothing_any_more_and_orders_by_hand() {
    check(&[], None, "cancel target_changed");
    check(&[("no", "7x")], None, "cancel target_changed");
    let (mut waiting, rules) = waiting(&TARGETS, &[]);
    BY_HAND.clone_into(&mut waiting.source);
    let mut trace = Trace::default();
    waiting.decided().ask(&mut trace, &rules.policies[0], None);
    assert!(trace.first(Verdict::Stop).is_none(), "{trace:?}");
}

#[test]
fn what_the_inventory_knows_cancels_before_anybody_is_asked() {
    let told = |target: TargetFact| {
        let (waiting, rules) = waiting(&TARGETS, &[("instance", "10.0.0.1")]);
        let facts = super::super::facts::Facts { target, ..testing::facts() };
        match settled(&waiting, &rules, &facts, at(1)).0 {
            Settled::Cancel(check) => check.guard.as_str(),
            Settled::Queue => "queue",
            Settled::AskPerson(_) | Settled::Expire(_) => "other",
        }
    };
    let found = |server: Server| TargetFact::Found(Box::new(server));
    assert_eq!(told(found(testing::server())), "queue");
    assert_eq!(told(found(other("90000002", "win-app-02"))), "target_changed");
    assert_eq!(told(TargetFact::Ambiguous { named: "x".into(), numbers: Vec::new() }), "target_changed");
    assert_eq!(told(TargetFact::Disagree { seen: "x".into() }), "target_ambiguous");
}

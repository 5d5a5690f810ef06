use super::super::policy::{Mode, TargetRule};
use super::super::testing;
use super::*;

const RULES: [&str; 3] = ["label:no", "label:instance as ip", "label:host as name"];

fn asked(rules: &[&str], labels: &[(&str, &str)]) -> (Policy, Alert) {
    let mut policy = testing::policy(Mode::Auto);
    policy.targets = rules.iter().map(|rule| TargetRule::parse(rule).unwrap()).collect();
    let mut alert = testing::alert();
    alert.labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    (policy, alert)
}

fn named(labels: &[(&str, &str)]) -> Named {
    let (policy, alert) = asked(&RULES, labels);
    target_name(&policy, &alert)
}

fn check(labels: &[(&str, &str)], expected: &str) {
    let told = match named(labels) {
        Named::Missing { labels } => format!("missing {}", labels.join(" ")),
        Named::Malformed { label, why: _ } => format!("malformed {label}"),
        Named::Target { name, others } => {
            let all: Vec<String> = [name].into_iter().chain(others).map(|name| name.to_string()).collect();
            all.join(", ")
        }
    };
    assert_eq!(told, expected, "{labels:?}");
}

#[test]
fn the_first_rule_that_fits_decides_and_the_others_are_told_beside_it() {
    check(&[("other", "1")], "missing no instance host");
    check(&[("no", " "), ("instance", "")], "missing no instance host");
    check(&[("no", " 7 "), ("instance", "10.0.0.1")], "server 7, address 10.0.0.1");
    check(&[("instance", "10.0.0.1:9182"), ("host", "win-app-01")], "address 10.0.0.1, name win-app-01");
    check(&[("instance", "[::ffff:10.0.0.1]:9182")], "address 10.0.0.1");
    check(&[("host", "WIN-App-01")], "name win-app-01");
}

#[test]
fn a_rule_that_does_not_fit_is_passed_over() {
    check(&[("instance", "win-web-18:9182"), ("host", "win-web-18")], "name win-web-18");
    check(&[("instance", "http://win-web-18:9182/metrics"), ("host", "win-web-18")], "name win-web-18");
    check(&[("instance", "win-web-18:9182")], "missing no instance host");
    check(&[("no", "7"), ("instance", "localhost:9182")], "server 7");
}

#[test]
fn what_must_not_be_passed_over_is_refused_wherever_it_stands() {
    check(&[("no", "7x"), ("host", "win-app-01")], "malformed label no");
    check(&[("no", "007"), ("instance", "10.0.0.1")], "malformed label no");
    check(&[("host", "win\u{7}app")], "malformed label host");
    check(&[("instance", "10.0.0.1\n"), ("host", "win-app-01")], "malformed label instance");
    check(&[("instance", "win-web-18\r\n"), ("host", "win-app-01")], "malformed label instance");
    check(&[("no", "7"), ("host", "win\u{7}app")], "malformed label host");
    let (longest, long) = ("x".repeat(255), "x".repeat(256));
    check(&[("host", &longest)], &format!("name {longest}"));
    check(&[("host", &long)], "malformed label host");
}

fn servers(names: &[&str]) -> Vec<Server> {
    let numbered = |(index, name): (usize, &&str)| Server {
        no: ServerNo::parse(&format!("{}", index + 1)).unwrap(),
        name: (*name).to_owned(),
        ..testing::server()
    };
    names.iter().enumerate().map(numbered).collect()
}

#[test]
fn a_name_is_compared_whole_and_then_by_its_first_part() {
    let check = |name: &str, known: &[&str], expected: &[&str]| {
        let servers = servers(known);
        let all: Vec<&Server> = servers.iter().collect();
        let found: Vec<&str> =
            ServerName::new(name).among(&all).iter().map(|server| server.name.as_str()).collect();
        assert_eq!(found, expected, "{name} among {known:?}");
    };
    check("WIN-WEB-15", &["win-web-15", "win-web-1"], &["win-web-15"]);
    check("win-web-15", &["WIN-WEB-15"], &["WIN-WEB-15"]);
    check("win-web-15", &["WIN-web-15", "win-WEB-15"], &["WIN-web-15", "win-WEB-15"]);
    check("WIN-APP-01.corp.example", &["win-app-01", "corp"], &["win-app-01"]);
    check(
        "win-app-01.corp.example",
        &["win-app-01.CORP.example", "win-app-01"],
        &["win-app-01.CORP.example"],
    );
    check("win-app-01.corp.example", &["win-app-01", "WIN-APP-01"], &["win-app-01", "WIN-APP-01"]);
    check("win-app-01.corp.example", &["win-app-01.corp"], &[]);
    check("win-app-01", &["win-app-01.corp.example"], &[]);
    check("10.0.0.1", &["10"], &[]);
    check(".corp.example", &["", "corp"], &[]);
}

#[test]
fn the_address_that_is_claimed_is_that_of_an_address_rule() {
    let claimed = |labels: &[(&str, &str)]| {
        let (policy, alert) = asked(&["label:no", "label:instance as ip", "label:other as ip"], labels);
        claimed_address(&policy, &alert).map(|ip| ip.to_string())
    };
    assert_eq!(claimed(&[("no", "10.0.0.1")]), None);
    assert_eq!(claimed(&[("no", "1"), ("instance", " 10.0.0.2:9182 ")]).as_deref(), Some("10.0.0.2"));
    assert_eq!(claimed(&[("instance", "host"), ("other", "10.0.0.3")]).as_deref(), Some("10.0.0.3"));
    assert_eq!(claimed(&[("instance", "http://[::ffff:10.0.0.4]:1/")]).as_deref(), Some("10.0.0.4"));
}

#[test]
fn labels_contradict_each_other_only_by_naming_another_server() {
    let all = servers(&["win-a", "win-b"]);
    let (ours, theirs) = (&all[0], &all[1]);
    let found = |server: &Server| TargetFact::Found(Box::new(server.clone()));
    let several = |numbers: &[&Server]| TargetFact::Ambiguous {
        named: "x".into(),
        numbers: numbers.iter().map(|server| server.no.clone()).collect(),
    };
    let ip = TargetName::Ip("10.0.0.1".parse().unwrap());
    assert!(TargetName::No(theirs.no.clone()).contradicts(ours, &TargetFact::Pending));
    assert!(!TargetName::No(ours.no.clone()).contradicts(ours, &TargetFact::Pending));
    assert!(ip.contradicts(ours, &found(theirs)));
    assert!(!ip.contradicts(ours, &found(ours)));
    assert!(ip.contradicts(ours, &several(&[theirs, theirs])));
    assert!(!ip.contradicts(ours, &several(&[ours, theirs])));
    assert!(!ip.contradicts(ours, &TargetFact::Unknown { named: "x".into() }));
    assert!(!ip.contradicts(ours, &TargetFact::Pending));
}

#[test]
fn lists_of_servers_have_no_case() {
    assert!(means("WIN-DB-01", "7", "win-db-01"));
    assert!(means("7", "7", "win-db-01"));
    assert!(!means("win-db", "7", "win-db-01"));
}

//! Many servers at once, a run of bad outcomes, and a policy that lost trust: nothing is sent until a person says so.

use std::sync::Mutex;

use serde_json::{Value, json};
use simulator::{Behaviour, Script};

use crate::support::{
    Cloud, LEAD, OPERATOR, Service, Settings, Site, VIEWER, alert, broken_laws, delivery, eventually, fleet,
    now_text,
};

/// The storm guard as it is when nothing is said.
const USUAL: &str = "[storm]\nshare = 0.1\n";

fn server(n: usize) -> String {
    (91_000_001 + n).to_string()
}

fn stage(servers: u32, change: impl FnOnce(Settings) -> Settings) -> (Cloud, Site, Service) {
    let cloud = Cloud::start(fleet(servers));
    let plain = Settings { more: USUAL.to_owned(), ..Settings::new(&cloud.running.endpoint()) };
    let site = Site::new(&change(plain));
    let service = site.start();
    service.wait_for_inventory(usize::try_from(servers).unwrap());
    (cloud, site, service)
}

fn fire(service: &Service, servers: &[usize], note: &str) -> Vec<Value> {
    let starts_at = now_text();
    let alerts: Vec<_> = servers.iter().map(|n| alert(&server(*n), "firing", &starts_at)).collect();
    let (status, answer) = service.deliver(&delivery(&alerts, note)).unwrap();
    assert_eq!(status, 202, "{answer}");
    answer["alerts"].as_array().unwrap().clone()
}

fn open_storms(service: &Service) -> Vec<Value> {
    let (status, page) = service.get("/api/v1/storms?state=open", VIEWER);
    assert_eq!(status, 200, "{page}");
    page["items"].as_array().unwrap().clone()
}

fn events(service: &Service, kind: &str) -> Vec<Value> {
    let (status, page) = service.get(&format!("/api/v1/audit?limit=1000&kind={kind}"), VIEWER);
    assert_eq!(status, 200, "{page}");
    page["items"].as_array().unwrap().clone()
}

fn say(service: &Service, token: &str, path: &str) -> (u16, Value) {
    service.post(&format!("/api/v1/{path}"), token, &json!({ "reason": "looked at it" }))
}

/// Clears the only open storm, and takes the demotion back that came with it.
fn clear(service: &Service) {
    let storms = open_storms(service);
    assert_eq!(storms.len(), 1, "{storms:?}");
    let path = format!("storms/{}/clear", storms[0]["id"]);
    let (status, said) = say(service, OPERATOR, &path);
    assert_eq!(status, 403, "an operator clears no storm: {said}");
    let (status, said) = say(service, LEAD, &path);
    assert_eq!(status, 200, "{said}");
    let (status, said) = say(service, LEAD, &path);
    assert_eq!(status, 404, "a storm is cleared once: {said}");
    service.promote();
}

fn figure(service: &Service, name: &str) -> String {
    let http = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    let text = http.get(format!("{}/metrics", service.url)).send().unwrap().text().unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn five_hundred_servers_told_by_three_senders_get_one_interrupt_at_most_until_a_person_clears() {
    let (cloud, site, service) = stage(500, |plain| Settings { spacing: "1ms", ..plain });
    assert_eq!(figure(&service, "unhang_storm_open"), " 0");
    let acknowledged = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for sender in 0..3 {
            let (service, acknowledged) = (&service, &acknowledged);
            scope.spawn(move || {
                // 10,020 alerts and a third of the deliveries again; every sender tells of every server, each in an order
                // of its own.
                for n in 0..334 {
                    let first = (n * 70 + sender * 170) % 500;
                    let starts_at = now_text();
                    let alerts: Vec<_> =
                        (first..first + 10).map(|n| alert(&server(n % 500), "firing", &starts_at)).collect();
                    let note = format!("{sender} {n}");
                    let (status, answer) = service.deliver(&delivery(&alerts, &note)).unwrap();
                    assert_eq!(status, 202, "{answer}");
                    let id = answer["deliveryId"].as_str().unwrap().to_owned();
                    acknowledged.lock().unwrap().push(id);
                    if n % 3 == 0 {
                        let (status, again) = service.deliver(&delivery(&alerts, &note)).unwrap();
                        assert_eq!((status, &again["deliveryId"]), (202, &answer["deliveryId"]), "a repeat");
                    }
                }
            });
        }
    });
    let storms = open_storms(&service);
    assert_eq!(storms.len(), 1, "{storms:?}");
    assert_eq!(figure(&service, "unhang_storm_open"), " 1");
    assert_eq!(events(&service, "storm_opened").len(), 1);
    eventually("everything that waited to be taken back", || {
        let waits = ["settling", "awaiting_approval", "queued", "intent"];
        let all = service.remediations();
        (!all.iter().any(|one| waits.iter().any(|state| one["state"] == *state))).then_some(())
    });
    let sent = cloud.running.ledger().len();
    assert!(sent <= 1, "{sent} requests");
    assert_eq!(fire(&service, &[400], "still")[0]["reason"], "storm");

    // A restart forgets nothing.
    service.kill();
    let service = site.start();
    assert_eq!(open_storms(&service), storms);
    assert_eq!(fire(&service, &[401], "after the restart")[0]["reason"], "storm");
    let (_, said) = service.post(
        "/api/v1/remediations",
        OPERATOR,
        &json!({ "serverInstanceNo": server(402), "regionCode": "KR", "policy": "hung-windows",
            "reason": "frozen console", "mode": "execute" }),
    );
    assert_eq!(said["reason"], "storm", "people are bound as well: {said}");
    assert_eq!(cloud.running.ledger().len(), sent);

    clear(&service);
    assert_eq!(fire(&service, &[403], "one that hangs")[0]["decision"], "remediate");
    service.wait_for(&server(403), &["accepted", "confirmed"]);
    assert_eq!(cloud.running.ledger().len(), sent + 1);
    let acknowledged = acknowledged.into_inner().unwrap();
    assert_eq!(broken_laws(&site, &cloud, &acknowledged), Vec::<String>::new());
}

#[test]
fn servers_that_are_told_while_others_wait_take_the_waiting_ones_back() {
    let (cloud, site, service) = stage(40, |plain| Settings { settle: "1s", ..plain });
    assert_eq!(fire(&service, &[0], "one")[0]["decision"], "remediate");
    assert_eq!(fire(&service, &[1], "two")[0]["decision"], "remediate");
    assert_eq!(fire(&service, &[2], "three")[0]["reason"], "storm");
    for n in 0..2 {
        let taken_back = service.wait_for(&server(n), &["cancelled"]);
        assert_eq!(taken_back["reason"], "storm", "{taken_back}");
    }
    assert_eq!(cloud.running.ledger().len(), 0);
    let opened = events(&service, "storm_opened");
    assert_eq!(opened[0]["regionCode"], "KR", "{opened:?}");
    assert_eq!(opened[0]["detail"]["servers"].as_array().unwrap().len(), 3, "{opened:?}");
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

#[test]
fn a_group_that_was_cut_short_is_a_storm() {
    let (_cloud, _site, service) = stage(40, |plain| plain);
    let mut body = delivery(&[alert(&server(0), "firing", &now_text())], "cut");
    body["truncatedAlerts"] = json!(7);
    let (status, answer) = service.deliver(&body).unwrap();
    assert_eq!((status, &answer["alerts"][0]["reason"]), (202, &json!("storm")), "{answer}");
    assert_eq!(fire(&service, &[1], "whole")[0]["reason"], "storm", "it holds for the region");
    clear(&service);
    assert_eq!(fire(&service, &[1], "whole again")[0]["decision"], "remediate");
}

#[test]
fn what_queued_before_a_downtime_does_not_burst_out_after_it() {
    let (cloud, site, service) = stage(6, |plain| Settings { spacing: "1h", more: String::new(), ..plain });
    fire(&service, &[0], "first");
    service.wait_for(&server(0), &["accepted", "confirmed"]);
    fire(&service, &[1, 2, 3, 4], "those behind it");
    for n in 1..5 {
        service.wait_for(&server(n), &["queued"]);
    }
    service.kill();
    // The machine was off for twenty minutes, and the spacing with it.
    shift_past(&site, 20 * 60_000);
    let quick = Settings { spacing: "1ms", ..Settings::new(&cloud.running.endpoint()) };
    site.write(&quick);
    let service = site.start();
    for n in 1..5 {
        let over = service.wait_for(&server(n), &["expired"]);
        assert_eq!(over["reason"], "expired", "{over}");
    }
    assert_eq!(cloud.running.ledger().len(), 1);
    // The notices were moved by hand, behind the audit's back.
    let broken = broken_laws(&site, &cloud, &[]);
    assert!(broken.iter().all(|law| law.starts_with("law 35")), "{broken:?}");
}

/// Moves what waits in a stopped store into the past.
fn shift_past(site: &Site, ms: i64) {
    let moved =
        format!("UPDATE remediation SET last_notice_at = last_notice_at - {ms} WHERE finished_at IS NULL");
    site.sql(&moved);
}

#[test]
fn three_refused_in_a_row_open_the_breaker_until_a_person_resets_it() {
    let (cloud, site, service) =
        stage(10, |plain| Settings { spacing: "1ms", more: "[breaker]\nfailures = 3\n".to_owned(), ..plain });
    let refuse: Behaviour = serde_json::from_value(json!({ "kind": "status_404" })).unwrap();
    cloud.running.set_behaviour(Script::every_interrupt(refuse)).unwrap();
    for n in 0..3 {
        assert_eq!(fire(&service, &[n], "one")[0]["decision"], "remediate");
        service.wait_for(&server(n), &["rejected"]);
    }
    let refused = fire(&service, &[3], "the fourth");
    assert_eq!(refused[0]["reason"], "breaker_open", "{refused:?}");
    assert!(refused[0]["until"].is_string(), "{refused:?}");
    assert_eq!(cloud.running.ledger().len(), 3);
    assert_eq!(figure(&service, "unhang_breaker_open{policy=\"hung-windows\"}"), " 1");
    service.kill();
    let service = site.start();
    let (_, page) = service.get("/api/v1/breakers", VIEWER);
    assert_eq!(page["items"][0]["state"], "open", "a restart forgets nothing: {page}");

    cloud.running.set_behaviour(Script::every_interrupt(Behaviour::Ok)).unwrap();
    assert_eq!(say(&service, OPERATOR, "breakers/hung-windows/reset").0, 403);
    assert_eq!(say(&service, LEAD, "breakers/nobody/reset").0, 404);
    let (status, said) = say(&service, LEAD, "breakers/hung-windows/reset");
    assert_eq!(status, 200, "{said}");
    assert_eq!(fire(&service, &[4], "after the reset")[0]["decision"], "remediate");
    service.wait_for(&server(4), &["accepted", "confirmed"]);
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

#[test]
fn a_policy_whose_attempt_ended_unknown_asks_a_person_until_it_is_promoted() {
    let (cloud, _site, service) = stage(6, |plain| Settings { spacing: "1ms", more: String::new(), ..plain });
    let lost: Behaviour = serde_json::from_value(json!({ "kind": "done_then_closed" })).unwrap();
    cloud.running.set_behaviour(Script::next_interrupt(&server(0), lost)).unwrap();
    fire(&service, &[0], "one");
    service.wait_for(&server(0), &["unknown", "confirmed"]);
    assert_eq!(events(&service, "policy_demoted").len(), 1);
    let policy = || service.get("/api/v1/policies", VIEWER).1["items"][0].clone();
    assert_eq!((&policy()["mode"], &policy()["effectiveMode"]), (&json!("auto"), &json!("approve")));
    assert_eq!(policy()["record"]["unknown"], 1, "{}", policy());
    assert_eq!(figure(&service, "unhang_policy_demoted{policy=\"hung-windows\"}"), " 1");

    assert_eq!(fire(&service, &[1], "two")[0]["decision"], "awaiting_approval");
    service.wait_for(&server(1), &["awaiting_approval"]);
    assert_eq!(cloud.requests(&server(1)), 0);
    let (status, _) = say(&service, OPERATOR, "policies/hung-windows/promote");
    assert_eq!(status, 403);
    let (status, said) = say(&service, LEAD, "policies/hung-windows/promote");
    assert_eq!(status, 200, "{said}");
    let (status, said) = say(&service, LEAD, "policies/hung-windows/promote");
    assert_eq!(status, 422, "it is not demoted any more: {said}");
    assert_eq!(fire(&service, &[2], "three")[0]["decision"], "remediate");
    service.wait_for(&server(2), &["accepted", "confirmed"]);

    let (status, said) = say(&service, OPERATOR, "policies/hung-windows/demote");
    assert_eq!(status, 200, "{said}");
    assert_eq!(policy()["record"]["wrongTarget"], 1, "{}", policy());
    assert_eq!(fire(&service, &[3], "four")[0]["decision"], "awaiting_approval");
}

#[test]
fn five_judged_of_which_none_was_confirmed_demote() {
    let (cloud, _site, service) = stage(6, |plain| Settings { spacing: "1ms", more: String::new(), ..plain });
    let refuse: Behaviour = serde_json::from_value(json!({ "kind": "status_404" })).unwrap();
    cloud.running.set_behaviour(Script::every_interrupt(refuse)).unwrap();
    for n in 0..5 {
        assert_eq!(events(&service, "policy_demoted").len(), 0, "{n} say nothing");
        assert_eq!(fire(&service, &[n], "one")[0]["decision"], "remediate");
        service.wait_for(&server(n), &["rejected"]);
    }
    let demoted = events(&service, "policy_demoted");
    assert!(demoted[0]["detail"].to_string().contains("0 of the last 5"), "{demoted:?}");
    assert_eq!(fire(&service, &[5], "the sixth")[0]["decision"], "awaiting_approval");
}

#[test]
fn a_demotion_asks_a_person_about_what_is_queued() {
    let (cloud, _site, service) = stage(6, |plain| Settings { spacing: "1h", more: String::new(), ..plain });
    fire(&service, &[0], "one");
    service.wait_for(&server(0), &["accepted", "confirmed"]);
    fire(&service, &[1], "two");
    service.wait_for(&server(1), &["queued"]);
    say(&service, OPERATOR, "policies/hung-windows/demote");
    let asked = service.wait_for(&server(1), &["awaiting_approval"]);
    assert!(asked["detail"].as_str().unwrap().contains("demoted"), "{asked}");
    assert_eq!(cloud.running.ledger().len(), 1);
}

#[test]
fn the_commands_list_and_lift() {
    let (_cloud, site, service) = stage(40, |plain| plain);
    site.secret("lead-token", LEAD);
    fire(&service, &[0, 1, 2], "three of one zone");
    let run = |args: &[&str]| {
        let mut all = args.to_vec();
        all.extend(["--url", &service.url, "--token-file", "lead-token"]);
        let (code, out, trouble) = site.run(&all);
        assert_eq!(code, 0, "{args:?}: {out}{trouble}");
        out
    };
    let storms = run(&["storm", "list"]);
    assert!(storms.contains("3 servers"), "{storms}");
    let policies = run(&["policy", "list"]);
    assert!(policies.contains("approve") && policies.contains("was demoted: storm 1 opened"), "{policies}");
    run(&["storm", "clear", "1", "--reason", "the switch is back"]);
    run(&["policy", "promote", "hung-windows", "--reason", "the switch is back"]);
    assert!(run(&["breaker", "list"]).contains("closed"));
    run(&["breaker", "reset", "hung-windows", "--reason", "a trial"]);
    run(&["policy", "demote", "hung-windows", "--reason", "a healthy server was named"]);
    let policies = run(&["policy", "list", "--output", "json"]);
    assert!(policies.contains("a healthy server was named"), "{policies}");
    assert_eq!(open_storms(&service), Vec::<Value>::new());
}

//! Backtest over the store of a real run: the same configuration decides as the service did, another one does not.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Rig, firing};
use crate::backtest::{Cut, End, Report, Wanted, Wish, run};
use crate::config::Config;
use crate::domain::decision::Decision;
use crate::domain::policy::Mode;

const QUICK: &str = r#"
[[policies]]
name = "quick"
mode = "auto"
settle = "1s"
cooldown = "24h"
match = { alertname = "Quick" }
"#;

/// An alert that began a moment ago, so that nobody needs to be asked.
fn quick(rig: &Rig, no: &str, fingerprint: &str) -> String {
    let now = rig.app.service().clock.now().to_string();
    firing(no, fingerprint).replace("WindowsVmHung", "Quick").replace("2026-11-22T00:00:00Z", &now)
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !is_so().await {
        assert!(Instant::now() < end, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn replay(rig: &Rig, config: &Config, wish: Option<Wish>) -> Report {
    let now = rig.app.service().clock.now();
    let since = rig.app.service().started_at;
    let wanted = Wanted { since, now, wish, cut: Cut::default() };
    run(&rig.app.service().store, config, &wanted, |_| {}).await.unwrap()
}

/// A run with every kind of decision that needs no failure.
async fn a_run(rig: &Rig) {
    let decided = |told: super::Told| {
        assert_eq!(told.status, 202, "{told:?}");
        let alert = told.json()["alerts"][0].clone();
        let text = |key: &str| alert[key].as_str().unwrap_or_default().to_owned();
        (text("decision"), text("reason"))
    };
    let word = |decision: &str, reason: &str| (decision.to_owned(), reason.to_owned());
    assert_eq!(decided(rig.deliver(&quick(rig, "90000001", "0a01")).await), word("remediate", ""));
    assert_eq!(decided(rig.deliver(&quick(rig, "90000001", "0a02")).await), word("duplicate", "duplicate"));
    until("the interrupt of 90000001", async || {
        let items = rig.get("/api/v1/remediations").await.json()["items"].clone();
        items[0]["attempts"][0]["outcome"] == "accepted"
    })
    .await;
    assert_eq!(decided(rig.deliver(&quick(rig, "90000001", "0a03")).await).0, "duplicate");
    assert_eq!(decided(rig.deliver(&firing("90000002", "0a04")).await).0, "awaiting_approval");
    let now = rig.app.service().clock.now().to_string();
    let ended = firing("90000002", "0a04").replace("\"firing\"", "\"resolved\"");
    let ended = ended.replace("0001-01-01T00:00:00Z", &now);
    assert_eq!(decided(rig.deliver(&ended).await), word("resolved", ""));
    // The same bytes would be the same delivery.
    let late = firing("90000002", "0a04").replace("http://am", "http://am/late");
    assert_eq!(decided(rig.deliver(&late).await), word("suppressed", "resolved"));
    assert_eq!(decided(rig.deliver(&firing("90000003", "0a05")).await), word("suppressed", "not_eligible"));
    let other = firing("90000001", "0a06").replace("WindowsVmHung", "SomethingElse");
    assert_eq!(decided(rig.deliver(&other).await), word("ignored", "no_policy"));
    let nobody = firing("90000001", "0a07").replace("server_instance_no", "nobody");
    assert_eq!(decided(rig.deliver(&nobody).await), word("suppressed", "target_missing"));
    rig.deliver(&firing("99999999", "0a08")).await;
    until("the look-up of 99999999", async || {
        rig.get("/api/v1/audit?reason=target_unknown").await.json()["items"].as_array().unwrap().len() == 1
    })
    .await;
    let hold = serde_json::json!({ "scope": "server", "name": "90000006", "reason": "a try" });
    let told = rig.post("operator", "/api/v1/holds", &hold).await;
    assert_eq!(told.status, 201, "{told:?}");
    assert_eq!(decided(rig.deliver(&quick(rig, "90000006", "0a09")).await), word("suppressed", "hold"));
    let path = format!("/api/v1/holds/{}?reason=over", told.json()["id"]);
    let told = rig.send(rig.request("DELETE", &path).bearer_auth(super::token("operator"))).await;
    assert_eq!(told.status, 200, "{told:?}");
    // The third server that fired was one too many.
    let last = decided(rig.deliver(&quick(rig, "90000006", "0a10")).await);
    assert_eq!(last, word("suppressed", "storm"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_configuration_decides_as_the_service_did() {
    let rig = Rig::start_with("127.0.0.1:0", QUICK).await;
    rig.inventory().await;
    a_run(&rig).await;
    let config = rig.app.service().config();
    let report = replay(&rig, &config, None).await;
    assert!(report.complete && report.alerts == 12, "{report:?}");
    assert!(report.differences.is_empty(), "{:#?}", report.differences);
    assert!(report.remediations.iter().all(|act| act.same), "{:#?}", report.remediations);
    let sent: Vec<_> = report.remediations.iter().filter(|act| act.end == End::Sent).collect();
    assert_eq!(sent.len(), 1, "{:#?}", report.remediations);
    assert_eq!(sent[0].server_instance_no.as_str(), "90000001");
    for policy in &report.policies {
        assert_eq!(policy.would_send, policy.was_sent, "{policy:?}");
        for count in policy.decisions.counts() {
            assert_eq!(count.simulated, count.recorded, "{:?} {count:?}", policy.policy);
        }
    }

    // Another configuration is told of, alert by alert.
    let mut changed = config.as_ref().clone();
    changed.rules.storm.count = 50;
    changed.rules.storm.same_zone = 50;
    // The storm of the record demoted the policy. That is known of it as well, unless its mode is wished.
    let report = replay(&rig, &changed, None).await;
    let words: Vec<_> = report.differences.iter().map(|one| (one.recorded, one.simulated)).collect();
    assert_eq!(words, [(Decision::Suppressed, Decision::AwaitingApproval)], "{:#?}", report.differences);
    let wish = Wish { policy: Some("quick".to_owned()), mode: Mode::Auto };
    let report = replay(&rig, &changed, Some(wish)).await;
    let words: Vec<_> = report.differences.iter().map(|one| (one.recorded, one.simulated)).collect();
    assert_eq!(words, [(Decision::Suppressed, Decision::Remediate)], "{:#?}", report.differences);

    let wish = Wish { policy: Some("quick".to_owned()), mode: Mode::Shadow };
    let report = replay(&rig, &config, Some(wish)).await;
    let quick = report.policies.iter().find(|one| one.policy.as_deref() == Some("quick")).unwrap();
    assert_eq!((quick.would_remediate, quick.would_send, quick.was_sent), (0, 0, 1), "{quick:?}");
    let reasons: BTreeMap<_, _> =
        quick.decisions.counts().into_iter().map(|one| (one.reason, one.simulated)).collect();
    assert_eq!(reasons[&Some(crate::domain::guard::Reason::Shadow)], 3, "{reasons:?}");

    // Whatever is asked for, no more is replayed than that.
    let now = rig.app.service().clock.now();
    let cut = Cut { alerts: Some(0), at: None };
    let wanted = Wanted { since: rig.app.service().started_at, now, wish: None, cut };
    let report = run(&rig.app.service().store, &config, &wanted, |_| {}).await.unwrap();
    assert!(!report.complete && report.alerts == 0 && report.alerts_in_range == 12, "{report:?}");
}

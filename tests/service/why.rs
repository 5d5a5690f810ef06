//! "Why did nothing happen to this server at 03:12?": each way to do nothing is built, and `unhang why` must name it
//! and what would have to change.

use serde_json::{Value, json};
use unhang::domain::audit::{Actor, AuditEvent};
use unhang::domain::audit_key::AuditKey;
use unhang::store::Store;

use crate::past;
use crate::support::{
    Cloud, OPERATOR, Service, Settings, Site, VIEWER, alert, delivery, eventually, fleet, now_text,
};

const HUMBLE: &str = "humble-test-token-0000001";
const MORE: &str = r#"
[[sources]]
name = "humble"
kind = "alertmanager"
auth = [{ kind = "bearer", secret_file = "humble" }]
[[policies]]
name = "twice"
mode = "auto"
match = { twice = "yes" }
[[policies]]
name = "denied"
mode = "auto"
match = { alertname = "Denied" }
deny_servers = ["win-005"]
[[policies]]
name = "watched"
mode = "shadow"
match = { alertname = "Watched" }
[[policies]]
name = "slow"
mode = "auto"
settle = "10m"
match = { alertname = "Slow" }
[[policies]]
name = "brief"
mode = "auto"
settle = "1s"
match = { alertname = "Brief" }
[[maintenance]]
name = "patch night"
cron = "* * * * *"
duration = "2h"
timezone = "Asia/Seoul"
servers = ["win-010"]
"#;

struct Stage {
    cloud: Cloud,
    site: Site,
    service: Service,
}

/// The number of the server `win-00N`.
fn no(n: u32) -> String {
    (91_000_001 + n).to_string()
}

fn stage() -> Stage {
    let mut scenario = fleet(20);
    scenario.servers[4].platform = "LNX64".into();
    let cloud = Cloud::start(scenario);
    let site = Site::new(&Settings { more: MORE.to_owned(), ..Settings::new(&cloud.running.endpoint()) });
    site.secret("humble", HUMBLE);
    site.secret("viewer", VIEWER);
    let service = site.start();
    service.wait_for_inventory(20);
    service.stop();
    past::interrupted(&site, &no(12), 120);
    past::interrupted(&site, &no(13), 10);
    let service = site.start();
    service.wait_for_inventory(20);
    Stage { cloud, site, service }
}

impl Stage {
    fn tell(&self, alert: &Value, note: &str) -> Value {
        let (status, answer) = self.service.deliver(&delivery(std::slice::from_ref(alert), note)).unwrap();
        assert_eq!(status, 202, "{answer}");
        answer["alerts"][0].clone()
    }

    /// Fires an alert with other labels beside or instead of the usual ones; an empty value takes one away.
    fn fire(&self, n: u32, labels: &[(&str, &str)]) -> Value {
        self.fire_from(n, &now_text(), labels)
    }

    fn fire_from(&self, n: u32, starts_at: &str, labels: &[(&str, &str)]) -> Value {
        let mut one = alert(&no(n), "firing", starts_at);
        for (name, value) in labels {
            one["labels"][*name] = json!(value);
        }
        one["labels"].as_object_mut().unwrap().retain(|_, value| value != "");
        self.tell(&one, &format!("{n} {labels:?}"))
    }

    fn why(&self, server: &str, more: &[&str]) -> (i32, String) {
        let mut args = vec!["why", server, "--url", &self.service.url, "--token-file", "viewer"];
        args.extend(more);
        let (code, said, trouble) = self.site.run(&args);
        (code, said + &trouble)
    }

    /// The first line must say that nothing was sent, no line may be wide, and every part must be there.
    fn check(&self, server: &str, parts: &[&str]) {
        let (code, said) = self.why(server, &[]);
        assert_eq!(code, 0, "{server}: {said}");
        assert!(said.starts_with("Nothing was sent to "), "{server}: {said}");
        assert!(said.lines().all(|line| line.chars().count() <= 80), "{server}: {said}");
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in parts {
            assert!(words.contains(part), "{server}: {part:?} is not in\n{said}");
        }
    }
}

#[test]
fn why_names_the_reason_and_what_would_have_to_change() {
    let on = stage();
    on.fire(0, &[("alertname", "DiskFull")]);
    on.check("win-000", &[": no_policy", "hung-windows wants alertname=\"WindowsVmHung\"", "twice wants"]);
    on.fire(1, &[("twice", "yes")]);
    on.check("win-001", &[": ambiguous_policy", "hung-windows, twice", "exactly one claims"]);
    on.fire(2, &[("server_instance_no", ""), ("node", "win-002")]);
    on.check("win-002", &[": target_missing", "one of the labels server_instance_no, instance, hostname"]);

    let mut unknown = alert("99999999", "firing", &now_text());
    unknown["labels"]["server_instance_no"] = json!("99999999");
    on.tell(&unknown, "unknown");
    eventually("the look-up", || on.why("99999999", &[]).1.contains("target_unknown").then_some(()));
    on.check("99999999", &[": target_unknown", "the cloud knows no such server"]);

    on.fire(4, &[]);
    on.check("win-004", &[": not_eligible", "only Windows"]);
    on.fire(5, &[("alertname", "Denied")]);
    on.check("win-005", &[": denied_server", "deny_servers"]);
    let now: jiff::Timestamp = now_text().parse().unwrap();
    on.fire_from(6, &(now - jiff::SignedDuration::from_hours(7)).to_string(), &[]);
    on.service.wait_for(&no(6), &["awaiting_approval"]);
    on.check("win-006", &["awaiting_approval (stale)", "`unhang approve "]);
    on.fire_from(7, "2099-01-01T00:00:00Z", &[]);
    on.check("win-007", &[": from_future", "the clock of the sender"]);

    on.fire(8, &[("alertname", "Slow")]);
    let mut other = alert(&no(8), "firing", &now_text());
    other["labels"]["alertname"] = json!("Slow");
    other["fingerprint"] = json!("00000000000000bb");
    assert_eq!(on.tell(&other, "other")["decision"], "duplicate");
    on.check("win-008", &["is settling", "firing: duplicate", "goes on by itself"]);

    let silence = json!({ "matchers": { "env": "test" }, "comment": "load test", "duration": "1h" });
    let (status, silence) = on.service.post("/api/v1/silences", OPERATOR, &silence);
    assert_eq!(status, 201, "{silence}");
    on.fire(9, &[("env", "test")]);
    on.check("win-009", &[": silenced until", &format!("`unhang silence end {} ", silence["id"])]);

    // Told by address only, and asked for by address, name and number.
    on.fire(10, &[("server_instance_no", ""), ("instance", "10.1.0.11:9182")]);
    eventually("the look-up", || on.why("10.1.0.11", &[]).1.contains(": maintenance").then_some(()));
    for called in ["10.1.0.11", "win-010", &no(10)] {
        on.check(called, &["sent to win-010", ": maintenance until", "window patch night", "a new notice"]);
    }
}

#[test]
fn why_names_what_people_and_the_past_say_no_to() {
    let on = stage();
    let hold = |n: u32| {
        let body = json!({ "scope": "server", "name": no(n), "reason": "dump is being copied" });
        let (status, hold) = on.service.post("/api/v1/holds", OPERATOR, &body);
        assert_eq!(status, 201, "{hold}");
        hold["id"].to_string()
    };
    let id = hold(11);
    on.fire(11, &[]);
    on.check(
        "win-011",
        &[": hold", "dump is being copied", &format!("`unhang hold clear {id} --reason TEXT`")],
    );
    on.fire(12, &[]);
    on.check("win-012", &[": cooldown until", "`unhang dump-collected win-012 --reason TEXT`"]);
    on.fire(13, &[]);
    on.check("win-013", &[": dump_window until", "nobody can override"]);
    on.fire(14, &[("alertname", "Watched")]);
    on.check("win-014", &[": shadow", "approve asks a person"]);

    let humble = delivery(&[alert(&no(15), "firing", &now_text())], "humble");
    let (status, answer) = on.service.post("/webhooks/humble", HUMBLE, &humble);
    assert_eq!(status, 202, "{answer}");
    on.service.wait_for(&no(15), &["awaiting_approval"]);
    on.check(
        "win-015",
        &["awaiting_approval (propose_only)", "`unhang approve ", "propose_only: a person's approval"],
    );

    // It ended, and a late copy of the firing notice comes.
    let starts_at = now_text();
    on.fire_from(16, &starts_at, &[("alertname", "Watched")]);
    on.tell(&alert(&no(16), "resolved", &starts_at), "over");
    on.fire_from(16, &starts_at, &[("late", "yes")]);
    on.check("win-016", &[": resolved", "a new firing notice with a later start", "resolved: resolved"]);

    // Decided, then taken back: one story.
    on.fire(17, &[("alertname", "Brief")]);
    let id = hold(17);
    on.service.wait_for(&no(17), &["cancelled"]);
    on.check(
        "win-017",
        &[
            "decided at ",
            "cancelled at ",
            "by hold.",
            "settling -> cancelled by hold",
            &format!("hold clear {id} "),
        ],
    );
    let (_, told) = on.service.get(&format!("/api/v1/explain?serverInstanceNo={}", no(17)), VIEWER);
    let events = told["remediations"][0]["events"].as_array().unwrap();
    let moved = events.iter().find(|event| event["kind"] == "remediation_moved").unwrap();
    let detail: Value = serde_json::from_str(moved["detail"].as_str().unwrap_or_default())
        .unwrap_or_else(|_| moved["detail"].clone());
    assert!(detail["trace"].is_array() && detail["configHash"].is_string(), "{moved}");

    // Nothing came at all: then the silence of the sender is the answer.
    on.check("win-019", &["no alert about it arrived", "alertmanager: ", "refused since"]);
    on.service.post("/webhooks/alertmanager", "a-wrong-token-00000000001", &json!({}));
    on.check("win-019", &["refused since", ": 1"]);
    let (code, said) = on.why("win-012", &["--at", "2026-01-01T03:12:00Z"]);
    assert!(
        code == 0 && said.starts_with("Nothing was sent to win-012 up to 2026-01-01 03:12:59Z"),
        "{said}"
    );

    // An order by hand is told as well, and what was sent is not called nothing.
    let order = json!({
        "serverInstanceNo": no(18), "regionCode": "KR", "policy": "hung-windows", "reason": "console frozen",
        "mode": "execute",
    });
    let (status, answer) = on.service.post("/api/v1/remediations", OPERATOR, &order);
    assert_eq!(status, 202, "{answer}");
    on.service.wait_for(&no(18), &["accepted", "confirmed"]);
    let (code, said) = on.why("win-018", &[]);
    assert!(code == 0 && said.starts_with("win-018 was interrupted at "), "{said}");
    assert!(said.contains("oncall ordered by hand (console frozen)"), "{said}");
    assert_eq!(on.cloud.running.ledger().len(), 1);
}

#[test]
fn every_alert_has_a_trace_whatever_became_of_it() {
    let on = stage();
    on.fire(0, &[("alertname", "DiskFull")]);
    on.fire(1, &[("twice", "yes")]);
    on.fire(2, &[("server_instance_no", "x y")]);
    on.fire(3, &[("server_instance_no", "")]);
    on.fire(12, &[]);
    on.tell(&alert(&no(5), "resolved", &now_text()), "over");
    on.tell(&json!({ "status": "firing", "labels": { "alertname": 7, "note": "win-006" } }), "odd");
    on.check("win-006", &["quarantined_alert", "the payload of the sender"]);
    let (_, page) = on.service.get("/api/v1/deliveries?limit=100", VIEWER);
    let mut seen = std::collections::BTreeSet::new();
    for delivery in page["items"].as_array().unwrap() {
        let (_, one) =
            on.service.get(&format!("/api/v1/deliveries/{}", delivery["id"].as_str().unwrap()), VIEWER);
        for alert in one["alerts"].as_array().unwrap() {
            seen.insert(alert["decision"].as_str().unwrap().to_owned());
            let trace = alert["trace"].as_array().unwrap();
            assert!(!trace.is_empty(), "{alert}");
            for check in trace {
                assert!(
                    ["guard", "verdict", "seen", "limit"].iter().all(|f| check[f].is_string()),
                    "{check}"
                );
            }
            assert_eq!(alert["configHash"].as_str().unwrap().len(), 64);
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["ignored", "quarantined", "resolved", "suppressed"]);
}

#[test]
fn an_alert_that_merely_names_a_server_does_not_hide_what_was_done_to_it() {
    let on = stage();
    let noise = |n: u32, name: &str| {
        on.fire(15, &[("alertname", name), ("server_instance_no", ""), ("node", &format!("win-{n:03}"))])
    };
    let told = |n: u32| on.service.get(&format!("/api/v1/explain?serverInstanceNo={}", no(n)), VIEWER).1;
    // An interrupt of two hours ago, and no alert of it that is still there.
    noise(12, "DiskFull");
    let said = told(12);
    assert!(said["headline"].as_str().unwrap().starts_with("win-012 was interrupted at "), "{said}");
    assert_eq!(said["decisions"][0]["decision"], "ignored", "{said}");
    assert_eq!(said["now"], Value::Null, "{said}");
    // A decision about the server outweighs what merely names it, however often that comes.
    on.fire(4, &[]);
    on.check("win-004", &[": not_eligible"]);
    for n in 0..25 {
        noise(4, &format!("DiskFull{n}"));
    }
    on.check("win-004", &[": not_eligible"]);
    assert_eq!(told(4)["now"]["reason"], "not_eligible");
    // With nothing else to tell it is the headline.
    noise(3, "DiskFull");
    on.check("win-003", &[": no_policy"]);
}

#[test]
fn the_headline_says_what_became_of_an_attempt_and_not_what_its_answer_was() {
    let on = stage();
    on.service.stop();
    let ends = [(1, "confirmed"), (2, "closed_happened"), (3, "closed_not_happened")];
    for (n, end) in ends {
        past::attempted(&on.site, &no(n), 120, "unknown", end);
    }
    let service = on.site.start();
    for ((n, end), said) in ends.into_iter().zip([
        "win-001 was interrupted at ",
        "win-002 was interrupted at ",
        "Nothing happened to win-003: two people settled ",
    ]) {
        let (_, told) = service.get(&format!("/api/v1/explain?serverInstanceNo={}", no(n)), VIEWER);
        let headline = told["headline"].as_str().unwrap();
        assert!(headline.starts_with(said) && headline.contains(end), "{headline}");
        assert!(!headline.contains("may have been"), "{headline}");
    }
}

#[test]
fn a_long_story_is_told_to_its_end() {
    let on = stage();
    on.service.stop();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let key = std::fs::read_to_string(on.site.dir.path().join("audit-key")).unwrap();
        let key = AuditKey::new(key.into());
        let (store, writer) = Store::open_at(&on.site.place(), key, |_stats| {}).await.unwrap();
        let tasks = tokio_util::task::TaskTracker::new();
        tasks.spawn(writer);
        tasks.close();
        let latest = store.latest_time().await.unwrap().unwrap();
        let tell = move |number: i64| {
            let detail = json!({ "detail": format!("look {number} of many") });
            let mut event =
                AuditEvent::new(latest, "remediation_waits", Actor::service("test")).with_detail(&detail);
            event.remediation_id = Some(past::remediation_of(&no(12)));
            event
        };
        store
            .write(move |tx| {
                Box::pin(async move {
                    for number in 0..250 {
                        tx.append(&tell(number)).await?;
                    }
                    Ok(())
                })
            })
            .await
            .unwrap();
        drop(store);
        tasks.wait().await;
    });
    let service = on.site.start();
    let (_, told) = service.get(&format!("/api/v1/explain?serverInstanceNo={}", no(12)), VIEWER);
    let story = told["story"].to_string();
    assert!(story.contains("look 249 of many") && !story.contains("look 0 of many"));
    let events = told["remediations"][0]["events"].as_array().unwrap();
    let seqs: Vec<i64> = events.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert!(seqs.len() == 200 && seqs.is_sorted(), "{seqs:?}");
}

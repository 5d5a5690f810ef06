//! People outside are told: every message of a story, in order and once, whatever the receivers do.

mod kinds;

use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use simulator::{Behaviour, Script};

use crate::receiver::{Mode, Post, Receiver};
use crate::senders::Sender;
use crate::support::{
    Cloud, LEAD, OPERATOR, Service, Settings, Site, VIEWER, alert, broken_laws, delivery, eventually, fleet,
    now_text,
};

const HOOK_KEY: &[u8] = b"key-of-the-webhook-of-tests-32-b";
const STORM: &str = "[storm]\nshare = 0.1\nsame_zone = 1000\n";
const ALL: &str = r#"["proposed", "withdrawn", "sent", "rejected", "not_sent", "confirmed", "unconfirmed", "unknown",
  "settled", "storm_opened", "storm_cleared", "hold_set", "hold_cleared", "source_silent", "source_heard_again",
  "quarantine_opened", "quarantine_cleared", "policy_demoted", "policy_promoted", "breaker_opened", "breaker_closed",
  "heads_missing"]"#;

fn server(n: usize) -> String {
    (91_000_001 + n).to_string()
}

fn hook(name: &str, receiver: &Receiver, more: &str) -> String {
    let url = receiver.url(&format!("/{name}"));
    format!(
        "[[notify]]\nname = \"{name}\"\nkind = \"webhook\"\nurl = \"{url}\"\nsecret_file = \"hook\"\n{more}\n"
    )
}

fn stage(servers: u32, change: impl FnOnce(Settings) -> Settings) -> (Cloud, Site, Settings) {
    let cloud = Cloud::start(fleet(servers));
    let settings = change(Settings::new(&cloud.running.endpoint()));
    let site = Site::new(&settings);
    site.secret("hook", &format!("whsec_{}", STANDARD.encode(HOOK_KEY)));
    (cloud, site, settings)
}

fn start(site: &Site, servers: usize) -> Service {
    let service = site.start();
    service.wait_for_inventory(servers);
    service
}

fn fire(service: &Service, servers: &[usize], note: &str) -> Vec<Value> {
    let starts_at = now_text();
    let alerts: Vec<_> = servers.iter().map(|n| alert(&server(*n), "firing", &starts_at)).collect();
    let (status, answer) = service.deliver(&delivery(&alerts, note)).unwrap();
    assert_eq!(status, 202, "{answer}");
    answer["alerts"].as_array().unwrap().clone()
}

fn say(service: &Service, token: &str, path: &str) -> Value {
    let (status, said) =
        service.post(&format!("/api/v1/{path}"), token, &json!({ "reason": "looked at it" }));
    assert!((200..300).contains(&status), "{path}: {status} {said}");
    said
}

fn hold(service: &Service, reason: &str) -> i64 {
    let (status, said) =
        service.post("/api/v1/holds", OPERATOR, &json!({ "scope": "server", "name": "1", "reason": reason }));
    assert!((200..300).contains(&status), "{said}");
    said["id"].as_i64().unwrap()
}

/// Approves what waits for a server, and returns the remediation.
fn approve(service: &Service, n: usize) -> String {
    let waiting = service.wait_for(&server(n), &["awaiting_approval"]);
    let id = waiting["id"].as_str().unwrap().to_owned();
    let (status, said) = service.approve(&id, LEAD, json!({ "reason": "looked at it" }));
    assert_eq!(status, 200, "{said}");
    id
}

fn behaviour(kind: &str) -> Behaviour {
    serde_json::from_value(json!({ "kind": kind })).unwrap()
}

/// What a receiver does with the three headers, by another way than the sender's.
fn check_signature(post: &Post) {
    let (id, second) = (post.id(), &post.headers["webhook-timestamp"]);
    let age = unhang::clock::Clock::default().wall().as_second() - second.parse::<i64>().unwrap();
    assert!((-5..120).contains(&age), "{age}");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(HOOK_KEY).unwrap();
    for part in [id, ".", second, ".", &post.body] {
        mac.update(part.as_bytes());
    }
    let wanted = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(post.headers["webhook-signature"], wanted);
    assert_eq!(post.headers["content-type"], "application/json");
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
fn every_message_of_a_story_arrives_signed_and_leads_to_its_page() {
    let (receiver, chat) = (Receiver::start(), Receiver::start());
    let (cloud, site, _) = stage(40, |plain| Settings {
        mode: "approve",
        spacing: "1ms",
        server: "listen = \"127.0.0.1:0\"\npublic_url = \"https://unhang.example/\"".to_owned(),
        more: format!(
            "{STORM}{}[[notify]]\nname = \"chat\"\nkind = \"slack\"\nurl_file = \"chat-url\"\n",
            hook("hook", &receiver, &format!("events = {ALL}"))
        ),
        ..plain
    });
    site.secret("chat-url", &chat.url("/services/T0SECRET/B0SECRET/xyzzyxyzzy"));
    let service = start(&site, 40);

    fire(&service, &[0], "one");
    let id = approve(&service, 0);
    let confirmed = receiver.wait_for_kind("confirmed");
    assert_eq!(confirmed.json()["data"]["remediationId"], id);
    let proposed = receiver.wait_for_kind("proposed").json();
    assert_eq!(proposed["data"]["link"], format!("https://unhang.example/remediations/{id}"));
    assert_eq!(proposed["data"]["serverName"], "win-000");
    assert_eq!(proposed["data"]["serverInstanceNo"], server(0));
    assert_eq!(proposed["data"]["alert"], "WindowsVmHung");
    assert_eq!(
        (&proposed["data"]["severity"], &proposed["data"]["needsPerson"]),
        (&json!("critical"), &json!(true))
    );
    let sent = receiver.wait_for_kind("sent").json();
    let request_id = cloud.running.ledger()[0].request_id.clone().unwrap();
    assert_eq!(sent["data"]["requestId"], request_id, "{sent}");
    assert_eq!(receiver.kinds(), ["proposed", "sent", "confirmed"]);

    fire(&service, &[1], "two");
    let waiting = service.wait_for(&server(1), &["awaiting_approval"]);
    say(&service, OPERATOR, &format!("remediations/{}/cancel", waiting["id"].as_str().unwrap()));
    receiver.wait_for_kind("withdrawn");

    cloud.running.set_behaviour(Script::next_interrupt(&server(2), behaviour("done_then_closed"))).unwrap();
    fire(&service, &[2], "three");
    let id = approve(&service, 2);
    let unknown = receiver.wait_for_kind("unknown").json();
    assert_eq!(unknown["data"]["condition"], format!("unknown/{id}"));
    receiver.wait_for_kind("policy_demoted");
    say(&service, LEAD, "policies/hung-windows/promote");
    receiver.wait_for_kind("policy_promoted");

    cloud.running.set_behaviour(Script::next_interrupt(&server(3), behaviour("status_404"))).unwrap();
    fire(&service, &[3], "four");
    approve(&service, 3);
    receiver.wait_for_kind("rejected");

    let held = hold(&service, "a switch is being changed");
    let told = receiver.wait_for_kind("hold_set").json();
    assert_eq!((&told["data"]["who"], &told["data"]["number"]), (&json!("oncall"), &json!(held)));
    let (status, _) = delete_hold(&service, held);
    assert_eq!(status, 200);
    receiver.wait_for_kind("hold_cleared");

    fire(&service, &[4, 5, 6], "many");
    let storm = receiver.wait_for_kind("storm_opened").json();
    assert!(storm["data"]["text"].as_str().unwrap().contains("until a person clears storm 1"), "{storm}");
    say(&service, LEAD, "storms/1/clear");
    receiver.wait_for_kind("storm_cleared");

    let posts = receiver.posts();
    for post in &posts {
        check_signature(post);
    }
    let seqs: Vec<i64> = posts.iter().map(|post| post.json()["data"]["auditSeq"].as_i64().unwrap()).collect();
    assert!(seqs.is_sorted(), "{seqs:?}");
    let ids: std::collections::BTreeSet<_> = posts.iter().map(Post::id).collect();
    assert_eq!(ids.len(), posts.len());

    // The chat was told the same but what it did not ask for, in its own marks.
    let of_storm = chat.wait_for("of the storm", |post| post.body.contains("Storm: nothing"));
    assert_eq!(of_storm.path, "/services/T0SECRET/B0SECRET/xyzzyxyzzy");
    let texts: Vec<String> =
        chat.posts().iter().map(|post| post.json()["text"].as_str().unwrap().to_owned()).collect();
    assert!(texts[0].starts_with("*Approval needed*: interrupt `win-000` in KR?"), "{texts:?}");
    assert!(texts[0].contains("<https://unhang.example/remediations/"), "{texts:?}");
    assert!(!texts.iter().any(|text| text.contains("Policy promoted")), "{texts:?}");

    let (_, list) = service.get("/api/v1/notifications?limit=3", VIEWER);
    assert_eq!(list["items"].as_array().unwrap().len(), 3, "{list}");
    assert!(list["nextCursor"].is_string());
    assert_eq!(list["receivers"].as_array().unwrap().len(), 2);
    let address_is_kept = |text: &str| !text.contains("T0SECRET") && !text.contains("xyzzy");
    assert!(address_is_kept(&list.to_string()));
    assert!(address_is_kept(&std::fs::read_to_string(site.log()).unwrap()));
    let (_, audit) = service.get("/api/v1/audit?limit=1000", VIEWER);
    assert!(address_is_kept(&audit.to_string()));
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

fn delete_hold(service: &Service, id: i64) -> (u16, String) {
    let http = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/api/v1/holds/{id}?reason=over", service.url);
    let answer = http.delete(url).bearer_auth(OPERATOR).send().unwrap();
    (answer.status().as_u16(), answer.text().unwrap())
}

#[test]
fn a_receiver_that_was_down_gets_everything_once_and_in_order_over_a_crash() {
    let receiver = Receiver::start();
    let addr = receiver.addr;
    let (cloud, site, _) = stage(2, |plain| Settings { more: hook("hook", &receiver, ""), ..plain });
    let service = start(&site, 2);
    hold(&service, "hold 0");
    receiver.wait_for_kind("hold_set");
    drop(receiver);

    for n in 1..=8 {
        hold(&service, &format!("hold {n}"));
    }
    let waiting = |service: &Service, count: i64| {
        eventually("the messages to wait", || {
            let (_, list) = service.get("/api/v1/notifications?state=waiting", VIEWER);
            let state = &list["receivers"][0];
            (state["waiting"] == count && state["lastError"].is_string()).then_some(list)
        })
    };
    let list = waiting(&service, 8);
    assert!(!list.to_string().contains(&addr.to_string()), "an error names no address: {list}");
    service.kill();
    let service = site.start();
    hold(&service, "hold 9");
    waiting(&service, 9);

    // It answers 503 for a while, takes some, and the service is killed in the middle.
    let receiver = Receiver::at(addr);
    receiver.behave(Mode::Answer(503));
    service.kill();
    let service = site.start();
    receiver_saw(&receiver, 1);
    receiver.behave(Mode::Take);
    eventually("some to arrive", || (receiver.kinds().len() >= 3).then_some(()));
    service.kill();
    let service = site.start();
    hold(&service, "hold 10");
    receiver.wait_for("of hold 10", |post| post.json()["data"]["reason"] == "hold 10");

    let taken: Vec<_> = receiver.posts().into_iter().filter(|post| post.taken).collect();
    let mut reasons: Vec<(String, String)> = taken
        .iter()
        .map(|post| (post.id().to_owned(), post.json()["data"]["reason"].as_str().unwrap().to_owned()))
        .collect();
    // Each kill may repeat the message in whose middle it came: with the same identity, so that it can be told.
    let in_all = reasons.len();
    reasons.dedup();
    assert!(in_all - reasons.len() <= 1, "{reasons:?}");
    let wanted: Vec<String> = (1..=10).map(|n| format!("hold {n}")).collect();
    assert_eq!(reasons.iter().map(|(_, reason)| reason.clone()).collect::<Vec<_>>(), wanted);
    nothing_is_left(&service);
    let (_, list) = service.get("/api/v1/notifications?state=delivered", VIEWER);
    assert_eq!(list["items"].as_array().unwrap().len(), 11, "{list}");
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

/// A receiver knows of a message before its answer is in the store: waits for that.
fn nothing_is_left(service: &Service) {
    eventually("every message to be noted as delivered", || {
        let (_, list) = service.get("/api/v1/notifications?limit=1", VIEWER);
        let receivers = list["receivers"].as_array()?;
        let done = |of: &Value| of["waiting"] == 0 && of["auditRowsBehind"] == 0;
        receivers.iter().all(done).then_some(())
    });
}

fn receiver_saw(receiver: &Receiver, count: usize) {
    eventually("a try", || (receiver.posts().len() >= count).then_some(()));
}

#[test]
fn a_receiver_that_never_answers_delays_neither_an_interrupt_nor_another_receiver() {
    let (slow, quick) = (Receiver::start(), Receiver::start());
    slow.behave(Mode::Never);
    let (cloud, site, _) = stage(3, |plain| Settings {
        more: hook("slow", &slow, "timeout = \"60s\"") + &hook("quick", &quick, ""),
        ..plain
    });
    let service = start(&site, 3);
    hold(&service, "first");
    receiver_saw(&slow, 1);
    let begun = Instant::now();
    for n in 0..3 {
        fire(&service, &[n], "hangs");
        service.wait_for(&server(n), &["accepted", "confirmed"]);
    }
    quick.wait_for("of the last", |post| post.kind() == "sent" && post.body.contains(&server(2)));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(slow.posts().len(), 1, "it is still waited for");
    let (code, took) = service.stop();
    assert_eq!(code, 0);
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(cloud.effects().len(), 3);
}

#[test]
fn a_message_that_is_refused_for_itself_does_not_keep_the_others() {
    let receiver = Receiver::start();
    let (_cloud, site, _) = stage(1, |plain| Settings { more: hook("hook", &receiver, ""), ..plain });
    let service = start(&site, 1);
    receiver.behave(Mode::Refuse("odd words"));
    hold(&service, "odd words");
    hold(&service, "good");
    receiver.wait_for("of the good one", |post| post.body.contains("good"));
    let refused = receiver.posts().iter().filter(|post| !post.taken).count();
    assert!(refused >= 3, "{refused}");
    receiver.behave(Mode::Take);
    receiver.wait_for("of the refused one, later", |post| post.body.contains("odd words"));
}

#[test]
fn a_reload_brings_receivers_takes_them_away_and_tries_at_once() {
    let (old, new) = (Receiver::start(), Receiver::start());
    let (_cloud, site, settings) = stage(1, |plain| Settings { more: hook("old", &old, ""), ..plain });
    let service = start(&site, 1);
    old.behave(Mode::Answer(500));
    hold(&service, "before the reload");
    receiver_saw(&old, 3);
    old.behave(Mode::Take);
    let both = hook("old", &old, "") + &hook("new", &new, "");
    site.write(&Settings { more: both, ..settings.clone() });
    reload(&service);
    old.wait_for("of before", |post| post.body.contains("before the reload"));
    eventually("the new one to begin", || {
        let (_, list) = service.get("/api/v1/notifications", VIEWER);
        (list["receivers"][1]["toldUpTo"].is_i64()).then_some(())
    });
    hold(&service, "after the reload");
    for receiver in [&old, &new] {
        receiver.wait_for("of after", |post| post.body.contains("after the reload"));
    }
    assert!(!new.posts().iter().any(|post| post.body.contains("before")), "a new one begins at the end");
    site.write(&Settings { more: hook("new", &new, ""), ..settings });
    reload(&service);
    eventually("one receiver", || {
        let (_, list) = service.get("/api/v1/notifications", VIEWER);
        (list["receivers"].as_array().unwrap().len() == 1).then_some(())
    });
    hold(&service, "without the old one");
    new.wait_for("of the last", |post| post.body.contains("without the old one"));
    assert!(!old.posts().iter().any(|post| post.body.contains("without")));
}

fn reload(service: &Service) {
    let pid = service.pid().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
}

#[test]
fn labels_of_strangers_do_nothing_in_a_chat() {
    let chat = Receiver::start();
    let (_cloud, site, _) = stage(1, |plain| {
        Settings {
        mode: "approve",
        more: "[[notify]]\nname = \"chat\"\nkind = \"slack\"\nurl_env = \"CHAT\"\n\
               [[policies]]\nname = \"odd\"\nmatch = { odd = \"yes\" }\ntarget = [\"label:server_instance_no\"]\nsettle = \"0s\"\n"
            .to_owned(),
        ..plain
    }
    });
    let chat_url = chat.url("/odd");
    let service = site.try_start_with(&[("CHAT", chat_url.as_str())]).unwrap();
    service.wait_for_inventory(1);
    // One of our own that Alertmanager hands back is no order, whatever policy would take it.
    let mut own = alert(&server(0), "firing", &now_text());
    own["labels"]["odd"] = json!("yes");
    own["labels"]["alertname"] = json!("UnhangUnknown");
    own["labels"]["sent_by"] = json!("unhang");
    let (status, answer) = service.deliver(&delivery(&[own], "own")).unwrap();
    assert_eq!((status, &answer["alerts"][0]["decision"]), (202, &json!("ignored")), "{answer}");
    let mut hostile = alert(&server(0), "firing", &now_text());
    hostile["labels"]["odd"] = json!("yes");
    hostile["labels"]["alertname"] =
        json!("<!channel> <https://evil.example|Approve> @here & `x` *Confirmed* \u{202e}moc.live\u{200b}");
    let (status, answer) = service.deliver(&delivery(&[hostile], "hostile")).unwrap();
    assert_eq!((status, &answer["alerts"][0]["decision"]), (202, &json!("awaiting_approval")), "{answer}");
    let post = chat.wait_for("of the proposal", |post| post.body.contains("Approval needed"));
    let text = post.json()["text"].as_str().unwrap().to_owned();
    assert!(text.contains("&lt;!channel&gt; &lt;https://evil.example|Approve&gt;"), "{text}");
    assert!(!text.contains(['<', '>', '\u{202e}']) && !text.contains("@here"), "{text}");
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.lines().last().unwrap().starts_with("Approve or deny: `unhang approve "), "{text}");
}

#[test]
fn the_test_command_says_what_came_back_and_tells_no_secret() {
    let (good, bad) = (Receiver::start(), Receiver::start());
    bad.behave(Mode::Answer(403));
    let gone = Receiver::start();
    let (_cloud, site, _) = stage(1, |plain| Settings {
        more: hook("good", &good, "")
            + "[[notify]]\nname = \"bad\"\nkind = \"slack\"\nurl_file = \"chat-url\"\ntimeout = \"2s\"\n"
            + &hook("gone-and-with-a-name-that-fills-most-of-a-line", &gone, ""),
        ..plain
    });
    site.secret("chat-url", &bad.url("/services/xyzzyxyzzy"));
    drop(gone);
    let config = site.config.display().to_string();
    let (code, said, trouble) = site.run(&["notify", "test", "--config", &config]);
    assert_eq!(code, 1, "{said}{trouble}");
    assert!(said.contains("good") && said.contains("200 ok"), "{said}");
    assert!(said.contains("bad: answered 403, check the secret"), "{said}");
    assert!(said.contains("Connection") && said.contains("refused"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    assert!(trouble.contains("2 of 3 did not take"), "{trouble}");
    assert!(!format!("{said}{trouble}").contains("xyzzy"), "{said}{trouble}");
    let (code, said, trouble) =
        site.run(&["notify", "test", "good", "--config", &config, "--output", "json"]);
    assert_eq!(code, 0, "{said}{trouble}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["items"][0]["taken"], &said["items"][0]["status"]), (&json!(true), &json!(200)));
    check_signature(&good.wait_for_kind("test"));
    assert_eq!(site.run(&["notify", "test", "nobody", "--config", &config]).0, 2);

    site.secret("looker", VIEWER);
    let service = start(&site, 1);
    bad.behave(Mode::Never);
    hold(&service, "for the list");
    good.wait_for_kind("hold_set");
    let listed = eventually("a failed try", || {
        let (code, said, trouble) =
            site.run(&["notify", "list", "--url", &service.url, "--token-file", "looker"]);
        assert_eq!(code, 0, "{trouble}");
        said.contains("bad: no answer within 2s").then_some(said)
    });
    assert!(listed.contains("hold_set") && listed.contains("waiting"), "{listed}");
    assert!(listed.lines().all(|line| line.chars().count() <= 80), "{listed}");
}

#[test]
fn a_silent_source_is_told_once_and_so_is_its_return() {
    let receiver = Receiver::start();
    let (cloud, site, _) = stage(1, |plain| Settings {
        source: "heartbeat = { match = { alertname = \"Watchdog\" }, within = \"30s\" }".to_owned(),
        more: hook("hook", &receiver, &format!("events = {ALL}")),
        ..plain
    });
    let service = start(&site, 1);
    let silent = receiver.wait_for_kind("source_silent").json();
    assert_eq!(silent["data"]["source"], "alertmanager");
    assert!(silent["data"]["text"].as_str().unwrap().contains("never sent a heartbeat"), "{silent}");
    service.kill();
    let service = site.start();
    let mut watchdog = alert(&server(0), "firing", &now_text());
    watchdog["labels"] = json!({ "alertname": "Watchdog" });
    let (status, _) = service.deliver(&delivery(&[watchdog], "alive")).unwrap();
    assert_eq!(status, 202);
    receiver.wait_for_kind("source_heard_again");
    assert_eq!(receiver.kinds(), ["source_silent", "source_heard_again"], "once each, over a restart");
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

#[test]
fn a_real_alertmanager_keeps_the_alert_while_it_stands_and_ends_it_then() {
    let alertmanager =
        Sender::alertmanager("route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n", "unused");
    let (cloud, site, _) = stage(2, |plain| Settings {
        more: format!(
            "[[notify]]\nname = \"am\"\nkind = \"alertmanager\"\nurl = \"{}\"\nrepeat = \"1s\"\n",
            alertmanager.url
        ),
        ..plain
    });
    let service = start(&site, 2);
    let lost = behaviour("not_done_closed");
    cloud.running.set_behaviour(Script::next_interrupt(&server(0), lost)).unwrap();
    fire(&service, &[0], "one");
    let id = service.wait_for(&server(0), &["unknown"])["id"].as_str().unwrap().to_owned();
    let alerts = |query: &str| -> Vec<Value> {
        let http = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/api/v2/alerts?{query}", alertmanager.url);
        serde_json::from_str(&http.get(url).send().unwrap().text().unwrap()).unwrap()
    };
    let of_unknown = || alerts("filter=alertname%3DUnhangUnknown").into_iter().next();
    let alert = eventually("the alert", of_unknown);
    assert_eq!(alert["labels"]["severity"], "critical", "{alert}");
    assert_eq!(alert["labels"]["unhang_server"], "win-000", "{alert}");
    assert_eq!(alert["labels"]["unhang_server_no"], server(0), "{alert}");
    assert_eq!(
        alert["annotations"]["command"],
        format!("unhang settle {id} --verdict happened --reason TEXT")
    );
    assert!(alert["annotations"]["summary"].as_str().unwrap().contains("win-000"), "{alert}");
    // Each post moves its end; without them it would have ended after five seconds.
    let begun: jiff::Timestamp = alert["startsAt"].as_str().unwrap().parse().unwrap();
    eventually("an end that moved far", || {
        let ends: jiff::Timestamp = of_unknown()?["endsAt"].as_str()?.parse().ok()?;
        (ends.duration_since(begun).as_secs() >= 12).then_some(())
    });
    let (status, said) = service.post(
        &format!("/api/v1/remediations/{id}/settle"),
        LEAD,
        &json!({ "verdict": "happened", "reason": "seen on the console", "activityChecked": true }),
    );
    assert_eq!(status, 200, "{said}");
    eventually("the alert to be over", || of_unknown().is_none().then_some(()));
    assert!(alerts("filter=alertname%3DUnhangPolicyDemoted").len() == 1, "that one stands");
    let (_, standing) = service.get("/api/v1/notifications?state=standing", VIEWER);
    assert_eq!(standing["items"].as_array().unwrap().len(), 1, "{standing}");
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

/// Writes into a stopped store, as the service does.
fn append_holds(site: &Site, count: i64) {
    use unhang::domain::audit::{Actor, AuditEvent};
    use unhang::domain::audit_key::AuditKey;
    use unhang::store::Store;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let key = AuditKey::new(crate::support::AUDIT_KEY.to_owned().into()).unwrap();
        let (store, writer) = Store::open(&site.store(), Some(key), |_| {}).await.unwrap();
        let writer = runtime.spawn(writer);
        let now = unhang::clock::Clock::default().wall();
        for first in (0..count).step_by(1000) {
            store
                .write(move |tx| {
                    Box::pin(async move {
                        for id in first..(first + 1000).min(count) {
                            let event = AuditEvent::new(now, "hold_set", Actor::person("oncall")).with_detail(
                                &json!({ "id": 1_000_000 + id, "scope": "server", "name": "1",
                                    "reason": format!("hold {id}, {}", "long words ".repeat(60)), "until": null }),
                            );
                            tx.append(&event).await?;
                        }
                        Ok(())
                    })
                })
                .await
                .unwrap();
        }
        drop(store);
        writer.await.unwrap();
    });
}

/// Most memory that the process ever had, in KiB.
fn peak_memory(service: &Service) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_backlog_of_ten_thousand_is_kept_in_bounded_memory_and_told_in_order() {
    const COUNT: i64 = 10_000;
    let receiver = Receiver::start();
    let (_cloud, site, _) = stage(1, |plain| Settings { more: hook("hook", &receiver, ""), ..plain });
    let service = start(&site, 1);
    let before = peak_memory(&service);
    assert_eq!(service.stop().0, 0);
    append_holds(&site, COUNT);
    receiver.behave(Mode::Answer(503));
    let service = start(&site, 1);
    eventually("all of them to wait", || {
        let (_, list) = service.get("/api/v1/notifications?limit=1", VIEWER);
        (list["receivers"][0]["waiting"] == COUNT).then_some(())
    });
    let begun = Instant::now();
    receiver.behave(Mode::Take);
    reload(&service);
    let enough = 2000;
    eventually("two thousand to arrive", || (receiver.kinds().len() >= enough).then_some(()));
    let each = begun.elapsed() / u32::try_from(enough).unwrap();
    let taken: Vec<i64> = receiver
        .posts()
        .iter()
        .filter(|post| post.taken)
        .map(|post| post.json()["data"]["number"].as_i64().unwrap() - 1_000_000)
        .collect();
    let wanted: Vec<i64> = (0..i64::try_from(taken.len()).unwrap()).collect();
    assert_eq!(taken, wanted);
    let grown = peak_memory(&service).saturating_sub(before);
    println!("a backlog of {COUNT}: {grown} KiB more memory, {each:?} for each message");
    assert!(grown < 64 * 1024, "{grown} KiB");
}

#[test]
fn a_restored_store_tells_what_comes_after_it_with_identities_of_its_own() {
    let receiver = Receiver::start();
    let (_cloud, site, _) = stage(1, |plain| Settings { more: hook("hook", &receiver, ""), ..plain });
    let service = start(&site, 1);
    hold(&service, "before the copy");
    receiver.wait_for("of before", |post| post.body.contains("before the copy"));
    nothing_is_left(&service);
    let copy = site.dir.path().join("copy.db");
    let config = site.config.display().to_string();
    let (code, said, trouble) = site.run(&["backup", &copy.display().to_string(), "--config", &config]);
    assert_eq!(code, 0, "{said}{trouble}");
    // So many that some have the places of those after the restore.
    for n in 0..8 {
        hold(&service, &format!("after the copy {n}"));
    }
    receiver.wait_for("of after", |post| post.body.contains("after the copy 7"));
    assert_eq!(service.stop().0, 0);
    for more in ["-wal", "-shm"] {
        let _not_there = std::fs::remove_file(format!("{}{more}", site.store().display()));
    }
    std::fs::copy(&copy, site.store()).unwrap();
    let service = site.start();
    for n in 0..8 {
        hold(&service, &format!("after the restore {n}"));
    }
    receiver.wait_for("of the restored", |post| post.body.contains("after the restore 7"));
    nothing_is_left(&service);
    // Somebody cut the audit, or set the place: the receiver goes on at the end instead of waiting for ever.
    assert_eq!(service.stop().0, 0);
    write_sql(&site, "UPDATE outbox_cursor SET seq = 1000000");
    let service = site.start();
    nothing_is_left(&service);
    hold(&service, "after the cut");
    receiver.wait_for("of after the cut", |post| post.body.contains("after the cut"));
    let ids: Vec<String> = receiver.posts().iter().map(|post| post.id().to_owned()).collect();
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "{ids:?}");
}

fn write_sql(site: &Site, sql: &'static str) {
    use sqlx::Connection as _;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(site.store());
        let mut db = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query(sql).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
    });
}

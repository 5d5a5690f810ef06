//! Deliveries, audit and explain as a browser meets them: hostile texts, replays, filters, and addresses that mean nothing.

use super::pages::Browser;
use super::{Rig, firing};

/// A delivery whose labels would do harm where they are not escaped.
fn hostile(server_no: &str) -> String {
    let mut body: serde_json::Value = serde_json::from_str(&firing(server_no, "00000000000000aa")).unwrap();
    let labels = &mut body["alerts"][0]["labels"];
    labels["job"] = "=cmd|'/c calc'!A1".into();
    labels["instance"] = "\u{202e}gnp.exe\"'><img src=x onerror=alert(1)>".into();
    labels["alertname"] = "<script>alert(2)</script>\u{202e}".into();
    body.to_string()
}

/// Nothing of a hostile text is markup, and nothing of it turns the direction of what stands beside it.
fn assert_tame(page: &str, what: &str) {
    assert!(!page.contains("<script>alert") && !page.contains("<img"), "{what}: {page}");
    assert!(!page.contains("javascript:"), "{what}");
}

async fn delivered(rig: &Rig, body: &str) -> String {
    let told = rig.deliver(body).await;
    assert_eq!(told.status, 202, "{told:?}");
    told.json()["deliveryId"].as_str().unwrap().to_owned()
}

/// The value of a hidden field.
fn hidden(page: &str, name: &str) -> String {
    let at = page
        .split(&format!("name=\"{name}\" value=\""))
        .nth(1)
        .unwrap_or_else(|| panic!("no {name}: {page}"));
    at.split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_texts_are_only_texts_on_every_page_of_records() {
    let rig = Rig::start().await;
    rig.inventory().await;
    let id = delivered(&rig, &hostile("90000001")).await;
    let browser = Browser::log_in(&rig, "operator").await;
    let pages = ["/deliveries", "/audit", "/explain?server=90000001", &format!("/deliveries/{id}")];
    for path in pages {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200, "{path}: {page:?}");
        assert_tame(&page.text, path);
    }
    let one = browser.get(&format!("/deliveries/{id}")).await.text;
    assert!(one.contains("=cmd|") && one.contains("&#60;script&#62;"), "{one}");
    // In a raw body nothing hides: what would turn the direction is written out.
    let body = one.split("<pre").nth(1).unwrap().split("</pre>").next().unwrap();
    assert!(body.contains("\\u202e") && !body.contains('\u{202e}'), "{body}");
    let dry = browser.post(&format!("/deliveries/{id}/replay"), &[("mode", "dry_run")]).await;
    assert_tame(&dry.text, "dry run");
    let pasted = hostile("90000001").replace("</", "<\\/") + "</textarea><script>alert(3)</script>";
    let judged = browser.post("/explain/payload", &[("source", "am"), ("payload", &pasted)]).await;
    assert_eq!(judged.status, 400, "{judged:?}");
    assert_tame(&judged.text, "pasted");
    let find = browser.get("/audit?find=%3Cscript%3Ealert(4)%3C/script%3E%E2%80%AE").await;
    assert_eq!(find.status, 200, "{find:?}");
    assert_tame(&find.text, "find");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_is_a_dry_run_first_and_happens_once_however_often_it_is_sent() {
    let rig = Rig::start().await;
    rig.inventory().await;
    // Of a Linux server: decided, and decided again, without a remediation in between.
    let id = delivered(&rig, &firing("90000003", "00000000000000ab")).await;
    let browser = Browser::log_in(&rig, "operator").await;
    let place = format!("/deliveries/{id}/replay");
    let count = async || {
        let told = rig.get("/api/v1/deliveries?limit=1000").await.json();
        told["items"].as_array().unwrap().len()
    };
    assert_eq!(count().await, 1);

    // Nothing but a dry run without the key of one.
    for fields in [
        &[("mode", "execute"), ("reason", "again")][..],
        &[("mode", "execute"), ("reason", "again"), ("key", "x")],
        &[("reason", "again")],
        &[],
    ] {
        let told = browser.post(&place, fields).await;
        assert_eq!(told.status, 400, "{fields:?}: {told:?}");
    }
    let dry = browser.post(&place, &[("mode", "dry_run")]).await;
    assert_eq!(dry.status, 200, "{dry:?}");
    assert!(dry.text.contains("not_eligible") && dry.text.contains("No decision would change"), "{dry:?}");
    assert!(dry.text.contains("Nobody approves their own replay"), "{dry:?}");
    assert_eq!(count().await, 1, "a dry run keeps nothing");

    let key = hidden(&dry.text, "key");
    let fields = [("mode", "execute"), ("reason", "fixed the label"), ("key", key.as_str())];
    let no_reason = browser.post(&place, &[("mode", "execute"), ("reason", " "), ("key", &key)]).await;
    assert_eq!(no_reason.status, 400, "{no_reason:?}");
    assert!(no_reason.text.contains("role=\"alert\""), "{no_reason:?}");
    let first = browser.post(&place, &fields).await;
    assert_eq!(first.status, 303, "{first:?}");
    let second = browser.post(&place, &fields).await;
    assert_eq!(first.header("location"), second.header("location"), "a double click is one replay");
    assert_eq!(count().await, 2);
    let other = [("mode", "execute"), ("reason", "another reason"), ("key", key.as_str())];
    let told = browser.post(&place, &other).await;
    assert_eq!(told.status, 422, "{told:?}");
    assert!(told.text.contains("This form was already used"), "{told:?}");
    assert_eq!(count().await, 2);

    let shown = browser.get(first.header("location")).await;
    assert!(shown.text.contains("Replayed.") && shown.text.contains(&id), "{shown:?}");
    let list = browser.get("/deliveries").await;
    assert!(list.text.contains("replay") && list.text.contains("the-operator"), "{list:?}");

    let viewer = Browser::log_in(&rig, "viewer").await;
    assert_eq!(viewer.post(&place, &[("mode", "dry_run")]).await.status, 403);
    assert!(!viewer.get(&format!("/deliveries/{id}")).await.text.contains("dry_run"));
    let gone =
        browser.post("/deliveries/00000000-0000-7000-8000-000000000000/replay", &[("mode", "dry_run")]);
    assert_eq!(gone.await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_makes_a_remediation_leads_to_it_and_another_person_approves() {
    let rig = Rig::start().await;
    rig.inventory().await;
    let wanted = serde_json::json!({ "scope": "global", "reason": "a test" });
    let held = rig.post("operator", "/api/v1/holds", &wanted).await.json()["id"].as_i64().unwrap();
    let id = delivered(&rig, &firing("90000001", "00000000000000ac")).await;
    let clear = rig.request("delete", &format!("/api/v1/holds/{held}?reason=over"));
    assert_eq!(rig.send(clear.bearer_auth(super::token("operator"))).await.status, 200);
    let browser = Browser::log_in(&rig, "approver").await;
    let place = format!("/deliveries/{id}/replay");
    let dry = browser.post(&place, &[("mode", "dry_run")]).await;
    assert!(dry.text.contains("One decision would change"), "{dry:?}");
    assert!(dry.text.contains("One alert would become a remediation"), "{dry:?}");
    let key = hidden(&dry.text, "key");
    let done = browser.post(&place, &[("mode", "execute"), ("reason", "it hangs"), ("key", &key)]).await;
    assert_eq!(done.status, 303, "{done:?}");
    assert!(done.header("location").starts_with("/remediations/"), "{done:?}");
    let one = browser.get(done.header("location")).await;
    assert_eq!(one.status, 200, "{one:?}");
    assert!(one.text.contains("the-approver"), "{one:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_shows_what_its_address_says_and_the_address_stays_good() {
    let rig = Rig::start().await;
    rig.inventory().await;
    for n in 0..4 {
        delivered(&rig, &firing("90000003", &format!("00000000000000{n:02x}"))).await;
    }
    let browser = Browser::log_in(&rig, "viewer").await;
    let filtered = "/audit?serverInstanceNo=90000003&kind=alert_decided&reason=not_eligible&actor=am";
    let page = browser.get(filtered).await;
    assert_eq!(page.status, 200, "{page:?}");
    let rows = |page: &str| page.matches("<dt>prevHash</dt>").count();
    assert_eq!(rows(&page.text), 4, "{page:?}");
    for said in [
        "name=\"serverInstanceNo\" value=\"90000003\"",
        "<option value=\"alert_decided\" selected>",
        "<option value=\"not_eligible\" selected>",
        "name=\"actor\" value=\"am\"",
        "format=csv&#38;serverInstanceNo=90000003&#38;kind=alert_decided&#38;reason=not_eligible&#38;actor=am",
    ] {
        assert!(page.text.contains(said), "{said}: {}", page.text);
    }
    // The export is the same rows.
    let csv = browser.get(&filtered.replace("/audit?", "/api/v1/audit?format=csv&")).await;
    assert_eq!(csv.text.lines().count(), 5, "{csv:?}");

    // Older, then newer again: the same rows, newest first.
    let link = |page: &str, rel: &str| {
        let before = page.split(&format!("\" rel=\"{rel}\"")).next().unwrap().to_owned();
        assert_ne!(before.len(), page.len(), "no link {rel}: {page}");
        before.rsplit("href=\"").next().unwrap().replace("&#38;", "&")
    };
    let seqs = |page: &str| {
        let all = page.split("<dt>seq</dt><dd><bdi>").skip(1);
        all.map(|text| text.split('<').next().unwrap().parse::<i64>().unwrap()).collect::<Vec<_>>()
    };
    let first = browser.get(&format!("{filtered}&limit=2")).await.text;
    let older = browser.get(&link(&first, "next")).await.text;
    assert!(!older.contains("rel=\"next\"") && seqs(&older)[0] < seqs(&first)[1], "{older}");
    let newer = browser.get(&link(&older, "prev")).await.text;
    assert_eq!(seqs(&newer), seqs(&first));

    // Local times and empty fields become an address without them.
    let told = browser.get("/audit?serverInstanceNo=&kind=hold_set&since=2026-11-22T03:12").await;
    assert_eq!(told.status, 303, "{told:?}");
    assert_eq!(told.header("location"), "/audit?kind=hold_set&since=2026-11-22T03%3A12%3A00Z");
    let in_seoul = rig.request("get", "/audit?since=2026-11-22T03:12&until=");
    let told =
        rig.send(in_seoul.header("cookie", format!("{}; unhang_zone=Asia/Seoul", browser.cookie))).await;
    assert_eq!(told.header("location"), "/audit?since=2026-11-21T18%3A12%3A00Z");
    assert_eq!(browser.get(told.header("location")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_in_the_search_box_is_looked_for_as_server_and_as_request() {
    let rig = Rig::start().await;
    rig.inventory().await;
    let id = delivered(&rig, &firing("90000003", "00000000000000ad")).await;
    let browser = Browser::log_in(&rig, "viewer").await;
    let page = browser.get("/audit?find=90000003").await.text;
    for link in ["/audit?serverInstanceNo=90000003\" aria-current", "/audit?requestId=90000003\""] {
        assert!(page.contains(link), "{link}: {page}");
    }
    assert!(page.contains("<dt>prevHash</dt>"), "{page}");
    let by_name = browser.get("/audit?find=lnx-web-01").await.text;
    assert!(by_name.contains("/audit?serverInstanceNo=90000003\" aria-current"), "{by_name}");
    let by_id = browser.get(&format!("/audit?find={id}")).await.text;
    assert!(by_id.contains(&format!("/audit?deliveryId={id}\" aria-current")), "{by_id}");
    let nothing = browser.get("/audit?find=no-such-thing").await;
    assert_eq!(nothing.status, 200);
    assert!(nothing.text.contains("No row fits"), "{nothing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_means_nothing_gets_a_page_that_says_so() {
    let rig = Rig::start().await;
    let id = delivered(&rig, &firing("90000001", "00000000000000ae")).await;
    let browser = Browser::log_in(&rig, "viewer").await;
    for path in [
        &format!("/audit?cursor={id}"),
        "/audit?cursor=1%27%20OR%201=1",
        "/audit?limit=1e9",
        "/audit?limit=1001",
        "/audit?order=up",
        "/audit?since=yesterday",
        "/audit?colour=red",
        "/audit?kind=a&kind=b",
        "/deliveries?cursor=42",
        "/deliveries?limit=1e9",
        "/deliveries?colour=red",
        "/explain?server=90000001&at=noon",
        "/explain?colour=red",
    ] {
        let told = browser.get(path).await;
        assert_eq!(told.status, 400, "{path}: {told:?}");
        assert!(told.text.contains("invalid_query") && told.text.contains("<main"), "{path}: {told:?}");
    }
    for path in ["/deliveries/nothing", "/deliveries/00000000-0000-7000-8000-000000000000"] {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_tells_the_story_and_judges_a_payload_without_keeping_it() {
    let rig = Rig::start().await;
    rig.inventory().await;
    delivered(&rig, &firing("90000003", "00000000000000af")).await;
    let browser = Browser::log_in(&rig, "viewer").await;
    for called in ["90000003", "lnx-web-01"] {
        let page = browser.get(&format!("/explain?server={called}")).await.text;
        assert!(page.contains("Nothing was sent to lnx-web-01") && page.contains("not_eligible"), "{page}");
    }
    let told = browser.get("/explain?server=lnx-web-01&at=2026-11-22T03:12").await;
    assert_eq!(told.header("location"), "/explain?server=lnx-web-01&at=2026-11-22T03%3A12%3A00Z");
    let then = browser.get(told.header("location")).await;
    assert!(then.text.contains("value=\"2026-11-22T03:12:00\""), "{then:?}");

    let payload = firing("90000003", "00000000000000b0");
    let judge = async |source: &str, payload: &str| {
        browser.post("/explain/payload", &[("source", source), ("payload", payload)]).await
    };
    let judged = judge("am", &payload).await;
    assert_eq!(judged.status, 200, "{judged:?}");
    assert!(judged.text.contains("not_eligible") && judged.text.contains("class=\"guards\""), "{judged:?}");
    for (source, payload, status) in [
        ("am", "{", 400),
        ("am", "{}", 422),
        ("nobody", payload.as_str(), 400),
        ("am", &" ".repeat(10_000).replace(' ', "x"), 413),
    ] {
        let told = judge(source, payload).await;
        assert_eq!(told.status, status, "{source}: {told:?}");
        assert!(told.text.contains("role=\"alert\"") && told.text.contains("<textarea"), "{told:?}");
    }
    let kept = rig.get("/api/v1/deliveries").await.json();
    assert_eq!(kept["items"].as_array().unwrap().len(), 1, "nothing is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chain_is_verified_beside_the_work() {
    let rig = Rig::start().await;
    rig.inventory().await;
    delivered(&rig, &firing("90000001", "00000000000000b1")).await;
    let (head, _, _) = rig.app.service().store.audit_head().await.unwrap();
    let service = rig.app.service();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !(service.chain().complete && service.chain().seq >= head) {
        assert!(std::time::Instant::now() < until, "{:?}", service.chain());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let browser = Browser::log_in(&rig, "viewer").await;
    let page = browser.get("/audit").await.text;
    assert!(page.contains("The chain is verified to row"), "{page}");
    let metrics = rig.send(rig.request("GET", "/metrics")).await.text;
    let figure = metrics.lines().find_map(|line| line.strip_prefix("unhang_audit_verified_seq ")).unwrap();
    assert!(figure.parse::<i64>().unwrap() >= head, "{figure}");
    assert!(metrics.contains("unhang_audit_broken 0"), "{metrics}");
}

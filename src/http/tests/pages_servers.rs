//! Servers: what the list and the page say, hostile names, one number in two regions, and the orders by role.

use super::pages::Browser;
use super::{Rig, Told};
use crate::domain::server::{RegionCode, Server, ServerNo};

const HOSTILE: &str = "<img src=x onerror=alert(1)>\u{202e}\"'&";

/// Puts a server into the inventory, as a complete answer of the cloud would.
async fn put(rig: &Rig, no: &str, region: &str, change: fn(&mut Server)) {
    let (no, region) = (ServerNo::parse(no).unwrap(), RegionCode::parse(region).unwrap());
    let known = rig.app.service().store.known_server(&ServerNo::parse("90000001").unwrap()).await.unwrap();
    let mut server = Server { no, region, ..known.unwrap() };
    change(&mut server);
    let now = rig.app.service().clock.now();
    let kept = rig.app.service().store.write(move |tx| {
        let server = server.clone();
        Box::pin(async move { tx.upsert_server(&server, now).await })
    });
    kept.await.unwrap();
}

/// The value of a hidden field on a page.
fn field(page: &Told, name: &str) -> String {
    let at = page.text.split(&format!("name=\"{name}\" value=\"")).nth(1);
    at.unwrap_or_else(|| panic!("no field {name}: {page:?}")).split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_finds_by_number_and_name_and_says_why_one_is_not_eligible() {
    let rig = Rig::start().await;
    rig.inventory().await;
    put(&rig, "90000077", "KR", |server| HOSTILE.clone_into(&mut server.name)).await;
    let viewer = Browser::log_in(&rig, "viewer").await;
    let page = viewer.get("/servers").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("win-app-01") && page.text.contains("lnx-web-01"), "{page:?}");
    assert!(!page.text.contains("<img src=x"), "markup in a name is text: {page:?}");
    assert!(page.text.contains("KVM linux is not in the eligibility table"), "{page:?}");
    for (search, hit, miss) in
        [("90000001", "win-app-01", "win-app-02"), ("WIN-APP-02", "win-app-02", "win-app-01")]
    {
        let page = viewer.get(&format!("/servers?search={search}")).await;
        assert!(page.text.contains(hit) && !page.text.contains(miss), "{search}: {page:?}");
        let api = rig.get(&format!("/api/v1/servers?search={search}")).await.json();
        assert_eq!(api["items"].as_array().unwrap().len(), 1, "{api}");
    }
    // What stands for any text in a pattern is a text like any other.
    for search in ["%25", "_", "%5C", "%27%20OR%201=1", "nobody"] {
        let page = viewer.get(&format!("/servers?search={search}")).await;
        assert_eq!(page.status, 200, "{search}");
        assert!(page.text.contains("No known server"), "{search}: {page:?}");
    }
    assert_eq!(viewer.get("/servers?cursor=x").await.status, 400);
    assert_eq!(viewer.get("/servers?limit=1000000000").await.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_the_list_follow_one_another_without_gaps() {
    let rig = Rig::start().await;
    rig.inventory().await;
    for n in 0..60 {
        put(&rig, &format!("81000{n:03}"), "JP-2", |server| "of-the-page".clone_into(&mut server.name)).await;
    }
    let viewer = Browser::log_in(&rig, "viewer").await;
    let first = viewer.get("/servers?search=of-the").await;
    let next = first.text.split("href=\"/servers?cursor=").nth(1).unwrap().split('"').next().unwrap();
    let next = next.replace("&#38;", "&").replace("&amp;", "&");
    let second = viewer.get(&format!("/servers?cursor={next}")).await;
    let count = |page: &Told| page.text.matches("of-the-page</bdi>").count();
    assert_eq!((count(&first), count(&second)), (50, 10), "{second:?}");
    assert!(second.text.contains(">81000050 ") && !second.text.contains(">81000049 "), "{second:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_number_in_two_regions_is_a_choice_and_never_a_guess() {
    let rig = Rig::start().await;
    rig.inventory().await;
    put(&rig, "90000001", "JP", |server| HOSTILE.clone_into(&mut server.name)).await;
    let operator = Browser::log_in(&rig, "operator").await;
    let page = operator.get("/servers/90000001").await;
    assert!(page.text.contains("/servers/90000001?region=JP") && page.text.contains("region=KR"), "{page:?}");
    assert!(!page.text.contains("action=\"/servers/90000001/order\""), "{page:?}");
    let page = operator.get("/servers/90000001?region=KR").await;
    assert!(page.text.contains("win-app-01") && page.text.contains("Another server has the same number"));
    let page = operator.get("/servers/90000001?region=JP").await;
    assert!(
        !page.text.contains("<img src=x") && page.text.contains("No policy is for this region"),
        "{page:?}"
    );
    for path in ["/servers/90000001?region=XX", "/servers/4711", "/servers/x", "/servers/0"] {
        assert_eq!(operator.get(path).await.status, 404, "{path}");
    }
    // An order without a region, or of the other one, is refused.
    for region in ["", "JP"] {
        let fields = [("mode", "dry_run"), ("policy", "hung-windows"), ("region", region)];
        let told = operator.post("/servers/90000001/order", &fields).await;
        assert!([400, 422].contains(&told.status), "{region}: {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_thought_through_then_carried_out_once() {
    let rig = Rig::start().await;
    rig.inventory().await;
    let viewer = Browser::log_in(&rig, "viewer").await;
    assert!(!viewer.get("/servers/90000001").await.text.contains("method=\"post\" action=\"/servers"));
    let operator = Browser::log_in(&rig, "operator").await;
    let place = "/servers/90000001/order";
    let base = [("policy", "hung-windows"), ("region", "KR")];
    // Not thought through first: there is no key.
    let told = operator.post(place, &[&base[..], &[("mode", "execute"), ("reason", "hung")]].concat()).await;
    assert_eq!(told.status, 400, "{told:?}");
    let thought = operator.post(place, &[&base[..], &[("mode", "dry_run")]].concat()).await;
    assert_eq!(thought.status, 200, "{thought:?}");
    assert!(thought.text.contains("What the order would lead to") && thought.text.contains("budget_global"));
    let remediations =
        || async { rig.get("/api/v1/remediations").await.json()["items"].as_array().unwrap().len() };
    assert_eq!(remediations().await, 0, "nothing was done yet");
    let key = field(&thought, "key");
    let order = [("mode", "execute"), ("key", key.as_str()), ("reason", "hung since three")];
    let fields = [&base[..], &order].concat();
    let told = operator.post(place, &fields).await;
    assert_eq!(told.status, 303, "{told:?}");
    let at = told.header("location").to_owned();
    assert!(at.starts_with("/remediations/") && at.ends_with("?done=ordered"), "{at}");
    // The button pressed twice is one order; the key with another reason is none.
    assert_eq!(operator.post(place, &fields).await.header("location"), at);
    let other = [("mode", "execute"), ("key", key.as_str()), ("reason", "another")];
    assert_eq!(operator.post(place, &[&base[..], &other].concat()).await.status, 422);
    assert_eq!(remediations().await, 1);
    let page = operator.get(&at).await;
    assert!(page.text.contains("the-operator") && page.text.contains("Ordered."), "{page:?}");
    // A guard that says no is shown with all that were asked.
    let thought = operator.post(place, &[&base[..], &[("mode", "dry_run")]].concat()).await;
    assert!(
        thought.text.contains("It would not be done") && !thought.text.contains("name=\"key\""),
        "{thought:?}"
    );
    let page = operator.get("/servers/90000001").await;
    assert!(page.text.contains("open incident") && page.text.contains("/remediations/"), "{page:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_that_is_not_there_cannot_be_collected_and_a_hold_is_seen() {
    let rig = Rig::start().await;
    rig.inventory().await;
    let operator = Browser::log_in(&rig, "operator").await;
    let fields = [("region", "KR"), ("reason", "copied it")];
    let told = operator.post("/servers/90000001/dump-collected", &fields).await;
    assert_eq!(told.status, 409, "{told:?}");
    assert!(
        told.text.contains("There is no dump to collect") && told.text.contains("win-app-01"),
        "{told:?}"
    );
    let told = operator.post("/servers/90000001/dump-collected", &[("region", "KR")]).await;
    assert_eq!(told.status, 400, "no reason: {told:?}");
    let hold = [("scope", "server"), ("name", "90000001"), ("reason", "<b>mine</b>")];
    assert_eq!(operator.post("/holds", &hold).await.status, 303);
    let page = operator.get("/servers/90000001").await;
    assert!(page.text.contains("&#60;b&#62;mine") && !page.text.contains("<b>mine"), "{page:?}");
    assert!(operator.get("/servers?search=90000001").await.text.contains(">hold</a>"));
}

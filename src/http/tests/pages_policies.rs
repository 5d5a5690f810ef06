//! Policies: how they stand, and the orders about them by role.

use super::pages::Browser;
use super::{Rig, firing};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_is_demoted_by_an_operator_and_promoted_by_an_approver() {
    let rig = Rig::start().await;
    let operator = Browser::log_in(&rig, "operator").await;
    let approver = Browser::log_in(&rig, "approver").await;
    let page = operator.get("/policies").await;
    assert_eq!(page.status, 200);
    for text in [
        "id=\"hung-windows\"",
        "What it has shown",
        "Hash of the policy",
        "3/1h",
        "alertname=\"WindowsVmHung\"",
    ] {
        let escaped = text.replace("=\"WindowsVmHung\"", "=&#34;WindowsVmHung&#34;");
        assert!(page.text.contains(text) || page.text.contains(&escaped), "{text}: {page:?}");
    }
    assert!(!page.text.contains("/promote\""), "nothing to promote, and not by an operator");
    let told = operator.post("/policies/hung-windows/demote", &[("reason", "")]).await;
    assert_eq!(told.status, 400, "{told:?}");
    let told = operator.post("/policies/hung-windows/demote", &[("reason", "<i>wrong</i> server")]).await;
    assert_eq!((told.status, told.header("location")), (303, "/policies?done=demoted#hung-windows"));
    let page = approver.get("/policies?done=demoted").await;
    assert!(page.text.contains("/policies/hung-windows/promote"), "{page:?}");
    assert!(page.text.contains("&#60;i&#62;wrong") && !page.text.contains("<i>wrong"), "{page:?}");
    let told = approver.post("/policies/hung-windows/promote", &[("reason", "looked at it")]).await;
    assert_eq!((told.status, told.header("location")), (303, "/policies?done=promoted#hung-windows"));
    let told = approver.post("/policies/hung-windows/promote", &[("reason", "again")]).await;
    assert_eq!(told.status, 422, "it is not demoted: {told:?}");
    assert!(told.text.contains("is not demoted") && told.text.contains("id=\"hung-windows\""), "{told:?}");
    let told = approver.post("/breakers/hung-windows/reset", &[("reason", "the cloud is well again")]).await;
    assert_eq!((told.status, told.header("location")), (303, "/policies?done=breaker-reset#hung-windows"));
    for path in ["/policies/nobody/promote", "/policies/nobody/demote", "/breakers/nobody/reset"] {
        assert_eq!(approver.post(path, &[("reason", "a try")]).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_is_replayed_only_when_somebody_asks() {
    let rig = Rig::start().await;
    rig.inventory().await;
    let viewer = Browser::log_in(&rig, "viewer").await;
    assert_eq!(rig.deliver(&firing("90000001", "00000000000000aa")).await.status, 202);
    assert_eq!(rig.deliver(&firing("90000003", "00000000000000ab")).await.status, 202);
    let page = viewer.get("/policies").await;
    assert!(
        page.text.contains("/policies?backtest=hung-windows")
            && !page.text.contains("What a replay cannot know")
    );
    let page = viewer.get("/policies?backtest=hung-windows").await;
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.text.contains("What a replay cannot know") && page.text.contains("win-app-01"), "{page:?}");
    for (assumption, words) in
        [("people", "What people would have done."), ("storms", "a storm would have been cleared")]
    {
        assert!(page.text.contains(words) && !page.text.contains(&format!("<li>{assumption}<")), "{page:?}");
    }
    assert_eq!(viewer.get("/policies?backtest=nobody").await.status, 400);
    let told = rig.get("/api/v1/backtest?policy=hung-windows&mode=auto").await.json();
    assert_eq!((&told["alerts"], &told["complete"]), (&2.into(), &true.into()), "{told}");
    assert_eq!(told["policies"][0]["mode"], "auto", "{told}");
    for query in ["mode=loud", "policy=nobody", "since=yesterday", "sinse=1"] {
        assert_eq!(rig.get(&format!("/api/v1/backtest?{query}")).await.code(), "invalid_query", "{query}");
    }
}

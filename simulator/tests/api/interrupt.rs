//! The interrupt: its life cycle, its refusals, and the harm of a second one.

use serde_json::json;
use simulator::{Behaviour, Dump, LedgerEntry, ServerPatch};

use crate::support::{KVM_WINDOWS, Rig, XEN_LINUX, XEN_WINDOWS, loopback, now_ms, quick, slow};

#[tokio::test]
async fn a_hung_server_is_set_up_dumps_and_comes_back_with_a_new_uptime() {
    let rig = Rig::start(quick()).await;
    rig.cloud.hang(XEN_WINDOWS).unwrap();
    let before = rig.detail(XEN_WINDOWS).await;
    assert_eq!(before["serverInstanceOperation"]["code"], "NULL", "hanging does not show");

    let told = rig.interrupt(XEN_WINDOWS).await.unwrap();
    let body = told.json()["interruptServerInstanceResponse"].clone();
    let server = &body["serverInstanceList"][0];
    assert_eq!((told.status, &body["returnCode"], &body["totalRows"]), (200, &json!("0"), &json!(1)));
    assert_eq!(server["serverInstanceStatus"]["code"], "RUN");
    assert_eq!(
        server["serverInstanceOperation"],
        json!({"code": "SETUP", "codeName": "Currently in SETUP status"})
    );
    assert_eq!(server["serverInstanceStatusName"], "setting up");
    assert_eq!(server["uptime"], before["uptime"]);

    rig.until("server back", |rig| rig.server(XEN_WINDOWS).operation == "NULL").await;
    let after = rig.detail(XEN_WINDOWS).await;
    assert!(after["uptime"].as_str().unwrap() > before["uptime"].as_str().unwrap());
    let view = rig.server(XEN_WINDOWS);
    assert_eq!((view.hung, view.dump, view.interrupts), (false, Dump::Complete, 1));

    let entry = rig.last_entry();
    assert_eq!((entry.seq, entry.effect, entry.destroyed_dump, entry.authenticated), (1, true, false, true));
    assert_eq!(entry.behaviour, Some(Behaviour::Ok));
    assert_eq!(entry.request_id.as_deref(), body["requestId"].as_str());
    assert_eq!(entry.region_code.as_deref(), Some("KR"));
    assert!(entry.timestamp.is_some() && entry.at <= now_ms());
}

#[tokio::test]
async fn a_second_interrupt_during_the_dump_destroys_it() {
    let rig = Rig::start(slow()).await;
    rig.interrupt(KVM_WINDOWS).await.unwrap();
    assert_eq!(rig.interrupt(KVM_WINDOWS).await.unwrap().status, 200);
    let harm: Vec<_> = rig.cloud.ledger().iter().map(|entry| (entry.effect, entry.destroyed_dump)).collect();
    assert_eq!(harm, [(true, false), (true, true)]);
    assert_eq!(rig.server(KVM_WINDOWS).dumps_destroyed, 1);
}

#[tokio::test]
async fn a_collected_dump_is_safe() {
    let rig = Rig::start(quick()).await;
    rig.interrupt(KVM_WINDOWS).await.unwrap();
    rig.until("dump complete", |rig| rig.server(KVM_WINDOWS).dump == Dump::Complete).await;
    assert_eq!(rig.cloud.collect_dump(KVM_WINDOWS).unwrap().dump, Dump::Collected);
    rig.interrupt(KVM_WINDOWS).await.unwrap();
    assert!(!rig.last_entry().destroyed_dump);
}

#[tokio::test]
async fn ineligible_unknown_and_unnamed_servers_are_refused_without_effect() {
    let rig = Rig::start(quick()).await;
    let stopped = ServerPatch { status: Some("NSTOP".into()), ..ServerPatch::default() };
    rig.cloud.patch(KVM_WINDOWS, stopped).unwrap();
    for (no, code) in [(XEN_LINUX, "1100031"), (KVM_WINDOWS, "1100031"), ("1", "1001"), ("", "1002")] {
        let told = rig.interrupt(no).await.unwrap();
        assert_eq!(told.status, 400, "{no}");
        assert_eq!(told.json()["responseError"]["returnCode"], code, "{no}");
        let entry = rig.last_entry();
        assert_eq!((entry.effect, entry.refused.as_deref()), (false, Some(code)));
    }
}

#[tokio::test]
async fn get_works_too_and_xml_has_no_request_id() {
    let rig = Rig::start(quick()).await;
    let told =
        rig.get(&format!("interruptServerInstance?regionCode=KR&serverInstanceNo={XEN_WINDOWS}")).await;
    let text = told.text();
    assert!(text.contains("<interruptServerInstanceResponse><returnCode>0</returnCode>"), "{text}");
    assert!(text.contains("<serverInstanceOperation><code>SETUP</code>") && !text.contains("requestId"));
    let entry = rig.last_entry();
    assert_eq!((entry.method.as_str(), entry.effect, entry.request_id), ("GET", true, None));
    let told = rig.get(&format!("interruptServerInstance?serverInstanceNo={XEN_LINUX}")).await;
    assert!(told.text().contains("<responseError><returnCode>1100031</returnCode>"));
}

#[tokio::test]
async fn the_ledger_file_has_every_entry_and_is_continued() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    let read = || -> Vec<LedgerEntry> {
        let text = std::fs::read_to_string(&path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    for round in 1..=2_usize {
        let mut rig = Rig::start(quick()).await;
        rig.cloud = simulator::start(loopback(), quick(), Some(path.clone())).await.unwrap();
        rig.interrupt(XEN_WINDOWS).await.unwrap();
        let entries = read();
        assert_eq!(entries.len(), round);
        assert_eq!(entries.last().unwrap(), &rig.last_entry());
        assert_eq!(rig.last_entry().seq, u64::try_from(round).unwrap());
    }
}

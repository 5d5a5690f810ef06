//! Reading calls: shapes, filters, pages, regions.

use serde_json::{Value, json};
use simulator::ServerSpec;

use crate::support::{Rig, XEN_WINDOWS, quick};

/// The vendor's example for a running Windows server on XEN.
const DETAIL: &str = include_str!("../samples/detail-windows-xen-run.json");

async fn names(rig: &Rig, query: &str) -> (u64, Vec<String>) {
    let told = rig.get(&format!("getServerInstanceList?responseFormatType=json{query}")).await;
    let body = told.json()["getServerInstanceListResponse"].clone();
    let servers = body["serverInstanceList"].as_array().unwrap();
    let names = servers.iter().map(|server| server["serverName"].as_str().unwrap().to_owned()).collect();
    (body["totalRows"].as_u64().unwrap(), names)
}

#[tokio::test]
async fn detail_is_the_vendors_example_to_the_letter() {
    let rig = Rig::start(quick()).await;
    let query = format!("getServerInstanceDetail?serverInstanceNo={XEN_WINDOWS}&responseFormatType=json");
    let told = rig.get(&query).await;
    let (mut found, mut expected) = (told.json(), serde_json::from_str::<Value>(DETAIL).unwrap());
    let root = "getServerInstanceDetailResponse";
    let request_id = found[root]["requestId"].take();
    expected[root]["requestId"].take();
    assert_eq!(found, expected);
    assert!(request_id.as_str().unwrap().parse::<uuid::Uuid>().is_ok());
    assert!(told.headers["content-type"].to_str().unwrap().starts_with("application/json"));
    assert!(told.headers.contains_key("date") && told.headers.contains_key("x-ncp-trace-id"));

    let order = |text: &str| -> Vec<usize> {
        let keys =
            ["\"totalRows\"", "\"serverInstanceNo\"", "\"uptime\"", "\"hypervisorType\"", "\"returnCode\""];
        keys.iter().map(|key| text.find(key).unwrap()).collect()
    };
    assert!(order(told.text()).is_sorted() && order(DETAIL).is_sorted());
}

#[tokio::test]
async fn an_unknown_number_is_an_empty_list_and_an_unknown_region_an_error() {
    let rig = Rig::start(quick()).await;
    for query in ["regionCode=KR&serverInstanceNo=1", "regionCode=SGN&serverInstanceNo=90000001"] {
        let told = rig.get(&format!("getServerInstanceDetail?{query}&responseFormatType=json")).await;
        let body = told.json()["getServerInstanceDetailResponse"].clone();
        assert_eq!((told.status, &body["totalRows"]), (200, &json!(0)), "{query}");
        assert_eq!(body["serverInstanceList"], json!([]));
    }
    let told = rig.get("getServerInstanceList?regionCode=US&responseFormatType=json").await;
    assert_eq!(told.status, 400);
    assert!(told.json()["responseError"]["returnCode"].is_string());
    assert_eq!(rig.get("getServerInstanceDetail?responseFormatType=json").await.status, 400);
    assert_eq!(rig.get("getServerInstanceList?pageSize=x&responseFormatType=json").await.status, 400);
    let told = rig.get("startServerInstances?responseFormatType=json").await;
    assert_eq!((told.status, &told.json()["error"]["errorCode"]), (404, &json!("300")));
}

#[tokio::test]
async fn an_omitted_region_is_the_first_one() {
    let rig = Rig::start(quick()).await;
    let far =
        ServerSpec { no: "91".into(), name: "far".into(), region: "SGN".into(), ..ServerSpec::default() };
    rig.cloud.add_server(far).unwrap();
    assert_eq!(names(&rig, "").await.0, 26);
    assert_eq!(names(&rig, "&regionCode=SGN").await, (1, vec!["far".to_owned()]));
    assert_eq!(names(&rig, "&regionCode=JPN").await.0, 0);
}

#[tokio::test]
async fn lists_are_filtered() {
    let rig = Rig::start(quick()).await;
    for (query, expected) in [
        ("&serverName=win-app-01", "win-app-01"),
        ("&serverName=win-app", ""),
        ("&ip=10.0.0.22", "win-app-02"),
        ("&ip=203.0.113.21", "win-app-01"),
        ("&ip=10.0.0.2", ""),
        ("&serverInstanceNoList.1=90000005&serverInstanceNoList.2=90000006", "win-db-01 win-edge-01"),
        ("&platformTypeCodeList.1=LNX64", "lnx-web-01 lnx-old-01"),
        ("&platformTypeCodeList.1=LNX64&hypervisorTypeCodeList.1=XEN", "lnx-old-01"),
        ("&serverInstanceStatusCode=NSTOP", ""),
        ("&baseBlockStorageDiskDetailTypeCode=HDD", ""),
    ] {
        assert_eq!(names(&rig, query).await.1.join(" "), expected, "{query}");
    }
    let told = rig.get("getServerInstanceList?ip=10.0.0.22&responseFormatType=json").await;
    assert!(!told.text().contains("10.0.0.22"), "no private address in an answer");
}

#[tokio::test]
async fn pages_carry_the_full_count() {
    let rig = Rig::start(quick()).await;
    let (total, first) = names(&rig, "&pageNo=1&pageSize=10").await;
    let (_, second) = names(&rig, "&pageNo=2&pageSize=10").await;
    let (last_total, third) = names(&rig, "&pageNo=3&pageSize=10").await;
    assert_eq!((total, last_total), (26, 26));
    assert_eq!((first.len(), second.len(), third.len()), (10, 10, 6));
    let whole = names(&rig, "").await.1;
    assert_eq!([first, second, third].concat(), whole);
    assert_eq!(names(&rig, "&pageNo=4&pageSize=10").await.1.len(), 0);
    let backwards = names(&rig, "&sortedBy=serverName&sortingOrder=DESC&pageSize=1").await.1;
    assert_eq!(backwards, ["win-web-20"]);
}

#[tokio::test]
async fn xml_is_the_default_and_carries_the_same_facts() {
    let rig = Rig::start(quick()).await;
    let told = rig.get("getRegionList").await;
    assert!(told.headers["content-type"].to_str().unwrap().starts_with("text/xml"));
    let text = told.text();
    assert!(
        text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<getRegionListResponse><requestId>")
    );
    assert!(text.contains("<region><regionCode>KR</regionCode><regionName>Korea</regionName></region>"));

    let told = rig.get("getServerInstanceDetail?serverInstanceNo=90000001").await;
    let text = told.text();
    for part in [
        "<getServerInstanceDetailResponse><returnCode>0</returnCode><returnMessage>success</returnMessage>",
        "<totalRows>1</totalRows><serverInstanceList><serverInstance><serverInstanceNo>90000001<",
        "<platformType><code>WND64</code><codeName>Windows 64 Bit</codeName></platformType>",
        "<networkInterfaceNoList><networkInterfaceNo>8800011</networkInterfaceNo></networkInterfaceNoList>",
        "<serverDescription></serverDescription>",
        "<placementGroupNo/>",
        "<memorySize>8589934592</memorySize>",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let told = rig.get("getServerInstanceList?regionCode=US").await;
    assert!(told.text().contains("<responseError><returnCode>"));
}

//! Who is let in: signatures, clocks, addresses, and what is not HTTP.

use simulator::{Error, Scenario};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Rig, loopback, now_ms, quick};

const REGIONS: &str = "/vserver/v2/getRegionList?responseFormatType=json";
const DAY_MS: i64 = 86_400_000;

fn sample(name: &str) -> serde_json::Value {
    let missing = r#"{"error":{"errorCode":"200","message":"Authentication Failed","details":"Authentication information are missing."}}"#;
    let invalid = r#"{"error":{"errorCode":"200","message":"Authentication Failed","details":"Invalid authentication information."}}"#;
    serde_json::from_str(if name == "missing" { missing } else { invalid }).unwrap()
}

#[tokio::test]
async fn missing_wrong_and_old_credentials_are_401() {
    let rig = Rig::start(quick()).await;
    let url = format!("{}{REGIONS}", rig.cloud.endpoint());
    for (request, expected) in [
        (rig.client.get(&url), "missing"),
        (rig.signed("GET", REGIONS, now_ms() - 301_000), "invalid"),
        (rig.signed("GET", REGIONS, now_ms() + 310_000), "invalid"),
        (rig.signed("POST", REGIONS, now_ms()), "invalid"),
    ] {
        // The last one is signed as POST and sent as GET.
        let mut request = request.build().unwrap();
        *request.method_mut() = reqwest::Method::GET;
        let answer = rig.client.execute(request).await.unwrap();
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.json::<serde_json::Value>().await.unwrap(), sample(expected));
    }
    let fine = rig.send(rig.signed("GET", REGIONS, now_ms() - 290_000)).await.unwrap();
    assert_eq!(fine.status, 200);
}

#[tokio::test]
async fn the_query_is_signed_as_sent() {
    let rig = Rig::start(quick()).await;
    let signed =
        rig.get("getServerInstanceList?serverName=a%20b%2Bc&responseFormatType=json&empty=&bare").await;
    assert_eq!(signed.status, 200);
    let moved = rig.signed("GET", REGIONS, now_ms()).query(&[("added", "1")]);
    assert_eq!(rig.send(moved).await.unwrap().status, 401);
}

#[tokio::test]
async fn a_clock_a_day_off_shows_in_date_and_refuses_signatures() {
    let rig = Rig::start(Scenario { clock_offset_ms: DAY_MS, ..quick() }).await;
    let refused = rig.send(rig.signed("GET", REGIONS, now_ms())).await.unwrap();
    assert_eq!(refused.status, 401);
    let date = refused.headers["date"].to_str().unwrap().to_owned();
    let shifted = rig.send(rig.signed("GET", REGIONS, now_ms() + DAY_MS)).await.unwrap();
    assert_eq!(shifted.status, 200);
    rig.cloud.set_clock_offset_ms(0);
    let back = rig.send(rig.signed("GET", REGIONS, now_ms())).await.unwrap();
    assert_eq!(back.status, 200);
    assert_ne!(back.headers["date"].to_str().unwrap(), date);
}

#[tokio::test]
async fn refused_interrupts_are_in_the_ledger_without_effect() {
    let rig = Rig::start(quick()).await;
    let target = "/vserver/v2/interruptServerInstance?regionCode=KR&serverInstanceNo=90000001";
    let told = rig.send(rig.signed("GET", target, now_ms() - 400_000)).await.unwrap();
    assert_eq!(told.status, 401);
    let entry = rig.last_entry();
    assert!(!entry.authenticated && !entry.effect && entry.behaviour.is_none());
    assert_eq!(entry.server_instance_no.as_deref(), Some("90000001"));
    assert_eq!(rig.server("90000001").interrupts, 0);
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let refused = simulator::start(everywhere, quick(), None).await.unwrap_err();
    assert!(matches!(refused, Error::NotLoopback(_)), "{refused}");
    let mut running = simulator::start(loopback(), quick(), None).await.unwrap();
    let taken = simulator::start(running.addr(), quick(), None).await.unwrap_err();
    assert!(matches!(taken, Error::Listen { .. }), "{taken}");
    running.stop().await;
    assert!(simulator::start(running.addr(), quick(), None).await.is_ok());
}

#[tokio::test]
async fn what_cannot_be_read_gets_a_gateway_error_and_a_connection_serves_many() {
    let rig = Rig::start(quick()).await;
    for (sent, expected) in [
        ("nonsense\r\n\r\n", "HTTP/1.1 400 "),
        ("POST / HTTP/1.1\r\nContent-Length: 70000\r\n\r\n", "HTTP/1.1 413 "),
        ("GET / HTTP/1.1\r\n\r\nGET /nowhere HTTP/1.1\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 "),
    ] {
        let mut stream = tokio::net::TcpStream::connect(rig.cloud.addr()).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).await.unwrap();
        assert!(told.starts_with(expected), "{sent:?}: {told}");
        assert_eq!(told.matches("HTTP/1.1 401 ").count(), usize::from(sent.contains("nowhere")), "{told}");
    }
}

//! Misbehaviour: each kind does on the wire, and to the server, what its name says.

use std::time::{Duration, Instant};

use simulator::{Behaviour, Script};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{KVM_WINDOWS, Rig, Told, XEN_WINDOWS, quick, slow};

/// Orders `behaviour` for one interrupt and sends it.
async fn played(rig: &Rig, behaviour: Behaviour) -> Result<Told, reqwest::Error> {
    rig.cloud.set_behaviour(Script::next_interrupt(XEN_WINDOWS, behaviour.clone())).unwrap();
    let told = rig.interrupt(XEN_WINDOWS).await;
    assert_eq!(rig.last_entry().behaviour, Some(behaviour));
    told
}

async fn check_status(behaviour: Behaviour, status: u16, in_body: &str, effect: bool) {
    let rig = Rig::start(slow()).await;
    let told = played(&rig, behaviour.clone()).await.unwrap();
    assert_eq!(told.status, status, "{behaviour:?}");
    assert!(told.text().contains(in_body), "{behaviour:?}: {}", told.text());
    assert_eq!(rig.last_entry().effect, effect, "{behaviour:?}");
    assert_eq!(rig.server(XEN_WINDOWS).interrupts, u32::from(effect), "{behaviour:?}");
    assert!(told.headers.contains_key("date"));
    let redirect = matches!(behaviour, Behaviour::Redirect302 | Behaviour::Redirect307);
    let location = redirect.then_some("/vserver/v2/interruptServerInstance");
    assert_eq!(told.headers.get("location").map(|value| value.to_str().unwrap()), location);
    let retry_after = told.headers.contains_key("retry-after");
    assert_eq!(retry_after, behaviour == Behaviour::Status503RetryAfter);
}

#[tokio::test]
async fn statuses_and_bodies_are_as_named() {
    let code = || Behaviour::OkWithReturnCode { code: "1000".into() };
    for (behaviour, status, in_body, effect) in [
        (Behaviour::Ok, 200, r#""returnCode":"0""#, true),
        (code(), 200, r#""returnCode":"1000""#, true),
        (Behaviour::OkAsXml, 200, "<interruptServerInstanceResponse>", true),
        (Behaviour::DoneThen500, 500, r#""errorCode":"900""#, true),
        (Behaviour::DoneThen503, 503, r#""errorCode":"500""#, true),
        (Behaviour::DoneThen504, 504, r#""errorCode":"510""#, true),
        (Behaviour::NotDone500, 500, r#""errorCode":"900""#, false),
        (Behaviour::Status503RetryAfter, 503, r#""errorCode":"500""#, false),
        (Behaviour::Status429, 429, r#""errorCode":"420""#, false),
        (Behaviour::Status401, 401, r#""errorCode":"200""#, false),
        (Behaviour::Status401Permission, 401, r#""errorCode":"210""#, false),
        (Behaviour::Status403, 403, r#""errorCode":"230""#, false),
        (Behaviour::Status404, 404, r#""errorCode":"300""#, false),
        (Behaviour::Redirect307, 307, "", false),
        (Behaviour::Redirect302, 302, "", false),
        (Behaviour::ErrorIn200, 200, r#"{"error":{"#, false),
        (Behaviour::ResponseErrorIn200, 200, r#"{"responseError":{"returnCode":"1100031""#, false),
    ] {
        check_status(behaviour, status, in_body, effect).await;
    }
}

#[tokio::test]
async fn parts_of_the_envelope_can_be_missing() {
    let rig = Rig::start(quick()).await;
    let told = played(&rig, Behaviour::OkWithoutRequestId).await.unwrap();
    assert!(!told.text().contains("requestId") && told.text().contains("returnCode"));
    assert_eq!(rig.last_entry().request_id, None);
    let told = played(&rig, Behaviour::OkWithoutReturnCode).await.unwrap();
    assert!(told.text().contains("requestId") && !told.text().contains("returnCode"));
}

#[tokio::test]
async fn connections_end_without_an_answer() {
    let rig = Rig::start(slow()).await;
    for (behaviour, effect) in [
        (Behaviour::DoneThenClosed, true),
        (Behaviour::DoneThenReset, true),
        (Behaviour::NotDoneClosed, false),
        (Behaviour::Stall { ms: 5 }, false),
        (Behaviour::Garbage, false),
    ] {
        let error = played(&rig, behaviour.clone()).await.unwrap_err();
        assert!(!error.is_connect() && !error.is_timeout(), "{behaviour:?}: {error:?}");
        assert_eq!(rig.last_entry().effect, effect, "{behaviour:?}");
        assert_eq!(rig.last_entry().request_id, None);
    }
}

#[tokio::test]
async fn closing_ends_the_stream_and_resetting_breaks_it() {
    let rig = Rig::start(slow()).await;
    for (behaviour, expected) in [
        (Behaviour::NotDoneClosed, Ok(0)),
        (Behaviour::DoneThenReset, Err(std::io::ErrorKind::ConnectionReset)),
    ] {
        rig.cloud.set_behaviour(Script::every_read(behaviour)).unwrap();
        let request =
            rig.signed("GET", "/vserver/v2/getRegionList", crate::support::now_ms()).build().unwrap();
        let mut text = String::from("GET /vserver/v2/getRegionList HTTP/1.1");
        for (name, value) in request.headers() {
            text += &["\r\n", name.as_str(), ": ", value.to_str().unwrap()].concat();
        }
        text.push_str("\r\n\r\n");
        let mut stream = tokio::net::TcpStream::connect(rig.cloud.addr()).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let ended = stream.read_to_end(&mut Vec::new()).await.map_err(|error| error.kind());
        assert_eq!(ended, expected);
    }
}

#[tokio::test]
async fn bodies_can_be_cut_huge_or_slow() {
    let rig = Rig::start(slow()).await;
    let told = played(&rig, Behaviour::OkTruncated).await.unwrap();
    assert!(told.status == 200 && told.body.is_err());
    assert!(rig.last_entry().effect);

    let told = played(&rig, Behaviour::OkOversize).await.unwrap();
    assert_eq!(told.text().len(), 10 * 1024 * 1024);
    assert_eq!(told.json()["interruptServerInstanceResponse"]["returnCode"], "0");

    let began = Instant::now();
    let told = played(&rig, Behaviour::OkDripped { bytes_per_second: 8_000 }).await.unwrap();
    assert!(told.text().ends_with("}}"));
    assert!(began.elapsed() >= Duration::from_millis(100), "{:?}", began.elapsed());
}

#[tokio::test]
async fn slow_is_delivered_at_once_and_late_is_delivered_though_the_caller_left() {
    let rig = Rig::start(slow()).await;
    let began = Instant::now();
    assert_eq!(played(&rig, Behaviour::OkSlow { ms: 60 }).await.unwrap().status, 200);
    assert!(began.elapsed() >= Duration::from_millis(60));
    let slow = rig.last_entry();
    assert!(slow.effect_at.unwrap() - slow.at < 50, "{slow:?}");

    rig.cloud.set_behaviour(Script::next_interrupt(KVM_WINDOWS, Behaviour::DoneAfter { ms: 300 })).unwrap();
    let impatient = tokio::time::timeout(Duration::from_millis(100), rig.interrupt(KVM_WINDOWS)).await;
    assert!(impatient.is_err());
    assert!(!rig.last_entry().effect);
    rig.until("late effect", |rig| rig.last_entry().effect).await;
    let late = rig.last_entry();
    assert!(late.effect_at.unwrap() - late.at >= 300, "{late:?}");
    assert_eq!(rig.server(KVM_WINDOWS).interrupts, 1);
}

#[tokio::test]
async fn reads_misbehave_apart_from_interrupts() {
    let rig = Rig::start(quick()).await;
    rig.cloud.set_behaviour(Script::every_read(Behaviour::Status429)).unwrap();
    assert_eq!(rig.get("getServerInstanceList?responseFormatType=json").await.status, 429);
    assert_eq!(rig.interrupt(XEN_WINDOWS).await.unwrap().status, 200);
    rig.cloud.set_behaviour(Script::every_read(Behaviour::Ok)).unwrap();
    assert_eq!(rig.get("getServerInstanceList?responseFormatType=json").await.status, 200);
}

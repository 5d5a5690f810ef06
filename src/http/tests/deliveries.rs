//! Deliveries through the real door: who may speak, what is refused with which status, what is answered.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{BEARER, Rig, SIGNING_KEY, firing};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_credential_fault_gets_the_same_answer() {
    let rig = Rig::start().await;
    let body = firing("90000001", "0000000000000001");
    let mut answers = Vec::new();
    for (path, authorization) in [
        ("/webhooks/am", None),
        ("/webhooks/am", Some("Bearer wrong".to_owned())),
        ("/webhooks/am", Some(format!("Basic {BEARER}"))),
        ("/webhooks/graf", Some(format!("Bearer {BEARER}"))),
        ("/webhooks/nobody", None),
        ("/webhooks/nobody", Some(format!("Bearer {BEARER}"))),
        ("/webhooks/unknown", Some(format!("Bearer {BEARER}"))),
    ] {
        let mut request = rig.request("POST", path).body(body.clone());
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let told = rig.send(request).await;
        assert_eq!((told.status, told.code().as_str()), (401, "bad_credential"), "{path}");
        let mut problem = told.json();
        problem["traceId"] = "".into();
        answers.push(problem);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let told = rig.deliver(&body).await;
    assert_eq!(told.status, 202, "{told:?}");
    let metrics = rig.send(rig.request("GET", "/metrics")).await;
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    for line in [
        "unhang_deliveries_total{source=\"unknown\",result=\"unauthenticated\"} 3",
        "unhang_deliveries_total{source=\"am\",result=\"unauthenticated\"} 3",
        "unhang_deliveries_total{source=\"am\",result=\"accepted\"} 1",
        "unhang_budget_remaining{scope=\"global\",name=\"\",budget=\"3/1h\"} 3",
    ] {
        assert!(metrics.text.contains(line), "{line}\n{}", metrics.text);
    }
    assert!(metrics.text.ends_with("# EOF\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreadable_deliveries_get_the_status_that_their_sender_understands() {
    let rig = Rig::start().await;
    for (body, status, code) in [
        ("{", 400, "unreadable_json"),
        ("[1]", 422, "wrong_shape"),
        ("{}", 422, "wrong_shape"),
        ("", 400, "unreadable_json"),
    ] {
        let told = rig.deliver(body).await;
        assert_eq!((told.status, told.code().as_str()), (status, code), "{body:?} {told:?}");
    }
    let told = rig.deliver(&"x".repeat(8193)).await;
    assert_eq!((told.status, told.code().as_str()), (413, "body_too_large"));
    let request = rig.request("POST", "/webhooks/am").bearer_auth(BEARER).header("content-encoding", "gzip");
    let told = rig.send(request.body("{}")).await;
    assert_eq!((told.status, told.code().as_str()), (415, "content_encoding"));
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let told = rig.send(rig.request(method, "/webhooks/am")).await;
        assert_eq!((told.status, told.code().as_str()), (405, "method_not_allowed"), "{method}");
        assert_eq!(told.header("allow"), "POST");
    }
    let told = rig.send(rig.request("POST", "/webhooks/am/").bearer_auth(BEARER).body("{")).await;
    assert_eq!(told.status, 400, "a slash at the end is served: {told:?}");
    let told = rig.send(rig.request("GET", "/nothing/here")).await;
    assert_eq!((told.status, told.code().as_str()), (404, "no_such_route"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_is_answered_with_a_decision_per_alert_and_repeated_verbatim() {
    let rig = Rig::start().await;
    rig.inventory().await;
    let body = firing("90000001", "0000000000000001");
    let request = rig.request("POST", "/webhooks/am").bearer_auth(BEARER).body(body.clone());
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let told = rig.send(request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))).await;
    assert_eq!(told.status, 202, "{told:?}");
    assert_eq!(told.header("x-trace-id"), trace);
    let answer = told.json();
    assert_eq!(answer["traceId"], trace);
    assert_eq!(answer["alerts"][0]["decision"], "awaiting_approval", "{answer}");
    assert_eq!(answer["alerts"][0]["serverInstanceNo"], "90000001");
    let again = rig.deliver(&body).await;
    assert_eq!(again.text, told.text, "the same delivery gets the stored answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_delivery_that_is_sent_again_is_the_same_delivery() {
    let rig = Rig::start().await;
    let body = firing("90000001", "0000000000000001").replace("\"firing\"", "\"resolved\"");
    let body = body.replace("\"version\":\"4\"", "\"version\":\"1\"");
    let seconds = rig.app.service().clock.now().as_second().to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(SIGNING_KEY.as_bytes()).unwrap();
    mac.update(format!("{seconds}:{body}").as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let send = |signature: String| {
        let request = rig.request("POST", "/webhooks/graf").body(body.clone());
        let request = request.header("x-grafana-alerting-timestamp", seconds.clone());
        rig.send(request.header("x-grafana-alerting-signature", signature))
    };
    let (first, second) = (send(signature.clone()).await, send(signature.clone()).await);
    assert_eq!(first.status, 202, "{first:?}");
    assert_eq!(
        first.text, second.text,
        "a copied request changes nothing, not even with a resolved alert in it"
    );
    assert_eq!(send(signature.to_ascii_uppercase()).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_drips_is_cut_at_its_deadline() {
    let rig = Rig::start().await;
    let addr = rig.app.addr();
    let dripping = tokio::task::spawn_blocking(move || {
        let mut socket = std::net::TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let begun = Instant::now();
        let head = format!(
            "POST /webhooks/am HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {BEARER}\r\ncontent-length: 100\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).unwrap();
        let mut writer = socket.try_clone().unwrap();
        let drip = std::thread::spawn(move || {
            while begun.elapsed() < Duration::from_secs(8) && writer.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let mut answer = String::new();
        let end = socket.read_to_string(&mut answer);
        let took = begun.elapsed();
        drop(socket);
        drip.join().unwrap();
        (answer, end.is_ok(), took)
    });
    let (answer, ended, took) = dripping.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("body_timeout"), "{answer}");
    assert!(took < Duration::from_secs(6), "the connection stayed open for {took:?} (ended: {ended})");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn above_its_pace_a_source_is_told_to_come_again() {
    let rig = Rig::start_with("127.0.0.1:0", "deliveries_per_second = 1").await;
    let mut told = Vec::new();
    for n in 0..4 {
        told.push(rig.deliver(&firing("90000001", &format!("{n:016x}"))).await);
    }
    let refused: Vec<_> = told.iter().filter(|told| told.status != 202).collect();
    assert!(refused.len() >= 2 && told[0].status == 202, "{told:?}");
    for told in refused {
        assert_eq!((told.status, told.code().as_str()), (503, "overloaded"));
        assert_eq!(told.header("retry-after"), "1");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_clean_and_quick_beside_idle_and_half_open_connections() {
    let rig = Rig::start().await;
    rig.inventory().await;
    assert_eq!(rig.deliver(&firing("90000001", "0000000000000001")).await.status, 202);
    let idle = std::net::TcpStream::connect(rig.app.addr()).unwrap();
    let mut half = std::net::TcpStream::connect(rig.app.addr()).unwrap();
    half.write_all(b"GET /livez HTTP/1.1\r\nhost:").unwrap();
    let begun = Instant::now();
    assert!(rig.app.stop().await, "something was left behind");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    drop((idle, half));
}

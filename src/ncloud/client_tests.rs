use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::domain::remediation::Outcome;
use crate::ncloud::loopback::{Peer, http, read_request, sample};

const SIGNED_AT_MS: i64 = 1_760_000_000_000;

fn prepared(client: &InterruptClient) -> PreparedInterrupt {
    client.prepare(&RegionCode::parse("KR").unwrap(), &ServerNo::parse("90000001").unwrap(), SIGNED_AT_MS)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

async fn send(client: &InterruptClient) -> AttemptReport {
    client.send(prepared(client), soon()).await
}

/// One answer to one request, and no second request.
async fn check(answer: &str, expected: Outcome) -> AttemptReport {
    let peer = Peer::start().await;
    let client = InterruptClient::new(&peer.config()).unwrap();
    let (report, _seen) = tokio::join!(send(&client), peer.answer(answer));
    assert_eq!(report.outcome, expected, "{answer}: {report:?}");
    peer.assert_no_more_connections();
    report
}

#[tokio::test]
async fn the_form_is_posted_and_signed_as_sent() {
    let peer = Peer::start().await;
    let client = InterruptClient::new(&peer.config()).unwrap();
    let answer = http(
        "200 OK",
        "date: Sat, 21 Nov 2026 00:00:00 GMT\r\ncontent-type: text/plain\r\n",
        &sample("interrupt-success-windows-xen.json"),
    );
    let (report, seen) = tokio::join!(send(&client), peer.answer(&answer));
    assert_eq!(report.outcome, Outcome::Accepted, "{report:?}");
    assert_eq!(report.request_id.as_deref(), Some("00000000-0000-4000-8000-000000000001"));
    assert_eq!(report.server_date_ms, Some(1_795_219_200_000));
    assert_eq!(seen.line, "POST /vserver/v2/interruptServerInstance HTTP/1.1");
    assert_eq!(seen.body, "regionCode=KR&serverInstanceNo=90000001&responseFormatType=json");
    assert_eq!(seen.header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(seen.header("x-ncp-apigw-timestamp"), SIGNED_AT_MS.to_string());
    assert_eq!(seen.header("x-ncp-iam-access-key"), "EXAMPLE-ACCESS-KEY-0001");
    // The published vector for POST.
    assert_eq!(seen.header("x-ncp-apigw-signature-v2"), "D6Sq2gxcmwy3vzoqdfAfm4uGRfC9XC/4lmzJrtIt9iM=");
    peer.assert_no_more_connections();
}

#[tokio::test]
async fn get_carries_everything_in_the_signed_query() {
    let peer = Peer::start().await;
    let config = CloudConfig { method: CallMethod::Get, ..peer.config() };
    let client = InterruptClient::new(&config).unwrap();
    let request = client.prepare(&config.region, &ServerNo::parse("4299").unwrap(), SIGNED_AT_MS);
    let answer = http("503 Service Unavailable", "", &sample("gateway-error-endpoint.json"));
    let (report, seen) = tokio::join!(client.send(request, soon()), peer.answer(&answer));
    assert_eq!(report.outcome, Outcome::Unknown);
    assert_eq!(
        seen.path_and_query(),
        "/vserver/v2/interruptServerInstance?regionCode=KR&serverInstanceNo=4299&responseFormatType=json"
    );
    // The published vector for GET.
    assert_eq!(seen.header("x-ncp-apigw-signature-v2"), "/5dq7K/FLq0HQrlm0fULHitPiGO/5YuHIlRDBESjb3M=");
    assert_eq!(seen.body, "");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for status in ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        check(&http(status, "location: /elsewhere\r\n", ""), Outcome::Unknown).await;
    }
}

#[tokio::test]
async fn answers_are_never_asked_for_twice() {
    let success = sample("interrupt-success-windows-xen.json");
    check(&http("503 Service Unavailable", "retry-after: 0\r\n", ""), Outcome::Unknown).await;
    check(&http("408 Request Timeout", "connection: close\r\n", ""), Outcome::Unknown).await;
    check(&http("429 Too Many Requests", "", &sample("gateway-error-rate-limited.json")), Outcome::Rejected)
        .await;
    let refused =
        check(&http("401 Unauthorized", "", &sample("gateway-error-auth-invalid.json")), Outcome::Rejected)
            .await;
    assert!(refused.raises_hold);
    // Closed without an answer, in the head, in the body; and an answer that is none.
    check("", Outcome::Unknown).await;
    check("HTTP/1.1 200 OK\r\ncontent-le", Outcome::Unknown).await;
    check(&format!("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{success}"), Outcome::Unknown).await;
    check("220 mail.example ESMTP\r\n", Outcome::Unknown).await;
}

#[tokio::test]
async fn a_reset_is_unknown_and_not_repeated() {
    let peer = Peer::start().await;
    let client = InterruptClient::new(&peer.config()).unwrap();
    let reset = async {
        let mut stream = peer.accept().await;
        read_request(&mut stream).await;
        stream.set_zero_linger().unwrap();
    };
    let (report, ()) = tokio::join!(send(&client), reset);
    assert_eq!(report.outcome, Outcome::Unknown, "{report:?}");
    peer.assert_no_more_connections();
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    let config = Peer::start().await.config();
    let client = InterruptClient::new(&config).unwrap();
    let report = send(&client).await;
    assert_eq!(report.outcome, Outcome::NotSent, "{report:?}");
    assert!(report.cause.contains("refused"), "{report:?}");
}

#[tokio::test]
async fn a_failed_handshake_is_not_sent() {
    let peer = Peer::start().await;
    let mut config = peer.config();
    config.endpoint = config.endpoint.replace("http:", "https:");
    let client = InterruptClient::new(&config).unwrap();
    let no_tls = async {
        let mut stream = peer.accept().await;
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).await.unwrap();
        assert_eq!(hello[0], 22, "a TLS handshake record");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    };
    let (report, ()) = tokio::join!(send(&client), no_tls);
    assert_eq!(report.outcome, Outcome::NotSent, "{report:?}");
    peer.assert_no_more_connections();
}

#[tokio::test]
async fn nothing_is_sent_too_late() {
    let peer = Peer::start().await;
    let client = InterruptClient::new(&peer.config()).unwrap();
    let report = client.send(prepared(&client), Instant::now()).await;
    assert_eq!(report.outcome, Outcome::NotSent, "{report:?}");
    assert!(report.cause.contains("had passed"), "{report:?}");
    peer.assert_no_more_connections();
}

#[tokio::test]
async fn an_oversize_answer_is_unknown() {
    let padding = " ".repeat(ANSWER_BYTES_MAX);
    let success = sample("interrupt-success-windows-xen.json");
    let report = check(&http("200 OK", "", &format!("{success}{padding}")), Outcome::Unknown).await;
    assert!(report.cause.contains("larger"), "{report:?}");
    let fits = format!("{success}{}", " ".repeat(ANSWER_BYTES_MAX - success.len()));
    check(&http("200 OK", "", &fits), Outcome::Accepted).await;
}

#[tokio::test]
async fn a_dripping_answer_ends_at_the_total_timeout() {
    let peer = Peer::start().await;
    let config = CloudConfig { timeout: jiff::SignedDuration::from_millis(300), ..peer.config() };
    let client = InterruptClient::new(&config).unwrap();
    let drip = async {
        let mut stream = peer.accept().await;
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n").await.unwrap();
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        let mut drops: u32 = 0;
        while stream.write_all(b" ").await.is_ok() {
            drops += 1;
            pace.tick().await;
        }
        drops
    };
    let (report, drops) = tokio::join!(send(&client), drip);
    assert_eq!((report.outcome, report.http_status), (Outcome::Unknown, Some(200)), "{report:?}");
    assert!(drops > 2, "{drops}");
    peer.assert_no_more_connections();
}

#[tokio::test]
async fn the_hash_names_the_request_and_debug_names_no_secret() {
    let peer = Peer::start().await;
    let client = InterruptClient::new(&peer.config()).unwrap();
    let first = prepared(&client);
    assert_eq!(
        first.request_hash(),
        hex::encode(Sha256::digest(
            "POST /vserver/v2/interruptServerInstance\n\
             regionCode=KR&serverInstanceNo=90000001&responseFormatType=json"
        ))
    );
    assert_eq!(first.signed_at_ms(), SIGNED_AT_MS);
    let other = client.prepare(
        &RegionCode::parse("KR").unwrap(),
        &ServerNo::parse("90000002").unwrap(),
        SIGNED_AT_MS,
    );
    assert_ne!(first.request_hash(), other.request_hash());
    let shown = format!("{first:?} {client:?}");
    for secret in ["EXAMPLE-ACCESS", "example-secret", "D6Sq2gxc"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.contains("90000001"), "{shown}");
}

#[tokio::test]
async fn bad_configuration_is_refused() {
    let good = Peer::start().await.config();
    assert!(InterruptClient::new(&good).is_ok());
    for bad in [
        CloudConfig { endpoint: "http://cloud.example".into(), ..good.clone() },
        CloudConfig { access_key: "".into(), ..good.clone() },
        CloudConfig { access_key: "a\nb".into(), ..good.clone() },
        CloudConfig { secret_key: "".into(), ..good.clone() },
        CloudConfig { timeout: jiff::SignedDuration::ZERO, ..good.clone() },
    ] {
        assert!(InterruptClient::new(&bad).is_err(), "{bad:?}");
    }
}

/// What is kept of an answer with this body; its hash is that of what is kept.
async fn kept(status: &str, body: &[u8], expected: Outcome) -> AttemptReport {
    let peer = Peer::start().await;
    let client = InterruptClient::new(&peer.config()).unwrap();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    let (report, _seen) = tokio::join!(send(&client), peer.answer([head.as_bytes(), body].concat()));
    assert_eq!(report.outcome, expected, "{report:?}");
    let answer = report.answer.as_ref().unwrap();
    assert_eq!(report.body_sha256, Some(hex::encode(Sha256::digest(&answer.bytes))));
    report
}

#[tokio::test]
async fn the_whole_answer_is_kept_as_it_came() {
    let vendor = ["interrupt-success-windows-xen.json", "interrupt-success-vpc.xml"].map(sample);
    let odd = b"\xef\xbb\xbf{\r\n\t\"a\":\"\xff\xfe\x00\x1b[31m\"}  \n".to_vec();
    let long = vec![b'x'; ANSWER_BYTES_MAX];
    for (body, expected) in [
        (vendor[0].clone().into_bytes(), Outcome::Accepted),
        (vendor[1].clone().into_bytes(), Outcome::Accepted),
        (odd, Outcome::Unknown),
        (long, Outcome::Unknown),
    ] {
        let answer = kept("200 OK", &body, expected).await.answer.unwrap();
        assert!(answer.bytes == body, "{} of {} bytes", answer.bytes.len(), body.len());
        assert!(!answer.incomplete && !answer.key_removed);
    }
    let answer = kept("200 OK", &vec![b'x'; ANSWER_BYTES_MAX + 1], Outcome::Unknown).await.answer.unwrap();
    assert_eq!((answer.bytes.len(), answer.incomplete), (ANSWER_BYTES_MAX, true));
}

#[tokio::test]
async fn no_key_of_ours_is_kept() {
    let body = b"{\"error\":{\"errorCode\":\"200\",\"message\":\"no such key EXAMPLE-ACCESS-KEY-0001\"}}\xff";
    let text = &body[..body.len() - 1];
    for (body, expected) in [(text, Outcome::Rejected), (body, Outcome::Unknown)] {
        let report = kept("401 Unauthorized", body, expected).await;
        assert!(!format!("{report:?}").contains("EXAMPLE-ACCESS-KEY"), "{report:?}");
        let answer = report.answer.unwrap();
        let shown = String::from_utf8_lossy(&answer.bytes);
        assert!(answer.key_removed && shown.contains("no such key [key]\""), "{shown}");
        assert!(!shown.contains("EXAMPLE-ACCESS-KEY"), "{shown}");
    }
}

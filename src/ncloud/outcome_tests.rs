use super::*;

fn report_of(status: u16, body: &[u8]) -> AttemptReport {
    let asked =
        Asked { region: RegionCode::parse("KR").unwrap(), server_no: ServerNo::parse("90000001").unwrap() };
    let exchange =
        Exchange::Answered { status, server_date_ms: Some(7), body: AnswerBody::Complete(body.to_vec()) };
    classify(&exchange, &asked)
}

fn check(status: u16, body: &str, expected: Outcome) {
    let report = report_of(status, body.as_bytes());
    assert_eq!(report.outcome, expected, "{status} {body} gave {report:?}");
    assert_eq!(report.http_status, Some(status));
    assert_eq!(report.server_date_ms, Some(7));
    assert_eq!(report.body_sha256.map(|hash| hash.len()), Some(64));
}

fn gateway(code: &str) -> String {
    format!(r#"{{"error":{{"errorCode":"{code}","message":"m"}}}}"#)
}

fn service(code: &str) -> String {
    format!(r#"{{"responseError":{{"returnCode":"{code}","returnMessage":"m"}}}}"#)
}

fn response(inner: &str) -> String {
    format!(r#"{{"interruptServerInstanceResponse":{{{inner}}}}}"#)
}

const STATUSES: [u16; 24] = [
    200, 201, 202, 204, 299, 300, 301, 302, 307, 308, 400, 401, 403, 404, 405, 408, 409, 413, 418, 429, 500,
    502, 503, 504,
];

/// Each sample is rejected or accepted under the listed statuses and unknown under all others.
#[test]
fn every_sample_under_every_status() {
    use Outcome::{Accepted, Rejected};
    let twoxx: &[u16] = &[200, 201, 202, 204, 299];
    let with = |status: u16| {
        let mut all = twoxx.to_vec();
        all.push(status);
        all
    };
    for (name, outcome, statuses) in [
        ("interrupt-success-windows-xen.json", Accepted, twoxx.to_vec()),
        ("interrupt-success-vpc.xml", Accepted, twoxx.to_vec()),
        // Servers 90000003 and 80000001: not the one that was asked for.
        ("interrupt-success-linux-kvm.json", Accepted, vec![]),
        ("interrupt-success-classic.xml", Accepted, vec![]),
        // Other actions' answers.
        ("detail-linux-kvm-run.json", Accepted, vec![]),
        ("detail-linux-xen-run.json", Accepted, vec![]),
        ("detail-not-found-empty.json", Accepted, vec![]),
        ("detail-windows-kvm-run.json", Accepted, vec![]),
        ("detail-windows-xen-rebooted.json", Accepted, vec![]),
        ("detail-windows-xen-run.json", Accepted, vec![]),
        ("detail-windows-xen-setup.json", Accepted, vec![]),
        ("detail-windows-xen-stopped.json", Accepted, vec![]),
        ("list-two-of-three.json", Accepted, vec![]),
        ("region-list.json", Accepted, vec![]),
        ("region-list.xml", Accepted, vec![]),
        ("gateway-error-auth-invalid.json", Rejected, with(401)),
        ("gateway-error-auth-missing.json", Rejected, with(401)),
        ("gateway-error-permission.json", Rejected, with(401)),
        ("gateway-error-permission.xml", Rejected, with(401)),
        ("gateway-error-rate-limited.json", Rejected, with(429)),
        ("gateway-error-endpoint.json", Rejected, vec![]),
        ("gateway-error-timeout.json", Rejected, vec![]),
        // Code 401 is an HTTP status, not one of the documented codes.
        ("gateway-error-numeric-code.json", Rejected, vec![]),
        ("vserver-error-not-controllable.json", Rejected, with(400)),
        ("vserver-error-not-controllable.xml", Rejected, with(400)),
        ("vserver-error-temporary.json", Rejected, vec![]),
        ("vserver-error-variant-keys.json", Rejected, vec![]),
    ] {
        let path = format!("{}/tests/samples/ncloud/{name}", env!("CARGO_MANIFEST_DIR"));
        let body = std::fs::read_to_string(path).unwrap();
        for status in STATUSES {
            let expected = if statuses.contains(&status) { outcome } else { Outcome::Unknown };
            check(status, &body, expected);
        }
    }
}

#[test]
fn gateway_codes_count_only_under_their_own_status() {
    let codes =
        ["", "0", "100", "200", "210", "230", "300", "400", "401", "410", "420", "430", "500", "510", "900"];
    for code in codes {
        for status in STATUSES.into_iter().filter(|status| *status >= 300) {
            let listed = GATEWAY_REFUSALS.contains(&(status, code));
            let expected = if listed { Outcome::Rejected } else { Outcome::Unknown };
            check(status, &gateway(code), expected);
        }
        let refused = GATEWAY_REFUSALS_INSIDE_2XX.contains(&code);
        check(200, &gateway(code), if refused { Outcome::Rejected } else { Outcome::Unknown });
    }
}

#[test]
fn service_codes_refuse_with_400_only() {
    for (status, code, expected) in [
        (400, "1100031", Outcome::Rejected),
        (400, "1401", Outcome::Rejected),
        (400, "999999", Outcome::Rejected),
        (400, "1000", Outcome::Unknown),
        (400, "3000100", Outcome::Unknown),
        (400, "0", Outcome::Unknown),
        (400, "", Outcome::Unknown),
        (404, "1100031", Outcome::Unknown),
        (500, "1100031", Outcome::Unknown),
        (200, "1100031", Outcome::Rejected),
        (200, "200", Outcome::Unknown),
        (200, "1000", Outcome::Unknown),
    ] {
        check(status, &service(code), expected);
    }
}

#[test]
fn a_success_must_say_so_and_name_our_server_if_it_names_any() {
    let server = |no: &str| format!(r#"{{"serverInstanceNo":"{no}"}}"#);
    let ours = server("90000001");
    let other = server("90000002");
    for (inner, expected) in [
        (r#""returnCode":"0""#.to_owned(), Outcome::Accepted),
        (r#""returnCode":0"#.to_owned(), Outcome::Accepted),
        (String::new(), Outcome::Unknown),
        (r#""returnCode":"""#.to_owned(), Outcome::Unknown),
        (r#""returnCode":"00""#.to_owned(), Outcome::Unknown),
        (r#""returnCode":"1""#.to_owned(), Outcome::Unknown),
        (r#""returnCode":"200""#.to_owned(), Outcome::Unknown),
        (r#""returnCode":"1100031""#.to_owned(), Outcome::Rejected),
        // A row needs no more than its number here.
        (format!(r#""returnCode":"0","serverInstanceList":[{ours}]"#), Outcome::Accepted),
        (format!(r#""returnCode":"0","serverInstanceList":[{other}]"#), Outcome::Unknown),
        (format!(r#""returnCode":"0","serverInstanceList":[{ours},{other}]"#), Outcome::Unknown),
        (r#""returnCode":"0","serverInstanceList":[]"#.to_owned(), Outcome::Unknown),
        (r#""returnCode":"0","serverInstanceNoList":[90000001]"#.to_owned(), Outcome::Accepted),
        (r#""returnCode":"0","serverInstanceNoList":["5"]"#.to_owned(), Outcome::Unknown),
    ] {
        check(200, &response(&inner), expected);
    }
}

#[test]
fn what_cannot_be_read_is_unknown_under_every_status() {
    for status in STATUSES {
        for body in ["", "<html>Bad Gateway</html>", "{", "success", "{\"message\":\"no\"}"] {
            check(status, body, Outcome::Unknown);
        }
    }
}

#[test]
fn unfinished_exchanges() {
    let asked =
        Asked { region: RegionCode::parse("KR").unwrap(), server_no: ServerNo::parse("90000001").unwrap() };
    let success = response(r#""returnCode":"0""#).into_bytes();
    let answered = |body| Exchange::Answered { status: 200, server_date_ms: None, body };
    for (exchange, expected, status) in [
        (Exchange::NotSent { why: "dns".into() }, Outcome::NotSent, None),
        (Exchange::Lost { why: "reset".into() }, Outcome::Unknown, None),
        (answered(AnswerBody::Oversize(success.clone())), Outcome::Unknown, Some(200)),
        (answered(AnswerBody::Broken { read: success, why: "eof".into() }), Outcome::Unknown, Some(200)),
    ] {
        let report = classify(&exchange, &asked);
        assert_eq!((report.outcome, report.http_status), (expected, status), "{report:?}");
        assert_eq!(report.body_sha256.is_some(), status.is_some());
        assert!(!report.raises_hold);
    }
}

#[test]
fn refused_keys_raise_the_hold_whatever_else_is_wrong() {
    for (status, body, expected) in [
        (401, gateway("200"), true),
        (401, "not ours".to_owned(), true),
        (403, String::new(), true),
        (403, gateway("230"), true),
        (200, gateway("210"), true),
        (200, gateway("420"), false),
        (429, gateway("420"), false),
        (400, service("200"), false),
        (500, gateway("500"), false),
    ] {
        assert_eq!(report_of(status, body.as_bytes()).raises_hold, expected, "{status} {body}");
    }
}

#[test]
fn what_the_cloud_said_is_kept() {
    let report = report_of(
        200,
        response(r#""requestId":"id-1","returnCode":"0","returnMessage":"success""#).as_bytes(),
    );
    assert_eq!(report.request_id.as_deref(), Some("id-1"));
    assert_eq!(report.return_code.as_deref(), Some("0"));
    assert_eq!(report.return_message.as_deref(), Some("success"));
    let report = report_of(503, gateway("500").as_bytes());
    assert_eq!((report.request_id, report.return_code.as_deref()), (None, Some("500")));
    assert_eq!(report.return_message.as_deref(), Some("m"));
}

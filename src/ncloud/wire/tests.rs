use super::*;

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/samples/ncloud/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn parsed(name: &str) -> Answer {
    let answer = parse(&sample(name), Some(&RegionCode::parse("KR").unwrap())).unwrap();
    assert!(answer.unreadable_rows.is_empty(), "{name}: {answer:?}");
    answer
}

fn parsed_text(text: &str) -> Result<Answer, WireError> {
    parse(text.as_bytes(), Some(&RegionCode::parse("KR").unwrap()))
}

/// `no/platform/hypervisor/status/operation uptime` of each server.
fn summary(answer: &Answer) -> Vec<String> {
    let line = |s: &Server| {
        let uptime = s.uptime_at.map_or_else(|| "-".into(), |t| t.to_string());
        format!(
            "{}/{}/{}/{}/{} {uptime}",
            s.no, s.platform_code, s.hypervisor_code, s.status_code, s.operation_code
        )
    };
    answer.servers.iter().map(line).collect()
}

#[test]
fn every_sample_with_servers_is_read() {
    let up = "2026-10-29T23:00:12Z";
    for (name, expected) in [
        ("detail-linux-kvm-run.json", vec![format!("90000003/LNX64/KVM/RUN/NULL {up}")]),
        ("detail-linux-xen-run.json", vec![format!("90000004/LNX64/XEN/RUN/NULL {up}")]),
        ("detail-not-found-empty.json", vec![]),
        ("detail-windows-kvm-run.json", vec![format!("90000002/WND64/KVM/RUN/NULL {up}")]),
        ("detail-windows-xen-rebooted.json", vec!["90000001/WND64/XEN/RUN/NULL 2026-10-30T05:22:41Z".into()]),
        ("detail-windows-xen-run.json", vec![format!("90000001/WND64/XEN/RUN/NULL {up}")]),
        ("detail-windows-xen-setup.json", vec![format!("90000001/WND64/XEN/RUN/SETUP {up}")]),
        ("detail-windows-xen-stopped.json", vec![format!("90000001/WND64/XEN/NSTOP/NULL {up}")]),
        ("interrupt-success-classic.xml", vec!["80000001/WND64//RUN/NULL 2019-03-03T20:10:00Z".into()]),
        ("interrupt-success-linux-kvm.json", vec![format!("90000003/LNX64/KVM/RUN/SETUP {up}")]),
        ("interrupt-success-vpc.xml", vec![format!("90000001/WND64//RUN/SETUP {up}")]),
        ("interrupt-success-windows-xen.json", vec![format!("90000001/WND64/XEN/RUN/SETUP {up}")]),
        (
            "list-two-of-three.json",
            vec![format!("90000001/WND64/XEN/RUN/NULL {up}"), format!("90000003/LNX64/KVM/RUN/NULL {up}")],
        ),
    ] {
        let answer = parsed(name);
        assert_eq!(summary(&answer), expected, "{name}");
        assert_eq!(answer.return_code.as_deref(), Some("0"), "{name}");
        assert_eq!(answer.return_message.as_deref(), Some("success"), "{name}");
        assert_eq!(answer.error, None, "{name}");
        let numbers: Vec<_> = answer.servers.iter().map(|s| s.no.as_str().to_owned()).collect();
        assert_eq!(answer.server_numbers, Some(numbers), "{name}");
    }
}

#[test]
fn one_server_is_read_in_full() {
    let server = parsed("interrupt-success-windows-xen.json").servers.remove(0);
    assert_eq!(server.name, "win-app-01");
    assert_eq!(server.created_at.to_string(), "2026-02-03T01:15:00Z");
    assert_eq!(server.memory_bytes, 8 << 30);
    assert_eq!((server.region.as_str(), server.zone_code.as_str()), ("KR", "KR-1"));
    assert_eq!((server.subnet_no.as_str(), server.placement_group_no.as_str()), ("150022", ""));
}

#[test]
fn request_ids_and_totals_are_optional() {
    for (name, request_id, total) in [
        ("interrupt-success-classic.xml", Some("00000000-0000-4000-8000-000000000031"), 1),
        ("interrupt-success-vpc.xml", None, 1),
        ("list-two-of-three.json", Some("00000000-0000-4000-8000-000000000019"), 3),
        ("detail-not-found-empty.json", Some("00000000-0000-4000-8000-000000000018"), 0),
    ] {
        let answer = parsed(name);
        assert_eq!(answer.request_id.as_deref(), request_id, "{name}");
        assert_eq!(answer.total_rows, Some(total), "{name}");
    }
}

#[test]
fn both_region_lists_are_read() {
    let codes = |name| -> Vec<String> {
        parsed(name).regions.iter().map(|r| format!("{} {}", r.code, r.name)).collect()
    };
    assert_eq!(codes("region-list.json"), ["KR Korea", "SGN Singapore(New)", "JPN Japan(New)"]);
    assert_eq!(codes("region-list.xml"), ["KR Korea"]);
}

#[test]
fn every_error_sample_is_read() {
    use Layer::{Gateway, Service};
    let invalid = "Authentication Failed: Invalid authentication information.";
    let missing = "Authentication Failed: Authentication information are missing.";
    let control = "The server cannot be controlled by the NCLOUD API.";
    let later = "Please try your call again later. Sample second line.";
    for (name, layer, code, message) in [
        ("gateway-error-auth-invalid.json", Gateway, "200", invalid),
        ("gateway-error-auth-missing.json", Gateway, "200", missing),
        ("gateway-error-endpoint.json", Gateway, "500", "Endpoint Error"),
        ("gateway-error-numeric-code.json", Gateway, "401", "numeric errorCode variant"),
        ("gateway-error-permission.json", Gateway, "210", "Permission Denied"),
        ("gateway-error-permission.xml", Gateway, "210", "Permission Denied"),
        ("gateway-error-rate-limited.json", Gateway, "420", "Rate Limited"),
        ("gateway-error-timeout.json", Gateway, "510", "Endpoint Timeout"),
        ("vserver-error-not-controllable.json", Service, "1100031", control),
        ("vserver-error-not-controllable.xml", Service, "1100031", control),
        ("vserver-error-temporary.json", Service, "1000", later),
        ("vserver-error-variant-keys.json", Service, "3000100", "External interworking failed."),
    ] {
        let error = CloudError { layer, code: code.into(), message: message.into() };
        assert_eq!(parsed(name).error, Some(error), "{name}");
    }
}

#[test]
fn numbers_texts_marks_and_white_space_are_tolerated() {
    for text in [
        "\u{feff}\n {\"interruptServerInstanceResponse\":{\"returnCode\":0,\"serverInstanceNoList\":[4299]}} ",
        r#"{"interruptServerInstanceResponse":{"returnCode":"0","serverInstanceNoList":["4299"],"new":{"a":[1]}}}"#,
        "\u{feff} <interruptServerInstanceResponse><returnCode>\n0\n</returnCode><serverInstanceNoList a='b'>\
         <serverInstanceNo> 4299 </serverInstanceNo></serverInstanceNoList></interruptServerInstanceResponse>\n",
    ] {
        let answer = parsed_text(text).unwrap();
        assert_eq!(answer.return_code.as_deref(), Some("0"), "{text}");
        assert_eq!(answer.server_numbers, Some(vec!["4299".to_owned()]), "{text}");
    }
}

#[test]
fn absent_is_empty_in_both_formats() {
    let json =
        parsed_text(r#"{"xResponse":{"requestId":"","returnCode":null,"serverInstanceList":""}}"#).unwrap();
    let xml = parsed_text("<xResponse><requestId></requestId><returnCode/><serverInstanceList/></xResponse>")
        .unwrap();
    assert_eq!(json, xml);
    assert_eq!((json.request_id, json.return_code), (None, None));
    assert_eq!(json.server_numbers, Some(vec![]));
}

#[test]
fn what_is_not_one_answer_is_refused() {
    for text in [
        "",
        " \n",
        "upstream connect error",
        "[]",
        "{}",
        "{\"interruptServerInstanceResponse\":{\"returnCode\":\"0\"",
        r#"{"interruptServerInstanceResponse":{"returnCode":"0"}} {}"#,
        r#"{"interruptServerInstanceResponse":{"returnCode":"0","returnCode":"1"}}"#,
        r#"{"interruptServerInstanceResponse":{"returnCode":"0"},"error":{"errorCode":"500"}}"#,
        r#"{"interruptServerInstanceResponse":{"returnCode":"0","serverInstanceList":{"no":1}}}"#,
        r#"{"interruptServerInstanceResponse":{"returnCode":{"x":"0"}}}"#,
        r#"{"interruptServerInstanceResponse":"0"}"#,
        "<html><body>502 Bad Gateway</body></html>",
        "<interruptServerInstanceResponse><returnCode>0</returnCode>",
        "<interruptServerInstanceResponse><returnCode>0</returnCode></interruptServerInstanceResponse><x/>",
        "<xResponse><returnCode>0</returnCode><returnCode>1</returnCode></xResponse>",
        "<!DOCTYPE x [<!ENTITY e \"0\">]><xResponse><returnCode>&e;</returnCode></xResponse>",
        "<xResponse><serverInstanceList><server/></serverInstanceList></xResponse>",
    ] {
        assert!(parsed_text(text).is_err(), "{text:?} gave {:?}", parsed_text(text));
    }
    assert_eq!(parse(b"{\"\xff", None), Err(WireError::NotUtf8));
    let deep = format!("{{\"xResponse\":{}", "[".repeat(100_000));
    assert!(parsed_text(&deep).is_err());
    assert!(parsed_text(&"<error>".repeat(10_000)).is_err());
}

#[test]
fn a_row_without_what_it_needs_is_reported_not_dropped() {
    let whole = String::from_utf8(sample("detail-windows-xen-run.json")).unwrap();
    for (from, to, field) in [
        (r#""serverInstanceNo": "90000001""#, r#""serverInstanceNo": "9x""#, "serverInstanceNo"),
        ("win-app-01", "", "serverName"),
        ("2026-02-03T10:15:00+0900", "yesterday", "createDate"),
        ("8589934592", "\"\"", "memorySize"),
        (r#""regionCode": "KR""#, r#""regionCode": "kr!""#, "regionCode"),
    ] {
        assert!(whole.contains(from), "{from}");
        let answer = parsed_text(&whole.replace(from, to)).unwrap();
        assert!(answer.servers.is_empty(), "{field}");
        assert!(answer.unreadable_rows[0].ends_with(field), "{answer:?}");
        assert_eq!(answer.server_numbers.map(|n| n.len()), Some(1), "{field}");
    }
    let no_region = whole.replace(r#""regionCode": "KR","#, "");
    assert_eq!(parsed_text(&no_region).unwrap().servers[0].region.as_str(), "KR");
    assert!(!parse(no_region.as_bytes(), None).unwrap().unreadable_rows.is_empty());
}

#[test]
fn unknown_codes_and_absent_objects_do_not_fail() {
    let whole = String::from_utf8(sample("detail-windows-xen-run.json")).unwrap();
    let changed = whole.replace("\"RUN\"", "\"NEWST\"").replace("2026-10-30T08:00:12+0900", "");
    let answer = parsed_text(&changed).unwrap();
    assert_eq!(summary(&answer), ["90000001/WND64/XEN/NEWST/NULL -"]);
    let bare = r#"{"xResponse":{"serverInstanceList":[{"serverInstanceNo":7,"serverName":"a","createDate":
        "2026-02-03T10:15:00+09:00","memorySize":1,"hypervisorType":"","platformType":null}]}}"#;
    assert_eq!(summary(&parsed_text(bare).unwrap()), ["7//// -"]);
}

#[test]
fn texts_are_safe_to_print() {
    let answer =
        parsed_text(r#"{"responseError":{"returnCode":"1\u001b[0m","returnMessage":"a\u202eb\u0000c"}}"#)
            .unwrap();
    let error = answer.error.unwrap();
    assert_eq!((error.code.as_str(), error.message.as_str()), ("1[0m", "abc"));
}

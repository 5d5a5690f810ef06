//! Tests of `credential`: what each kind accepts, and that everything else is one refusal.
//!
//! Never: reads a real secret.

use super::*;
use crate::config::SourceKind;
use crate::domain::guest::Binding;
use crate::domain::policy::Trust;

const NOW: i64 = 1_793_337_600;
const BODY: &[u8] = br#"{"version":"1"}"#;

fn secret(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

fn bearer(text: &str) -> CredentialConfig {
    CredentialConfig::Bearer { secret: secret(text) }
}

fn signing(key: &str) -> CredentialConfig {
    CredentialConfig::Hmac {
        secret: secret(key),
        signature_header: "X-Grafana-Alerting-Signature".to_owned(),
        timestamp_header: "X-Grafana-Alerting-Timestamp".to_owned(),
        tolerance: SignedDuration::from_secs(300),
    }
}

fn verifier(auth: Vec<CredentialConfig>, allow_from: &[&str]) -> Verifier {
    Verifier::new(&SourceConfig {
        name: "test".to_owned(),
        kind: SourceKind::Grafana,
        trust: Trust::Propose,
        auth,
        allow_from: allow_from.iter().map(|net| net.parse().unwrap()).collect(),
        firing_values: Vec::new(),
        resolved_values: Vec::new(),
        heartbeat: None,
        speaks_for: Binding::default(),
    })
}

fn ask(verifier: &Verifier, headers: &[(&str, &str)], peer: &str, now: i64) -> String {
    let headers: Headers<'_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let now = Timestamp::from_second(now).unwrap();
    match verifier.verify(&headers, peer.parse().unwrap(), BODY, now) {
        Ok(found) => format!("ok {}", found.index),
        Err(refused) => {
            assert_eq!(refused.to_string(), "credential refused");
            refused.reason().as_str().to_owned()
        }
    }
}

#[track_caller]
fn check(auth: Vec<CredentialConfig>, headers: &[(&str, &str)], expected: &str) {
    assert_eq!(ask(&verifier(auth, &[]), headers, "192.0.2.1", NOW), expected);
}

fn signature(key: &str, signed: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    mac.update(BODY);
    hex::encode(mac.finalize().into_bytes())
}

#[test]
fn a_bearer_token_must_be_equal_in_full() {
    check(vec![bearer("abc")], &[("Authorization", "Bearer abc")], "ok 0");
    check(vec![bearer("abc")], &[("authorization", "bearer  abc")], "ok 0");
    check(vec![bearer("abc")], &[("Authorization", "Bearer abcd")], "wrong");
    check(vec![bearer("abc")], &[("Authorization", "Bearer ab")], "wrong");
    check(vec![bearer("abc")], &[("Authorization", "Bearer")], "missing");
    check(vec![bearer("abc")], &[("Authorization", "abc")], "missing");
    check(vec![bearer("abc")], &[("Authorization", "Bearerabc")], "missing");
    check(vec![bearer("abc")], &[], "missing");
}

#[test]
fn an_empty_secret_never_matches() {
    check(vec![bearer("")], &[("Authorization", "Bearer ")], "wrong");
    let header = CredentialConfig::Header { name: "X-Token".to_owned(), secret: secret("") };
    check(vec![header], &[("X-Token", "")], "wrong");
    let signed = signature("", &format!("{NOW}:"));
    let (name, time) = ("X-Grafana-Alerting-Timestamp", NOW.to_string());
    check(vec![signing("")], &[("X-Grafana-Alerting-Signature", &signed), (name, &time)], "wrong");
}

#[test]
fn basic_needs_the_name_and_the_password() {
    let basic = || vec![CredentialConfig::Basic { username: "am".to_owned(), secret: secret("pa:ss") }];
    check(basic(), &[("Authorization", "Basic YW06cGE6c3M=")], "ok 0");
    check(basic(), &[("Authorization", "Basic YW06cGE6c3N4")], "wrong");
    check(basic(), &[("Authorization", "Basic %%%")], "wrong");
    check(basic(), &[("Authorization", "Bearer YW06cGE6c3M=")], "missing");
}

#[test]
fn a_static_header_is_compared_as_bytes() {
    let header =
        || vec![CredentialConfig::Header { name: "X-Unhang-Token".to_owned(), secret: secret("T-1") }];
    check(header(), &[("x-unhang-token", "T-1")], "ok 0");
    check(header(), &[("x-unhang-token", "t-1")], "wrong");
    check(header(), &[("x-other", "T-1")], "missing");
}

#[test]
fn two_credentials_are_valid_at_once_and_the_match_is_told() {
    let both = || vec![bearer("old"), bearer("new")];
    check(both(), &[("Authorization", "Bearer old")], "ok 0");
    check(both(), &[("Authorization", "Bearer new")], "ok 1");
    check(both(), &[("Authorization", "Bearer older")], "wrong");
}

#[test]
fn a_repeated_credential_header_is_refused_even_when_both_are_right() {
    let twice = [("Authorization", "Bearer abc"), ("authorization", "Bearer abc")];
    check(vec![bearer("abc")], &twice, "repeated");
    let time = NOW.to_string();
    let signed = signature("key", &format!("{NOW}:"));
    let mut headers = vec![
        ("X-Grafana-Alerting-Signature", signed.as_str()),
        ("X-Grafana-Alerting-Timestamp", time.as_str()),
    ];
    check(vec![signing("key")], &headers, "ok 0");
    headers.extend(twice);
    check(vec![signing("key")], &headers, "repeated");
    headers.truncate(2);
    headers.push(("x-grafana-alerting-timestamp", "1"));
    check(vec![signing("key")], &headers, "repeated");
}

#[test]
fn a_signature_holds_for_three_hundred_seconds_either_way() {
    let verifier = verifier(vec![signing("key")], &[]);
    let time = NOW.to_string();
    let signed = signature("key", &format!("{NOW}:"));
    let headers =
        [("X-Grafana-Alerting-Signature", signed.as_str()), ("X-Grafana-Alerting-Timestamp", time.as_str())];
    for (offset, expected) in
        [(0, "ok 0"), (299, "ok 0"), (300, "ok 0"), (301, "expired"), (-300, "ok 0"), (-301, "expired")]
    {
        assert_eq!(ask(&verifier, &headers, "192.0.2.1", NOW + offset), expected, "{offset}");
    }
    let view: Headers<'_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let now = Timestamp::from_second(NOW).unwrap();
    let found = verifier.verify(&view, "192.0.2.1".parse().unwrap(), BODY, now).unwrap();
    assert_eq!(found.sender_time, Some(now));
    assert_eq!(found.signature.map(hex::encode), Some(signed.clone()));
    assert!(verifier.verify(&view, "192.0.2.1".parse().unwrap(), b"{}", now).is_err());
}

#[test]
fn a_signature_has_one_form_only() {
    let time = NOW.to_string();
    let good = signature("key", &format!("{NOW}:"));
    let body_only = signature("key", "");
    let other_key = signature("other", &format!("{NOW}:"));
    let upper = good.to_uppercase();
    let prefixed = format!("sha256={good}");
    let signed_plus = signature("key", &format!("+{NOW}:"));
    let plus = format!("+{NOW}");
    for (signed, time, expected) in [
        (&good, Some(&time), "ok 0"),
        (&good, None, "missing"),
        (&body_only, None, "missing"),
        (&body_only, Some(&time), "wrong"),
        (&other_key, Some(&time), "wrong"),
        (&upper, Some(&time), "wrong"),
        (&prefixed, Some(&time), "wrong"),
        (&signed_plus, Some(&plus), "wrong"),
        (&String::new(), Some(&time), "wrong"),
    ] {
        let mut headers = vec![("X-Grafana-Alerting-Signature", signed.as_str())];
        headers.extend(time.map(|time| ("X-Grafana-Alerting-Timestamp", time.as_str())));
        check(vec![signing("key")], &headers, expected);
    }
}

#[test]
fn only_listed_networks_may_call() {
    let verifier = verifier(vec![bearer("abc")], &["192.0.2.0/24", "2001:db8::/32"]);
    let headers = [("Authorization", "Bearer abc")];
    for (peer, expected) in [
        ("192.0.2.7", "ok 0"),
        ("::ffff:192.0.2.7", "ok 0"),
        ("2001:db8::1", "ok 0"),
        ("198.51.100.1", "address"),
        ("2001:db9::1", "address"),
    ] {
        assert_eq!(ask(&verifier, &headers, peer, NOW), expected, "{peer}");
    }
}

#[test]
fn nothing_shows_a_secret() {
    let verifier = verifier(vec![bearer("sesame")], &[]);
    let digest = hex::encode(Sha256::digest("sesame"));
    let shown = format!("{verifier:?}");
    assert!(!shown.contains("sesame") && !shown.contains(&digest), "{shown}");
}

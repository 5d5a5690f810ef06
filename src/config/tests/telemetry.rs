//! Traces: which endpoints are taken, and that their secret is never shown.
//!
//! Never: opens a connection.

use super::*;

const TOKEN: &str = "a-collector-token-MARKER";

fn with(lines: &str) -> Result<Loaded, Vec<Problem>> {
    outcome(
        &format!("{CLOUD}[telemetry]\n{lines}\n"),
        &[("COLLECTOR", TOKEN), ("ODD", "a token of words and spaces")],
    )
}

#[test]
fn traces_go_nowhere_unless_somebody_says_where() {
    assert!(loaded("").config.telemetry.otlp.is_none());
    for (endpoint, posted_to) in [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("http://[::1]:4318/", "http://[::1]:4318/v1/traces"),
        ("http://localhost:4318", "http://localhost:4318/v1/traces"),
        ("https://otlp.example/team/a/", "https://otlp.example/team/a/v1/traces"),
    ] {
        let config =
            with(&format!("otlp_endpoint = \"{endpoint}\"\nsecret_env = \"COLLECTOR\"")).unwrap().config;
        let shown = format!("{:?}", config.telemetry);
        assert!(!shown.contains("MARKER"), "{shown}");
        let otlp = config.telemetry.otlp.unwrap();
        assert_eq!(otlp.traces_url, posted_to);
        assert!(otlp.bearer.is_some());
    }
}

#[test]
fn an_endpoint_that_is_none_or_in_the_clear_is_refused_with_its_key() {
    for (lines, key, says) in [
        ("otlp_endpoint = \"http://10.0.0.7:4318\"", "telemetry.otlp_endpoint", "loopback address only"),
        (
            "otlp_endpoint = \"http://127.0.0.1.evil.example\"",
            "telemetry.otlp_endpoint",
            "loopback address only",
        ),
        ("otlp_endpoint = \"ftp://127.0.0.1\"", "telemetry.otlp_endpoint", "expected an address"),
        ("otlp_endpoint = \"127.0.0.1:4318\"", "telemetry.otlp_endpoint", "expected an address"),
        ("otlp_endpoint = \"https://u:p@otlp.example\"", "telemetry.otlp_endpoint", "without user"),
        ("otlp_endpoint = \"https://otlp.example?key=MARKER\"", "telemetry.otlp_endpoint", "without user"),
        (
            "otlp_endpoint = \"https://otlp.example\"\nsecret_env = \"ODD\"",
            "telemetry.secret_env",
            "no spaces",
        ),
        ("secret_env = \"COLLECTOR\"", "telemetry.secret_env", "of no use"),
        ("otlp_endpoint = \"https://otlp.example\"\nsecret = \"MARKER\"", "telemetry.secret", "unknown key"),
        ("otlp_endpont = \"https://otlp.example\"", "telemetry.otlp_endpont", "did you mean"),
    ] {
        let found = with(lines).unwrap_err();
        let told =
            found.iter().find(|problem| problem.key == key).unwrap_or_else(|| panic!("{lines}: {found:?}"));
        assert!(told.message.contains(says), "{lines}: {found:?}");
        assert!(!format!("{found:?}").contains("MARKER"), "{found:?}");
    }
}

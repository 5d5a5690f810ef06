//! Keys of a server role: which metadata services are believed, and that no other keys stand beside them.
//!
//! Never: asks one.

use super::*;

const NO_KEYS: [(&str, &str); 2] = [("NCLOUD_ACCESS_KEY_ID", ""), ("NCLOUD_SECRET_KEY", "")];

fn with(lines: &str, env: &[(&str, &str)]) -> Result<Loaded, Vec<Problem>> {
    outcome(
        &format!("{CLOUD}[cloud.server_role]\n{lines}\n")
            .replace("cloud = { region = \"KR\" }", "[cloud]\nregion = \"KR\""),
        env,
    )
}

#[test]
fn a_written_role_needs_no_other_keys() {
    let loaded = with("", &NO_KEYS).unwrap();
    let role = loaded.config.cloud.server_role.unwrap();
    assert_eq!(role.url, "http://169.254.169.254/latest/meta-data/iam/security-credentials/");
    assert_eq!(role.role, None);
    assert!(loaded.config.cloud.access_key.expose_secret().is_empty());
    assert!(loaded.warnings.iter().all(|warning| warning.key != "cloud.server_role"));
    for url in ["http://127.0.0.1:8/x", "http://169.254.0.9/", "https://metadata.example/keys/"] {
        let role =
            with(&format!("url = \"{url}\"\nrole = \"role-7\""), &NO_KEYS).unwrap().config.cloud.server_role;
        assert_eq!(role.unwrap(), ServerRoleConfig { url: url.to_owned(), role: Some("role-7".to_owned()) });
    }
    let beside = with("", &[]).unwrap();
    assert!(
        beside.warnings.iter().any(|warning| warning.key == "cloud.server_role"),
        "{:?}",
        beside.warnings
    );
    assert_ne!(with("", &NO_KEYS).unwrap().config.hash, outcome(CLOUD, &[]).unwrap().config.hash);
}

#[test]
fn an_address_that_others_could_answer_for_is_refused() {
    for (lines, key) in [
        ("url = \"http://10.0.0.7/keys/\"", "cloud.server_role.url"),
        ("url = \"http://169.254.169.254.evil.example/\"", "cloud.server_role.url"),
        ("url = \"http://u:p@127.0.0.1/\"", "cloud.server_role.url"),
        ("url = \"https://metadata.example/?a=MARKER\"", "cloud.server_role.url"),
        ("url = \"ftp://127.0.0.1/\"", "cloud.server_role.url"),
        ("role = \"../MARKER\"", "cloud.server_role.role"),
        ("rôle = \"x\"", "test.toml"),
        ("roles = \"x\"", "cloud.server_role.roles"),
    ] {
        let found = with(lines, &NO_KEYS).unwrap_err();
        assert!(found.iter().any(|problem| problem.key == key), "{lines}: {found:?}");
        assert!(!format!("{found:?}").contains("MARKER"), "{found:?}");
    }
    let text = "[cloud]\nregion = \"KR\"\naccess_key_file = \"a\"\n[cloud.server_role]\n";
    let found = outcome(text, &NO_KEYS).unwrap_err();
    assert!(found.iter().any(|problem| problem.key == "cloud.access_key_file"), "{found:?}");
}

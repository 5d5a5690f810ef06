//! Secrets are read, and never shown.
//!
//! Never: uses a value that looks like a real key.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use toml::{Table, Value};

use super::*;

/// A text that must never be seen.
const MARKER: &str = "MARKERs3cr3tMARKER";

#[test]
fn secret_files_are_read_checked_and_resolved_from_the_files_folder() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("unhang.toml");
    fs::create_dir(folder.path().join("s")).unwrap();
    let load_with = |content: Option<&[u8]>, mode: u32| {
        let secret = folder.path().join("s/key");
        fs::remove_file(&secret).ok();
        if let Some(content) = content {
            fs::write(&secret, content).unwrap();
            fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::write(&path, "[cloud]\nregion = \"KR\"\nsecret_key_file = \"s/key\"\n").unwrap();
        let env = [("NCLOUD_ACCESS_KEY_ID".to_owned(), "id".to_owned())].into_iter().collect();
        load(Some(&path), &env)
    };
    let good = load_with(Some(b"the-key\r\n"), 0o600).unwrap();
    assert_eq!(good.config.cloud.secret_key.expose_secret(), "the-key");
    assert!(good.warnings.iter().all(|warning| !warning.key.starts_with("cloud")));
    let open = load_with(Some(b"the-key"), 0o644).unwrap();
    assert!(open.warnings.iter().any(|warning| warning.key == "cloud.secret_key_file"));
    for bad in [
        None,
        Some(&b"\n"[..]),
        Some(&[b'x'; 4097][..]),
        Some(&b"\xff"[..]),
        Some(&b"a\nb"[..]),
        Some(&b"a b"[..]),
    ] {
        let found = load_with(bad, 0o600).unwrap_err();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].key, "cloud.secret_key_file");
        if bad.is_none() {
            assert!(found[0].message.contains("s/key: no such file"), "{found:?}");
        }
    }
    assert_eq!(load(Some(&folder.path().join("none")), &env(&[])).unwrap_err().len(), 1);
}

#[test]
fn a_syntax_error_has_its_place_and_not_its_line() {
    let found = problems(&format!("[cloud]\nsecret_key = \"{MARKER}\n"), &[]);
    assert_eq!(found[0].key, "test.toml");
    assert!(found[0].message.starts_with("line 2, column "), "{found:?}");
    assert!(!format!("{found:?}").contains(MARKER), "{found:?}");
}

/// Every leaf of a value, once, replaced by the marker.
fn spoiled(value: &Value) -> Vec<Value> {
    let mut all = vec![Value::String(MARKER.to_owned())];
    if let Some(table) = value.as_table() {
        for (key, inner) in table {
            for bad in spoiled(inner) {
                let mut copy = table.clone();
                copy.insert(key.clone(), bad);
                all.push(Value::Table(copy));
            }
        }
    }
    if let Some(list) = value.as_array() {
        for (index, inner) in list.iter().enumerate() {
            for bad in spoiled(inner) {
                let mut copy = list.clone();
                copy[index] = bad;
                all.push(Value::Array(copy));
            }
        }
    }
    all
}

#[test]
fn no_value_is_ever_told_wherever_it_stands() {
    let text = fs::read_to_string("config/example.toml").unwrap()
        + "[storm]\nshare = 0.1\n[limits]\nglobal = [\"1/1h\"]\nspacing = \"1m\"\n[eligibility]\nXEN = [\"windows\"]\n\
           [[maintenance]]\nname = \"w\"\nfrom = 2026-12-01T00:00:00Z\nuntil = 2026-12-02T00:00:00Z\nservers = [\"1\"]\nmatch = [\"a=b\"]\n";
    let table: Table = text.parse().unwrap();
    let mut refused = 0;
    let all = spoiled(&Value::Table(table));
    for bad in all.iter().filter(|bad| bad.is_table()) {
        let text = toml::to_string(bad).unwrap();
        let outcome = load_text(&text, "x.toml", Path::new("config"), &env(&[]));
        refused += usize::from(outcome.is_err());
        let report = check_report(&outcome);
        assert!(!report.contains(MARKER), "{report}\n{text}");
    }
    assert!(refused > 40, "{refused} of {}", all.len());
}

#[test]
fn no_secret_is_ever_told_or_debugged() {
    let inline = r#"
[cloud]
region = "KR"
endpoint = "https://MARKER:MARKER@host"
access_key = "MARKER"
secret_key = "MARKER"
access_key_file = "MARKER"
secret_key_file = "/MARKER"
[store]
url = "postgres://user:MARKER@host/db"
[[sources]]
name = "s"
kind = "grafana"
secret = "MARKER"
auth = [{ kind = "bearer", secret = "MARKER", secret_file = "../MARKER" }, { kind = "MARKER", password = "MARKER" }, { kind = "hmac", secret_env = "MARKER" }]
[[tokens]]
name = "t"
role = "MARKER"
sha256 = "MARKER"
token = "MARKER"
"#;
    let text = inline.replace("MARKER", MARKER);
    let variables = [("UNHANG__CLOUD__SECRET_KEY", MARKER), ("UNHANG__SERVER__LISTEN", MARKER)];
    let found = outcome(&text, &variables);
    assert!(found.is_err());
    assert!(!format!("{found:?}{}", check_report(&found)).contains(MARKER), "{found:#?}");
    assert!(!format!("{:?}", env(&variables)).contains(MARKER));

    let secrets = [("NCLOUD_ACCESS_KEY_ID", MARKER), ("NCLOUD_SECRET_KEY", MARKER), ("AM_SECRET", MARKER)];
    let good = outcome(&format!("{CLOUD}{SOURCE}{PEOPLE}"), &secrets).unwrap();
    let shown = format!("{good:?}");
    assert!(!shown.contains(MARKER) && !shown.contains("17, 17"), "{shown}");
}

proptest! {
    #[test]
    fn a_file_cut_anywhere_tells_no_secret(cut in 0_usize..400, junk in "[\\[\\]\"'=\\n a-z]{0,4}") {
        let text = format!("[cloud]\nregion = \"KR\"\nsecret_key = \"{MARKER}\"\n[[sources]]\nname = \"s\"\nauth = [{{ kind = \"bearer\", secret = '{MARKER}' }}]\n");
        let head: String = text.chars().take(cut % text.len()).collect();
        let tail: String = text.chars().skip(head.len() + junk.len()).collect();
        let text = format!("{head}{junk}{tail}");
        let found = outcome(&text, &[]);
        prop_assert!(!check_report(&found).contains(MARKER), "{found:?}");
        prop_assert!(check_report(&found).lines().all(|line| line.starts_with("error: ") || line.starts_with("warning: ")));
    }
}

//! The files in `config/` are true, and the hash follows behaviour.
//!
//! Never: copies what those files say.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

#[test]
fn the_hash_follows_behaviour_and_not_spelling_or_secrets() {
    let hash =
        |text: &str, more: &[(&str, &str)]| outcome(&format!("{CLOUD}{text}"), more).unwrap().config.hash;
    let plain = hash(SOURCE, &[]);
    assert_eq!(plain, hash(&format!("{SOURCE}\n[limits]\nspacing = \"1m\"\n"), &[]));
    assert_eq!(plain, hash(SOURCE, &[("AM_SECRET", "quite-another-secret")]));
    assert_ne!(plain, hash(&format!("{SOURCE}\n[limits]\nspacing = \"2m\"\n"), &[]));
    assert_ne!(plain, hash(&SOURCE.replace("bearer", "hmac"), &[]));
    assert_eq!(plain, hash(&format!("{SOURCE}\n[storm]\ncount = 2\n[breaker]\nfailures = 3\n"), &[]));
    assert_ne!(plain, hash(&format!("{SOURCE}\n[storm]\ncount = 3\n"), &[]));
    assert_ne!(plain, hash(&format!("{SOURCE}\n[breaker]\nfailures = 4\n"), &[]));
    let policy_hash = |lines: &str| loaded(&policy(lines)).config.rules.policies[0].hash();
    assert_eq!(policy_hash(""), policy_hash("settle = \"120s\""));
    assert_ne!(policy_hash(""), policy_hash("settle = \"121s\""));
}

#[test]
fn default_toml_is_the_defaults() {
    let region = [("UNHANG__CLOUD__REGION", "KR")];
    let shipped = load(Some(Path::new("config/default.toml")), &env(&region)).unwrap();
    let least = load(None, &env(&region)).unwrap();
    assert_eq!(shipped.config.hash, least.config.hash);
    assert_eq!(format!("{:?}", shipped.config), format!("{:?}", least.config));
}

/// The commented keys of `default.toml`, switched on, are known keys with their default values.
#[test]
fn the_commented_keys_of_default_toml_are_true() {
    let text = fs::read_to_string("config/default.toml").unwrap();
    let nth = |head: &str, number: usize| {
        let block = text.split(&format!("# {head}")).nth(number).unwrap();
        let lines =
            block.lines().skip(1).take_while(|line| line.starts_with("# ") || line.starts_with("#   "));
        let keys = lines.filter(|line| !line.starts_with("#   ")).map(|line| line.trim_start_matches("# "));
        format!("{head}\n{}\n", keys.collect::<Vec<_>>().join("\n"))
    };
    let on = |head: &str| nth(head, 1);
    let written = on("[[policies]]") + &on("[[maintenance]]") + &nth("[[maintenance]]", 2);
    let with = loaded(&format!("{written}{PEOPLE}")).config;
    let least = "[[policies]]\nname = \"hung-windows\"\nmatch = { alertname = \"WindowsVmHung\" }\n";
    let without = loaded(&format!("{least}{PEOPLE}")).config;
    assert_eq!(with.rules.policies, without.rules.policies);
    let source = on("[[sources]]")
        .replace("secret_file = \"…\"", "secret_env = \"AM_SECRET\"")
        .replace("\"alertmanager\"                   # alertmanager", "\"cloud_insight\" #")
        .replace("kind = \"bearer\"", "kind = \"header\", name = \"X-T\"");
    let without = "[[sources]]\nname = \"alertmanager\"\nkind = \"cloud_insight\"\nauth = [{ kind = \"header\", name = \"X-T\", secret_env = \"AM_SECRET\" }]";
    assert_eq!(loaded(&source).config.hash, loaded(without).config.hash);
}

#[test]
fn the_examples_load_as_shipped_and_are_refused_beside_real_keys() {
    let nothing = Environment::default();
    for name in ["example", "shadow-first", "gov"] {
        let path = format!("config/{name}.toml");
        let good =
            load(Some(Path::new(&path)), &nothing).unwrap_or_else(|found| panic!("{path}: {found:#?}"));
        assert!(
            good.warnings.iter().all(|warning| {
                warning.message.starts_with("example credential")
                    || ["store.journal", "store.url"].contains(&warning.key.as_str())
            }),
            "{path}: {:#?}",
            good.warnings
        );
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("example-secrets")).unwrap();
        for file in fs::read_dir("config/example-secrets").unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), folder.path().join("example-secrets").join(file.file_name())).unwrap();
        }
        for key in ["access-key-id", "secret-key"] {
            fs::write(folder.path().join("example-secrets").join(key), "a-real-key").unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        let found = load_text(&text, "x.toml", folder.path(), &nothing).unwrap_err();
        assert!(found.iter().any(|problem| problem.key.starts_with("sources[0].auth[0]")), "{found:#?}");
    }
}

//! The key of the audit and where its heads go.
//!
//! Never: a key in a message.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

const KEY: &str = "a-key-of-the-tests-of-32-bytes-or-more";

/// A folder with a key and a store's folder in it, and what `[audit]` with these lines gives there.
fn read(lines: &str) -> (TempDir, Result<Loaded, Vec<Problem>>) {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    for (name, text) in
        [("key", KEY), ("old", "another-key-of-the-tests-of-32-bytes-"), ("short", "too short")]
    {
        fs::write(folder.path().join(name), text).unwrap();
    }
    fs::write(folder.path().join("data/key"), KEY).unwrap();
    let store = folder.path().join("data/unhang.db");
    let lines = lines.replace("STORE", &store.display().to_string());
    let text = format!("{CLOUD}[store]\nurl = \"sqlite://{}\"\n[audit]\n{lines}", store.display());
    let read = load_text(&text, "test.toml", folder.path(), &env(&[("AUDIT_KEY", KEY)]));
    (folder, read)
}

fn warned(loaded: &Loaded) -> Vec<&str> {
    let audit = loaded.warnings.iter().filter(|warning| !warning.message.contains("read by other users"));
    audit.map(|warning| warning.key.as_str()).filter(|key| key.starts_with("audit")).collect()
}

#[test]
fn a_key_comes_from_a_file_or_the_environment_and_heads_go_beside_the_store() {
    let (folder, first) = read("key_file = \"key\"\nold_key_files = [\"old\"]");
    let first = first.unwrap();
    let id = first.config.audit.key.as_ref().unwrap().id().to_owned();
    assert_eq!(first.config.audit.old_keys.len(), 1);
    assert_eq!(first.config.audit.heads_file, folder.path().join("data/unhang.db.heads"));
    assert_eq!(first.config.audit.heads_every, SignedDuration::from_hours(1));
    assert_eq!(warned(&first), Vec::<&str>::new());
    assert!(!format!("{:?}", first.config).contains(KEY));
    let (_folder, second) =
        read("key_env = \"AUDIT_KEY\"\nheads_file = \"/elsewhere/heads\"\nheads_every = \"5m\"");
    let second = second.unwrap().config.audit;
    assert_eq!(second.key.unwrap().id(), id);
    assert_eq!(second.heads_file, PathBuf::from("/elsewhere/heads"));
}

#[test]
fn what_leaves_the_audit_open_is_warned_about() {
    for (lines, keys) in [
        ("", vec!["audit.key_file"]),
        ("key_file = \"data/key\"", vec!["audit.key_file"]),
        ("key_file = \"key\"\nheads_file = \"STORE.heads\"", vec!["audit.heads_file"]),
    ] {
        let (folder, outcome) = read(lines);
        assert_eq!(warned(&outcome.unwrap()), keys, "{lines} in {}", folder.path().display());
    }
}

#[test]
fn keys_that_are_none_are_refused_with_their_place() {
    for (lines, key) in [
        ("key_file = \"short\"", "audit.key_file"),
        ("key_file = \"nowhere\"", "audit.key_file"),
        ("key_file = \"key\"\nold_key_files = [\"old\", \"short\"]", "audit.old_key_files[1]"),
        ("key_file = \"key\"\nkey_env = \"AUDIT_KEY\"", "audit.key_env"),
        ("key = \"a-key-of-the-tests-of-32-bytes-or-more\"", "audit.key"),
        ("key_file = \"key\"\nheads_every = \"0s\"", "audit.heads_every"),
    ] {
        let problems = read(lines).1.unwrap_err();
        assert_eq!(
            problems.iter().map(|problem| problem.key.as_str()).collect::<Vec<_>>(),
            [key],
            "{problems:?}"
        );
        assert!(problems.iter().all(|problem| !problem.message.contains(KEY)), "{problems:?}");
    }
}

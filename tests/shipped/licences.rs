//! The list of licences: every crate that the binary is built from, as `Cargo.lock` has it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

const HEAD: &str = "\
# Licences

unhang itself is under MIT or Apache-2.0, at your choice. It is built from these crates, under the licences that they name.
`cargo deny check licenses` holds them against the list in `deny.toml`. SQLite, inside `libsqlite3-sys`, is in the public domain.

Made by `UNHANG_WRITE=1 cargo test --locked --test shipped licences`.

| crate | licence |
|---|---|
";

/// Crates of the binary on every platform that is built for, without those of tests and of builds.
fn crates() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for target in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--locked", "--package", "unhang", "--edges", "normal"])
            .args(["--target", target, "--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            // Our own are told by their folder.
            let Some((package, licence)) =
                line.split_once('|').filter(|(package, _)| !package.contains("(/"))
            else {
                continue;
            };
            let name = package.split(' ').next().unwrap_or_default().to_owned();
            found.entry(name).or_default().insert(licence.replace(" / ", "/").replace('/', " OR "));
        }
    }
    found
}

#[test]
fn the_list_of_licences_is_as_the_lock_file_is() {
    let mut text = HEAD.to_owned();
    for (name, licences) in crates() {
        let licences = licences.into_iter().collect::<Vec<_>>().join("; ");
        text.extend(["| ", &name, " | ", &licences, " |\n"]);
    }
    assert!(text.lines().count() > 200, "{text}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/LICENCES.md");
    if std::env::var_os("UNHANG_WRITE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "make it anew: UNHANG_WRITE=1 cargo test --locked --test shipped licences");
}

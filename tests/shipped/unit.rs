//! The unit for systemd: every line is understood, and what it lets the service do is little.

use std::path::{Path, PathBuf};

use crate::{asked, text_of};

/// The unit with the binary that was built here, in a folder of its own.
fn unit(change: impl FnOnce(String) -> String) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unhang.service");
    let text = text_of("systemd/unhang.service");
    let ours = text.replace("ExecStart=unhang ", concat!("ExecStart=", env!("CARGO_BIN_EXE_unhang"), " "));
    assert_ne!(ours, text, "the unit starts something else");
    std::fs::write(&path, change(ours)).unwrap();
    (folder, path)
}

/// What systemd complains of. It calls unknown keys a warning and goes on.
fn complaints(path: &Path) -> String {
    let (fine, said) = asked("systemd-analyze", &["verify", &path.display().to_string()]);
    let of_this = said.lines().filter(|line| line.contains("unhang"));
    let told = of_this.collect::<Vec<_>>().join("\n");
    assert!(fine || !told.is_empty(), "systemd-analyze failed for another reason: {said}");
    told
}

/// Whether the exposure is at most this many tenths.
fn exposed_at_most(tenths: u8, path: &Path) -> (bool, String) {
    let threshold = format!("--threshold={tenths}");
    asked("systemd-analyze", &["security", "--offline=true", &threshold, &path.display().to_string()])
}

#[test]
fn every_line_of_the_unit_is_understood() {
    let (_folder, path) = unit(|text| text);
    assert_eq!(complaints(&path), "");
    let (_folder, path) = unit(|text| text.replace("ProtectHome=", "ProtectHmoe="));
    assert!(complaints(&path).contains("ProtectHmoe"));
}

#[test]
fn the_unit_is_exposed_by_two_point_nought_at_most() {
    let (_folder, path) = unit(|text| text);
    let (fine, said) = exposed_at_most(20, &path);
    assert!(fine, "{said}");
    assert!(said.contains("Overall exposure level"), "{said}");
    let (_folder, path) = unit(|text| text.replace("SystemCallFilter=", "#").replace("DynamicUser=yes", ""));
    let (fine, said) = exposed_at_most(20, &path);
    assert!(!fine && said.contains("Overall exposure level"), "{said}");
}

//! The files that ship beside the binary, read by the programs that they are meant for.
//!
//! Every check is seen to fail as well: rules that never fire or always do, a unit without its sandbox.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod alertmanager;
mod image;
mod licences;
mod package;
mod rules;
mod unit;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file that ships with the service.
fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(path)
}

/// Its text.
fn text_of(path: &str) -> String {
    std::fs::read_to_string(shipped(path)).unwrap()
}

/// Runs a program to its end: whether it was content, and all that it said.
fn asked(program: &str, args: &[&str]) -> (bool, String) {
    let output = Command::new(program)
        .args(args)
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {program} ({error}); `bash tests/run.sh` installs it"));
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

/// Runs a checking tool, which must be content.
fn content(program: &str, args: &[&str]) -> String {
    let (fine, said) = asked(program, args);
    assert!(fine, "{program} {args:?}: {said}");
    said
}

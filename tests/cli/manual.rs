//! Completions and manual pages: made from the commands, and readable by what reads them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::{code, run, stderr, stdout};

/// Feeds a text to a program, if this machine has it; its exit code and standard error.
fn fed(program: &str, args: &[&str], text: &str) -> Option<(i32, String)> {
    let started = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        other => other.unwrap(),
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Some((code(&output), stderr(&output)))
}

#[test]
fn completions_are_what_their_shell_can_read() {
    for (shell, checker) in [
        ("bash", Some("-n")),
        ("zsh", Some("-n")),
        ("fish", Some("--no-execute")),
        ("elvish", None),
        ("powershell", None),
    ] {
        let output = run(&["completions", shell]);
        assert_eq!(code(&output), 0, "{shell}: {}", stderr(&output));
        let text = stdout(&output);
        for word in ["unhang", "incident", "tail", "dump-collected", "token-file"] {
            assert!(text.contains(word), "{shell}: no {word}");
        }
        let checked = checker.and_then(|flag| fed(shell, &[flag, "/dev/stdin"], &text));
        if let Some((code, said)) = checked {
            assert_eq!((code, said.as_str()), (0, ""), "{shell}");
        }
    }
    assert_eq!(code(&run(&["completions", "tcsh"])), 2);
}

#[test]
fn every_command_has_a_manual_page_that_the_formatter_takes_without_a_word() {
    let folder = TempDir::new().unwrap();
    let pages = folder.path().join("man/man1");
    let output = run(&["man", pages.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let mut count = 0;
    for entry in std::fs::read_dir(&pages).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        count += 1;
        assert!(text.contains(".SH NAME") && text.contains(".SH EXAMPLES"), "{}", path.display());
        if let Some((code, said)) = fed("groff", &["-man", "-Tutf8", "-ww", "-z"], &text) {
            assert_eq!((code, said.as_str()), (0, ""), "{}", path.display());
        }
    }
    assert!(stdout(&output).contains(&format!("{count} manual pages")) && count > 50, "{count}");
    for page in ["unhang.1", "unhang-tail.1", "unhang-audit-verify.1"] {
        assert!(pages.join(page).exists(), "{page}");
    }
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(code(&run(&["man", file.to_str().unwrap()])), 3);
}

#[test]
fn the_reference_is_as_the_commands_are() {
    let output = run(&["man", "--markdown"]);
    let written = std::fs::read_to_string(format!("{}/docs/CLI.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    assert!(stdout(&output) == written, "make it anew: unhang man --markdown > docs/CLI.md");
}

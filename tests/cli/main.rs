//! The command line as people and scripts meet it: exit codes, help, files, and a store that was tampered with.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod config;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod hands;
#[cfg(test)]
mod import;
#[cfg(test)]
mod manual;
#[cfg(test)]
#[path = "../postgres/mod.rs"]
#[expect(dead_code, reason = "each test program uses some of it")]
mod postgres;
#[cfg(test)]
mod service;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tampering;

#[cfg(test)]
mod tree {
    use predicates::prelude::*;

    use crate::support::{code, run, stdout, unhang};

    const COMMANDS: [&[&str]; 32] = [
        &[],
        &["serve"],
        &["demo"],
        &["simulate-cloud"],
        &["check-config"],
        &["explain"],
        &["audit"],
        &["audit", "list"],
        &["audit", "export"],
        &["audit", "verify"],
        &["audit", "head"],
        &["audit", "checkpoint"],
        &["replay"],
        &["approve"],
        &["deny"],
        &["cancel"],
        &["settle"],
        &["hold"],
        &["hold", "set"],
        &["hold", "clear"],
        &["hold", "list"],
        &["silence"],
        &["silence", "add"],
        &["silence", "end"],
        &["silence", "list"],
        &["order"],
        &["why"],
        &["token", "new"],
        &["backup"],
        &["migrate"],
        &["import", "am-executor"],
        &["version"],
    ];

    #[test]
    fn every_command_has_help_with_an_example() {
        for command in COMMANDS {
            let output = run(&[command, &["--help"]].concat());
            assert_eq!(code(&output), 0, "{command:?}");
            let text = stdout(&output);
            assert!(text.contains("Examples:\n  unhang"), "{command:?}: {text}");
            if let Some(name) = command.last() {
                assert!(
                    text.contains(&format!("unhang {}", command.join(" "))),
                    "{name} is in no example: {text}"
                );
            }
        }
    }

    #[test]
    fn version_and_bad_usage() {
        unhang(&["version"]).assert().code(0).stdout(predicate::str::starts_with("unhang 0."));
        unhang(&["--version"]).assert().code(0).stdout(predicate::str::starts_with("unhang 0."));
        unhang(&["frobnicate"]).assert().code(2).stdout("");
        unhang(&["audit", "list", "--limit", "0"]).assert().code(2);
        unhang(&["order", "042", "--region", "KR", "--policy", "p", "--reason", "r"]).assert().code(2);
    }
}

//! Every command line that people are told, in documents and by advice, is one that clap accepts.

use std::path::Path;

use clap::{CommandFactory as _, Parser as _};

use super::Cli;
use crate::domain::advice::{About, next_step, what_would_change};
use crate::domain::guard::{Check, Reason, Verdict};
use crate::domain::limits::ONLY_TIME;
use crate::domain::remediation::State;

/// What stands for a value, and a value.
const VALUES: [(&str, &str); 5] =
    [("ID", "7"), ("SERVER", "90000001"), ("TIME", "2026-11-22T03:12:00Z"), ("ROLE", "viewer"), ("…", "x")];

/// The words of a command line as a shell reads them, with a value for each word that stands for one.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    // The brackets of an optional part are no part of it.
    for c in line.chars().filter(|c| !matches!(c, '[' | ']')) {
        match c {
            c if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => quote = Some(c),
            // A remark, or what the shell does with the answer.
            '#' | '|' | '>' if quote.is_none() && word.is_empty() => break,
            c if c.is_whitespace() && quote.is_none() => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    for word in &mut words {
        if let Some((_, value)) = VALUES.iter().find(|(name, _)| name == word) {
            (*value).clone_into(word);
        }
    }
    words
}

/// Why clap refuses it. The mere name of a command, such as `unhang storm clear`, needs only to exist.
fn refusal(line: &str, may_be_a_name: bool) -> Option<String> {
    let words = words(line);
    if may_be_a_name {
        let mut command = &Cli::command();
        let known = words.iter().skip(1).all(|word| {
            let found = command.find_subcommand(word);
            found.inspect(|found| command = found).is_some()
        });
        if known {
            return None;
        }
    }
    Cli::try_parse_from(&words).err().map(|error| format!("{line}: {error}"))
}

/// Inline code of a text, also where it goes over the end of a line.
fn inline(text: &str) -> impl Iterator<Item = String> {
    let spans = text.split('`').skip(1).step_by(2);
    let spans = spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "));
    spans.filter(|span| span.starts_with("unhang "))
}

/// Every command line of a document; those of blocks are given as they are to be typed.
fn told_by(text: &str) -> Vec<(String, bool)> {
    let (mut prose, mut told, mut in_block) = (String::new(), Vec::new(), false);
    for line in text.lines() {
        let bare = line.trim_start();
        if bare.starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            prose.push_str(line);
            prose.push('\n');
        } else if bare.trim_start_matches("$ ").starts_with("unhang ") {
            told.push((bare.trim_start_matches("$ ").to_owned(), false));
        }
    }
    told.extend(inline(&prose).map(|span| (span, true)));
    told
}

#[test]
fn every_command_line_in_the_documents_is_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let more = [
        "README.md",
        "config/windows/README.md",
        "config/kubernetes/README.md",
        "config/compose/README.md",
        "SECURITY.md",
        "config/prometheus/unhang-alerts.rules.yml",
    ];
    // The reference is the help itself, whose examples another test reads.
    let docs = docs.filter(|path| !path.ends_with("CLI.md"));
    let files = docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let (mut count, mut refused) = (0, Vec::new());
    for path in files.chain(more.map(|name| root.join(name))) {
        let text = std::fs::read_to_string(&path).unwrap().replace("{{ $labels.policy }}", "POLICY");
        for (line, may_be_a_name) in told_by(&text) {
            count += 1;
            // Whoever is woken by a rule must be able to type what it says.
            let may_be_a_name = may_be_a_name && path.extension().is_some_and(|end| end == "md");
            refused.extend(refusal(&line, may_be_a_name).map(|why| format!("{}: {why}", path.display())));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(count > 50, "only {count} command lines were found");
}

/// Every command with the words that lead to it.
fn commands(before: &[String], command: &clap::Command) -> Vec<(Vec<String>, clap::Command)> {
    let mut path = before.to_vec();
    path.push(command.get_name().to_owned());
    let mut all = vec![(path.clone(), command.clone())];
    all.extend(command.get_subcommands().flat_map(|one| commands(&path, one)));
    all
}

#[test]
fn every_command_has_examples_that_are_accepted_and_name_it() {
    let (mut faults, mut count) = (Vec::new(), 0);
    for (path, command) in commands(&[], &Cli::command()) {
        let name = path.join(" ");
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let Some(examples) = after.strip_prefix("Examples:\n") else {
            faults.push(format!("{name}: its help has no examples"));
            continue;
        };
        let lines: Vec<&str> = examples.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        if !lines.iter().any(|line| line.starts_with(&name)) {
            faults.push(format!("{name}: no example of its help names it"));
        }
        for line in lines.iter().filter(|line| line.starts_with("unhang ")) {
            count += 1;
            // What follows three blanks is said about it.
            let own = line.split("   ").next().unwrap_or_default();
            faults.extend(refusal(own, false).map(|why| format!("{name}: {why}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 80, "only {count} examples");
}

#[test]
fn every_command_line_of_an_advice_is_accepted() {
    let some = About { server: "win-app-01", policy: Some("hung-windows"), remediation: Some("0193a1b2") };
    let none = About { server: "90000001", policy: None, remediation: None };
    let mut said: Vec<String> =
        State::ALL.iter().filter_map(|state| next_step("0193", state.as_str())).collect();
    let (cooldown, seen) =
        (format!("cooldown 24h{ONLY_TIME}"), ["hold 7 by lead", "silence 3 by oncall", "x"]);
    let seen = seen.into_iter().chain(["storm 12 in KR", "the hold file is there", "quarantine 4: a gap"]);
    let seen = seen.chain(["0193 is unknown", "0193 is awaiting_approval"]);
    for seen in seen {
        for limit in ["x", "this process may send", "an attestation", cooldown.as_str()] {
            for &guard in Reason::ALL {
                let check = Check {
                    guard,
                    verdict: Verdict::Stop,
                    seen: seen.to_owned(),
                    limit: limit.to_owned(),
                    until: None,
                };
                said.extend([some, none].map(|about| what_would_change(&check, about)));
            }
        }
    }
    let mut lines: Vec<String> = said.iter().flat_map(|said| inline(said)).collect();
    lines.sort_unstable();
    lines.dedup();
    let refused: Vec<String> = lines.iter().filter_map(|line| refusal(line, false)).collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(lines.len() > 12, "{lines:?}");
}

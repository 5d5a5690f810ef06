//! What is wrong with a configuration: problems refuse it, warnings do not. Both name their key.
//!
//! Never: carries a value of the configuration; it may be a secret in the wrong place.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::Loaded;

/// One complaint about one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, such as `sources[1].auth[0].secret_file`, or the path of the file.
    pub key: String,
    /// What is wrong and what was expected, on one line.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// The lines that `check-config` prints: errors or, where there are none, warnings; empty when all is well.
pub fn check_report(outcome: &Result<Loaded, Vec<Problem>>) -> String {
    let (word, problems) = match outcome {
        Ok(loaded) => ("warning", &loaded.warnings),
        Err(problems) => ("error", problems),
    };
    problems.iter().fold(String::new(), |mut lines, problem| {
        // Writing into a String cannot fail.
        if writeln!(lines, "{word}: {problem}").is_err() {
            lines.push('\n');
        }
        lines
    })
}

/// Collects everything that is found while one configuration is read.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
    /// Place of a value to the environment variable that set it.
    origins: RefCell<BTreeMap<String, String>>,
    /// Keys that hold one of the published example credentials.
    examples: RefCell<Vec<String>>,
}

impl Findings {
    /// Refuses the configuration.
    pub(super) fn problem(&self, key: impl Into<String>, message: impl Into<String>) {
        self.problems.borrow_mut().push(Problem { key: key.into(), message: message.into() });
    }

    /// Lets the configuration pass, but tells.
    pub(super) fn warning(&self, key: impl Into<String>, message: impl Into<String>) {
        self.warnings.borrow_mut().push(Problem { key: key.into(), message: message.into() });
    }

    /// Remembers that a value came from a variable.
    pub(super) fn came_from(&self, place: String, variable: String) {
        self.origins.borrow_mut().insert(place, variable);
    }

    /// The variable that set this place or something around it.
    pub(super) fn origin(&self, place: &str) -> Option<String> {
        let origins = self.origins.borrow();
        let around = |outer: &str| {
            place.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        origins.iter().rev().find(|(outer, _)| around(outer)).map(|(_, variable)| variable.clone())
    }

    /// Remembers that a published example credential stands at this key.
    pub(super) fn example_at(&self, key: impl Into<String>) {
        self.examples.borrow_mut().push(key.into());
    }

    /// The keys of all example credentials.
    pub(super) fn examples(&self) -> Vec<String> {
        self.examples.borrow().clone()
    }

    /// Problems and warnings, in the order in which they were found.
    pub(super) fn into_parts(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.problems.into_inner(), self.warnings.into_inner())
    }
}

//! The environment as a value, and its overlay `UNHANG__SECTION__KEY` over the file's table.
//!
//! Never: prints the value of a variable.

use std::collections::BTreeMap;
use std::fmt;

use toml::{Table, Value};

use super::problem::Findings;
use super::section::{join, printable};

/// Prefix of the variables that overlay keys.
const PREFIX: &str = "UNHANG__";

/// Environment variables as a value, so that tests pass their own.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process; the only place that reads them. What is not Unicode is read
    /// with replacement characters, so that it is refused rather than overlooked.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect()
    }

    /// The value of a variable; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Lays every `UNHANG__…` variable over the table.
    pub(super) fn overlay(&self, table: Table, findings: &Findings) -> Table {
        let mut overlays: Vec<(Vec<Step>, &str, &str)> = Vec::new();
        for (name, value) in &self.0 {
            let Some(path) = name.strip_prefix(PREFIX) else {
                continue;
            };
            match steps(path) {
                Some(steps) => overlays.push((steps, name, value)),
                None => {
                    findings.problem(printable(name), "not the name of a key; expected UNHANG__SECTION__KEY");
                }
            }
        }
        // Whole tables before their keys, entries of a list by number and not by spelling.
        overlays.sort_unstable();
        let mut root = Value::Table(table);
        for (steps, name, value) in overlays {
            let value = value.parse().unwrap_or_else(|_not_toml| Value::String(value.to_owned()));
            match set(&mut root, &steps, value) {
                Ok(()) => findings.came_from(place(&steps), printable(name)),
                Err(why) => findings.problem(printable(name), why),
            }
        }
        match root {
            Value::Table(table) => table,
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => Table::new(),
        }
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}

/// One step from a table or list inwards.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Index(usize),
}

/// Keys are lower case, except hypervisor codes (upper case) and labels (as written).
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    for word in path.split("__") {
        if word.is_empty() {
            return None;
        }
        let step = match (word.parse(), steps.last()) {
            (Ok(index), Some(_)) => Step::Index(index),
            (_, Some(Step::Key(outer))) if outer == "eligibility" => Step::Key(word.to_ascii_uppercase()),
            (_, Some(Step::Key(outer))) if outer == "match" => Step::Key(word.to_owned()),
            _ => Step::Key(word.to_ascii_lowercase()),
        };
        steps.push(step);
    }
    Some(steps)
}

fn place(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |path, step| match step {
        Step::Key(key) => join(&path, key),
        Step::Index(index) => format!("{path}[{index}]"),
    })
}

fn set(value: &mut Value, steps: &[Step], new: Value) -> Result<(), &'static str> {
    let Some((step, rest)) = steps.split_first() else {
        *value = new;
        return Ok(());
    };
    let inner = match step {
        Step::Key(key) => value
            .as_table_mut()
            .ok_or("a part of this name is not a table in the configuration")?
            .entry(key.clone())
            .or_insert_with(|| hollow(rest)),
        Step::Index(index) => {
            let list =
                value.as_array_mut().ok_or("a part of this name is not a list in the configuration")?;
            if *index == list.len() {
                list.push(hollow(rest));
            }
            list.get_mut(*index)
                .ok_or("the number in this name leaves a gap in the list; entries count from 0")?
        }
    };
    set(inner, rest, new)
}

/// What a missing table or list is begun with.
fn hollow(rest: &[Step]) -> Value {
    match rest.first() {
        Some(Step::Index(_)) => Value::Array(Vec::new()),
        Some(Step::Key(_)) | None => Value::Table(Table::new()),
    }
}

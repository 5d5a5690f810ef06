//! Why a command ended: one line for the person, one exit code for the script.
//!
//! Never: a backtrace, or the same cause told twice.

use std::process::ExitCode;

use crate::app::StartError;
use crate::store::{OpenError, StoreError};
use crate::telemetry::chain;

/// A command that did not do what was asked.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// 1: the thing asked for is not so.
    pub(super) fn not_so(text: impl Into<String>) -> Self {
        Self { code: 1, text: text.into() }
    }

    /// 2: bad usage or configuration.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self { code: 2, text: text.into() }
    }

    /// 3: the store or the service cannot be reached.
    pub(super) fn unreachable(text: impl Into<String>) -> Self {
        Self { code: 3, text: text.into() }
    }

    /// Whether something else might have worked: the service or its store is down.
    pub(super) fn is_unreachable(&self) -> bool {
        self.code == 3
    }

    /// The exit code.
    pub(super) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }

    /// The whole chain on one line.
    pub(super) fn text(&self) -> String {
        self.text
            .split(['\n', '\r'])
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join("; ")
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::unreachable(chain(&error))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::unreachable(chain(&error))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::not_so(format!("the output cannot be written: {error}"))
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let text = chain(&error);
        match error {
            StartError::Cloud(_) | StartError::Certificate(_) => Self::usage(text),
            StartError::Lock(_)
            | StartError::Open(_)
            | StartError::Store(_)
            | StartError::Join(_)
            | StartError::Clock { .. }
            | StartError::Listen(_) => Self::unreachable(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_the_text_holds_is_told_once() {
        let source = std::io::Error::other("disk on fire");
        let error = OpenError::Folder { path: "data".into(), source };
        assert_eq!(chain(&error), "cannot make the data folder data: disk on fire");
        assert_eq!(Failure::not_so("one\n  two\n").text(), "one; two");
    }
}

//! Why a read failed, in words that say what to do, and whether the same read may do better.
//!
//! Never: a key, a body, or a text that is not safe to print.

use std::time::Duration;

use super::outcome::GATEWAY_AUTH_CODES;
pub use super::paging::ListError;
use super::text::chain;
use super::wire::{CloudError, Layer};
use crate::domain::server::ServerNo;

/// Why a read gave nothing that can be used. `Display` says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The request could not be made.
    #[error("{action}: the request could not be made: {why}")]
    NotMade {
        /// The vendor's action.
        action: &'static str,
        /// What was seen.
        why: String,
    },
    /// No connection.
    #[error("{action}: the cloud cannot be reached: {why}; check network, DNS, firewall and cloud.endpoint")]
    Unreachable {
        /// The vendor's action.
        action: &'static str,
        /// What was seen.
        why: String,
    },
    /// No answer in time.
    #[error(
        "{action}: no answer within {limit:?}; if this repeats, check the network or raise cloud.read_timeout"
    )]
    TimedOut {
        /// The vendor's action.
        action: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The connection broke.
    #[error("{action}: the connection broke before the answer was complete: {why}")]
    Broken {
        /// The vendor's action.
        action: &'static str,
        /// What was seen.
        why: String,
    },
    /// The vendor refused.
    #[error("{action}: answer {status}, {} error {}: {}; {}", .error.layer.as_str(), .error.code, .error.message, advice(*.status, .error))]
    Refused {
        /// The vendor's action.
        action: &'static str,
        /// HTTP status.
        status: u16,
        /// What the vendor said.
        error: CloudError,
    },
    /// An answer that is none of the vendor's.
    #[error(
        "{action}: answer {status}: {why}; check that cloud.endpoint is the cloud and no proxy is in between"
    )]
    Unreadable {
        /// The vendor's action.
        action: &'static str,
        /// HTTP status.
        status: u16,
        /// What is wrong with it.
        why: String,
    },
    /// Pages that do not make a list.
    #[error("{action}: {why}")]
    List {
        /// The vendor's action.
        action: &'static str,
        /// What is wrong with it.
        why: ListError,
    },
    /// One server was asked for and others came.
    #[error("{action}: asked for server {server_no} and got [{got}]; nothing is done with that")]
    WrongServer {
        /// The vendor's action.
        action: &'static str,
        /// The number that was asked for.
        server_no: ServerNo,
        /// The numbers that came.
        got: String,
    },
}

impl ReadError {
    /// There is nothing to sign with.
    pub(super) fn without_keys(action: &'static str) -> Self {
        Self::NotMade { action, why: "the server role has given no keys yet".to_owned() }
    }

    /// Why a request had no answer.
    pub(super) fn of_request(action: &'static str, error: reqwest::Error, limit: Duration) -> Self {
        let error = error.without_url();
        let why = chain(&error);
        if error.is_builder() {
            Self::NotMade { action, why }
        } else if error.is_connect() {
            Self::Unreachable { action, why }
        } else if error.is_timeout() {
            Self::TimedOut { action, limit }
        } else {
            Self::Broken { action, why }
        }
    }

    /// The cloud refuses our keys or rights: every further call will fail as well.
    pub fn is_auth(&self) -> bool {
        match self {
            Self::Refused { status, error, .. } => {
                matches!(status, 401 | 403)
                    || (error.layer == Layer::Gateway && GATEWAY_AUTH_CODES.contains(&error.code.as_str()))
            }
            Self::Unreadable { status, .. } => matches!(status, 401 | 403),
            Self::NotMade { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::List { .. }
            | Self::WrongServer { .. } => false,
        }
    }

    /// Whether the same read may do better at once. Reads have no effect, so this is about manners only.
    pub(super) fn may_repeat(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Broken { .. } => true,
            Self::Refused { status, .. } | Self::Unreadable { status, .. } => {
                *status == 429 || *status >= 500
            }
            Self::NotMade { .. } | Self::List { .. } | Self::WrongServer { .. } => false,
        }
    }
}

fn advice(status: u16, error: &CloudError) -> &'static str {
    match (status, error.layer, error.code.as_str()) {
        (_, Layer::Gateway, "210") => {
            "the keys lack a permission: grant View/getServerInstanceList and View/getServerInstanceDetail"
        }
        (_, Layer::Gateway, "200") | (401 | 403, _, _) => {
            "check cloud.access_key, cloud.secret_key and that this machine's clock is right"
        }
        (429, _, _) => "too many calls: lower cloud.reads_per_second",
        (500.., _, _) => "trouble at the cloud, tried again later",
        (_, _, _) => "look the code up with the vendor",
    }
}

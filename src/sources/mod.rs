//! Sources: verified bytes become alerts. Owns who may speak for a source and how each sender's body is read.
//!
//! Never: decides what an alert is worth, resolves a server, stores anything, or lets one bad alert spoil
//! the others of its delivery.

use jiff::Timestamp;

use crate::config::{ServerConfig, SourceConfig, SourceKind};
use crate::domain::alert::{Envelope, Parsed};

mod alertmanager;
mod cloud_insight;
mod credential;
mod dimensions;
mod grafana;
mod loose;
mod skeleton;
mod wire;

pub use credential::{Headers, Refused, RefusedReason, Verified, Verifier};

/// What one delivery may hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseLimits {
    /// Alerts in one delivery; more refuse the whole delivery.
    pub alerts_max: usize,
    /// Bytes of one label name or value; more quarantine the alert.
    pub label_bytes_max: usize,
    /// Labels of one alert; more quarantine it.
    pub labels_max: usize,
}

impl From<&ServerConfig> for ParseLimits {
    fn from(server: &ServerConfig) -> Self {
        Self {
            alerts_max: server.alerts_max,
            label_bytes_max: server.label_bytes_max,
            labels_max: server.labels_max,
        }
    }
}

/// Why a body is no delivery at all. The texts name fields and places, never the sender's values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not one well-formed JSON text: 400.
    #[error("the body is not readable JSON: {0}")]
    NotJson(String),
    /// Readable JSON of another shape: 422.
    #[error("{0}")]
    WrongShape(String),
    /// More alerts than one delivery may hold: 413.
    #[error(
        "the delivery holds {count} alerts, at most {max} are read; group alerts more finely at the sender \
         (group_by) or raise server.alerts_max"
    )]
    TooManyAlerts {
        /// Alerts in the body.
        count: usize,
        /// The limit.
        max: usize,
    },
}

impl Unreadable {
    /// The HTTP status to answer. Alertmanager sends a 4xx again once per `group_interval` for as long as the
    /// group fires; Grafana takes any answer but 2xx as final for that flush.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::NotJson(_) => 400,
            Self::WrongShape(_) => 422,
            Self::TooManyAlerts { .. } => 413,
        }
    }
}

/// Reads the body of a verified delivery. `sender_time` is the time that the credential signed, if it signs one.
pub fn parse(
    source: &SourceConfig,
    limits: &ParseLimits,
    body: &[u8],
    sender_time: Option<Timestamp>,
    received_at: Timestamp,
) -> Result<Envelope, Unreadable> {
    match source.kind {
        SourceKind::Alertmanager => alertmanager::parse(&wire::object(body)?, limits, sender_time),
        SourceKind::Grafana => grafana::parse(&wire::object(body)?, limits, sender_time),
        SourceKind::CloudInsight => cloud_insight::parse(source, limits, body, sender_time, received_at),
        SourceKind::Guest => Err(Unreadable::WrongShape(
            "a source of kind guest sends no alerts; it posts to /api/v1/servers/{no}/attestations"
                .to_owned(),
        )),
    }
}

/// What a body that could not be read says of alerts that are over. Their ends are applied all the same, and nothing else of it.
pub fn ends(
    source: &SourceConfig,
    limits: &ParseLimits,
    body: &[u8],
    sender_time: Option<Timestamp>,
    received_at: Timestamp,
) -> Vec<Parsed> {
    let text = wire::mended(body);
    match source.kind {
        SourceKind::Alertmanager | SourceKind::Grafana => skeleton::ends(&text, limits, sender_time),
        SourceKind::CloudInsight => cloud_insight::ends(&text, source, limits, sender_time, received_at),
        SourceKind::Guest => Vec::new(),
    }
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod testing;

//! Notices: which audit event people are told of, as what, and which standing condition it begins or ends.
//!
//! Never: looks anything up, or lets a text of an alert through as it came.

mod kind;
mod wording;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use kind::{Kind, Severity};
pub use wording::{Links, Style, Wording, WordingError};

use super::audit::{ActorKind, AuditEvent};
use super::audit_head::Head;
use super::remediation::{Outcome, State};

/// Kinds of audit events that may be told. All others are passed over unread.
pub const LOOKED_AT: [&str; 16] = [
    "attempt_outcome",
    "audit_heads_missing",
    "breaker_closed",
    "breaker_opened",
    "breaker_reset",
    "hold_cleared",
    "hold_set",
    "policy_demoted",
    "policy_promoted",
    "quarantine_cleared",
    "quarantine_opened",
    "remediation_moved",
    "source_heard_again",
    "source_silent",
    "storm_cleared",
    "storm_opened",
];

/// The label, and its value, of every alert that we post into Alertmanager. One that comes back with it never acts.
pub const OWN_LABEL: (&str, &str) = ("sent_by", "unhang");

/// Longest name or identifier that is passed on, in characters.
const WORD_MAX: usize = 128;
/// Longest sentence that is passed on, in characters.
const SENTENCE_MAX: usize = 300;

/// What people are told: facts only; the words are found when it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = NoticeMessage)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// What is told.
    pub kind: Kind,
    /// When it happened.
    pub at: Timestamp,
    /// The standing condition that began; `None`: a thing of the moment.
    pub condition: Option<String>,
    /// When that condition ends by itself.
    pub until: Option<Timestamp>,
    /// The vendor's server number.
    pub server_instance_no: Option<String>,
    /// The server's name; the outbox adds it.
    pub server_name: Option<String>,
    /// The vendor's region code.
    pub region_code: Option<String>,
    /// The alert source.
    pub source: Option<String>,
    /// The policy in charge.
    pub policy: Option<String>,
    /// The alert's name; the outbox adds it.
    pub alert: Option<String>,
    /// The remediation.
    pub remediation_id: Option<String>,
    /// The incident.
    pub incident_id: Option<String>,
    /// The cloud's own `requestId`.
    pub request_id: Option<String>,
    /// Our trace.
    pub trace_id: Option<String>,
    /// Number of the storm, hold or quarantine.
    pub number: Option<i64>,
    /// The person, where it was one.
    pub who: Option<String>,
    /// The reason word of a no, or the words of a person.
    pub reason: Option<String>,
    /// One sentence.
    pub detail: Option<String>,
    /// The signed head, where this is one.
    pub head: Option<Head>,
}

/// What an event tells people, if anything.
pub fn message_for(event: &AuditEvent) -> Option<Message> {
    let said = Said::of(event);
    let kind = said.kind()?;
    let reason = match event.reason.as_deref() {
        Some(word) => Some(word.to_owned()),
        None => said.text("reason"),
    };
    let person = matches!(event.actor.kind, ActorKind::Person).then(|| event.actor.name.clone());
    let mut message = Message {
        condition: said.begins(kind),
        until: said.text("until").and_then(|text| text.parse().ok()),
        server_instance_no: event.server_instance_no.clone(),
        region_code: event.region_code.clone(),
        source: event.source.clone(),
        policy: event.policy.clone(),
        remediation_id: event.remediation_id.clone(),
        incident_id: event.incident_id.clone(),
        request_id: event.request_id.clone(),
        trace_id: event.trace_id.clone(),
        number: said.detail.get("id").and_then(Value::as_i64),
        who: person.or_else(|| said.text("author")),
        reason,
        detail: said.sentence(kind),
        ..Message::new(kind, event.at)
    };
    message.make_plain();
    Some(message)
}

/// The standing condition that an event ends.
pub fn ended_by(event: &AuditEvent) -> Option<String> {
    let said = Said::of(event);
    let condition = match event.kind.as_str() {
        "remediation_moved" => said.of_state(said.state("from")?),
        "storm_cleared" => said.numbered("storm"),
        "hold_cleared" => said.numbered("hold"),
        "quarantine_cleared" => said.numbered("quarantine"),
        "policy_promoted" => said.of_policy("demoted"),
        "breaker_reset" | "breaker_closed" => said.of_policy("breaker"),
        "source_heard_again" => event.source.as_ref().map(|source| format!("silent/{source}")),
        _ => None,
    };
    condition.map(|condition| plain(&condition, WORD_MAX))
}

impl Message {
    /// One with nothing but its kind and its time.
    pub fn new(kind: Kind, at: Timestamp) -> Self {
        Self {
            kind,
            at,
            condition: None,
            until: None,
            server_instance_no: None,
            server_name: None,
            region_code: None,
            source: None,
            policy: None,
            alert: None,
            remediation_id: None,
            incident_id: None,
            request_id: None,
            trace_id: None,
            number: None,
            who: None,
            reason: None,
            detail: None,
            head: None,
        }
    }

    /// The end of the audit, for receivers that keep it where the store is not.
    pub fn of_head(head: &Head) -> Self {
        let detail = Some(format!("row {} has the hash {}", head.seq, head.hash));
        Self { detail, ..Self { head: Some(head.clone()), ..Self::new(Kind::AuditHead, head.at) } }
    }

    /// Adds the names of what it is about.
    #[must_use]
    pub fn about(mut self, server_name: Option<&str>, alert: Option<&str>) -> Self {
        self.server_name = server_name.map(|name| plain(name, WORD_MAX));
        self.alert = alert.map(|name| plain(name, WORD_MAX));
        self
    }

    fn make_plain(&mut self) {
        let words = [
            &mut self.condition,
            &mut self.server_instance_no,
            &mut self.region_code,
            &mut self.source,
            &mut self.policy,
            &mut self.remediation_id,
            &mut self.incident_id,
            &mut self.request_id,
            &mut self.trace_id,
            &mut self.who,
        ];
        for text in words.into_iter().flatten() {
            *text = plain(text, WORD_MAX);
        }
        for text in [&mut self.reason, &mut self.detail].into_iter().flatten() {
            *text = plain(text, SENTENCE_MAX);
        }
    }
}

/// An event with its detail read.
struct Said<'a> {
    event: &'a AuditEvent,
    detail: Value,
}

impl<'a> Said<'a> {
    fn of(event: &'a AuditEvent) -> Self {
        Self { event, detail: serde_json::from_str(&event.detail).unwrap_or(Value::Null) }
    }

    fn text(&self, field: &str) -> Option<String> {
        self.detail.get(field).and_then(Value::as_str).map(str::to_owned)
    }

    fn state(&self, field: &str) -> Option<State> {
        self.detail.get(field).and_then(Value::as_str).and_then(State::parse)
    }

    fn kind(&self) -> Option<Kind> {
        Some(match self.event.kind.as_str() {
            "remediation_moved" => return moved(self.state("from")?, self.state("to")?),
            "attempt_outcome" => match Outcome::parse(self.event.outcome.as_deref()?)? {
                Outcome::Accepted => Kind::Sent,
                Outcome::Rejected => Kind::Rejected,
                Outcome::NotSent | Outcome::Unknown => return None,
            },
            "storm_opened" => Kind::StormOpened,
            "storm_cleared" => Kind::StormCleared,
            "hold_set" => Kind::HoldSet,
            "hold_cleared" => Kind::HoldCleared,
            "source_silent" => Kind::SourceSilent,
            "source_heard_again" => Kind::SourceHeardAgain,
            "quarantine_opened" => Kind::QuarantineOpened,
            "quarantine_cleared" => Kind::QuarantineCleared,
            "policy_demoted" => Kind::PolicyDemoted,
            "policy_promoted" => Kind::PolicyPromoted,
            "breaker_opened" => Kind::BreakerOpened,
            "breaker_closed" => Kind::BreakerClosed,
            "audit_heads_missing" => Kind::HeadsMissing,
            _ => return None,
        })
    }

    /// The condition that a message of this kind begins.
    fn begins(&self, kind: Kind) -> Option<String> {
        match kind {
            Kind::Proposed | Kind::Unknown | Kind::Unconfirmed => self.of_state(self.state("to")?),
            Kind::StormOpened => self.numbered("storm"),
            Kind::HoldSet => self.numbered("hold"),
            Kind::QuarantineOpened => self.numbered("quarantine"),
            Kind::PolicyDemoted => self.of_policy("demoted"),
            Kind::BreakerOpened => self.of_policy("breaker"),
            Kind::SourceSilent => self.event.source.as_ref().map(|source| format!("silent/{source}")),
            Kind::Withdrawn
            | Kind::Sent
            | Kind::Rejected
            | Kind::NotSent
            | Kind::Confirmed
            | Kind::Settled
            | Kind::StormCleared
            | Kind::HoldCleared
            | Kind::SourceHeardAgain
            | Kind::QuarantineCleared
            | Kind::PolicyPromoted
            | Kind::BreakerClosed
            | Kind::HeadsMissing
            | Kind::AuditHead
            | Kind::Test => None,
        }
    }

    /// The condition that lasts as long as a remediation is in a state.
    fn of_state(&self, state: State) -> Option<String> {
        let word = state.wants()?;
        self.event.remediation_id.as_ref().map(|id| format!("{word}/{id}"))
    }

    fn numbered(&self, word: &str) -> Option<String> {
        self.detail.get("id").and_then(Value::as_i64).map(|id| format!("{word}/{id}"))
    }

    fn of_policy(&self, word: &str) -> Option<String> {
        self.event.policy.as_ref().map(|policy| format!("{word}/{policy}"))
    }

    /// What the event says in words.
    fn sentence(&self, kind: Kind) -> Option<String> {
        match kind {
            Kind::StormOpened => {
                let servers = self.detail.get("servers").and_then(Value::as_array).map_or(0, Vec::len);
                self.text("why").map(|why| format!("{why} ({servers} servers were told of)"))
            }
            Kind::HoldSet => {
                let (scope, name) = (self.text("scope")?, self.text("name").unwrap_or_default());
                Some(if name.is_empty() { scope } else { format!("{scope} {name}") })
            }
            Kind::Rejected => {
                let of_cloud = [&self.event.return_code, &self.event.return_message];
                let words: Vec<_> = of_cloud.into_iter().flatten().map(String::as_str).collect();
                if words.is_empty() { self.text("cause") } else { Some(words.join(" ")) }
            }
            Kind::SourceSilent => match self.text("lastAt") {
                Some(at) => Some(format!("its last heartbeat came at {at}")),
                None => Some("it has never sent a heartbeat".to_owned()),
            },
            Kind::HeadsMissing => self.text("file"),
            Kind::Proposed
            | Kind::Withdrawn
            | Kind::Sent
            | Kind::NotSent
            | Kind::Confirmed
            | Kind::Unconfirmed
            | Kind::Unknown
            | Kind::Settled
            | Kind::StormCleared
            | Kind::HoldCleared
            | Kind::SourceHeardAgain
            | Kind::QuarantineOpened
            | Kind::QuarantineCleared
            | Kind::PolicyDemoted
            | Kind::PolicyPromoted
            | Kind::BreakerOpened
            | Kind::BreakerClosed
            | Kind::AuditHead
            | Kind::Test => self.text("detail").or_else(|| self.text("why")).filter(|text| !text.is_empty()),
        }
    }
}

fn moved(from: State, to: State) -> Option<Kind> {
    match (from, to) {
        (_, State::AwaitingApproval) => Some(Kind::Proposed),
        (State::AwaitingApproval, State::Cancelled | State::Expired) => Some(Kind::Withdrawn),
        (_, State::Unknown) => Some(Kind::Unknown),
        (_, State::Unconfirmed) => Some(Kind::Unconfirmed),
        (_, State::Confirmed) => Some(Kind::Confirmed),
        (_, State::NotSent) => Some(Kind::NotSent),
        (_, State::ClosedHappened | State::ClosedNotHappened) => Some(Kind::Settled),
        // Accepted and rejected are told with the cloud's own words, by the event of the attempt.
        (
            _,
            State::Settling
            | State::Queued
            | State::Intent
            | State::Accepted
            | State::Rejected
            | State::Cancelled
            | State::Expired,
        ) => None,
    }
}

/// A text of others on one line, without what a terminal, a page or an eye is deceived by, and not too long.
pub fn plain(text: &str, chars_max: usize) -> String {
    let mut kept = String::new();
    for (count, c) in text.chars().enumerate() {
        if count >= chars_max {
            kept.push('…');
            break;
        }
        kept.push(if c.is_control() || deceives(c) { ' ' } else { c });
    }
    kept.trim().to_owned()
}

/// Marks that turn the direction of text round, join it invisibly, or end a line.
fn deceives(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
#[path = "notice_tests.rs"]
mod tests;

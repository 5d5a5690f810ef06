//! Audit events and the hash chain over them.
//!
//! Never: changes the meaning of a field that was hashed. A new field gets a new tag at the end.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::audit_key::{AuditKey, seal};
use super::decision::Decision;
use super::guard::Reason;
use super::ids::TraceId;
use super::remediation::Outcome;
use super::server::{RegionCode, ServerNo};

/// Who caused a fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Actor {
    /// `source`, `person` or `service`.
    pub kind: ActorKind,
    /// Name of the source, the token or the service's part.
    pub name: String,
}

/// Kind of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A configured alert source.
    Source,
    /// A person, by the name of a token.
    Person,
    /// This service itself.
    Service,
}

impl ActorKind {
    /// The word used in JSON and store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Person => "person",
            Self::Service => "service",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Source, Self::Person, Self::Service].into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Actor {
    /// A configured source.
    pub fn source(name: &str) -> Self {
        Self { kind: ActorKind::Source, name: name.to_owned() }
    }

    /// A person, by token name.
    pub fn person(name: &str) -> Self {
        Self { kind: ActorKind::Person, name: name.to_owned() }
    }

    /// A part of this service.
    pub fn service(name: &str) -> Self {
        Self { kind: ActorKind::Service, name: name.to_owned() }
    }
}

/// One remembered fact, before it has its place in the chain. Texts that do not apply are `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// When it was recorded.
    pub at: Timestamp,
    /// What kind of fact, such as `alert_decided` or `attempt_outcome`.
    pub kind: String,
    /// Who caused it.
    pub actor: Actor,
    /// Our trace identifier.
    #[schema(value_type = Option<TraceId>)]
    pub trace_id: Option<String>,
    /// The delivery it belongs to.
    #[schema(format = "uuid")]
    pub delivery_id: Option<String>,
    /// The incident it belongs to.
    #[schema(format = "uuid")]
    pub incident_id: Option<String>,
    /// The remediation it belongs to.
    #[schema(format = "uuid")]
    pub remediation_id: Option<String>,
    /// The attempt it belongs to.
    pub attempt_id: Option<i64>,
    /// The vendor's server number.
    #[schema(value_type = Option<ServerNo>)]
    pub server_instance_no: Option<String>,
    /// The vendor's region code.
    #[schema(value_type = Option<RegionCode>)]
    pub region_code: Option<String>,
    /// The alert source.
    pub source: Option<String>,
    /// The policy in charge.
    pub policy: Option<String>,
    /// The decision, where this is one.
    #[schema(value_type = Option<Decision>)]
    pub decision: Option<String>,
    /// The reason of a no.
    #[schema(value_type = Option<Reason>)]
    pub reason: Option<String>,
    /// `accepted`, `rejected`, `not_sent` or `unknown`, where this is the end of an attempt.
    #[schema(value_type = Option<Outcome>)]
    pub outcome: Option<String>,
    /// The cloud's own `requestId`.
    pub request_id: Option<String>,
    /// The cloud's `returnCode` or gateway `errorCode`, verbatim.
    pub return_code: Option<String>,
    /// The cloud's `returnMessage`, made safe to print.
    pub return_message: Option<String>,
    /// HTTP status of the cloud's answer.
    pub http_status: Option<u16>,
    /// Everything else, as a JSON text. It is written as JSON, with its text unchanged: that is part of the hash.
    #[serde(serialize_with = "as_json")]
    #[schema(value_type = Object)]
    pub detail: String,
}

fn as_json<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    match serde_json::from_str::<&serde_json::value::RawValue>(text) {
        Ok(value) => value.serialize(serializer),
        Err(_not_json) => serializer.serialize_str(text),
    }
}

impl AuditEvent {
    /// An event with nothing but its time, kind and actor.
    pub fn new(at: Timestamp, kind: &str, actor: Actor) -> Self {
        Self {
            at,
            kind: kind.to_owned(),
            actor,
            trace_id: None,
            delivery_id: None,
            incident_id: None,
            remediation_id: None,
            attempt_id: None,
            server_instance_no: None,
            region_code: None,
            source: None,
            policy: None,
            decision: None,
            reason: None,
            outcome: None,
            request_id: None,
            return_code: None,
            return_message: None,
            http_status: None,
            detail: "{}".to_owned(),
        }
    }

    /// Sets `detail` from a value; a value that cannot be written is replaced by its error.
    #[must_use]
    pub fn with_detail(mut self, detail: &impl Serialize) -> Self {
        self.detail = serde_json::to_string(detail)
            .unwrap_or_else(|error| serde_json::json!({ "unwritable": error.to_string() }).to_string());
        self
    }
}

/// Hash that a chain begins with.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Hash of an event at place `seq` behind `prev_hash`: over the previous hash and every field, each with a tag and its
/// length. HMAC-SHA256 under the key, whose identifier is the last field; SHA-256 without one. 64 lower-case hex digits.
pub fn chain_hash(key: Option<&AuditKey>, prev_hash: &str, seq: i64, event: &AuditEvent) -> String {
    let mut bytes = Vec::with_capacity(512);
    let mut tag: u8 = 0;
    let mut field = |value: Option<&[u8]>| {
        tag = tag.wrapping_add(1);
        bytes.extend_from_slice(&[tag, u8::from(value.is_some())]);
        if let Some(value) = value {
            bytes.extend_from_slice(&u64::try_from(value.len()).unwrap_or(u64::MAX).to_le_bytes());
            bytes.extend_from_slice(value);
        }
    };
    let text = |value: &Option<String>| value.as_ref().map(|t| t.as_bytes().to_vec());
    field(Some(prev_hash.as_bytes()));
    field(Some(&seq.to_le_bytes()));
    field(Some(&event.at.as_millisecond().to_le_bytes()));
    field(Some(event.kind.as_bytes()));
    field(Some(event.actor.kind.as_str().as_bytes()));
    field(Some(event.actor.name.as_bytes()));
    for value in [&event.trace_id, &event.delivery_id, &event.incident_id, &event.remediation_id] {
        field(text(value).as_deref());
    }
    field(event.attempt_id.map(i64::to_le_bytes).as_ref().map(<[u8; 8]>::as_slice));
    for value in [
        &event.server_instance_no,
        &event.region_code,
        &event.source,
        &event.policy,
        &event.decision,
        &event.reason,
        &event.outcome,
        &event.request_id,
        &event.return_code,
        &event.return_message,
    ] {
        field(text(value).as_deref());
    }
    field(event.http_status.map(u16::to_le_bytes).as_ref().map(<[u8; 2]>::as_slice));
    field(Some(event.detail.as_bytes()));
    // Only where there is one: a row without a key means what it always meant.
    if let Some(key) = key {
        field(Some(key.id().as_bytes()));
    }
    seal(key, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_actors_read_back() {
        for (kind, word) in
            [(ActorKind::Source, "source"), (ActorKind::Person, "person"), (ActorKind::Service, "service")]
        {
            assert_eq!((kind.as_str(), ActorKind::parse(word)), (word, Some(kind)));
        }
        assert_eq!(ActorKind::parse("robot"), None);
    }

    #[test]
    fn every_field_and_the_place_change_the_hash() {
        let base = AuditEvent::new(Timestamp::UNIX_EPOCH, "kind", Actor::service("test"));
        let mut variants = vec![base.clone()];
        macro_rules! vary {
            ($($field:ident = $value:expr),+) => {$({
                let mut event = base.clone();
                event.$field = $value;
                variants.push(event);
            })+};
        }
        vary!(
            at = Timestamp::from_millisecond(1).unwrap(),
            kind = "other".into(),
            actor = Actor::person("test"),
            actor = Actor::service("other"),
            trace_id = Some("a".into()),
            delivery_id = Some("a".into()),
            incident_id = Some("a".into()),
            remediation_id = Some("a".into()),
            attempt_id = Some(1),
            server_instance_no = Some("a".into()),
            region_code = Some("a".into()),
            source = Some("a".into()),
            policy = Some("a".into()),
            decision = Some("a".into()),
            reason = Some("a".into()),
            outcome = Some("a".into()),
            request_id = Some("a".into()),
            return_code = Some("a".into()),
            return_message = Some("a".into()),
            http_status = Some(200),
            detail = "{ }".into()
        );
        let hashes: std::collections::BTreeSet<_> =
            variants.iter().map(|e| chain_hash(None, GENESIS, 1, e)).collect();
        assert_eq!(hashes.len(), variants.len());
        assert_ne!(chain_hash(None, GENESIS, 1, &base), chain_hash(None, GENESIS, 2, &base));
        assert_ne!(
            chain_hash(None, GENESIS, 1, &base),
            chain_hash(None, &chain_hash(None, GENESIS, 1, &base), 1, &base)
        );
    }

    /// What stores of the first version hold: it must never change.
    #[test]
    fn a_row_without_a_key_keeps_the_hash_it_always_had() {
        let mut event = AuditEvent::new(Timestamp::UNIX_EPOCH, "kind", Actor::service("test"));
        event.attempt_id = Some(7);
        event.http_status = Some(200);
        assert_eq!(
            chain_hash(None, GENESIS, 1, &event),
            "aa2be31e893ef18b1478e364dd2f451013bc106e18e659ae85a6835fd4d3e11b"
        );
    }

    #[test]
    fn a_key_changes_the_hash_and_so_does_another_key() {
        let key = |text: &str| AuditKey::new(secrecy::SecretString::from(text.repeat(32))).unwrap();
        let event = AuditEvent::new(Timestamp::UNIX_EPOCH, "kind", Actor::service("test"));
        let hashes: std::collections::BTreeSet<_> = [None, Some(key("a")), Some(key("b"))]
            .iter()
            .map(|key| chain_hash(key.as_ref(), GENESIS, 1, &event))
            .collect();
        assert_eq!(hashes.len(), 3);
        // HMAC-SHA256, made with another tool: the identifier alone, which anybody may know, does not give it.
        assert_eq!(
            chain_hash(Some(&key("a")), GENESIS, 1, &event),
            "404e951f388cb44a6c52df72e365aae22a20c8c907f0795197ca57e15be68898"
        );
    }
}

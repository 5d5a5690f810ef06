//! Making: reads the audit behind each receiver's place and keeps a message for what it is told of.
//!
//! Never: moves a receiver without its messages, both are one transaction; reads more than one step at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::config::{ReceiverConfig, ReceiverKind};
use crate::domain::ids::RemediationId;
use crate::domain::limits::{earlier, later};
use crate::domain::notice::{Kind, LOOKED_AT, Message, ended_by, message_for};
use crate::service::Service;
use crate::store::{AuditItem, ForReceiver, NewMessage, StoreError};

/// How long an alert of a thing of the moment stands in Alertmanager.
const MOMENT: SignedDuration = SignedDuration::from_mins(15);

/// Names of what remediations are about: of the server, and of the alert.
type Names = BTreeMap<String, (String, String)>;

/// Takes one step for every receiver. True when there is more to do at once.
pub(super) async fn step(service: &Service) -> Result<bool, StoreError> {
    let config = service.config();
    let end = service.store.audit_end().await?.map_or(0, |(seq, _)| seq);
    let mut more = false;
    for receiver in &config.notify {
        more |= step_of(service, receiver, end).await?;
    }
    Ok(more)
}

/// Lets a receiver begin, if it has not begun yet.
pub(super) async fn begin(service: &Service, receiver: &str) -> Result<(), StoreError> {
    let name = receiver.to_owned();
    let begun = service
        .store
        .write(move |tx| {
            let name = name.clone();
            Box::pin(async move { tx.begin_receiver(&name).await })
        })
        .await?;
    if begun {
        tracing::info!(receiver, "a new receiver is told of what happens from now on");
    }
    Ok(())
}

async fn step_of(service: &Service, receiver: &ReceiverConfig, end: i64) -> Result<bool, StoreError> {
    let now = service.clock.now();
    let Some(seq) = service.store.outbox_cursor(&receiver.name).await? else {
        begin(service, &receiver.name).await?;
        return Ok(true);
    };
    if seq == end {
        return Ok(false);
    }
    if seq > end {
        tracing::warn!(
            receiver = receiver.name,
            seq,
            end,
            "the audit is shorter than it was; the receiver goes on at its end"
        );
        return move_to(service, receiver, (seq, end), Vec::new(), now).await;
    }
    // What is older than a message is tried is no news: the receiver was not configured, or the service was away.
    let too_old = earlier(now, receiver.give_up);
    let (mut events, last) = service.store.events_behind(seq, end, &LOOKED_AT).await?;
    events.retain(|item| item.event.at >= too_old);
    let names = names(service, &events).await?;
    let mut given = Vec::new();
    for item in &events {
        given.extend(for_receiver(receiver, item, &names));
    }
    move_to(service, receiver, (seq, last), given, now).await?;
    Ok(last < end)
}

async fn move_to(
    service: &Service,
    receiver: &ReceiverConfig,
    way: (i64, i64),
    given: Vec<ForReceiver>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let job = Arc::new((receiver.name.clone(), given));
    service
        .store
        .write(move |tx| {
            let job = Arc::clone(&job);
            Box::pin(async move { tx.tell_receiver(&job.0, way, &job.1, now).await })
        })
        .await
}

/// What one event gives to a receiver: the end of a condition, a message, or both.
fn for_receiver(receiver: &ReceiverConfig, item: &AuditItem, names: &Names) -> Vec<ForReceiver> {
    let standing = receiver.kind == ReceiverKind::Alertmanager;
    let mut given = Vec::new();
    if standing && let Some(condition) = ended_by(&item.event) {
        given.push(ForReceiver::Ends { condition, at: item.event.at });
    }
    let message = message_for(&item.event).filter(|message| receiver.events.contains(&message.kind));
    if let Some(message) = message {
        let (server, alert) = match message.remediation_id.as_ref().and_then(|id| names.get(id)) {
            Some((server, alert)) => (Some(server.as_str()), Some(alert.as_str())),
            None => (None, None),
        };
        let message = message.about(server, alert);
        let ends_at =
            if message.condition.is_some() { message.until } else { Some(later(message.at, MOMENT)) };
        let webhook_id = webhook_id(&receiver.name, &item.hash, message.kind);
        let ends_at = ends_at.filter(|_| standing);
        let message = Box::new(NewMessage { seq: item.seq, webhook_id, message, standing, ends_at });
        given.push(ForReceiver::Tells(message));
    }
    given
}

/// Names are read once for a step; an event tells numbers only.
async fn names(service: &Service, events: &[AuditItem]) -> Result<Names, StoreError> {
    let mut names = Names::new();
    for id in events.iter().filter_map(|item| item.event.remediation_id.as_ref()) {
        if names.contains_key(id) {
            continue;
        }
        if let Some(found) = service.store.remediation(&RemediationId::from_text(id)).await? {
            names.insert(id.clone(), (found.waiting.server.name, found.waiting.alert.name));
        }
    }
    Ok(names)
}

/// The identity of a message: made of the hash of its event, so that a store restored from a copy, whose next events have
/// the places of forgotten ones, does not give an identity twice.
pub(super) fn webhook_id(receiver: &str, hash: &str, kind: Kind) -> String {
    let digest = Sha256::digest(format!("{receiver}\n{hash}\n{}", kind.as_str()));
    let mut text = format!("msg_{}", hex::encode(digest));
    text.truncate(36);
    text
}

/// Keeps a message that no event of the audit tells, at a place of the audit.
pub(super) async fn keep(
    service: &Service,
    receiver: &ReceiverConfig,
    (seq, hash): (i64, &str),
    message: Message,
) -> Result<(), StoreError> {
    let now = service.clock.now();
    let webhook_id = webhook_id(&receiver.name, hash, message.kind);
    let new = NewMessage { seq, webhook_id, message, standing: false, ends_at: None };
    let job = Arc::new((receiver.name.clone(), new));
    service
        .store
        .write(move |tx| {
            let job = Arc::clone(&job);
            Box::pin(async move { tx.keep_message(&job.0, &job.1, now).await })
        })
        .await
}

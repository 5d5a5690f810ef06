//! Folding what the guards go by beside attempts: notices, storms, quarantines, standings, gaps, and words of people and guests.
//!
//! Never: takes silence of an older event for "no".

use jiff::Timestamp;
use serde_json::Value;

use super::{EMPTY, Fact, Fold, NOT_TOLD, Told};
use crate::domain::audit::ActorKind;

/// A decision: the remediation that it opened, the alert that opened or joined one, the end that was noticed.
pub(super) fn alert_decided(fold: &mut Fold, fact: &Fact<'_>) {
    super::remediation_opened(fold, fact);
    super::alerts::decided(fold, fact);
    joined(fold, fact);
    ended(fold, fact);
}

fn joined(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(id) = &fact.event.remediation_id else { return };
    if fact.detail.get("noticedAt").is_none() {
        // An older event: it may have joined, and refreshed the notice.
        fold.may_have("remediation_alert", id);
        if fold.has("remediation", id) {
            fold.changed("remediation", id, &[("last_notice_at", NOT_TOLD)]);
        }
        return;
    }
    let (Some(at), Some(fingerprint)) = (fact.millis("noticedAt"), fact.text("fingerprint")) else { return };
    notice(fold, id, fingerprint, at);
}

/// Notices that said nothing new: the event of their delivery tells them, by their place in it.
pub(super) fn renewed(fold: &mut Fold, fact: &Fact<'_>) {
    let list = |key: &str| fact.detail.get(key).and_then(Value::as_array).into_iter().flatten();
    let decisions: Vec<_> = list("decisions").collect();
    for one in list("renewed") {
        let place = one.get(0).and_then(Value::as_u64).and_then(|idx| usize::try_from(idx).ok());
        let decision = place.and_then(|place| decisions.get(place));
        let remediation = decision.and_then(|decision| decision.get(2)).and_then(Value::as_str);
        let fingerprint = one.get(2).and_then(Value::as_str);
        let noticed = one.get(3).and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
        let (Some(id), Some(fingerprint), Some(at)) = (remediation, fingerprint, noticed) else { continue };
        notice(fold, id, fingerprint, at.as_millisecond());
    }
}

/// An alert opened or joined a remediation, or refreshed it.
fn notice(fold: &mut Fold, id: &str, fingerprint: &str, at: i64) {
    // The first joining counts: it is known only where all since the beginning was told.
    let whole = fold.tells("remediation", id, "last_notice_at");
    let told = if whole { at.to_string().into() } else { NOT_TOLD };
    fold.made("remediation_alert", &format!("{id}/{fingerprint}"), &[("joined_at", told)]);
    fold.newest("remediation", id, "last_notice_at", at);
}

fn ended(fold: &mut Fold, fact: &Fact<'_>) {
    const TABLE: &str = "resolved_notice";
    let (Some("resolved"), Some(fingerprint)) = (fact.text("status"), fact.text("fingerprint")) else {
        return;
    };
    match fact.detail.get("endedAt") {
        // An older event. A replay notes no end.
        None if fact.event.actor.kind == ActorKind::Person => {}
        None if fold.has(TABLE, fingerprint) => {
            fold.changed(TABLE, fingerprint, &[("ended_at", NOT_TOLD), ("noticed_at", NOT_TOLD)]);
        }
        None => fold.may_have(TABLE, fingerprint),
        Some(Value::Null) => {}
        Some(_) => {
            let Some(at) = fact.millis_up("endedAt") else { return };
            let first = fold.is_whole() && !fold.is_possible(TABLE, fingerprint);
            if !fold.has(TABLE, fingerprint) && first {
                fold.made(TABLE, fingerprint, &[("ended_at", at.to_string().into())]);
            }
            fold.newest(TABLE, fingerprint, "ended_at", at);
            fold.changed(TABLE, fingerprint, &[("noticed_at", fact.event.at.into())]);
        }
    }
}

pub(super) fn dump_collected(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(id) = fact.number("id") else { return };
    let fields = [
        ("region_code", Told::from(&fact.event.region_code)),
        ("server_no", Told::from(&fact.event.server_instance_no)),
        ("at", fact.event.at.into()),
        ("person", fact.actor()),
        ("reason", fact.told("reason")),
    ];
    fold.made("dump_collected", &id, &fields);
}

pub(super) fn storm_opened(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(id) = fact.number("id") else { return };
    let fields = [
        ("region_code", Told::from(&fact.event.region_code)),
        ("opened_at", fact.event.at.into()),
        ("why", fact.told("why")),
        ("servers", fact.told("servers")),
        ("policies", fact.told("policies")),
    ];
    fold.made("storm", &id, &fields);
    fold.made("storm", &id, &[("cleared_at", EMPTY), ("cleared_by", EMPTY), ("reason", EMPTY)]);
}

pub(super) fn storm_cleared(fold: &mut Fold, fact: &Fact<'_>) {
    cleared(fold, fact, "storm");
}

pub(super) fn quarantine_opened(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(id) = fact.number("id") else { return };
    let fields = [
        ("opened_at", fact.event.at.into()),
        ("why", fact.told("why")),
        ("cleared_at", EMPTY),
        ("cleared_by", EMPTY),
        ("reason", EMPTY),
    ];
    fold.made("quarantine", &id, &fields);
}

pub(super) fn quarantine_cleared(fold: &mut Fold, fact: &Fact<'_>) {
    cleared(fold, fact, "quarantine");
    identity(fold, fact);
    for one in fact.detail.get("remembered").and_then(Value::as_array).into_iter().flatten() {
        let Some(id) = one.get("attempt_id").and_then(Value::as_i64) else { continue };
        let field = |name: &'static str| {
            let text = match one.get(name) {
                None => NOT_TOLD,
                Some(Value::String(text)) => text.as_str().into(),
                Some(other) => other.to_string().into(),
            };
            (name, text)
        };
        let named = ["server_no", "region_code", "policy", "intent_at", "outcome", "memory_bytes"];
        let mut fields: Vec<_> = named.into_iter().map(field).collect();
        fields.push(field("cooldown_until"));
        fold.made("forgotten_attempt", &id.to_string(), &fields);
    }
}

pub(super) fn store_identified(fold: &mut Fold, fact: &Fact<'_>) {
    identity(fold, fact);
}

/// Its number. The machine may be another after a move.
fn identity(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(id) = fact.text("storeId") else { return };
    fold.changed("store_identity", "1", &[("store_id", id.into())]);
}

/// The newest answer of the cloud's record. An error leaves what was found before.
pub(super) fn activity_seen(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(id) = &fact.event.remediation_id else { return };
    let failed = fact.detail.get("error").is_some_and(|error| !error.is_null());
    if !failed {
        fold.changed("activity_seen", id, &[("found", fact.told("found"))]);
    } else if fold.is_whole() {
        fold.made("activity_seen", id, &[("found", "[]".into())]);
    }
    fold.changed("activity_seen", id, &[("error", fact.told("error"))]);
}

fn cleared(fold: &mut Fold, fact: &Fact<'_>, table: &'static str) {
    let Some(id) = fact.number("id") else { return };
    let fields =
        [("cleared_at", fact.event.at.into()), ("cleared_by", fact.actor()), ("reason", fact.told("reason"))];
    fold.changed(table, &id, &fields);
}

pub(super) fn policy_demoted(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(policy) = &fact.event.policy else { return };
    if fold.is_whole() {
        let never = [("promoted_at", EMPTY), ("promoted_by", EMPTY), ("reason", EMPTY)];
        fold.made("policy_standing", policy, &never);
    }
    let fields = [("demoted_at", fact.event.at.into()), ("why", fact.told("why"))];
    fold.changed("policy_standing", policy, &fields);
}

pub(super) fn policy_promoted(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(policy) = &fact.event.policy else { return };
    let fields = [
        ("demoted_at", EMPTY),
        ("why", EMPTY),
        ("promoted_at", fact.event.at.into()),
        ("promoted_by", fact.actor()),
        ("reason", fact.told("reason")),
    ];
    fold.changed("policy_standing", policy, &fields);
}

pub(super) fn breaker_reset(fold: &mut Fold, fact: &Fact<'_>) {
    said_of_policy(fold, fact, "breaker_reset");
}

pub(super) fn target_reported(fold: &mut Fold, fact: &Fact<'_>) {
    said_of_policy(fold, fact, "target_report");
}

/// Rows whose number no event tells: what they say names them, and a count where it was said twice.
fn said_of_policy(fold: &mut Fold, fact: &Fact<'_>, table: &'static str) {
    let Some(policy) = &fact.event.policy else { return };
    let said = format!("{policy}/{}/{}", fact.event.actor.name, fact.event.at.as_millisecond());
    fold.made_another(table, &said, &[("reason", fact.told("reason"))]);
}

pub(super) fn watch_gap(fold: &mut Fold, fact: &Fact<'_>) {
    let (Some(from), Some(until)) = (fact.millis("from"), fact.millis("until")) else { return };
    fold.made_another("watch_gap", &format!("{from}/{until}"), &[]);
}

pub(super) fn attestation(fold: &mut Fold, fact: &Fact<'_>) {
    let (Some(id), Some(said)) = (fact.number("id"), fact.detail.get("said")) else { return };
    let of_said = |name: &str| said.get(name).and_then(Value::as_str);
    let at = of_said("at").and_then(|at| at.parse::<Timestamp>().ok());
    let fields = [
        ("source", Told::from(&fact.event.source)),
        ("region_code", Told::from(&fact.event.region_code)),
        ("server_no", Told::from(&fact.event.server_instance_no)),
        ("kind", of_said("kind").map_or(NOT_TOLD, Told::from)),
        ("at", at.map_or(NOT_TOLD, Told::from)),
        ("received_at", fact.event.at.into()),
        ("said", fact.told("said")),
    ];
    fold.made("attestation", &id, &fields);
}

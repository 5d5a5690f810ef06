//! Folding the audit: what the tables must hold if every fact has its event and every event its fact.
//!
//! Never: guesses. What an event does not tell (an older version wrote less) is "not told", and is not compared.
//!
//! To add a table: a rule here for each kind of event that changes it, and its query in `store::state`.

mod alerts;
mod guards;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::answer;
use super::audit::{ActorKind, AuditEvent};
use super::remediation::State;

pub use alerts::{DecidedAlert, Judged};

/// Columns of a row as texts; one that is absent was not told, `None` is NULL. Times are milliseconds.
pub type Fields = BTreeMap<String, Option<String>>;

/// One row of a table as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// The table.
    pub table: &'static str,
    /// What names the row.
    pub key: String,
    /// When it was made, in milliseconds; 0 where the row does not say.
    pub created_at: i64,
    /// The columns that events tell of.
    pub fields: Fields,
}

/// What a comparison with the tables gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeepReport {
    /// Rows that were compared.
    pub rows: usize,
    /// Each difference, as a sentence.
    pub differences: Vec<String>,
    /// Rows older than the first event that was folded: nothing tells of them.
    pub rows_not_told: usize,
    /// Columns that no event tells, by table and column.
    pub fields_not_told: BTreeSet<String>,
    /// The first event that was folded, where that is not the first ever.
    pub begins_at: Option<i64>,
}

/// An event while it is folded.
struct Fact<'a> {
    seq: i64,
    event: &'a AuditEvent,
    detail: Value,
}

type Rule = fn(&mut Fold, &Fact<'_>);

/// What each kind of event changes. A kind that is not listed changes no table that is compared.
const RULES: &[(&str, Rule)] = &[
    ("service_started", epoch_began),
    ("service_stopped", epoch_ended),
    ("delivery_received", delivered),
    ("delivery_repeated", delivered),
    ("delivery_replayed", delivered),
    ("delivery_unreadable", delivered),
    ("incident_opened", incident_opened),
    ("incident_closed", incident_closed),
    ("alert_decided", guards::alert_decided),
    ("ordered_by_hand", guards::alert_decided),
    ("remediation_moved", remediation_moved),
    ("remediation_waits", remediation_waits),
    ("attempt_intent", attempt_begun),
    ("attempt_outcome", attempt_ended),
    ("evidence", attempt_proven),
    ("settlement", settled),
    ("hold_set", hold_set),
    ("hold_cleared", hold_cleared),
    ("silence_set", silence_set),
    ("silence_ended", silence_ended),
    ("dump_collected", guards::dump_collected),
    ("storm_opened", guards::storm_opened),
    ("storm_cleared", guards::storm_cleared),
    ("quarantine_opened", guards::quarantine_opened),
    ("quarantine_cleared", guards::quarantine_cleared),
    ("policy_demoted", guards::policy_demoted),
    ("policy_promoted", guards::policy_promoted),
    ("breaker_reset", guards::breaker_reset),
    ("target_reported", guards::target_reported),
    ("watch_gap", guards::watch_gap),
    ("attestation", guards::attestation),
    ("activity_seen", guards::activity_seen),
    ("store_identified", guards::store_identified),
];

/// The state that the events so far amount to.
#[derive(Debug, Default)]
pub struct Fold {
    tables: BTreeMap<&'static str, BTreeMap<String, Fields>>,
    begin: Option<(i64, i64)>,
    /// Rows that events of an older version may have made: table, and the key or what it begins with.
    possible: BTreeSet<(&'static str, String)>,
    alerts: alerts::Alerts,
    report: DeepReport,
}

impl Fold {
    /// Folds the next event. They must come in their order.
    pub fn take(&mut self, seq: i64, event: &AuditEvent) {
        self.begin.get_or_insert((seq, event.at.as_millisecond()));
        let rule = RULES.iter().find(|(kind, _)| *kind == event.kind);
        let Some((_, rule)) = rule else { return };
        let detail = serde_json::from_str(&event.detail).unwrap_or(Value::Null);
        rule(self, &Fact { seq, event, detail });
    }

    fn is_whole(&self) -> bool {
        self.begin.is_none_or(|(seq, _)| seq == 1)
    }

    fn row(&mut self, table: &'static str, key: &str) -> &mut Fields {
        self.tables.entry(table).or_default().entry(key.to_owned()).or_default()
    }

    /// A row was made. What later events of the same transaction told already stays.
    fn made(&mut self, table: &'static str, key: &str, fields: &[(&'static str, Told)]) {
        let row = self.row(table, key);
        for (field, told) in fields {
            let value = match told {
                Told::Nothing => continue,
                Told::Empty => None,
                Told::Text(text) => Some(text.clone()),
            };
            row.entry((*field).to_owned()).or_insert(value);
        }
    }

    /// A row was changed.
    fn changed(&mut self, table: &'static str, key: &str, fields: &[(&'static str, Told)]) {
        let row = self.row(table, key);
        for (field, told) in fields {
            match told {
                Told::Nothing => drop(row.remove(*field)),
                Told::Empty => drop(row.insert((*field).to_owned(), None)),
                Told::Text(text) => drop(row.insert((*field).to_owned(), Some(text.clone()))),
            }
        }
    }

    /// A row was made that nothing but its content names; the same may be said twice.
    fn made_another(&mut self, table: &'static str, said: &str, fields: &[(&'static str, Told)]) {
        let mut count = 1_u64;
        while self.has(table, &format!("{said}/{count}")) {
            count += 1;
        }
        self.made(table, &format!("{said}/{count}"), fields);
    }

    /// A time moved forward, as far as it was told before.
    fn newest(&mut self, table: &'static str, key: &str, field: &'static str, at: i64) {
        let row = self.tables.get_mut(table).and_then(|rows| rows.get_mut(key));
        if let Some(Some(text)) = row.and_then(|row| row.get_mut(field))
            && text.parse::<i64>().is_ok_and(|before| before < at)
        {
            *text = at.to_string();
        }
    }

    fn has(&self, table: &'static str, key: &str) -> bool {
        self.tables.get(table).is_some_and(|rows| rows.contains_key(key))
    }

    fn tells(&self, table: &'static str, key: &str, field: &str) -> bool {
        let row = self.tables.get(table).and_then(|rows| rows.get(key));
        row.is_some_and(|row| row.contains_key(field))
    }

    /// An event of an older version does not tell whether it made a row.
    fn may_have(&mut self, table: &'static str, key: &str) {
        self.possible.insert((table, key.to_owned()));
    }

    fn is_possible(&self, table: &'static str, key: &str) -> bool {
        let begins = key.split('/').next().unwrap_or(key);
        [key, begins].into_iter().any(|key| self.possible.contains(&(table, key.to_owned())))
    }

    /// Compares one row of the store.
    pub fn compare(&mut self, stored: &StoredRow) {
        let StoredRow { table, key, created_at, fields } = stored;
        let Some(folded) = self.tables.get_mut(table).and_then(|rows| rows.remove(key)) else {
            return self.not_told(table, key, *created_at);
        };
        self.report.rows += 1;
        for (field, stored) in fields {
            match folded.get(field) {
                None => drop(self.report.fields_not_told.insert(format!("{table}.{field}"))),
                Some(told) if same(told.as_deref(), stored.as_deref()) => {}
                Some(told) => {
                    let (told, stored) = (shown(told.as_deref()), shown(stored.as_deref()));
                    let what =
                        format!("{table} {key}: {field} is {stored} in the table, {told} by the events");
                    self.report.differences.push(what);
                }
            }
        }
    }

    /// A row that no event tells of.
    fn not_told(&mut self, table: &'static str, key: &str, created_at: i64) {
        let begin = self.begin.filter(|(seq, _)| *seq > 1).map(|(_, at)| at);
        if begin.is_some_and(|begin| created_at <= begin) || self.is_possible(table, key) {
            self.report.rows_not_told += 1;
        } else {
            self.differs(format!("{table} {key} is in the table, and no event made it"));
        }
    }

    /// Notes a difference that was found beside the rows of tables.
    pub fn differs(&mut self, what: String) {
        self.report.differences.push(what);
    }

    /// Ends the comparison: what was folded and is in no table is a difference too.
    pub fn finish(mut self) -> DeepReport {
        for (table, rows) in &self.tables {
            for key in rows.keys() {
                let what = format!("{table} {key} was made by an event, and is not in the table");
                self.report.differences.push(what);
            }
        }
        self.alerts_left();
        self.report.begins_at = if self.is_whole() { None } else { self.begin.map(|(seq, _)| seq) };
        self.report
    }
}

/// Equal as texts, or as JSON where both are objects or lists: the order of keys is no fact.
fn same(told: Option<&str>, stored: Option<&str>) -> bool {
    let json = |text: Option<&str>| {
        let text = text.filter(|text| text.starts_with(['{', '[']))?;
        serde_json::from_str::<Value>(text).ok()
    };
    told == stored || json(told).is_some_and(|told| Some(told) == json(stored))
}

fn shown(value: Option<&str>) -> String {
    value.map_or_else(|| "empty".to_owned(), |value| format!("{value:?}"))
}

/// What an event says of a column: nothing, that it is NULL, or its text.
enum Told {
    Nothing,
    Empty,
    Text(String),
}

const NOT_TOLD: Told = Told::Nothing;
const EMPTY: Told = Told::Empty;

impl From<&str> for Told {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Told {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&Option<String>> for Told {
    fn from(text: &Option<String>) -> Self {
        text.clone().map_or(Self::Empty, Self::Text)
    }
}

impl From<Timestamp> for Told {
    fn from(at: Timestamp) -> Self {
        at.as_millisecond().to_string().into()
    }
}

impl Fact<'_> {
    /// A text, number or JSON value of the detail.
    fn told(&self, name: &str) -> Told {
        match self.detail.get(name) {
            None => NOT_TOLD,
            Some(Value::Null) => EMPTY,
            Some(Value::String(text)) => text.as_str().into(),
            Some(other) => other.to_string().into(),
        }
    }

    /// A time of the detail.
    fn time(&self, name: &str) -> Told {
        match self.detail.get(name) {
            None => NOT_TOLD,
            Some(Value::Null) => EMPTY,
            Some(value) => {
                let at = value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
                at.map_or_else(|| value.to_string().into(), Told::from)
            }
        }
    }

    fn instant(&self, name: &str) -> Option<Timestamp> {
        self.text(name).and_then(|text| text.parse().ok())
    }

    /// Milliseconds of a time of the detail.
    fn millis(&self, name: &str) -> Option<i64> {
        self.instant(name).map(Timestamp::as_millisecond)
    }

    /// As [`Fact::millis`], rounded up: an end is not earlier than it was said.
    fn millis_up(&self, name: &str) -> Option<i64> {
        let part = |at: Timestamp| i64::from(at.subsec_nanosecond() % 1_000_000 > 0);
        self.instant(name).map(|at| at.as_millisecond() + part(at))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.detail.get(name).and_then(Value::as_str)
    }

    /// What names a row by a number of the detail.
    fn number(&self, name: &str) -> Option<String> {
        self.detail.get(name).and_then(Value::as_i64).map(|number| number.to_string())
    }

    fn actor(&self) -> Told {
        self.event.actor.name.as_str().into()
    }
}

fn epoch_began(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(epoch) = fact.number("epoch") else { return };
    let fields =
        [("version", fact.told("version")), ("started_at", fact.event.at.into()), ("stopped_at", EMPTY)];
    fold.made("owner", &epoch, &fields);
}

fn epoch_ended(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(epoch) = fact.number("epoch") else { return };
    fold.changed("owner", &epoch, &[("stopped_at", fact.event.at.into())]);
}

fn delivered(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(id) = &fact.event.delivery_id else { return };
    let fields = [
        ("source", Told::from(&fact.event.source)),
        ("received_at", fact.event.at.into()),
        ("body_sha256", fact.told("bodySha256")),
        ("repeat_of", fact.told("repeatOf")),
        ("replay_of", fact.told("replayOf")),
        ("seal", fact.told("seal")),
    ];
    fold.made("delivery", id, &fields);
    alerts::told_by_delivery(fold, fact);
    guards::renewed(fold, fact);
}

fn incident_opened(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(id) = &fact.event.incident_id else { return };
    let fields = [
        ("server_no", Told::from(&fact.event.server_instance_no)),
        ("region_code", Told::from(&fact.event.region_code)),
        ("server_name", fact.told("serverName")),
        ("opened_at", fact.event.at.into()),
        ("closed_at", EMPTY),
    ];
    fold.made("incident", id, &fields);
}

fn incident_closed(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(id) = &fact.event.incident_id else { return };
    fold.changed("incident", id, &[("closed_at", fact.event.at.into())]);
}

/// A decision that made a remediation. Its event stands behind those of the same delivery that moved it.
fn remediation_opened(fold: &mut Fold, fact: &Fact<'_>) {
    let event = fact.event;
    let asks = event.decision.as_deref() == Some("awaiting_approval");
    let (true, Some(id)) = (asks || event.decision.as_deref() == Some("remediate"), &event.remediation_id)
    else {
        return;
    };
    let person = (event.actor.kind == ActorKind::Person).then(|| event.actor.name.clone());
    let fields = [
        ("state", State::Settling.as_str().into()),
        ("incident_id", Told::from(&event.incident_id)),
        ("server_no", Told::from(&event.server_instance_no)),
        ("region_code", Told::from(&event.region_code)),
        ("source", Told::from(&event.source)),
        ("policy", Told::from(&event.policy)),
        ("needs_person", if asks { "1" } else { "0" }.into()),
        ("requested_by", Told::from(&person)),
        ("reason", Told::from(&event.reason)),
        ("approved_by", EMPTY),
        ("approved_at", EMPTY),
        ("policy_hash", fact.told("policyHash")),
        ("last_notice_at", fact.time("noticedAt")),
        ("confirmed_at", fact.instant("confirmedAt").map_or(EMPTY, Told::from)),
        ("finished_at", EMPTY),
        ("seal", fact.told("remediationSeal")),
    ];
    fold.made("remediation", id, &fields);
}

fn remediation_moved(fold: &mut Fold, fact: &Fact<'_>) {
    let (Some(id), Some(to)) = (&fact.event.remediation_id, fact.text("to")) else { return };
    let whole = fold.is_whole();
    let known = fold.tables.get("remediation").and_then(|rows| rows.get(id));
    let stands = match known.and_then(|row| row.get("state")) {
        Some(state) => state.as_deref(),
        // Its alert was decided in this transaction; that event follows.
        None => whole.then_some(State::Settling.as_str()),
    };
    let from = fact.text("from");
    if let (Some(stands), Some(from)) = (stands, from)
        && stands != from
    {
        let what = format!("remediation {id}: row {} moves it from {from}, but it was {stands}", fact.seq);
        fold.report.differences.push(what);
    }
    let ended = State::parse(to).is_some_and(State::is_terminal);
    let mut fields = vec![
        ("state", Told::from(to)),
        ("reason", Told::from(&fact.event.reason)),
        ("finished_at", if ended { fact.event.at.into() } else { EMPTY }),
    ];
    if (from, to) == (Some(State::AwaitingApproval.as_str()), State::Queued.as_str()) {
        fields.extend([("approved_by", fact.actor()), ("approved_at", fact.event.at.into())]);
        match fact.detail.get("vouched").and_then(Value::as_bool) {
            Some(true) => {
                fold.newest("remediation", id, "last_notice_at", fact.event.at.as_millisecond());
            }
            Some(false) => {}
            None => fields.push(("last_notice_at", NOT_TOLD)),
        }
        if let Some(at) = fact.instant("confirmedAt") {
            fields.push(("confirmed_at", at.into()));
        }
    }
    fold.changed("remediation", id, &fields);
}

fn remediation_waits(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(id) = &fact.event.remediation_id else { return };
    fold.changed("remediation", id, &[("reason", Told::from(&fact.event.reason))]);
}

fn attempt_begun(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(id) = fact.event.attempt_id else { return };
    let mut fields = vec![
        ("remediation_id", Told::from(&fact.event.remediation_id)),
        ("server_no", Told::from(&fact.event.server_instance_no)),
        ("region_code", Told::from(&fact.event.region_code)),
        ("policy", Told::from(&fact.event.policy)),
        ("intent_at", fact.event.at.into()),
    ];
    for (field, name) in
        [("try", "try"), ("nonce", "nonce"), ("epoch", "epoch"), ("request_hash", "requestHash")]
    {
        fields.push((field, fact.told(name)));
    }
    for (field, name) in [
        ("signed_at", "signedAt"),
        ("send_before", "sendBefore"),
        ("uptime_at", "uptimeBefore"),
        ("cooldown_until", "cooldownUntil"),
    ] {
        fields.push((field, fact.time(name)));
    }
    fields.push(("memory_bytes", fact.told("memoryBytes")));
    let later =
        ["outcome", "outcome_at", "cause", "request_id", "return_code", "return_message", "http_status"];
    fields.extend(later.into_iter().chain(["body_sha256", "evidence"]).map(|field| (field, EMPTY)));
    fold.made("attempt", &id.to_string(), &fields);
}

fn attempt_ended(fold: &mut Fold, fact: &Fact<'_>) {
    let event = fact.event;
    let Some(id) = event.attempt_id else { return };
    if answer::agrees(&fact.detail) == Some(false) {
        fold.differs(format!("row {}: the answer of the cloud does not have the hash beside it", fact.seq));
    }
    let fields = [
        ("outcome", Told::from(&event.outcome)),
        ("outcome_at", event.at.into()),
        ("cause", fact.told("cause")),
        ("request_id", Told::from(&event.request_id)),
        ("return_code", Told::from(&event.return_code)),
        ("return_message", Told::from(&event.return_message)),
        ("http_status", Told::from(&event.http_status.map(|status| status.to_string()))),
        ("body_sha256", fact.told("bodySha256")),
    ];
    fold.changed("attempt", &id.to_string(), &fields);
}

fn attempt_proven(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(id) = fact.event.attempt_id else { return };
    fold.changed("attempt", &id.to_string(), &[("evidence", fact.event.detail.as_str().into())]);
}

/// A person's later word replaces the earlier one.
fn settled(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(id) = &fact.event.remediation_id else { return };
    let key = format!("{id}/{}", fact.event.actor.name);
    let fields =
        [("verdict", fact.told("verdict")), ("reason", fact.told("reason")), ("at", fact.event.at.into())];
    fold.changed("settlement", &key, &fields);
}

fn hold_set(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(id) = fact.number("id") else { return };
    let person = fact.event.actor.kind == ActorKind::Person;
    let author = if person { fact.actor() } else { fact.told("author") };
    let fields = [
        ("scope", fact.told("scope")),
        ("name", fact.told("name")),
        ("author", author),
        ("reason", fact.told("reason")),
        ("set_at", fact.event.at.into()),
        ("until", fact.time("until")),
        ("cleared_at", EMPTY),
        ("cleared_by", EMPTY),
    ];
    fold.made("hold", &id, &fields);
}

fn hold_cleared(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(id) = fact.number("id") else { return };
    fold.changed("hold", &id, &[("cleared_at", fact.event.at.into()), ("cleared_by", fact.actor())]);
}

fn silence_set(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(id) = fact.number("id") else { return };
    let fields = [
        ("matchers", fact.told("matchers")),
        ("author", fact.actor()),
        ("comment", fact.told("comment")),
        ("starts_at", fact.time("startsAt")),
        ("ends_at", fact.time("endsAt")),
        ("expired_at", EMPTY),
        ("expired_by", EMPTY),
    ];
    fold.made("silence", &id, &fields);
}

fn silence_ended(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(id) = fact.number("id") else { return };
    fold.changed("silence", &id, &[("expired_at", fact.event.at.into()), ("expired_by", fact.actor())]);
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;

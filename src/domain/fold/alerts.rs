//! Folding the decision on each alert: a short entry for every one, as there may be millions.
//!
//! Never: compares more than was told. A byte-identical repeat tells the word, the reason and the remediation only.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Fact, Fold};
use crate::domain::seal::{LENGTH, Seal};

/// One decided alert as its row in the store says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecidedAlert {
    /// Delivery and place in it, as in `…/0`.
    pub key: String,
    /// When its delivery came, in milliseconds.
    pub received_at: i64,
    /// Seal of what never changes of the row.
    pub seal: String,
    /// What was decided, and about what.
    pub judged: Judged,
}

/// What is decided about an alert, once more when it was pending. Times are milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// Server number.
    pub server_no: Option<String>,
    /// Region.
    pub region_code: Option<String>,
    /// Policy.
    pub policy: Option<String>,
    /// Decision word.
    pub decision: Option<String>,
    /// Reason word.
    pub reason: Option<String>,
    /// End of a no.
    pub until: Option<i64>,
    /// One sentence.
    pub detail: Option<String>,
    /// Every guard that was asked, as JSON.
    pub trace: Value,
    /// Hash of the configuration.
    pub config_hash: Option<String>,
    /// When.
    pub decided_at: i64,
    /// Incident that it joined.
    pub incident_id: Option<String>,
    /// Remediation that it opened or joined.
    pub remediation_id: Option<String>,
}

impl Judged {
    fn whole(&self) -> Mark {
        let trace = self.trace.to_string();
        let texts = [&self.server_no, &self.region_code, &self.policy, &self.detail, &self.config_hash];
        let seal = texts.into_iter().fold(self.words(), |seal, text| seal.text(text.as_deref()));
        seal.text(Some(&trace))
            .text(self.incident_id.as_deref())
            .number(self.until)
            .number(Some(self.decided_at))
            .bytes()
    }

    /// What a repeat tells.
    fn words(&self) -> Seal {
        let texts = [&self.decision, &self.reason, &self.remediation_id];
        texts.into_iter().fold(Seal::default(), |seal, text| seal.text(text.as_deref()))
    }
}

type Mark = [u8; LENGTH];

/// What the events tell of one alert.
#[derive(Debug)]
struct Entry {
    /// Row of the event that told it last.
    seq: i64,
    seal: Option<String>,
    judged: Mark,
    /// It has an event of its own, so it must have a row; else only its words are told.
    whole: bool,
}

/// What the events tell of all.
#[derive(Debug, Default)]
pub(super) struct Alerts(BTreeMap<Mark, Entry>);

fn mark(key: &str) -> Mark {
    Seal::default().text(Some(key)).bytes()
}

/// A decision with an event of its own.
pub(super) fn decided(fold: &mut Fold, fact: &Fact<'_>) {
    let event = fact.event;
    let (Some(delivery), Some(idx)) = (&event.delivery_id, fact.number("idx")) else { return };
    let judged = Judged {
        server_no: event.server_instance_no.clone(),
        region_code: event.region_code.clone(),
        policy: event.policy.clone(),
        decision: event.decision.clone(),
        reason: event.reason.clone(),
        until: fact.millis("until"),
        detail: fact.text("detail").map(str::to_owned),
        trace: fact.detail.get("trace").cloned().unwrap_or_default(),
        config_hash: fact.text("configHash").map(str::to_owned),
        decided_at: event.at.as_millisecond(),
        incident_id: event.incident_id.clone(),
        remediation_id: event.remediation_id.clone(),
    };
    let seal = fact.text("alertSeal").map(str::to_owned);
    let entry = Entry { seq: fact.seq, seal, judged: judged.whole(), whole: true };
    let key = mark(&format!("{delivery}/{idx}"));
    let before = fold.alerts.0.insert(key, entry);
    // What never changes was told when it was taken in.
    if let (Some(before), Some(now)) = (before, fold.alerts.0.get_mut(&key))
        && now.seal.is_none()
    {
        now.seal = before.seal;
    }
}

/// What a delivery's own event tells: of a byte-identical repeat every alert, of any other its heartbeats. The rest have
/// events of their own.
pub(super) fn told_by_delivery(fold: &mut Fold, fact: &Fact<'_>) {
    let Some(delivery) = fact.event.delivery_id.as_deref() else { return };
    let repeated = fact.event.kind == "delivery_repeated";
    let decisions = fact.detail.get("decisions").and_then(Value::as_array).into_iter().flatten();
    for (idx, words) in decisions.enumerate() {
        let word = |place: usize| words.get(place).and_then(Value::as_str).map(str::to_owned);
        let judged =
            Judged { decision: word(0), reason: word(1), remediation_id: word(2), ..Judged::default() };
        let heartbeat = judged.decision.as_deref() == Some("ignored") && judged.reason.is_none();
        if !(repeated || heartbeat) {
            continue;
        }
        let entry = Entry { seq: fact.seq, seal: None, judged: judged.words().bytes(), whole: false };
        fold.alerts.0.insert(mark(&format!("{delivery}/{idx}")), entry);
    }
}

impl Fold {
    /// Compares the row of one alert.
    pub fn compare_alert(&mut self, stored: &DecidedAlert) {
        let DecidedAlert { key, received_at, seal, judged } = stored;
        let Some(told) = self.alerts.0.remove(&mark(key)) else {
            return self.not_told("alert", key, *received_at);
        };
        self.report.rows += 1;
        let found = if told.whole { judged.whole() } else { judged.words().bytes() };
        if told.judged != found {
            self.differs(format!("alert {key}: its decision is not the one that row {} tells", told.seq));
        }
        if told.seal.is_some_and(|told| told != *seal) {
            self.differs(format!("alert {key}: it is not the one that was taken in"));
        }
    }

    /// Alerts that events tell of and that have no row.
    pub(super) fn alerts_left(&mut self) {
        let left: Vec<i64> = self.alerts.0.values().filter(|told| told.whole).map(|told| told.seq).collect();
        for seq in left {
            self.differs(format!("the alert that row {seq} decided is not in the table"));
        }
    }
}

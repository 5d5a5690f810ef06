//! The story of one server: what was told, decided, moved and sent, in order, and the one sentence that matters.
//!
//! Never: decides; every sentence stands on a stored row.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::domain::advice::{About, next_step, what_would_change};
use crate::domain::guard::{Check, Reason, Trace, Verdict};
use crate::domain::limits::earlier;
use crate::store::{AlertRow, AttemptRow, AuditItem, RemediationRow, UnreadableDelivery};

/// Everything that is stored about the question.
#[derive(Debug)]
pub(super) struct Sources<'r> {
    /// What the server is called.
    pub(super) who: &'r str,
    /// Decisions, newest first.
    pub(super) decisions: &'r [AlertRow],
    /// Orders by hand and collected dumps, newest first.
    pub(super) orders: &'r [AuditItem],
    /// Remediations, newest first, each with its events, oldest first.
    pub(super) remediations: &'r [(RemediationRow, Vec<AuditItem>)],
    /// Deliveries that could not be read.
    pub(super) unreadable: &'r [UnreadableDelivery],
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(in super::super) struct Line {
    /// When.
    pub(in super::super) at: Timestamp,
    /// What.
    pub(in super::super) text: String,
}

/// What would have to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(in super::super) struct Change {
    /// The guard; none where it is a person's turn.
    #[serde(flatten)]
    pub(in super::super) check: Option<Check>,
    /// In plain words, with the command.
    pub(in super::super) change: String,
}

/// The story.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Story {
    /// The one sentence that matters.
    pub(in super::super) headline: String,
    /// What would have to change.
    pub(in super::super) would_have_to_change: Vec<Change>,
    /// What happened, oldest first.
    pub(in super::super) lines: Vec<Line>,
}

/// What the headline is about.
enum Matter<'r> {
    /// An order by hand.
    Order(&'r AuditItem),
    /// A decision.
    Decision(&'r AlertRow),
    /// A remediation that no order and no decision of late speaks of.
    Remediation(&'r RemediationRow),
    /// Nothing is known.
    Nothing,
}

/// What of late outweighs alerts that were tied to no server.
const LATELY: SignedDuration = SignedDuration::from_hours(24);

/// An alert that carries the server's name and was tied to no server: often one about something else.
fn only_names(row: &AlertRow) -> bool {
    row.server_instance_no.is_none() && row.decision != "pending"
}

/// The newest word that counts. An alert that merely names the server must not hide what was done to it.
fn matter<'r>(of: &Sources<'r>, at: Timestamp) -> Matter<'r> {
    let since = earlier(at, LATELY);
    let fires = |row: &&AlertRow| row.decision != "resolved";
    let about = of.decisions.iter().filter(fires).find(|row| !only_names(row) && since < row.received_at);
    let order = of.orders.iter().find(|item| item.event.kind == "ordered_by_hand");
    let lately = |row: &RemediationRow| {
        row.finished_at.is_none_or(|ended| since < ended)
            || row.attempts.iter().any(|attempt| since < attempt.intent_at)
    };
    let remediation = of.remediations.iter().map(|(row, _)| row).find(|row| lately(row));
    match (about, remediation) {
        (Some(row), _) => match order.filter(|order| row.received_at < order.event.at) {
            Some(order) => Matter::Order(order),
            None => Matter::Decision(row),
        },
        (None, Some(row)) => {
            let told = |order: &&AuditItem| {
                row.created_at < order.event.at
                    || order.event.remediation_id.as_ref().is_some_and(|id| id.as_str() == row.id)
            };
            order.filter(told).map_or(Matter::Remediation(row), Matter::Order)
        }
        (None, None) => {
            let newest = of.decisions.iter().find(fires).or(of.decisions.first());
            let outweighs = |row: &AlertRow, order: &AuditItem| {
                row.received_at < order.event.at || (only_names(row) && since < order.event.at)
            };
            match (order, newest) {
                (Some(order), Some(row)) if !outweighs(row, order) => Matter::Decision(row),
                (Some(order), _) => Matter::Order(order),
                (None, Some(row)) => Matter::Decision(row),
                (None, None) => Matter::Nothing,
            }
        }
    }
}

/// The alert that the headline speaks of, or that began what it speaks of.
pub(super) fn alert_of<'r>(of: &Sources<'r>, at: Timestamp) -> Option<&'r AlertRow> {
    let newest = || of.decisions.iter().find(|row| !only_names(row));
    match matter(of, at) {
        Matter::Decision(row) => Some(row),
        Matter::Remediation(row) => decision_of(of, row).or_else(newest),
        Matter::Order(_) => newest(),
        Matter::Nothing => None,
    }
}

fn decision_of<'r>(of: &Sources<'r>, row: &RemediationRow) -> Option<&'r AlertRow> {
    of.decisions.iter().find(|one| one.remediation_id.as_ref() == Some(&row.id))
}

/// Tells it.
pub(super) fn tell(of: &Sources<'_>, at: Timestamp) -> Story {
    let trace = |row: &AlertRow| serde_json::from_value::<Trace>(row.trace.clone()).unwrap_or_default();
    let (headline, would_have_to_change) = match matter(of, at) {
        Matter::Order(order) => {
            let said = (order.event.decision.as_deref(), order.event.reason.as_deref(), order.event.at);
            main(
                of,
                (order.event.remediation_id.as_deref(), order.event.policy.as_deref()),
                said,
                None,
                &text(&detail_of(order), "detail"),
                &trace_of(&detail_of(order)),
            )
        }
        Matter::Decision(row) => {
            let said = (Some(row.decision.as_str()), row.reason.as_deref(), row.received_at);
            let names = (row.remediation_id.as_deref(), row.policy.as_deref());
            main(of, names, said, row.until, &row.detail, &trace(row))
        }
        Matter::Remediation(row) => {
            let decided = decision_of(of, row).map(trace).unwrap_or_default();
            let said = (None, row.reason.as_deref(), row.created_at);
            main(of, (Some(&row.id), Some(&row.policy)), said, row.until, &row.detail, &decided)
        }
        Matter::Nothing => (nothing_came(of, at), Vec::new()),
    };
    Story { headline, would_have_to_change, lines: lines(of) }
}

fn nothing_came(of: &Sources<'_>, at: Timestamp) -> String {
    let who = of.who;
    match of.unreadable.first() {
        Some(delivery) => format!(
            "Nothing was sent to {who} up to {}: a delivery of {} that names it could not be read.",
            short(at),
            delivery.source
        ),
        None => format!(
            "Nothing was sent to {who} up to {}: no alert about it arrived, or none that named it.",
            short(at)
        ),
    }
}

/// The sentence about one decision and what became of it.
fn main(
    of: &Sources<'_>,
    (remediation, policy): (Option<&str>, Option<&str>),
    (decision, reason, decided_at): (Option<&str>, Option<&str>, Timestamp),
    until: Option<Timestamp>,
    detail: &str,
    trace: &Trace,
) -> (String, Vec<Change>) {
    let who = of.who;
    if let Some((row, events)) = of.remediations.iter().find(|(row, _)| Some(row.id.as_str()) == remediation)
    {
        return (about_remediation(who, row), changes_of(who, row, events, trace));
    }
    let decided_at = short(decided_at);
    let said = match (decision, reason) {
        (Some("pending"), _) => format!("Nothing was sent to {who} yet: its target is being looked up."),
        (Some("resolved"), _) => {
            format!("Nothing was sent to {who}: the sender said at {decided_at} that it is over.")
        }
        (_, Some(reason)) => {
            let until = until.map_or_else(String::new, |until| format!(" until {}", short(until)));
            format!("Nothing was sent to {who} at {decided_at}: {reason}{until}. Seen: {detail}.")
        }
        (decision, None) => {
            format!(
                "Nothing was sent to {who} at {decided_at}: {}. {detail}.",
                decision.unwrap_or("unreadable")
            )
        }
    };
    (said, changes(About { server: who, policy, remediation }, trace))
}

fn about_remediation(who: &str, row: &RemediationRow) -> String {
    let acted = |attempt: &&AttemptRow| !matches!(attempt.outcome.as_deref(), Some("not_sent" | "rejected"));
    if let Some(attempt) = row.attempts.iter().find(acted) {
        let at = short(attempt.intent_at);
        let request = attempt.request_id.as_ref().map_or_else(String::new, |id| format!(", requestId {id}"));
        // What was proven or settled later counts for more than the answer, which may have been lost.
        return match (row.state.as_str(), attempt.outcome.as_deref()) {
            ("confirmed", _) => {
                format!("{who} was interrupted at {at}{request}; evidence of it was seen: confirmed.")
            }
            ("closed_happened", _) => {
                format!("{who} was interrupted at {at}: a person settled that it happened; closed_happened.")
            }
            ("closed_not_happened", _) => format!(
                "Nothing happened to {who}: two people settled that the request of {at} had no effect; \
                 closed_not_happened."
            ),
            (_, Some("accepted")) => {
                format!("{who} was interrupted at {at}{request}; it is {} now.", row.state)
            }
            (_, Some(_)) => {
                format!("{who} may have been interrupted at {at}: the answer is not known; {}.", row.state)
            }
            (_, None) => format!("{who} is being interrupted: the request of {at} awaits its answer."),
        };
    }
    let (decided_at, why) = (short(row.created_at), row.reason.as_deref().unwrap_or("no word"));
    let ended_at = row.finished_at.map_or_else(String::new, |at| format!(" at {}", short(at)));
    match row.state.as_str() {
        "cancelled" | "expired" => format!(
            "Nothing was sent to {who}: decided at {decided_at}, {}{ended_at} by {why}. Seen: {}.",
            row.state, row.detail
        ),
        "rejected" => format!("Nothing happened to {who}: the cloud refused{ended_at}. {}.", row.detail),
        "not_sent" => format!("Nothing was sent to {who}: it could not be handed over. {}.", row.detail),
        state => {
            let reason = row.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
            format!("Nothing was sent to {who} yet: the remediation of {decided_at} is {state}{reason}.")
        }
    }
}

/// What would have to change for a remediation: by the guards that took it back, or those it waits for.
fn changes_of(who: &str, row: &RemediationRow, events: &[AuditItem], decided: &Trace) -> Vec<Change> {
    let about = About { server: who, policy: Some(&row.policy), remediation: Some(&row.id) };
    let step = next_step(&row.id, &row.state).map(|change| Change { check: None, change });
    let ended = row.finished_at.is_some();
    let last = events.iter().rev().find(|item| {
        item.event.kind == "remediation_moved" || (!ended && item.event.kind == "remediation_waits")
    });
    let trace = last.map(|item| trace_of(&detail_of(item))).unwrap_or_default();
    let waits = |check: &&Check| !ended && row.state == "queued" && check.verdict == Verdict::Wait;
    let waiting = trace.0.iter().filter(waits).map(|check| change_of(about, check));
    // Why a person is asked was seen at the decision; that the policy's mode asks one needs no word.
    let asks =
        |check: &&Check| check.verdict == Verdict::AskPerson && check.guard != Reason::Shadow && !ended;
    let asked = decided.0.iter().filter(asks).map(|check| change_of(about, check));
    step.into_iter().chain(asked).chain(changes(about, &trace)).chain(waiting).collect()
}

/// One line per guard that said no.
fn changes(about: About<'_>, trace: &Trace) -> Vec<Change> {
    let no = |check: &&Check| matches!(check.verdict, Verdict::Stop | Verdict::Expire | Verdict::AskPerson);
    let mut told: Vec<Change> = Vec::new();
    for check in trace.0.iter().filter(no) {
        let change = change_of(about, check);
        if told.iter().all(|earlier| earlier.change != change.change) {
            told.push(change);
        }
    }
    told
}

fn change_of(about: About<'_>, check: &Check) -> Change {
    Change { change: what_would_change(check, about), check: Some(check.clone()) }
}

fn lines(of: &Sources<'_>) -> Vec<Line> {
    let told = of.decisions.iter().map(|row| Line { at: row.received_at, text: decided(row) });
    let ordered = of.orders.iter().map(by_hand);
    let moved = of.remediations.iter().flat_map(|(_, events)| events.iter().filter_map(event));
    let unread = of.unreadable.iter().map(|delivery| Line {
        at: delivery.received_at,
        text: format!("{}: a delivery could not be read, {}", delivery.source, delivery.id),
    });
    let mut lines: Vec<Line> = told.chain(ordered).chain(moved).chain(unread).collect();
    lines.sort_by_key(|line| line.at);
    // The same answer again and again, as long as it fires, is one line.
    lines.dedup_by(|next, earlier| next.text == earlier.text);
    lines
}

fn decided(row: &AlertRow) -> String {
    let name = row.alert.as_ref().map(|alert| text(alert, "name")).unwrap_or_default();
    let reason = row.reason.as_ref().filter(|reason| **reason != row.decision);
    let reason = reason.map_or_else(String::new, |reason| format!(", {reason}"));
    let until = row.until.map_or_else(String::new, |until| format!(" until {}", short(until)));
    let status = row.status.as_deref().unwrap_or("unreadable");
    format!("{}: {name} {status}: {}{reason}{until}", row.source, row.decision)
}

fn by_hand(item: &AuditItem) -> Line {
    let who = &item.event.actor.name;
    let detail = detail_of(item);
    let reason = text(&detail, "reason");
    let text = if item.event.kind == "dump_collected" {
        format!("{who} says that the dump is collected: {reason}")
    } else {
        let decision = item.event.decision.as_deref().unwrap_or("nothing");
        let why = item.event.reason.as_ref().map_or_else(String::new, |why| format!(", {why}"));
        format!("{who} ordered by hand ({reason}): {decision}{why}")
    };
    Line { at: item.event.at, text }
}

/// A move in words; decisions are told by their own rows.
fn event(item: &AuditItem) -> Option<Line> {
    let (event, detail) = (&item.event, detail_of(item));
    let why = event.reason.as_ref().map_or_else(String::new, |why| format!(" by {why}"));
    let words = text(&detail, "detail");
    let words = if words.is_empty() { words } else { format!(": {words}") };
    let text = match event.kind.as_str() {
        "remediation_moved" => format!("{} -> {}{why}{words}", text(&detail, "from"), text(&detail, "to")),
        "remediation_waits" => format!("waits{why}{words}"),
        "attempt_intent" => format!("intent committed, try {}", text(&detail, "try")),
        "attempt_outcome" => format!(
            "the cloud's answer: {}, requestId {}",
            event.outcome.as_deref().unwrap_or("none"),
            event.request_id.as_deref().unwrap_or("none")
        ),
        "settlement" => format!("{} settled it: {}", event.actor.name, text(&detail, "verdict")),
        "evidence" => format!("evidence: {}, proves {}", text(&detail, "kind"), text(&detail, "proves")),
        _ => return None,
    };
    Some(Line { at: event.at, text })
}

fn detail_of(item: &AuditItem) -> Value {
    serde_json::from_str(&item.event.detail).unwrap_or(Value::Null)
}

fn trace_of(detail: &Value) -> Trace {
    detail.get("trace").and_then(|trace| serde_json::from_value(trace.clone()).ok()).unwrap_or_default()
}

fn text(value: &Value, field: &str) -> String {
    match value.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A time to the second, in UTC.
pub(super) fn short(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

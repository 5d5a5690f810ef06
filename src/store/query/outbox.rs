//! Messages and receivers, for people and figures.
//!
//! Never: an address of a receiver; the store has none.

use jiff::Timestamp;
use serde::Serialize;

use super::{Page, PageRequest, cut, limit_of};
use crate::domain::notice::Message;
use crate::store::db::{QueryBuilder, Row, query, query_scalar};
use crate::store::rows::{Columns, ms};
use crate::store::{Doing, Store, StoreError};

/// Which messages are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageState {
    /// Not taken yet.
    Waiting,
    /// Taken, and posted again until it ends.
    Standing,
    /// Taken.
    Delivered,
    /// Tried until its time was over.
    GivenUp,
}

impl MessageState {
    /// All of them, with their words.
    pub const ALL: [(&'static str, Self); 4] = [
        ("waiting", Self::Waiting),
        ("standing", Self::Standing),
        ("delivered", Self::Delivered),
        ("given_up", Self::GivenUp),
    ];
}

/// One message.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageRow {
    /// Its number.
    pub id: i64,
    /// Who it is for.
    pub receiver: String,
    /// Place of its event in the audit.
    pub audit_seq: i64,
    /// `webhook-id` of every try.
    pub webhook_id: String,
    /// `waiting`, `standing`, `delivered` or `given_up`.
    pub state: &'static str,
    /// When it was made.
    pub made_at: Timestamp,
    /// Tries in a row without success.
    pub attempts: i64,
    /// Not tried before this, while it waits.
    pub not_before: Option<Timestamp>,
    /// What went wrong with the last try.
    pub last_error: Option<String>,
    /// When the receiver first took it.
    pub delivered_at: Option<Timestamp>,
    /// When it was given up.
    pub given_up_at: Option<Timestamp>,
    /// When the condition ends or ended.
    pub ends_at: Option<Timestamp>,
    /// What is told.
    pub message: Message,
}

/// How one receiver stands.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceiverState {
    /// Messages that it has not taken.
    pub waiting: i64,
    /// When the oldest of them was made, or last due.
    pub waiting_since: Option<Timestamp>,
    /// Conditions that stand.
    pub standing: i64,
    /// When it last took one for the first time.
    pub last_delivered_at: Option<Timestamp>,
    /// What went wrong with the oldest that waits.
    pub last_error: Option<String>,
    /// Place of the audit up to which it was told; `None` for a new one.
    pub told_up_to: Option<i64>,
}

/// A message waits when it was never taken, when the last try failed, or when its end was not told.
const WAITS: &str = "(delivered_at IS NULL OR attempts > 0 OR coalesce(ends_at, 9223372036854775807) <= ";

fn message_row(row: &Row, now: Timestamp) -> Result<MessageRow, StoreError> {
    let (attempts, ends_at) = (row.int("attempts")?, row.time_opt("ends_at")?);
    let (delivered_at, given_up_at) = (row.time_opt("delivered_at")?, row.time_opt("given_up_at")?);
    let done = row.time_opt("done_at")?.is_some();
    let waits = delivered_at.is_none() || attempts > 0 || ends_at.is_some_and(|at| at <= now);
    let state = match (done, given_up_at.is_some(), waits) {
        (true, true, _) => "given_up",
        (true, false, _) => "delivered",
        (false, _, true) => "waiting",
        (false, _, false) => "standing",
    };
    Ok(MessageRow {
        id: row.int("id")?,
        receiver: row.text("receiver")?,
        audit_seq: row.int("seq")?,
        webhook_id: row.text("webhook_id")?,
        state,
        made_at: row.time("made_at")?,
        attempts,
        not_before: if done { None } else { Some(row.time("not_before")?) },
        last_error: row.text_opt("last_error")?,
        delivered_at,
        given_up_at,
        ends_at,
        message: row.value("message")?,
    })
}

impl Store {
    /// A page of messages, newest first.
    pub async fn messages(
        &self,
        receiver: Option<&str>,
        state: Option<MessageState>,
        page: &PageRequest,
        now: Timestamp,
    ) -> Result<Page<MessageRow>, StoreError> {
        let mut query: QueryBuilder<'_> = QueryBuilder::new(
            "SELECT id, receiver, seq, webhook_id, message, made_at, ends_at, attempts, not_before, last_error, \
             delivered_at, given_up_at, done_at FROM outbox WHERE 1 = 1",
        );
        if let Some(receiver) = receiver {
            query.push(" AND receiver = ").push_bind(receiver.to_owned());
        }
        match state {
            None => {}
            Some(MessageState::Waiting) => {
                query.push(" AND done_at IS NULL AND ").push(WAITS).push_bind(ms(now)).push(")");
            }
            Some(MessageState::Standing) => {
                query.push(" AND done_at IS NULL AND NOT ").push(WAITS).push_bind(ms(now)).push(")");
            }
            Some(MessageState::Delivered) => {
                query.push(" AND done_at IS NOT NULL AND given_up_at IS NULL");
            }
            Some(MessageState::GivenUp) => {
                query.push(" AND given_up_at IS NOT NULL");
            }
        }
        if let Some(cursor) = page.cursor.as_ref().and_then(|text| text.parse::<i64>().ok()) {
            query.push(" AND id < ").push_bind(cursor);
        }
        let limit = limit_of(page);
        query.push(" ORDER BY id DESC LIMIT 0 + ").push_bind(limit + 1);
        let rows = query.build().fetch_all(&self.people).await.doing("reading messages")?;
        let items = rows.iter().map(|row| message_row(row, now)).collect::<Result<Vec<_>, _>>()?;
        Ok(cut(items, limit, |item| item.id.to_string()))
    }

    /// How a receiver stands.
    pub async fn receiver_state(&self, receiver: &str, now: Timestamp) -> Result<ReceiverState, StoreError> {
        let doing = "reading how a receiver stands";
        let mut counts: QueryBuilder<'_> = QueryBuilder::new("SELECT count(*) AS open, count(CASE WHEN ");
        counts.push(WAITS).push_bind(ms(now)).push(") THEN 1 END) AS waiting, min(CASE WHEN ");
        counts.push(WAITS).push_bind(ms(now));
        counts.push(") THEN CASE WHEN delivered_at IS NULL THEN made_at ELSE min(not_before, coalesce(ends_at, not_before)) END END)");
        counts
            .push(" AS since FROM outbox WHERE done_at IS NULL AND receiver = ")
            .push_bind(receiver.to_owned());
        let row = counts.build().fetch_one(&self.people).await.doing(doing)?;
        let (open, waiting) = (row.int("open")?, row.int("waiting")?);
        let last_error: Option<String> = query_scalar(
            "SELECT last_error FROM outbox WHERE done_at IS NULL AND receiver = ? AND last_error IS NOT NULL \
             ORDER BY id LIMIT 1",
        )
        .bind(receiver)
        .fetch_optional(&self.people)
        .await
        .doing(doing)?;
        let delivered = query("SELECT max(delivered_at) AS at FROM outbox WHERE receiver = ?")
            .bind(receiver)
            .fetch_one(&self.people)
            .await
            .doing(doing)?;
        Ok(ReceiverState {
            waiting,
            waiting_since: row.time_opt("since")?,
            standing: open.saturating_sub(waiting),
            last_delivered_at: delivered.time_opt("at")?,
            last_error,
            told_up_to: self.outbox_cursor(receiver).await?,
        })
    }

    /// Receivers for which something is still to do.
    pub async fn receivers_with_messages(&self) -> Result<Vec<String>, StoreError> {
        query_scalar("SELECT DISTINCT receiver FROM outbox WHERE done_at IS NULL")
            .fetch_all(&self.people)
            .await
            .doing("looking for receivers with messages")
    }
}

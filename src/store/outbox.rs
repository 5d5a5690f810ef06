//! The outbox: how far each receiver was told of the audit, and the messages that wait for it.
//!
//! Never: a message without the place of its event, or one event told twice to the same receiver.

use jiff::Timestamp;

use super::db::{Row, built, query, query_scalar};
use super::open::Store;
use super::query::AuditItem;
use super::rows::{Columns, json, ms, ms_opt};
use super::writer::Tx;
use super::{Doing, StoreError};
use crate::domain::notice::Message;

/// Tries that may refuse a message itself before others go first.
const REFUSED_MAX: i64 = 3;
/// Places of the audit that one step looks at.
const AUDIT_STEP: i64 = 5000;
/// Events that one step reads.
const EVENTS_MAX: i64 = 200;
/// Old rows that one step removes.
const PRUNE_MAX: i64 = 500;

/// A new message for a receiver.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Place of its event.
    pub seq: i64,
    /// The same for every try.
    pub webhook_id: String,
    /// What is told.
    pub message: Message,
    /// It is posted again until it ends.
    pub standing: bool,
    /// When it ends, where that is known.
    pub ends_at: Option<Timestamp>,
}

/// What one step over the audit gives to one receiver, in the order of the audit.
#[derive(Debug, Clone)]
pub enum ForReceiver {
    /// A condition is over.
    Ends {
        /// Which.
        condition: String,
        /// Since when.
        at: Timestamp,
    },
    /// A message.
    Tells(Box<NewMessage>),
}

/// A message that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Its number.
    pub id: i64,
    /// Place of its event.
    pub seq: i64,
    /// The same for every try.
    pub webhook_id: String,
    /// What is told.
    pub message: Message,
    /// It is posted again until it ends.
    pub standing: bool,
    /// When it ends or ended.
    pub ends_at: Option<Timestamp>,
    /// Tries in a row without success.
    pub attempts: i64,
}

/// How a try went.
#[derive(Debug, Clone)]
pub enum Tried {
    /// The receiver took it.
    Delivered {
        /// When it is posted again; `None`: never.
        again: Option<Timestamp>,
    },
    /// It did not.
    Failed {
        /// What went wrong.
        error: String,
        /// It refused the message itself.
        refused: bool,
        /// Not tried again before this.
        not_before: Timestamp,
    },
}

impl Store {
    /// The place up to which a receiver was told; `None` for a new one.
    pub async fn outbox_cursor(&self, receiver: &str) -> Result<Option<i64>, StoreError> {
        query_scalar("SELECT seq FROM outbox_cursor WHERE receiver = ?")
            .bind(receiver)
            .fetch_optional(&self.readers)
            .await
            .doing("reading how far a receiver was told")
    }

    /// Events of these kinds behind a place, and the place up to which all were looked at.
    pub async fn events_behind(
        &self,
        seq: i64,
        end: i64,
        kinds: &[&str],
    ) -> Result<(Vec<AuditItem>, i64), StoreError> {
        let last = end.min(seq.saturating_add(AUDIT_STEP));
        let items =
            super::query::audit_of_kinds(&self.readers, (seq, last), &json(&kinds)?, EVENTS_MAX).await?;
        let full = i64::try_from(items.len()).is_ok_and(|found| found >= EVENTS_MAX);
        let last = if full { items.last().map_or(last, |item| item.seq) } else { last };
        Ok((items, last))
    }

    /// The message that a receiver is sent next, if one is due. `in_order`: none goes before an earlier one, unless the
    /// earlier one was refused for itself.
    pub async fn next_message(
        &self,
        receiver: &str,
        in_order: bool,
        now: Timestamp,
    ) -> Result<Option<Waiting>, StoreError> {
        const COLUMNS: &str = "SELECT id, seq, webhook_id, message, standing, ends_at, attempts, not_before FROM outbox \
             WHERE receiver = ?1 AND done_at IS NULL";
        let doing = "looking for a message to send";
        if in_order {
            let sql = format!("{COLUMNS} AND refused < ?2 ORDER BY id LIMIT 1");
            let head = built(sql)
                .bind(receiver)
                .bind(REFUSED_MAX)
                .fetch_optional(&self.readers)
                .await
                .doing(doing)?;
            if let Some(head) = head
                && head.time("not_before")? <= now
            {
                return waiting(&head).map(Some);
            }
        }
        let refused_min = if in_order { REFUSED_MAX } else { 0 };
        let sql = format!("{COLUMNS} AND refused >= ?2 AND not_before <= ?3 ORDER BY not_before, id LIMIT 1");
        let due = built(sql)
            .bind(receiver)
            .bind(refused_min)
            .bind(ms(now))
            .fetch_optional(&self.readers)
            .await
            .doing(doing)?;
        due.as_ref().map(waiting).transpose()
    }

    /// The newest of these standing conditions that the audit tells of a source or a policy.
    pub async fn newest_condition(
        &self,
        kinds: [&str; 2],
        source: Option<&str>,
        policy: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        let [one, other] = kinds;
        // The first line names the index; see the migration.
        query_scalar(
            "SELECT kind FROM audit \
             WHERE kind IN ('source_silent', 'source_heard_again', 'breaker_opened', 'breaker_closed') \
             AND kind IN (?, ?) AND source IS NOT DISTINCT FROM ? AND policy IS NOT DISTINCT FROM ? ORDER BY seq DESC LIMIT 1",
        )
        .bind(one)
        .bind(other)
        .bind(source)
        .bind(policy)
        .fetch_optional(&self.readers)
        .await
        .doing("looking how a condition stands")
    }
}

impl Tx {
    /// Lets a new receiver begin at the end of the audit: what was before it is not its business.
    /// False when it has begun before.
    pub async fn begin_receiver(&mut self, receiver: &str) -> Result<bool, StoreError> {
        let begun = query(
            "INSERT INTO outbox_cursor (receiver, seq) SELECT ?, coalesce(max(seq), 0) FROM audit WHERE true \
             ON CONFLICT (receiver) DO NOTHING",
        )
        .bind(receiver)
        .execute(self.db().await?)
        .await
        .doing("beginning a receiver")?;
        Ok(begun > 0)
    }

    /// Moves a receiver from one place of the audit to another and keeps what lies between for it. False when it is
    /// not at that place any more; then nothing was kept.
    pub async fn tell_receiver(
        &mut self,
        receiver: &str,
        (from, to): (i64, i64),
        given: &[ForReceiver],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let moved = query("UPDATE outbox_cursor SET seq = ? WHERE receiver = ? AND seq = ?")
            .bind(to)
            .bind(receiver)
            .bind(from)
            .execute(self.db().await?)
            .await
            .doing("moving a receiver")?;
        if moved == 0 {
            return Ok(false);
        }
        for one in given {
            match one {
                ForReceiver::Ends { condition, at } => {
                    self.end_condition(receiver, condition, *at, now).await?;
                }
                ForReceiver::Tells(message) => self.keep_message(receiver, message, now).await?,
            }
        }
        Ok(true)
    }

    /// Keeps one message, unless it is kept already.
    pub async fn keep_message(
        &mut self,
        receiver: &str,
        new: &NewMessage,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let condition = new.message.condition.as_deref().filter(|_| new.standing);
        query(
            "INSERT INTO outbox (receiver, seq, kind, webhook_id, message, made_at, standing, condition, ends_at, \
             not_before) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (receiver, seq, kind) DO NOTHING",
        )
        .bind(receiver)
        .bind(new.seq)
        .bind(new.message.kind.as_str())
        .bind(&new.webhook_id)
        .bind(json(&new.message)?)
        .bind(ms(now))
        .bind(i64::from(new.standing))
        .bind(condition)
        .bind(ms_opt(new.ends_at))
        .bind(ms(now))
        .execute(self.db().await?)
        .await
        .doing("keeping a message")
        .map(|_| ())
    }

    async fn end_condition(
        &mut self,
        receiver: &str,
        condition: &str,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        query(
            "UPDATE outbox SET ends_at = ?1, not_before = ?2 WHERE receiver = ?3 AND condition = ?4 AND standing = 1 \
             AND done_at IS NULL AND (ends_at IS NULL OR ends_at > ?1)",
        )
        .bind(ms(at))
        .bind(ms(now))
        .bind(receiver)
        .bind(condition)
        .execute(self.db().await?)
        .await
        .doing("ending a condition")
        .map(|_| ())
    }

    /// Notes how a try went.
    pub async fn note_try(&mut self, id: i64, tried: &Tried, now: Timestamp) -> Result<(), StoreError> {
        let doing = "noting a try";
        match tried {
            Tried::Delivered { again } => query(
                "UPDATE outbox SET delivered_at = coalesce(delivered_at, ?1), done_at = CASE WHEN ?2 IS NULL THEN ?1 END, \
                 not_before = CASE WHEN ends_at <= ?1 THEN ?1 ELSE coalesce(?2, not_before) END, attempts = 0, refused = 0, last_error = NULL \
                 WHERE id = ?3 AND done_at IS NULL",
            )
            .bind(ms(now))
            .bind(ms_opt(*again))
            .bind(id)
            .execute(self.db().await?)
            .await
            .doing(doing),
            Tried::Failed { error, refused, not_before } => query(
                "UPDATE outbox SET attempts = attempts + 1, refused = refused + ?1, last_error = ?2, not_before = ?3 \
                 WHERE id = ?4 AND done_at IS NULL",
            )
            .bind(i64::from(*refused))
            .bind(error)
            .bind(ms(*not_before))
            .bind(id)
            .execute(self.db().await?)
            .await
            .doing(doing),
        }
        .map(|_| ())
    }

    /// Lets everything that waits for a receiver be tried at once: it may have changed.
    pub async fn retry_now(&mut self, receiver: &str, now: Timestamp) -> Result<(), StoreError> {
        query(
            "UPDATE outbox SET not_before = ? WHERE receiver = ? AND done_at IS NULL AND attempts > 0 AND not_before > ?",
        )
        .bind(ms(now))
        .bind(receiver)
        .bind(ms(now))
        .execute(self.db().await?)
        .await
        .doing("trying a receiver anew")
        .map(|_| ())
    }

    /// Gives up what a receiver has not taken since a time. A condition that still stands is not given up. Returns how
    /// many were.
    pub async fn give_up_messages(
        &mut self,
        receiver: &str,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let given_up = query(
            "UPDATE outbox SET given_up_at = ?1, done_at = ?1 WHERE id IN (SELECT id FROM outbox WHERE receiver = ?2 \
             AND done_at IS NULL AND made_at < ?3 AND (standing = 0 OR ends_at < ?3) ORDER BY id LIMIT 0 + ?4)",
        )
        .bind(ms(now))
        .bind(receiver)
        .bind(ms(before))
        .bind(PRUNE_MAX)
        .execute(self.db().await?)
        .await
        .doing("giving messages up")?;
        Ok(given_up)
    }

    /// Removes messages that were done before a time. Returns how many; there may be more.
    pub async fn prune_outbox(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        let removed = query(
            "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE done_at < ? ORDER BY done_at LIMIT 0 + ?)",
        )
        .bind(ms(before))
        .bind(PRUNE_MAX)
        .execute(self.db().await?)
        .await
        .doing("removing old messages")?;
        Ok(removed)
    }
}

fn waiting(row: &Row) -> Result<Waiting, StoreError> {
    Ok(Waiting {
        id: row.int("id")?,
        seq: row.int("seq")?,
        webhook_id: row.text("webhook_id")?,
        message: row.value("message")?,
        standing: row.int("standing")? == 1,
        ends_at: row.time_opt("ends_at")?,
        attempts: row.int("attempts")?,
    })
}

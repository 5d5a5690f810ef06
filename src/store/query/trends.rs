//! Counts over time: alerts by decision and reason, attempts by outcome, and how long a recovery took.
//!
//! Never: walks a table; every count is a range of an index, and every list has an end.

use jiff::Timestamp;
use serde_json::json;

use crate::domain::decision::Decision;
use crate::domain::guard::Reason;
use crate::domain::remediation::Outcome;
use crate::store::db::query;
use crate::store::rows::{Columns, ms};
use crate::store::{Doing, Store, StoreError, facts};

/// Attempts and recoveries that are looked at, the newest.
const ROWS_MAX: i64 = 10_000;

/// Which pairs of decision and reason there are since a time.
pub(in crate::store) const PAIRS: &str = "SELECT d.value AS decision, r.value AS reason FROM json_each(?1) d, json_each(?2) r \
     WHERE EXISTS (SELECT 1 FROM alert WHERE alert.decision = d.value AND alert.reason IS NOT DISTINCT FROM r.value AND alert.received_at >= ?3) \
     OR EXISTS (SELECT 1 FROM renewal_count n WHERE n.decision = d.value AND n.reason = r.value AND n.minute >= ?3 / 60000)";
/// How many alerts of each pair fall into each span.
pub(in crate::store) const COUNTS: &str = "SELECT CAST(p.key AS BIGINT) AS pair, CAST(s.key AS BIGINT) AS span, (SELECT count(*) FROM alert \
     WHERE alert.decision = json_extract(p.value, '$[0]') AND alert.reason IS NOT DISTINCT FROM json_extract(p.value, '$[1]') \
     AND alert.received_at >= CAST(json_extract(s.value, '$[0]') AS BIGINT) \
     AND alert.received_at < CAST(json_extract(s.value, '$[1]') AS BIGINT)) \
     + (SELECT CAST(coalesce(sum(n.alerts), 0) AS BIGINT) FROM renewal_count n \
     WHERE n.decision = json_extract(p.value, '$[0]') AND n.reason = json_extract(p.value, '$[1]') \
     AND n.minute >= CAST(json_extract(s.value, '$[0]') AS BIGINT) / 60000 \
     AND n.minute < CAST(json_extract(s.value, '$[1]') AS BIGINT) / 60000) AS count \
     FROM json_each(?1) p, json_each(?2) s";
/// Attempts since a time.
pub(in crate::store) const ATTEMPTS: &str =
    "SELECT intent_at, outcome FROM attempt WHERE intent_at >= ? ORDER BY intent_at DESC LIMIT 0 + ?";
/// Recoveries since a time.
pub(in crate::store) const RECOVERIES: &str = "SELECT created_at, finished_at FROM remediation WHERE created_at >= ? \
     AND state IN ('confirmed', 'closed_happened') ORDER BY created_at DESC LIMIT 0 + ?";

/// Alerts of one decision and reason in each span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertCounts {
    /// The decision.
    pub decision: Decision,
    /// Its reason.
    pub reason: Option<Reason>,
    /// How many, one count for each span.
    pub counts: Vec<u32>,
}

impl Store {
    /// Alerts by decision and reason in each of some spans that follow one another.
    pub async fn alerts_over_time(
        &self,
        spans: &[(Timestamp, Timestamp)],
    ) -> Result<Vec<AlertCounts>, StoreError> {
        let Some((since, _)) = spans.first() else { return Ok(Vec::new()) };
        let decisions: Vec<&str> = Decision::ALL.iter().map(|decision| decision.as_str()).collect();
        let reasons = [None].into_iter().chain(Reason::ALL.iter().map(|reason| Some(reason.as_str())));
        let reasons: Vec<Option<&str>> = reasons.collect();
        let doing = "looking for decisions";
        let rows = query(PAIRS)
            .bind(json!(decisions).to_string())
            .bind(json!(reasons).to_string())
            .bind(ms(*since))
            .fetch_all(&self.people)
            .await
            .doing(doing)?;
        let mut all = Vec::new();
        for row in &rows {
            let decision = Decision::parse(&row.text("decision")?);
            let decision = decision.ok_or(StoreError::Unreadable { what: "decision" })?;
            let reason = row.text_opt("reason")?.as_deref().and_then(Reason::parse);
            all.push(AlertCounts { decision, reason, counts: vec![0; spans.len()] });
        }
        let pairs: Vec<_> = all.iter().map(|one| json!([one.decision, one.reason])).collect();
        let bounds: Vec<_> = spans.iter().map(|(from, until)| json!([ms(*from), ms(*until)])).collect();
        let rows = query(COUNTS)
            .bind(json!(pairs).to_string())
            .bind(json!(bounds).to_string())
            .fetch_all(&self.people)
            .await
            .doing("counting decisions")?;
        for row in &rows {
            let place = |column| Ok::<_, StoreError>(usize::try_from(row.int(column)?).unwrap_or(usize::MAX));
            let (pair, span) = (place("pair")?, place("span")?);
            if let Some(count) = all.get_mut(pair).and_then(|one| one.counts.get_mut(span)) {
                *count = u32::try_from(row.int("count")?).unwrap_or(u32::MAX);
            }
        }
        Ok(all)
    }

    /// When attempts were made since a time, and how they ended; the newest of very many.
    pub async fn attempts_over_time(
        &self,
        since: Timestamp,
    ) -> Result<Vec<(Timestamp, Option<Outcome>)>, StoreError> {
        let rows = query(ATTEMPTS)
            .bind(ms(since))
            .bind(ROWS_MAX)
            .fetch_all(&self.people)
            .await
            .doing("reading attempts over time")?;
        rows.iter()
            .map(|row| Ok((row.time("intent_at")?, facts::outcome(row.text_opt("outcome")?.as_deref())?)))
            .collect()
    }

    /// Seconds from the alert to the proof of each remediation since a time that has one; the newest of very many.
    pub async fn recoveries(&self, since: Timestamp) -> Result<Vec<i64>, StoreError> {
        let rows = query(RECOVERIES)
            .bind(ms(since))
            .bind(ROWS_MAX)
            .fetch_all(&self.people)
            .await
            .doing("reading recoveries")?;
        rows.iter()
            .map(|row| Ok(row.time("finished_at")?.duration_since(row.time("created_at")?).as_secs()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::db::built;
    use super::*;
    use tokio_util::task::TaskTracker;

    /// How SQLite answers a query, line by line.
    async fn plan(store: &Store, sql: &str) -> Vec<String> {
        let rows = built(format!("EXPLAIN QUERY PLAN {sql}")).fetch_all(&store.people).await.unwrap();
        rows.iter().map(|row| row.text("detail").unwrap()).collect()
    }

    #[tokio::test]
    async fn every_query_of_the_page_reads_a_range_of_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let (store, writer) = Store::open(&folder.path().join("unhang.db"), None, |_| {}).await.unwrap();
        let tasks = TaskTracker::new();
        tasks.spawn(writer);
        tasks.close();
        for (sql, index) in [
            (PAIRS, "COVERING INDEX alert_by_decision (decision=? AND reason=? AND received_at>?)"),
            (
                COUNTS,
                "COVERING INDEX alert_by_decision (decision=? AND reason=? AND received_at>? AND received_at<?)",
            ),
            (ATTEMPTS, "INDEX attempt_by_time (intent_at>?)"),
            (RECOVERIES, "INDEX remediation_by_time (created_at>?)"),
        ] {
            let plan = plan(&store, sql).await;
            assert!(plan.iter().any(|line| line.contains(index)), "{sql}: {plan:#?}");
            let walks = |line: &String| line.starts_with("SCAN") && !line.contains("VIRTUAL TABLE");
            assert!(!plan.iter().any(walks), "{sql}: {plan:#?}");
        }
        drop(store);
        tasks.wait().await;
    }

    #[tokio::test]
    async fn an_empty_store_has_nothing_to_count() {
        let folder = tempfile::tempdir().unwrap();
        let (store, writer) = Store::open(&folder.path().join("unhang.db"), None, |_| {}).await.unwrap();
        let tasks = TaskTracker::new();
        tasks.spawn(writer);
        tasks.close();
        let spans = [(Timestamp::UNIX_EPOCH, Timestamp::MAX)];
        assert_eq!(store.alerts_over_time(&spans).await.unwrap(), []);
        assert_eq!(store.alerts_over_time(&[]).await.unwrap(), []);
        drop(store);
        tasks.wait().await;
    }
}

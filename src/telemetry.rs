//! Logs and figures: JSON lines for machines, `unhang_` metrics without server names.
//!
//! Never: a body, a header or a secret.

mod timings;

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::{CounterWithExemplar, HistogramWithExemplars};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

pub use timings::Timings;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a terminal.
    Text,
}

/// Installs the log output on standard error; `filter` as in `RUST_LOG`. A second call does nothing.
pub fn init(format: LogFormat, filter: &str) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_bad| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let done = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.compact().try_init(),
    };
    drop(done);
}

/// An error with all its causes, for one line. A cause that the text before it already holds is not said
/// twice.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

/// Labels of the delivery counter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DeliveryLabels {
    /// Configured source; `unknown` for any other path.
    pub source: String,
    /// `accepted`, `same`, `unauthenticated`, `unreadable`, `overloaded` or `store_failed`.
    pub result: &'static str,
}

/// Labels of the alert counter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AlertLabels {
    /// Configured source.
    pub source: String,
    /// Decision word.
    pub decision: &'static str,
    /// Reason word, or empty.
    pub reason: &'static str,
}

/// Labels of the attempt counter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// Outcome word.
    pub outcome: &'static str,
}

/// Labels of the cloud call histogram.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    /// `interrupt`, `detail`, `list`, `regions` or `activities`.
    pub call: &'static str,
}

/// Labels by state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabels {
    /// State word.
    pub state: String,
}

/// Labels by source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SourceLabels {
    /// Configured source.
    pub source: String,
}

/// Labels by policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PolicyLabels {
    /// Configured policy.
    pub policy: String,
}

/// Labels by budget.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BudgetLabels {
    /// `policy`, `region` or `global`.
    pub scope: &'static str,
    /// Name of the policy or region, or empty.
    pub name: String,
    /// The budget as configured.
    pub budget: String,
}

/// Labels of the counter of messages to people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct NotifyLabels {
    /// Configured receiver.
    pub receiver: String,
    /// `delivered`, `failed`, `refused` or `given_up`.
    pub result: &'static str,
}

/// Labels by receiver.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReceiverLabels {
    /// Configured receiver.
    pub receiver: String,
}

/// Labels of the counter of spans.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SpanLabels {
    /// `exported` or `refused`.
    pub result: &'static str,
}

/// What an exemplar points at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TraceLabels {
    /// Our trace, whether or not it is exported.
    pub trace_id: String,
}

/// No labels. A figure of a family is not shown until it has a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct NoLabels {}

type Seconds = Gauge<f64, AtomicU64>;

/// All figures. Those that the store knows are read from it at each scrape.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Deliveries by source and result.
    pub deliveries: Family<DeliveryLabels, Counter>,
    /// Alerts by source, decision and reason.
    pub alerts: Family<AlertLabels, Counter>,
    /// Attempts by outcome.
    pub attempts: Family<OutcomeLabels, CounterWithExemplar<TraceLabels>>,
    /// Time of cloud calls.
    pub cloud_calls: Family<CallLabels, HistogramWithExemplars<TraceLabels>>,
    /// Reads of the cloud that failed.
    pub cloud_read_failures: Family<CallLabels, Counter>,
    /// Time of store commits.
    pub commit_seconds: Histogram,
    /// Jobs per store commit.
    pub commit_batch: Histogram,
    /// Remediations by state.
    pub remediations: Family<StateLabels, Gauge>,
    /// Unknown remediations that nobody settled.
    pub unknown_open: Gauge,
    /// Holds in force, the hold file included.
    pub holds: Gauge,
    /// Storms that nobody cleared.
    pub storm_open: Gauge,
    /// 1 while the breaker of a policy stops it: open, or half-open with an attempt that is not judged.
    pub breaker_open: Family<PolicyLabels, Gauge>,
    /// 1 while a policy is demoted.
    pub policy_demoted: Family<PolicyLabels, Gauge>,
    /// Jobs that wait for the store.
    pub queue_depth: Gauge,
    /// Alerts that wait for a look-up.
    pub pending_alerts: Gauge,
    /// Age of the oldest remediation before its intent.
    pub oldest_waiting: Seconds,
    /// Last delivery per source.
    pub last_delivery: Family<SourceLabels, Seconds>,
    /// Attempts that a budget still allows.
    pub budget_remaining: Family<BudgetLabels, Gauge>,
    /// Bytes of the store.
    pub store_bytes: Gauge,
    /// 1 while the store is in quarantine.
    pub quarantine_open: Gauge,
    /// Bytes that are free on the disk of the store.
    pub disk_free_bytes: Gauge,
    /// Age of the last heartbeat per source; infinite when there never was one.
    pub heartbeat_age: Family<SourceLabels, Seconds>,
    /// When the hold file was last looked at for its own sake.
    pub hold_file_check: Seconds,
    /// When the newest head of the audit was written.
    pub audit_head: Seconds,
    /// 1 in the process that dispatches; see `crate::lease`.
    pub dispatches: Gauge,
    /// The last audit row that has been verified since the start.
    pub audit_verified: Gauge,
    /// 1 while a fault in the chain of the audit is known.
    pub audit_broken: Gauge,
    /// Tries to tell people, by receiver and result.
    pub notify_deliveries: Family<NotifyLabels, Counter>,
    /// Messages that a receiver has not taken.
    pub notify_waiting: Family<ReceiverLabels, Gauge>,
    /// Age of the oldest of them.
    pub notify_oldest_waiting: Family<ReceiverLabels, Seconds>,
    /// When the certificate of the door expires; only with TLS.
    pub tls_expires: Family<NoLabels, Seconds>,
    /// 1 while the certificate's files are not usable and an older certificate is shown; only with TLS.
    pub tls_files_broken: Family<NoLabels, Gauge>,
    /// Spans of traces, by what the collector made of them.
    pub trace_spans: Family<SpanLabels, Counter>,
    /// Posts that the collector did not take.
    pub trace_failures: Counter,
    /// Rows of the audit that were too old to be told as traces.
    pub trace_rows_skipped: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A fresh registry with every figure in it.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("unhang");
        let times = || exponential_buckets(0.0005, 2.0, 16);
        let metrics = Self {
            deliveries: Family::default(),
            alerts: Family::default(),
            attempts: Family::default(),
            cloud_calls: Family::new_with_constructor(|| {
                HistogramWithExemplars::new(exponential_buckets(0.001, 2.0, 16))
            }),
            cloud_read_failures: Family::default(),
            commit_seconds: Histogram::new(times()),
            commit_batch: Histogram::new(exponential_buckets(1.0, 2.0, 9)),
            remediations: Family::default(),
            unknown_open: Gauge::default(),
            holds: Gauge::default(),
            storm_open: Gauge::default(),
            breaker_open: Family::default(),
            policy_demoted: Family::default(),
            queue_depth: Gauge::default(),
            pending_alerts: Gauge::default(),
            oldest_waiting: Seconds::default(),
            last_delivery: Family::default(),
            budget_remaining: Family::default(),
            store_bytes: Gauge::default(),
            quarantine_open: Gauge::default(),
            disk_free_bytes: Gauge::default(),
            heartbeat_age: Family::default(),
            hold_file_check: Seconds::default(),
            audit_head: Seconds::default(),
            dispatches: Gauge::default(),
            audit_verified: Gauge::default(),
            audit_broken: Gauge::default(),
            notify_deliveries: Family::default(),
            notify_waiting: Family::default(),
            notify_oldest_waiting: Family::default(),
            tls_expires: Family::default(),
            tls_files_broken: Family::default(),
            trace_spans: Family::default(),
            trace_failures: Counter::default(),
            trace_rows_skipped: Counter::default(),
            registry: Registry::default(),
        };
        metrics.register_work(&mut registry);
        metrics.register_state(&mut registry);
        metrics.register_times_and_sizes(&mut registry);
        metrics.register_outbox(&mut registry);
        metrics.register_tls(&mut registry);
        metrics.register_traces(&mut registry);
        Self { registry, ..metrics }
    }

    fn register_work(&self, registry: &mut Registry) {
        registry.register("deliveries", "Deliveries by source and result", self.deliveries.clone());
        registry.register("alerts", "Alerts by source, decision and reason", self.alerts.clone());
        registry.register("attempts", "Attempts by outcome", self.attempts.clone());
        let failures = self.cloud_read_failures.clone();
        registry.register("cloud_read_failures", "Reads of the cloud that failed", failures);
        registry.register("commit_batch_jobs", "Jobs per store commit", self.commit_batch.clone());
        registry.register("queue_depth_jobs", "Jobs that wait for the store", self.queue_depth.clone());
        registry.register("pending_alerts", "Alerts that wait for a look-up", self.pending_alerts.clone());
    }

    fn register_state(&self, registry: &mut Registry) {
        registry.register("remediations", "Remediations by state", self.remediations.clone());
        let unknown = self.unknown_open.clone();
        registry.register("unknown_open", "Unknown remediations that nobody settled", unknown);
        registry.register("holds", "Holds in force", self.holds.clone());
        registry.register("storm_open", "Storms that nobody cleared", self.storm_open.clone());
        registry.register("breaker_open", "Breakers that stop their policy", self.breaker_open.clone());
        registry.register("policy_demoted", "Policies that were demoted", self.policy_demoted.clone());
        let budget = self.budget_remaining.clone();
        registry.register("budget_remaining", "Attempts that a budget still allows", budget);
        let dispatches = self.dispatches.clone();
        registry.register("dispatches", "Whether this process dispatches", dispatches);
        let verified = self.audit_verified.clone();
        registry.register("audit_verified_seq", "Last audit row that has been verified", verified);
        let broken = self.audit_broken.clone();
        registry.register("audit_broken", "Whether the chain of the audit is broken", broken);
        let quarantine = self.quarantine_open.clone();
        registry.register("quarantine_open", "Whether the store is in quarantine", quarantine);
    }

    fn register_times_and_sizes(&self, registry: &mut Registry) {
        let calls = self.cloud_calls.clone();
        registry.register_with_unit("cloud_call", "Time of cloud calls", Unit::Seconds, calls);
        let commits = self.commit_seconds.clone();
        registry.register_with_unit("commit", "Time of store commits", Unit::Seconds, commits);
        let (help, oldest) = ("Age of the oldest waiting remediation", self.oldest_waiting.clone());
        registry.register_with_unit("oldest_waiting", help, Unit::Seconds, oldest);
        let (help, last) = ("Last delivery of a source", self.last_delivery.clone());
        registry.register_with_unit("last_delivery_timestamp", help, Unit::Seconds, last);
        let (help, age) = ("Age of the last heartbeat of a source", self.heartbeat_age.clone());
        registry.register_with_unit("heartbeat_age", help, Unit::Seconds, age);
        let (help, checked) = ("Last self-check of the hold file", self.hold_file_check.clone());
        registry.register_with_unit("hold_file_check_timestamp", help, Unit::Seconds, checked);
        let (help, head) = ("Newest head of the audit", self.audit_head.clone());
        registry.register_with_unit("audit_head_timestamp", help, Unit::Seconds, head);
        registry.register_with_unit("store", "Size of the store", Unit::Bytes, self.store_bytes.clone());
        let free = self.disk_free_bytes.clone();
        registry.register_with_unit("disk_free", "Room on the disk of the store", Unit::Bytes, free);
    }

    fn register_outbox(&self, registry: &mut Registry) {
        let (help, tries) = ("Tries to tell people by receiver and result", self.notify_deliveries.clone());
        registry.register("notify_deliveries", help, tries);
        let (help, waiting) = ("Messages that a receiver has not taken", self.notify_waiting.clone());
        registry.register("notify_waiting", help, waiting);
        let (help, oldest) = ("Age of the oldest message that waits", self.notify_oldest_waiting.clone());
        registry.register_with_unit("notify_oldest_waiting", help, Unit::Seconds, oldest);
    }

    fn register_tls(&self, registry: &mut Registry) {
        let (help, expires) = ("When the certificate of the door expires", self.tls_expires.clone());
        registry.register_with_unit("tls_certificate_expires_timestamp", help, Unit::Seconds, expires);
        let (help, broken) = ("Whether new certificate files cannot be used", self.tls_files_broken.clone());
        registry.register("tls_files_broken", help, broken);
    }

    fn register_traces(&self, registry: &mut Registry) {
        let (help, spans) = ("Spans by what the collector made of them", self.trace_spans.clone());
        registry.register("trace_spans", help, spans);
        let (help, failures) =
            ("Posts of traces that the collector did not take", self.trace_failures.clone());
        registry.register("trace_export_failures", help, failures);
        let (help, skipped) = ("Audit rows too old to be told as traces", self.trace_rows_skipped.clone());
        registry.register("trace_rows_skipped", help, skipped);
    }

    /// Counts an attempt, with the trace of the newest one as an exemplar.
    pub fn count_attempt(&self, outcome: &'static str, trace_id: Option<&str>) {
        let trace = trace_id.map(|trace_id| TraceLabels { trace_id: trace_id.to_owned() });
        self.attempts.get_or_create(&OutcomeLabels { outcome }).inc_by(1, trace, None);
    }

    /// Notes how long a call of the cloud took; an interrupt with its trace as an exemplar.
    pub fn time_call(&self, call: &'static str, seconds: f64, trace_id: Option<&str>) {
        let trace = trace_id.map(|trace_id| TraceLabels { trace_id: trace_id.to_owned() });
        self.cloud_calls.get_or_create(&CallLabels { call }).observe(seconds, trace, None);
    }

    /// The exposition in OpenMetrics text.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_carry_the_prefix_and_no_server_names() {
        let metrics = Metrics::new();
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        metrics.count_attempt("accepted", Some(trace));
        metrics.count_attempt("rejected", None);
        metrics.time_call("interrupt", 0.5, Some(trace));
        let text = metrics.encode().unwrap();
        assert!(text.contains("unhang_attempts_total{outcome=\"accepted\"} 1"), "{text}");
        let exemplar =
            format!("unhang_attempts_total{{outcome=\"accepted\"}} 1 # {{trace_id=\"{trace}\"}} 1");
        assert!(text.contains(&exemplar), "{text}");
        assert!(text.lines().any(|line| line == "unhang_attempts_total{outcome=\"rejected\"} 1"), "{text}");
        assert_eq!(
            text.lines().filter(|line| line.contains("_bucket") && line.contains(trace)).count(),
            1,
            "{text}"
        );
        assert!(text.contains("unhang_commit_seconds"), "{text}");
        assert!(text.lines().filter(|l| !l.starts_with('#')).all(|l| l.starts_with("unhang_")), "{text}");
    }
}

//! Cloud Insight, `SearchEvent`: whether the event behind an alert is still open.
//!
//! Never: takes another rule, metric or server for the one asked about.
//!
//! Source: <https://api.ncloud-docs.com/docs/en/management-cloudinsight-searchevent>. By what time events are searched, and
//! whether `ruleId` alone selects the rule, is UNCONFIRMED, so every row is compared here.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::poster::{Poster, WallClock};
use super::read_error::ReadError;
use super::request::ClientError;
use super::text::safe;
use super::wire::loose::Loose;
use crate::config::CloudConfig;
use crate::domain::alert::Alert;
use crate::domain::corroboration::Seen;
use crate::domain::limits::{earlier, later};
use crate::domain::server::Server;

const ACTION: &str = "SearchEvent";
const PATH: &str = "/cw_fea/real/cw/api/event/search";
/// Rows asked for; one rule has few open events.
const PAGE_ROWS: usize = 100;
/// Most bytes read of an answer.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How far before the begin of the alert events are looked for, and how far after now.
const MARGIN: SignedDuration = SignedDuration::from_mins(10);
/// Looked back where the alert gives no begin.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(24);

/// Searches events.
#[derive(Debug)]
pub struct Insight {
    poster: Poster,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
    #[serde(default)]
    total_records: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Event {
    dimension: Dimension,
    end_time: Loose,
    metric: Loose,
    rule_id: Loose,
    in_maintenance: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Dimension {
    instance_no: Loose,
}

impl Insight {
    pub(super) fn renew_keys(&self, config: &CloudConfig) -> Result<(), ClientError> {
        self.poster.renew_keys(config)
    }

    /// A client where it is known where Cloud Insight is. `now_ms` gives our wall clock.
    pub fn new(
        config: &CloudConfig,
        now_ms: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Result<Option<Self>, ClientError> {
        let Some(endpoint) = &config.insight_endpoint else { return Ok(None) };
        let now_ms: WallClock = std::sync::Arc::new(now_ms);
        Ok(Some(Self { poster: Poster::new(config, endpoint, now_ms)? }))
    }

    /// Whether the event of this alert is open now.
    pub async fn event_open(&self, alert: &Alert, server: &Server, now: Timestamp) -> Seen {
        let (Some(rule), Some(metric)) = (alert.labels.get("rule_id"), alert.labels.get("metric")) else {
            return Seen::CouldNotTell("the alert names no rule and metric of Cloud Insight".to_owned());
        };
        let from = alert.starts_at.map_or_else(|| earlier(now, LOOK_BACK), |at| earlier(at, MARGIN));
        let question = json!({
            "ruleId": rule, "startTime": from.as_millisecond(), "endTime": later(now, MARGIN).as_millisecond(),
            "pageNum": 1, "pageSize": PAGE_ROWS, "onlyFetchUnCloseEvent": true,
        });
        match self.poster.ask(ACTION, PATH, &question, ANSWER_BYTES_MAX).await {
            Ok(bytes) => read(&bytes, rule, metric, server),
            Err(error) => Seen::CouldNotTell(without_action(&error)),
        }
    }
}

fn without_action(error: &ReadError) -> String {
    safe(&error.to_string())
}

fn read(bytes: &[u8], rule: &str, metric: &str, server: &Server) -> Seen {
    let Ok(page) = serde_json::from_slice::<Page<'_>>(bytes) else {
        return Seen::CouldNotTell("the answer is no list of events".to_owned());
    };
    let mut unreadable = 0;
    let mut open = Vec::new();
    for raw in &page.events {
        let Ok(event) = serde_json::from_str::<Event>(raw.get()) else {
            unreadable += 1;
            continue;
        };
        let is = |value: &Loose, wanted: &str| value.0.as_deref() == Some(wanted);
        let ours = is(&event.rule_id, rule)
            && is(&event.metric, metric)
            && is(&event.dimension.instance_no, server.no.as_str());
        if ours && is(&event.end_time, "0") {
            open.push(event.in_maintenance);
        }
    }
    if open.contains(&true) {
        return Seen::Disagrees("Cloud Insight counts the event as planned maintenance".to_owned());
    }
    if !open.is_empty() {
        return Seen::Agrees("the event is open in Cloud Insight".to_owned());
    }
    let rows = u64::try_from(page.events.len()).unwrap_or(u64::MAX);
    if unreadable > 0 || page.total_records.is_none_or(|total| total > rows) {
        return Seen::CouldNotTell("not every event could be read".to_owned());
    }
    Seen::Disagrees("no such event is open in Cloud Insight".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::server::{RegionCode, ServerNo};

    const RULE: &str = "700000000000000001";
    const METRIC: &str = "avg_cpu_used_rto";

    fn server(no: &str) -> Server {
        Server {
            no: ServerNo::parse(no).unwrap(),
            region: RegionCode::parse("KR").unwrap(),
            name: "win-app-01".into(),
            created_at: Timestamp::UNIX_EPOCH,
            uptime_at: None,
            platform_code: String::new(),
            hypervisor_code: String::new(),
            status_code: String::new(),
            operation_code: String::new(),
            memory_bytes: 0,
            zone_code: String::new(),
            subnet_no: String::new(),
            placement_group_no: String::new(),
        }
    }

    fn sample() -> String {
        let path = "tests/samples/cloud-insight/search-event-open.json";
        std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn said(body: &str, rule: &str, metric: &str, no: &str) -> &'static str {
        match read(body.as_bytes(), rule, metric, &server(no)) {
            Seen::Agrees(_) => "agrees",
            Seen::Disagrees(_) => "disagrees",
            Seen::CouldNotTell(_) => "could not tell",
        }
    }

    #[test]
    fn the_open_event_of_this_rule_metric_and_server_agrees() {
        let body = sample();
        assert_eq!(said(&body, RULE, METRIC, "90000001"), "agrees");
        assert_eq!(said(&body, "1", METRIC, "90000001"), "disagrees");
        assert_eq!(said(&body, RULE, "mem_usert", "90000001"), "disagrees");
        assert_eq!(said(&body, RULE, METRIC, "90000002"), "disagrees");
    }

    #[test]
    fn a_closed_or_planned_event_disagrees_and_what_is_not_whole_could_not_tell() {
        let with = |from: &str, to: &str| said(&sample().replace(from, to), RULE, METRIC, "90000001");
        assert_eq!(with("\"endTime\": 0", "\"endTime\": 1793337700000"), "disagrees");
        assert_eq!(with("\"inMaintenance\": false", "\"inMaintenance\": true"), "disagrees");
        assert_eq!(with("\"endTime\": 0", "\"endTime\": \"0\""), "agrees");
        assert_eq!(with("\"endTime\": 0,", ""), "disagrees");
        assert_eq!(with("\"inMaintenance\": false", "\"inMaintenance\": 0"), "could not tell");
        let none = |total: &str| format!(r#"{{"events":[],"pageNum":1,"pageSize":100{total}}}"#);
        assert_eq!(said(&none(",\"totalRecords\":0"), RULE, METRIC, "90000001"), "disagrees");
        assert_eq!(said(&none(",\"totalRecords\":1"), RULE, METRIC, "90000001"), "could not tell");
        assert_eq!(said(&none(""), RULE, METRIC, "90000001"), "could not tell");
        for body in ["", "{}", "[]", "null", r#"{"events":null}"#, "<html>"] {
            assert_eq!(said(body, RULE, METRIC, "90000001"), "could not tell", "{body}");
        }
    }
}

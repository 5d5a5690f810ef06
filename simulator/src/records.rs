//! Records: what the vendor's other services say of the fleet: Cloud Activity Tracer and Cloud Insight's open events.
//!
//! Both are POST with a JSON body, under the gateway's signature, at paths beside the server API. The real ones have
//! hosts of their own.
//!
//! Never: keeps anything; activities come from the ledger, events from servers that hang.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::behaviour::{Behaviour, Target};
use crate::clock;
use crate::cloud::Cloud;
use crate::document::Format;
use crate::gateway::{Denial, traced};
use crate::ledger::LedgerEntry;
use crate::performance::{Call, Reply, perform};
use crate::wire::{Answer, Request};

/// Most rows of a page.
const PAGE_ROWS_MAX: usize = 100;
/// Metric of the made-up events.
const METRIC: &str = "avg_cpu_used_rto";

/// What a path of these services asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record {
    Activities,
    Events,
}

impl Record {
    /// The record behind a path.
    pub(crate) fn at(path: &str) -> Option<Self> {
        match path {
            "/api/v1/activities" => Some(Self::Activities),
            "/cw_fea/real/cw/api/event/search" => Some(Self::Events),
            _ => None,
        }
    }

    fn target(self) -> Target {
        match self {
            Self::Activities => Target::Activities,
            Self::Events => Target::Events,
        }
    }
}

/// `GetActivityList`, as documented in 2026-10: `page` counts from 0.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ActivityQuestion {
    from_event_time: i64,
    to_event_time: i64,
    page: usize,
    size: usize,
}

impl Default for ActivityQuestion {
    fn default() -> Self {
        Self { from_event_time: 0, to_event_time: i64::MAX, page: 0, size: 20 }
    }
}

/// `SearchEvent`; both times are required.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventQuestion {
    #[serde(default)]
    rule_id: Option<String>,
    #[serde(rename = "startTime")]
    _start_time: i64,
    #[serde(rename = "endTime")]
    _end_time: i64,
}

/// Answers a question to one of the records.
pub(crate) async fn answer(cloud: &Cloud, record: Record, request: &Request) -> Reply {
    if let Err(denial) = cloud.authenticate(request) {
        return Reply::Whole(denial.answer(Format::Json));
    }
    if request.method != "POST" {
        return Reply::Whole(Denial::NotFound.answer(Format::Json));
    }
    let behaviour = cloud.behaviour_for(record.target());
    if let Behaviour::OkSlow { ms } = behaviour {
        tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
    }
    let call =
        Call { target: &request.target, format: Format::Json, error_format: Format::Json, request_id: "" };
    perform(&behaviour, &call, |_envelope| {
        let found = match record {
            Record::Activities => {
                serde_json::from_slice(&request.body).map(|asked| activities(cloud, &asked))
            }
            Record::Events => serde_json::from_slice(&request.body).map(|asked| events(cloud, &asked)),
        };
        match found {
            Ok(body) => Answer::new(200, Format::Json.content_type(), body.to_string().into_bytes()),
            Err(_) => traced(Denial::BadRequest.answer(Format::Json)),
        }
    })
}

fn activities(cloud: &Cloud, asked: &ActivityQuestion) -> Value {
    let delay = i64::try_from(cloud.scenario.activity_delay_ms).unwrap_or(i64::MAX);
    let seen_until = clock::wall_ms().saturating_sub(delay);
    let offset_ms = cloud.now_ms().saturating_sub(clock::wall_ms());
    let shown =
        |entry: &&LedgerEntry| entry.authenticated && entry.effect_at.unwrap_or(entry.at) <= seen_until;
    let all: Vec<Value> = cloud
        .ledger()
        .iter()
        .filter(shown)
        .filter_map(|entry| activity(cloud, entry, offset_ms))
        .filter(|item| {
            let at = item["eventTime"].as_i64().unwrap_or_default();
            (asked.from_event_time..=asked.to_event_time).contains(&at)
        })
        .collect();
    let size = asked.size.clamp(1, PAGE_ROWS_MAX);
    let from = asked.page.saturating_mul(size);
    let items: Vec<&Value> = all.iter().skip(from).take(size).collect();
    let has_more = from.saturating_add(items.len()) < all.len();
    json!({ "page": asked.page, "size": size, "itemCount": items.len(), "hasMore": has_more, "items": items })
}

/// One entry. The vendor's names for the interrupt and its result are UNCONFIRMED.
fn activity(cloud: &Cloud, entry: &LedgerEntry, offset_ms: i64) -> Option<Value> {
    if !entry.effect && entry.refused.is_none() {
        return None;
    }
    let no = entry.server_instance_no.as_deref()?;
    let region = cloud.region(entry.region_code.as_deref()).ok()?;
    Some(json!({
        "historyId": format!("history-{}", entry.seq),
        "nrn": format!("nrn:PUB:VPCServer:{region}:1:Server/{no}"),
        "eventTime": entry.effect_at.unwrap_or(entry.at).saturating_add(offset_ms),
        "platformType": "VPC",
        "productName": "VPCServer",
        "productDisplayName": "Server (VPC)",
        "regionCode": region,
        "resourceType": "Server",
        "resourceId": no,
        "actionDisplayName": "Interrupt Server Instance",
        "actionResultType": if entry.effect { "SUCCESS" } else { "FAIL" },
        "actionUserType": "Sub",
        "sourceType": "API",
        "sourceIp": "127.0.0.1",
        "productData": {},
    }))
}

/// One open event for each server that hangs.
fn events(cloud: &Cloud, asked: &EventQuestion) -> Value {
    let rule = &cloud.scenario.event_rule_id;
    let hung = cloud.servers().into_iter().filter(|server| server.hung);
    let events: Vec<Value> = hung
        .filter(|_| asked.rule_id.as_ref().is_none_or(|asked| asked == rule))
        .map(|server| {
            json!({
                "calc": "AVG", "criteria": "99.0", "detectValue": "100.0", "describe": "",
                "dimension": { "instanceNo": server.server_instance_no, "type": "svr" },
                "startTime": clock::wall_ms(), "endTime": 0, "eventId": server.server_instance_no,
                "eventLevel": "CRITICAL", "inMaintenance": false, "interval": "Min1", "metric": METRIC,
                "operator": "GE", "prodKey": "460438474722512896", "prodName": "System/Server(VPC)",
                "resourceName": server.server_name, "ruleId": rule, "ruleName": "hung-windows",
            })
        })
        .take(PAGE_ROWS_MAX)
        .collect();
    json!({ "events": events, "pageNum": 1, "pageSize": PAGE_ROWS_MAX, "totalRecords": events.len() })
}

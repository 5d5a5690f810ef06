//! Operations that only read.
//!
//! Never: described with a parameter that its handler does not take.

use serde_json::{Value, json};

use super::describe::{Operation, one_of, text, time};
use super::seen;
use crate::backtest::Report;
use crate::domain::policy::Mode;
use crate::domain::remediation::State;
use crate::http::api::explain::{Explanation, PayloadExplained};
use crate::http::api::guards::Breakers;
use crate::http::api::incidents::Incident;
use crate::http::api::mutes::{Holds, SilenceItem};
use crate::http::api::notifications::Notifications;
use crate::http::api::overview::{Policies, Servers, SourceItem};
use crate::http::api::quarantine::Quarantine;
use crate::http::body::VALUE_MAX;
use crate::http::figures::BudgetUse;
use crate::http::problem::Code;
use crate::store::{
    AuditItem, DeliveryDetail, DeliverySummary, IncidentRow, MessageState, RemediationRow, StormRow,
};

/// Filters of the audit, and what each holds to.
const FILTERS: [(&str, &str); 12] = [
    ("serverInstanceNo", "The vendor's server number."),
    ("requestId", "The cloud's own `requestId`."),
    ("traceId", "Our trace."),
    ("deliveryId", "The delivery."),
    ("incidentId", "The incident."),
    ("remediationId", "The remediation."),
    ("source", "Name of a source."),
    ("policy", "Name of a policy."),
    ("kind", "Kind of event, such as `attempt_outcome`."),
    ("outcome", "`accepted`, `rejected`, `not_sent` or `unknown`."),
    ("reason", "Reason of a no."),
    ("actor", "Name of whoever caused it."),
];

fn ids() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

fn rows() -> Value {
    json!({ "type": "string", "pattern": "^[0-9]{1,18}$" })
}

pub(super) fn operations() -> Vec<Operation> {
    let mut all = vec![audit(), stream(), why(), payload()];
    all.extend(stories());
    all.extend(mutes());
    all.extend(standing());
    all.extend([notifications(), backtest()]);
    all
}

fn audit() -> Operation {
    let lines = json!({ "type": "string", "description": "One event a line, as in `items`." });
    let sheet =
        json!({ "type": "string", "description": "RFC 4180 with a header row; no cell runs as a formula." });
    let most = json!({ "type": "integer", "minimum": 1, "maximum": 1_000_000 });
    let begun = Operation::new("get", "/api/v1/audit", "listAudit", "Audit events")
        .about("All filters that are given must hold. An export with `format` is one long answer, and its `limit` may be higher.");
    let filtered = FILTERS.into_iter().fold(begun, |one, (name, about)| one.query(name, about, &text()));
    filtered
        .query("since", "Not earlier than this.", &time())
        .query("until", "Earlier than this.", &time())
        .query("order", "Newest first, or oldest first.", &one_of(["desc", "asc"]))
        .query("format", "A page, or an export.", &one_of(["json", "ndjson", "csv"]))
        .query(
            "limit",
            "Rows: of a page at most 1000, 50 when nothing is said; of an export all of them.",
            &most,
        )
        .query("cursor", "`nextCursor` of the page before.", &rows())
        .answers_page::<AuditItem>("A page, or the export.", &seen("audit"))
        .answers_as(
            200,
            "",
            "application/x-ndjson",
            &lines,
            &json!("{\"seq\":1,\"kind\":\"service_started\"}\n"),
        )
        .answers_as(
            200,
            "",
            "text/csv",
            &sheet,
            &json!("seq,at,kind\n1,2026-11-22T01:12:41.318Z,service_started\n"),
        )
}

fn stream() -> Operation {
    let begun = Operation::new("get", "/api/v1/stream", "followAudit", "Audit events as they are committed")
        .about(
            "Server-sent events: `id` is the row's `seq`, `event` its kind, `data` the row as `listAudit` has it. \
             `Last-Event-ID`, or `after` where there is none, goes on behind that row without a gap. It has no end of \
             its own.",
        )
        .query("kind", "Kinds of events, with commas between; 32 at most.", &text())
        .query("after", "Go on behind this row.", &json!({ "type": "integer", "minimum": 0, "format": "int64" }))
        .query(
            "brief",
            "`true`: only the place that is reached, at most four times in a second, and no rows; not beside a filter.",
            &json!({ "type": "boolean" }),
        )
        .header("Last-Event-ID", "Go on behind this row; goes before `after`.", &rows(), &json!("213"));
    let some = ["serverInstanceNo", "remediationId", "incidentId"];
    let filters = FILTERS.into_iter().filter(|(name, _)| some.contains(name));
    filters
        .fold(begun, |one, (name, about)| one.query(name, about, &text()))
        .answers_as(
            200,
            "Events, for as long as both sides like.",
            "text/event-stream",
            &json!({ "type": "string" }),
            &json!("retry: 2000\nid: 213\n\nid: 214\nevent: attempt_outcome\ndata: {\"seq\":214,…}\n\n"),
        )
        .refuses(&[Code::InvalidHeader, Code::TooManyStreams, Code::Stopping])
}

fn why() -> Operation {
    Operation::new(
        "get",
        "/api/v1/explain",
        "explainServer",
        "Why something happened to a server, or did not",
    )
    .about(
        "One of `serverInstanceNo` and `server` must be given. A time on the full minute means that minute.",
    )
    .query(
        "serverInstanceNo",
        "The vendor's server number.",
        &json!({ "$ref": "#/components/schemas/ServerNo" }),
    )
    .query("server", "A number, exact name or address.", &text())
    .query("at", "Up to when; now, when nothing is said.", &time())
    .answers::<Explanation>(200, "The story, and all that it was told from.", &seen("why"))
}

fn payload() -> Operation {
    let body = json!({ "type": "object", "description": "As the source sends it." });
    Operation::new("post", "/api/v1/explain", "explainPayload", "What a payload would lead to")
        .about("Every guard is asked; nothing is kept and nothing is sent.")
        .needs(
            "source",
            "Name of the source whose body this is.",
            &json!({ "type": "string", "minLength": 1, "maxLength": VALUE_MAX }),
        )
        .reads_as_sent(&body, &[("alertmanager", seen("delivery_body"))])
        .answers::<PayloadExplained>(200, "One answer per alert.", &seen("payload_explained"))
        .refuses(&[Code::UnreadableJson, Code::TooManyAlerts, Code::WrongShape])
}

fn stories() -> Vec<Operation> {
    let states: Vec<&str> = ["live"].into_iter().chain(State::ALL.map(State::as_str)).collect();
    vec![
        Operation::new("get", "/api/v1/deliveries", "listDeliveries", "Deliveries, newest first")
            .query("source", "Name of the source.", &text())
            .pages(&ids())
            .answers_page::<DeliverySummary>("A page.", &seen("deliveries")),
        Operation::new("get", "/api/v1/deliveries/{id}", "getDelivery", "One delivery")
            .about("With its raw body and the decision on each alert.")
            .answers::<DeliveryDetail>(200, "The delivery.", &seen("delivery"))
            .refuses(&[Code::NotFound]),
        Operation::new("get", "/api/v1/incidents", "listIncidents", "Incidents, newest first")
            .query("state", "Only those that are open, or all.", &one_of(["open", "all"]))
            .pages(&ids())
            .answers_page::<IncidentRow>("A page.", &seen("incidents")),
        Operation::new("get", "/api/v1/incidents/{id}", "getIncident", "One incident")
            .about("With its remediations and its events, oldest first.")
            .answers::<Incident>(200, "The incident.", &seen("incident"))
            .refuses(&[Code::NotFound]),
        Operation::new("get", "/api/v1/remediations", "listRemediations", "Remediations, newest first")
            .query("state", "A state, or `live` for those that are not finished.", &one_of(states))
            .query("incidentId", "Of this incident.", &text())
            .pages(&ids())
            .answers_page::<RemediationRow>("A page.", &seen("remediations")),
        Operation::new("get", "/api/v1/remediations/{id}", "getRemediation", "One remediation")
            .about("With its attempts, and what the cloud's activity record said where it was asked.")
            .answers::<RemediationRow>(200, "The remediation.", &seen("remediation"))
            .refuses(&[Code::NotFound]),
    ]
}

fn notifications() -> Operation {
    let message = json!({
        "kind": "unknown", "at": "2026-11-22T01:12:41Z", "condition": "unknown/019aa5d1-7c00-7000-8000-000000000001",
        "until": null, "serverInstanceNo": "90000001", "serverName": "win-app-01", "regionCode": "KR",
        "source": "alertmanager", "policy": "hung-windows", "alert": "WindowsVmHung",
        "remediationId": "019aa5d1-7c00-7000-8000-000000000001", "incidentId": "019aa5d1-7c00-7000-8000-000000000002",
        "requestId": null, "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "number": null, "who": null, "reason": null,
        "detail": "no answer, the cloud may have acted", "head": null,
    });
    let told = json!({
        "items": [{
            "id": 7, "receiver": "oncall", "auditSeq": 214, "webhookId": "msg_5f0c1b7e", "state": "waiting",
            "madeAt": "2026-11-22T01:12:41Z", "attempts": 3, "notBefore": "2026-11-22T01:12:48Z",
            "lastError": "answered 503", "deliveredAt": null, "givenUpAt": null, "endsAt": null, "message": message,
        }],
        "nextCursor": null,
        "receivers": [{
            "name": "oncall", "kind": "slack", "events": ["unknown"], "waiting": 1,
            "waitingSince": "2026-11-22T01:12:41Z", "standing": 0, "lastDeliveredAt": null,
            "lastError": "answered 503", "toldUpTo": 214, "auditRowsBehind": 0,
        }],
    });
    Operation::new("get", "/api/v1/notifications", "listNotifications", "Messages to people, newest first")
        .about("And how each receiver stands. Addresses are never shown.")
        .query("receiver", "Name of a receiver.", &text())
        .query("state", "How the message stands.", &one_of(MessageState::ALL.map(|(word, _)| word)))
        .pages(&rows())
        .answers::<Notifications>(200, "A page.", &told)
}

fn backtest() -> Operation {
    let report = json!({
        "since": "2026-10-23T01:00:00Z", "until": "2026-11-22T01:00:00Z", "alerts": 12, "alertsInRange": 12,
        "complete": true, "cut": null, "leftOut": { "replayed": 1, "unreadable": 0, "sourceGone": 0 },
        "policies": [], "remediations": [], "remediationsTotal": 0, "differences": [], "differencesTotal": 0,
        "assumptions": ["replays and orders by hand are left out"],
    });
    let modes = [Mode::Off, Mode::Shadow, Mode::Approve, Mode::Auto].map(Mode::as_str);
    Operation::new("get", "/api/v1/backtest", "backtest", "What the policies would have done to recorded alerts")
        .about("Of the last 30 days at most; one at a time, and for 10 s at most: `complete` says whether all was replayed.")
        .query("policy", "Name of a policy; all of them, when nothing is said.", &text())
        .query("mode", "The mode that it is thought to have.", &one_of(modes))
        .query("since", "From when; 30 days back at most.", &time())
        .answers::<Report>(200, "What was found.", &report)
        .refuses(&[Code::Overloaded])
}

fn mutes() -> Vec<Operation> {
    vec![
        Operation::new("get", "/api/v1/holds", "listHolds", "Holds that nobody has cleared")
            .about("And whether the hold file is there.")
            .answers::<Holds>(200, "The holds.", &seen("holds")),
        Operation::new("get", "/api/v1/silences", "listSilences", "Silences that nobody has ended")
            .answers_page::<SilenceItem>("The silences.", &seen("silences")),
    ]
}

fn standing() -> Vec<Operation> {
    let storm = json!({
        "items": [{
            "id": 3, "regionCode": "KR", "openedAt": "2026-11-22T03:12:00Z", "why": "4 servers within 10m",
            "servers": ["90000001", "90000002", "90000005", "90000006"], "policies": ["hung-windows"],
            "clearedAt": null, "clearedBy": null, "reason": null,
        }],
        "nextCursor": null,
    });
    let place = json!({ "type": "string", "pattern": "^[A-Z0-9-]{1,20}/[1-9][0-9]{0,19}$" });
    vec![
        Operation::new("get", "/api/v1/budgets", "listBudgets", "Every budget as it stands")
            .about("Servers are listed where something counts against theirs.")
            .answers_page::<BudgetUse>("The budgets.", &seen("budgets")),
        Operation::new("get", "/api/v1/policies", "listPolicies", "Policies as they stand")
            .about("With their mode, their record, and the rules for all.")
            .answers::<Policies>(200, "The policies.", &seen("policies")),
        Operation::new("get", "/api/v1/servers", "listServers", "Known servers, by region and number")
            .query("search", "Only those whose number or name begins so.", &text())
            .pages(&place)
            .answers::<Servers>(200, "A page.", &seen("servers")),
        Operation::new("get", "/api/v1/sources", "listSources", "Configured sources")
            .answers_page::<SourceItem>("The sources.", &seen("sources")),
        Operation::new("get", "/api/v1/storms", "listStorms", "Storms, newest first")
            .query("state", "Only those that are open, or all.", &one_of(["open", "all"]))
            .answers_page::<StormRow>("The storms.", &storm),
        Operation::new("get", "/api/v1/breakers", "listBreakers", "How the breaker of each policy stands")
            .answers::<Breakers>(200, "The breakers.", &seen("breakers")),
        Operation::new(
            "get",
            "/api/v1/quarantine",
            "getQuarantine",
            "What journal and store say of each other",
        )
        .answers::<Quarantine>(
            200,
            "The quarantine, if one is open, and what was compared.",
            &seen("quarantine"),
        ),
    ]
}

//! Operations by which a person acts: replays, orders by hand, and what is said of remediations, guards and dumps.
//!
//! Never: described as allowed to skip a guard.

use serde_json::{Value, json};

use super::describe::Operation;
use super::seen;
use crate::hands::{Cleared, Ordered, ReplayTried, Replayed};
use crate::http::api::Why;
use crate::http::api::deliveries::Replay;
use crate::http::api::guards::{BreakerReset, PolicyDemoted, PolicyPromoted, StormCleared};
use crate::http::api::guest::{Collected, DumpIsCollected};
use crate::http::api::remediations::{Approve, ByHand, RemediationSettled, Settle};
use crate::http::problem::Code;
use crate::store::RemediationRow;

pub(super) fn operations() -> Vec<Operation> {
    let mut all = vec![replay(), order(), approve(), settle(), dump_collected(), clear_quarantine()];
    all.extend(with_a_reason());
    all
}

fn reason(text: &str) -> Value {
    json!({ "reason": text })
}

fn replay() -> Operation {
    Operation::new("post", "/api/v1/deliveries/{id}/replay", "replayDelivery", "Decide a stored delivery again")
        .about(
            "`dry_run`, which is meant when nothing is said, decides with the facts of now and keeps nothing. `execute` \
             is a new delivery that points to the old one. Every guard but the sender's time and the trust of the \
             source is asked.",
        )
        .idempotent()
        .reads::<Replay>(&json!({ "mode": "execute", "reason": "the server hangs again" }))
        .answers::<ReplayTried>(200, "What would be decided now, beside what was decided then.", &seen("replay_dry_run"))
        .answers::<Replayed>(202, "Committed, or the stored answer to the same key.", &seen("replayed"))
        .refuses(&[Code::NotFound, Code::NotReplayable])
}

fn order() -> Operation {
    let body = json!({
        "serverInstanceNo": "90000001", "regionCode": "KR", "policy": "hung-windows",
        "reason": "console frozen, no ping", "mode": "execute",
    });
    let mut ordered = seen("order_dry_run");
    if let Value::Object(fields) = &mut ordered {
        fields.insert("mode".to_owned(), json!("execute"));
    }
    Operation::new("post", "/api/v1/remediations", "orderByHand", "Order an interrupt by hand")
        .about(
            "Under the same guards. `dry_run` is meant when nothing is said. The server must be in the inventory; naming \
             the policy is the match, and all its limits hold.",
        )
        .idempotent()
        .reads::<ByHand>(&body)
        .answers::<Ordered>(200, "What would be decided.", &seen("order_dry_run"))
        .answers::<Ordered>(202, "Committed, or the stored answer to the same key.", &ordered)
        .refuses(&[Code::PolicyRefused, Code::GuardRefused, Code::NotReplayable])
}

fn approve() -> Operation {
    Operation::new("post", "/api/v1/remediations/{id}/approve", "approve", "Approve a remediation")
        .about(
            "From `awaiting_approval` only, good for 10 minutes; every guard is asked again when it is used. \
             `decisionHash` or `version` says what the approver looked at; one is required. \
             For a replay or an order by hand another person is needed than the one who asked.",
        )
        .reads::<Approve>(
            &json!({ "reason": "looked at the console", "version": 2, "confirmStillHung": true }),
        )
        .answers::<RemediationRow>(200, "The remediation as it is now.", &seen("remediation"))
        .refuses(&[
            Code::NotFound,
            Code::WrongState,
            Code::SamePerson,
            Code::VersionChanged,
            Code::ConfirmStillHung,
            Code::GuardRefused,
        ])
}

fn settle() -> Operation {
    let mut settled = seen("remediation");
    if let Value::Object(fields) = &mut settled {
        fields.insert("settled".to_owned(), json!("closed"));
    }
    Operation::new("post", "/api/v1/remediations/{id}/settle", "settle", "Say what came of a remediation")
        .about(
            "From `unknown` or `unconfirmed`. `happened` takes one approver; `not_happened` takes two, 10 min after the \
             intent, with `activityChecked`.",
        )
        .reads::<Settle>(&json!({ "verdict": "not_happened", "reason": "no reboot in the guest's log", "activityChecked": true }))
        .answers::<RemediationSettled>(200, "Closed.", &settled)
        .answers::<RemediationSettled>(202, "Another person must say the same.", &settled)
        .refuses(&[Code::NotFound, Code::WrongState, Code::TooEarly, Code::ActivityNotChecked])
}

fn dump_collected() -> Operation {
    Operation::new(
        "post",
        "/api/v1/servers/{no}/dump-collected",
        "dumpCollected",
        "Say that a dump is collected",
    )
    .about("Ends the cooldown of every interrupt of the server before now; never a dump window or a budget.")
    .reads::<Collected>(&json!({ "reason": "copied to case 4711", "regionCode": "KR" }))
    .answers::<DumpIsCollected>(
        200,
        "The cooldown is over.",
        &json!({
            "serverInstanceNo": "90000001", "regionCode": "KR", "at": "2026-11-22T05:00:00Z", "attempts": 1,
            "cooldownWouldHaveEndedAt": "2026-11-23T01:12:40Z",
        }),
    )
    .refuses(&[Code::TooEarly, Code::NothingToCollect])
}

fn clear_quarantine() -> Operation {
    Operation::new("post", "/api/v1/quarantine/clear", "clearQuarantine", "End the quarantine")
        .about("Leaves a hold on each server whose interrupt the store does not know, while it may count.")
        .reads::<Why>(&reason("the store was restored from last night's backup"))
        .answers::<Cleared>(
            200,
            "It is over.",
            &json!({
                "id": 1, "highWater": 2, "holds": [4], "missing": [{
                    "attemptId": 2, "serverInstanceNo": "90000001", "regionCode": "KR",
                    "signedAt": "2026-11-22T01:12:40.100Z", "outcome": "accepted",
                    "requestId": "e4c1a2f0-5b7d-4c0e-9a51-0d3b6f2a7c11", "accepted": false,
                }],
            }),
        )
        .refuses(&[Code::NotFound, Code::JournalFailed])
}

/// Orders whose body is nothing but a reason.
fn with_a_reason() -> Vec<Operation> {
    let not_there = [Code::NotFound];
    let elsewhere = [Code::NotFound, Code::WrongState];
    vec![
        Operation::new("post", "/api/v1/remediations/{id}/deny", "deny", "Deny a remediation")
            .about("From `awaiting_approval` only.")
            .reads::<Why>(&reason("planned work on this server"))
            .answers::<RemediationRow>(200, "The remediation as it is now.", &seen("remediation"))
            .refuses(&elsewhere),
        Operation::new("post", "/api/v1/remediations/{id}/cancel", "cancel", "Take a remediation back")
            .about("Before the intent only.")
            .reads::<Why>(&reason("it answers again"))
            .answers::<RemediationRow>(200, "The remediation as it is now.", &seen("remediation"))
            .refuses(&elsewhere),
        Operation::new("post", "/api/v1/storms/{id}/clear", "clearStorm", "Clear a storm")
            .reads::<Why>(&reason("the switch is replaced"))
            .answers::<StormCleared>(200, "It is cleared.", &json!({ "id": 3, "cleared": true }))
            .refuses(&not_there),
        Operation::new("post", "/api/v1/breakers/{policy}/reset", "resetBreaker", "Reset a breaker")
            .about("Attempts until now do not count any more.")
            .reads::<Why>(&reason("the cloud's incident is over"))
            .answers::<BreakerReset>(
                200,
                "It is closed.",
                &json!({ "policy": "hung-windows", "reset": true }),
            )
            .refuses(&not_there),
        Operation::new(
            "post",
            "/api/v1/policies/{name}/promote",
            "promotePolicy",
            "Let a policy's own mode hold again",
        )
        .reads::<Why>(&reason("looked at the ten last attempts"))
        .answers::<PolicyPromoted>(200, "It holds.", &json!({ "policy": "hung-windows", "promoted": true }))
        .refuses(&[Code::NotFound, Code::PolicyRefused]),
        Operation::new(
            "post",
            "/api/v1/policies/{name}/demote",
            "demotePolicy",
            "Report that a policy named a wrong server",
        )
        .about("It asks a person from now on.")
        .reads::<Why>(&reason("it named 90000002, and 90000001 hung"))
        .answers::<PolicyDemoted>(
            200,
            "It asks.",
            &json!({ "policy": "hung-windows", "demoted": true, "already": false }),
        )
        .refuses(&not_there),
    ]
}

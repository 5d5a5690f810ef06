//! Operations that need no person's token: deliveries, attestations, health, figures and this document itself.
//!
//! Never: described without the answer that a sender acts on.

use serde_json::{Value, json};

use super::describe::Operation;
use super::seen;
use crate::domain::guest::Attestation;
use crate::http::api::guest::AttestationKept;
use crate::http::health::Ready;
use crate::http::problem::Code;
use crate::intake::Answer;

pub(super) fn operations() -> Vec<Operation> {
    let text = json!({ "type": "string" });
    let object = json!({ "type": "object" });
    vec![
        deliver(),
        attest(),
        Operation::new("get", "/livez", "live", "Whether the process serves")
            .about("For restarting.")
            .answers_as(200, "It serves.", "text/plain", &text, &json!("ok\n")),
        Operation::new("head", "/livez", "liveHead", "Whether the process serves, without a body")
            .answers_nothing(200, "It serves."),
        Operation::new("get", "/readyz", "ready", "Whether deliveries can be taken in")
            .about("The cloud, holds and what makes us blind are told here and change nothing.")
            .answers::<Ready>(200, "They can.", &seen("ready"))
            .refuses(&[Code::NotReady]),
        Operation::new("head", "/readyz", "readyHead", "Whether deliveries can be taken in, without a body")
            .answers_nothing(200, "They can.")
            .refuses(&[Code::NotReady]),
        Operation::new("get", "/metrics", "metrics", "Figures for Prometheus")
            .about("OpenMetrics, prefix `unhang_`, no names of servers or people.")
            .answers_as(
                200,
                "The figures.",
                "application/openmetrics-text",
                &text,
                &json!("# TYPE unhang_queue_depth gauge\nunhang_queue_depth 0\n# EOF\n"),
            ),
        Operation::new("get", "/api/openapi.json", "document", "This document").answers_as(
            200,
            "OpenAPI 3.1.",
            "application/json",
            &object,
            &json!({ "openapi": "3.1.0" }),
        ),
        Operation::new("get", "/api/docs", "viewer", "This document, to look at")
            .about("Where the service was built without the feature `api-ui` there is none.")
            .answers_as(200, "A page.", "text/html", &text, &json!("<!doctype html>"))
            .refuses(&[Code::NotFound]),
        Operation::new("get", "/api/docs/{file}", "viewerFile", "A file of the viewer")
            .answers_as(
                200,
                "A script, a style sheet or an icon.",
                "text/javascript",
                &text,
                &json!("window.ui = …"),
            )
            .answers_as(200, "", "image/png", &text, &json!("…"))
            .answers_as(200, "", "text/css", &text, &json!(".swagger-ui {}"))
            .refuses(&[Code::NotFound]),
    ]
}

fn deliver() -> Operation {
    let body = json!({
        "description": "What the sender of this kind posts by itself: Alertmanager's webhook body (version 4), \
                        Grafana's, or the template for Cloud Insight in `config/cloud-insight`.",
        "type": "object",
    });
    Operation::new("post", "/webhooks/{source}", "deliver", "Deliver alerts")
        .about(
            "Answered 202 after everything is on disk, whatever was decided. One bad alert in a readable body is \
             `quarantined`; the others go on. The same body within 60 s gets the same answer and no new row.",
        )
        .for_senders()
        .reads_as_sent(&body, &[("alertmanager", seen("delivery_body"))])
        .answers::<Answer>(202, "Committed; one decision per alert.", &seen("delivered"))
        .refuses(&[
            Code::UnreadableJson,
            Code::TooManyAlerts,
            Code::WrongShape,
            Code::Overloaded,
            Code::StoreFailed,
            Code::Stopping,
        ])
}

fn attest() -> Operation {
    let settings = json!({
        "kind": "dump_settings", "at": "2026-11-22T01:00:00Z",
        "settings": {
            "crashDumpEnabled": 1, "dumpFile": "%SystemRoot%\\MEMORY.DMP", "alwaysKeepMemoryDump": true,
            "overwrite": true, "autoReboot": true, "nmiCrashDump": true, "pageFileMiB": 8449, "freeDiskMiB": 20000,
            "memoryMiB": 8192,
        },
    });
    let found = json!({
        "kind": "dump_found", "at": "2026-11-22T03:40:00Z", "path": "C:\\Windows\\MEMORY.DMP",
        "sizeBytes": 8_589_934_592_u64, "writtenAt": "2026-11-22T03:31:10Z", "bugcheckCode": "0x00000080",
    });
    let kept: Value = json!({
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "attestationId": 7,
        "confirmedRemediationId": "019aa5d1-7c00-7000-8000-000000000001",
    });
    Operation::new("post", "/api/v1/servers/{no}/attestations", "attest", "What a guest says of itself")
        .about(
            "With the credential of a source of kind `guest` that is bound to the server. A dump written between the \
             intent and the receipt confirms a remediation. A time more than 5 min ahead is refused.",
        )
        .for_senders()
        .reads_many::<Attestation>(&[("dumpSettings", settings), ("dumpFound", found)])
        .answers::<AttestationKept>(202, "Committed.", &kept)
        .refuses(&[
            Code::InvalidQuery,
            Code::NotYourServer,
            Code::Overloaded,
            Code::StoreFailed,
            Code::Stopping,
        ])
}

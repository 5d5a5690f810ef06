//! Operations that set and end holds and silences.
//!
//! Never: described without a person and a reason.

use serde_json::json;

use super::describe::Operation;
use crate::domain::hold::Silence;
use crate::http::api::Why;
use crate::http::api::mutes::{HoldCleared, HoldSet, SetHold, SetSilence, SilenceEnded};
use crate::http::problem::Code;

pub(super) fn operations() -> Vec<Operation> {
    let why = json!({ "reason": "done" });
    let instead = "The reason, where a client cannot send a body.";
    let words = super::schemas::reason();
    let hold =
        json!({ "scope": "server", "name": "90000001", "reason": "dump is being copied", "duration": "4h" });
    let everything = json!({ "scope": "global", "reason": "stop everything" });
    let silence = json!({
        "matchers": ["hostname=~\"win-web-.*\""], "comment": "patch night", "endsAt": "2026-12-01T06:00:00+09:00",
    });
    let equal =
        json!({ "matchers": { "hostname": "win-web-01" }, "comment": "patch night", "duration": "4h" });
    vec![
        Operation::new("post", "/api/v1/holds", "setHold", "Set a hold")
            .about(
                "The end is `until` or `duration`, not both; without one it holds until cleared. A store that does not \
                 take it within 2 s is answered 503: set the hold file, as the detail says.",
            )
            .reads_many::<SetHold>(&[("server", hold), ("global", everything)])
            .answers::<HoldSet>(201, "It holds.", &json!({
                "id": 4, "scope": "server", "name": "90000001", "author": "oncall", "reason": "dump is being copied",
                "until": "2026-11-22T07:12:00Z",
            })),
        Operation::new("delete", "/api/v1/holds/{id}", "clearHold", "Clear a hold")
            .about("With a reason, in the body or as a parameter.")
            .query("reason", instead, &words)
            .reads::<Why>(&why)
            .body_optional()
            .answers::<HoldCleared>(200, "It is cleared.", &json!({ "id": 4, "cleared": true }))
            .refuses(&[Code::NotFound]),
        Operation::new("post", "/api/v1/silences", "setSilence", "Set a silence")
            .about(
                "`startsAt` is now unless given; an end, `endsAt` or `duration`, is required. At most 16 matchers of 1024 bytes \
                 each; 500 silences may not have ended at once, with 100 regular expressions in them.",
            )
            .reads_many::<SetSilence>(&[("matchers", silence), ("labels", equal)])
            .answers::<Silence>(201, "It mutes.", &json!({
                "id": 2, "matchers": ["hostname=~\"win-web-.*\""], "author": "oncall", "comment": "patch night",
                "startsAt": "2026-11-22T03:12:00Z", "endsAt": "2026-11-30T21:00:00Z",
            }))
            .refuses(&[Code::TooManySilences]),
        Operation::new("delete", "/api/v1/silences/{id}", "endSilence", "End a silence")
            .about("With a reason, in the body or as a parameter.")
            .query("reason", instead, &words)
            .reads::<Why>(&why)
            .body_optional()
            .answers::<SilenceEnded>(200, "It is over.", &json!({ "id": 2, "ended": true }))
            .refuses(&[Code::NotFound]),
    ]
}

//! The API document (OpenAPI 3.1): made from the table of routes, the types that are read and written, and a
//! description of each operation. Served as JSON and shown by a viewer.
//!
//! Never: an operation that the table of routes does not have, or a word of a list that the code has.

mod describe;
mod problems;
mod schemas;
mod senders;
#[cfg(test)]
mod tests;
pub(super) mod viewer;
mod words;

mod acting;
mod muting;
mod reading;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Map, Value, json};

use super::routes::{ROUTES, Route};
use describe::Operation;
pub(super) use schemas::reason_text;

/// Beginnings of the paths that the document speaks of. Pages for people are not in it.
const SPOKEN_OF: [&str; 5] = ["/api/", "/webhooks/", "/livez", "/readyz", "/metrics"];

const ABOUT: &str = "\
Receives alerts about hung Windows servers on NAVER Cloud, decides once per server whether a diagnostic interrupt is \
right, sends it at most once, and keeps an audit trail.\n\n\
JSON, `camelCase`, times as RFC 3339 in UTC. Lists come in pages: `items` and `nextCursor`. A slash at the end of a path \
is ignored. An unknown or repeated parameter, an unknown field and a compressed body are refused. Every error is \
`application/problem+json` with a `code` from a closed list and the `traceId` that is in the log as well.\n\n\
Each role includes the ones before it: `viewer` reads, `operator` replays, orders by hand, silences, holds and cancels, \
`approver` approves, denies, settles and clears, `admin` may do all.";

/// Whether the document speaks of a route.
fn is_spoken_of(route: &Route) -> bool {
    SPOKEN_OF.iter().any(|begin| route.path.starts_with(begin))
}

/// Every described operation.
fn operations() -> Vec<Operation> {
    let mut all = senders::operations();
    all.extend(reading::operations());
    all.extend(acting::operations());
    all.extend(muting::operations());
    all
}

/// The document.
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(make)
}

fn make() -> Value {
    let whole = drawn();
    let text = whole.to_string();
    let mut kept = whole;
    if let Some(schemas) = kept.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        schemas.retain(|name, _| text.contains(&format!("\"#/components/schemas/{name}\"")));
    }
    kept
}

/// With schemas that nothing names.
fn drawn() -> Value {
    let operations = operations();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES.iter().filter(|route| is_spoken_of(route)) {
        let described = operations.iter().find(|one| one.method == route.method && one.path == route.path);
        if let Some(operation) = described {
            let rendered = operation.render(route, words::tag_of(route.path));
            paths.entry(route.path).or_default().insert(route.method.to_owned(), rendered);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "unhang",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": env!("CARGO_PKG_DESCRIPTION"),
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": words::tags(),
        "paths": paths,
        "components": {
            "schemas": schemas::all(&operations),
            "examples": problems::examples(),
            "headers": words::headers(),
            "parameters": words::parameters(),
            "securitySchemes": words::security_schemes(),
        },
    })
}

/// An answer or a body as one was seen, by name.
fn seen(name: &str) -> Value {
    static SEEN: OnceLock<Value> = OnceLock::new();
    let seen = SEEN.get_or_init(|| serde_json::from_str(include_str!("examples.json")).unwrap_or_default());
    seen.get(name).cloned().unwrap_or_default()
}

/// `GET /api/openapi.json`
pub(super) async fn show() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/json"))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(document().to_string())
}

//! Words of the document that many operations share: parameters of paths, headers, ways to show who asks, tags.
//!
//! Never: a word that the code has a list of; that list is asked.

use serde_json::{Map, Value, json};

/// A text without control characters.
pub(super) fn no_control() -> &'static str {
    r"^[^\x00-\x1f\x7f-\x9f]*$"
}

/// Every placeholder of a path.
pub(super) fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names
        .map(|name| {
            let (about, schema, example) = placeholder(name, path);
            json!({
                "name": name, "in": "path", "required": true, "description": about, "schema": schema,
                "example": example,
            })
        })
        .collect()
}

fn placeholder(name: &str, path: &str) -> (&'static str, Value, Value) {
    let numbered = ["holds", "silences", "storms"].iter().any(|list| path.contains(list));
    let row = json!({ "type": "integer", "format": "int64" });
    let named = json!({ "type": "string", "minLength": 1 });
    match name {
        "id" if numbered => ("Its number.", row, json!(1)),
        "id" => (
            "Its identifier.",
            json!({ "type": "string", "format": "uuid" }),
            json!("019aa5d1-7c00-7000-8000-000000000001"),
        ),
        "no" => (
            "The vendor's `serverInstanceNo`.",
            json!({ "$ref": "#/components/schemas/ServerNo" }),
            json!("90000001"),
        ),
        "source" => ("Name of a configured source.", named, json!("alertmanager")),
        "file" => ("A file of the viewer.", named, json!("viewer.js")),
        _ => ("Name of a configured policy.", named, json!("hung-windows")),
    }
}

/// Headers of answers.
pub(super) fn headers() -> Value {
    let header = |about: &str, required: bool, schema: Value| json!({ "description": about, "required": required, "schema": schema });
    json!({
        "x-trace-id": header(
            "The trace of this request, as in the log.", true,
            json!({ "$ref": "#/components/schemas/TraceId" })
        ),
        "cache-control": header("`no-store` where nothing else is said.", true, json!({ "type": "string" })),
        "x-content-type-options": header("`nosniff`.", true, json!({ "type": "string", "enum": ["nosniff"] })),
        "retry-after": header("Seconds until it is worth asking again.", true, json!({ "type": "integer", "minimum": 1 })),
        "www-authenticate": header("How a person shows who asks.", false, json!({ "type": "string" })),
        "allow": header("The methods that the path takes.", true, json!({ "type": "string" })),
    })
}

/// Parameters that every operation takes.
pub(super) fn parameters() -> Value {
    json!({ "traceparent": {
        "name": "traceparent", "in": "header", "required": false,
        "description": "W3C trace context. Where it is well formed its trace is taken over; anything else is ignored.",
        "schema": { "type": "string" },
        "example": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    } })
}

/// Ways to show who asks.
pub(super) fn security_schemes() -> Value {
    let key = |name: &str, about: &str| json!({ "type": "apiKey", "in": "header", "name": name, "description": about });
    json!({
        "token": { "type": "http", "scheme": "bearer", "description": "The token of a person, with a role." },
        "session": {
            "type": "apiKey", "in": "cookie", "name": "__Host-unhang_session",
            "description": "A person who is logged in. Whatever changes something also needs the token of our forms in \
                            `x-unhang-form`, and an origin of our own.",
        },
        "senderBearer": { "type": "http", "scheme": "bearer", "description": "The credential of a source, as a bearer token." },
        "senderBasic": { "type": "http", "scheme": "basic", "description": "The credential of a source, as user name and password." },
        "senderHeader": key("X-Unhang-Token", "The credential of a source in a header; its name is configured."),
        "senderSignature": key(
            "X-Grafana-Alerting-Signature",
            "HMAC-SHA256 over the raw body, with a time stamp header; both names are configured."
        ),
    })
}

/// Groups of operations: the beginning of their paths, their name, and what it means.
const TAGS: [(&str, &str, &str); 11] = [
    ("/webhooks", "deliveries in", "Senders of alerts deliver here."),
    ("/api/v1/audit", "audit", "Every fact that was recorded."),
    ("/api/v1/stream", "audit", "Every fact that was recorded."),
    ("/api/v1/deliveries", "deliveries", "What came in and what was decided."),
    ("/api/v1/incidents", "incidents", "The story of one server."),
    ("/api/v1/remediations", "remediations", "Decisions to interrupt a server, and what people say to them."),
    ("/api/v1/explain", "explain", "Why something happened, or did not."),
    ("/api/v1/holds", "holds and silences", "The operator's ways to say no."),
    ("/api/v1/silences", "holds and silences", "The operator's ways to say no."),
    ("/api/v1", "state", "Budgets, policies, servers, sources, storms, breakers and the quarantine."),
    ("", "health and documents", "Health, figures, and this document."),
];

/// The group of a path.
pub(super) fn tag_of(path: &str) -> &'static str {
    TAGS.iter().find(|(begin, _, _)| path.starts_with(begin)).map_or("", |(_, name, _)| *name)
}

/// All groups.
pub(super) fn tags() -> Vec<Value> {
    let mut named: Map<String, Value> = Map::new();
    let mut tags = Vec::new();
    for (_, name, about) in TAGS {
        if named.insert(name.to_owned(), Value::Null).is_none() {
            tags.push(json!({ "name": name, "description": about }));
        }
    }
    tags
}

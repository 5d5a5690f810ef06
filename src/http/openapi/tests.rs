//! The document is whole: every route, every code and an example of everything that is read or answered.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::tests::contract::validate;
use super::*;
use crate::http::problem::Code;

fn described(route: &Route) -> Option<Operation> {
    operations().into_iter().find(|one| one.method == route.method && one.path == route.path)
}

/// Faults of a table of routes and its descriptions, as sentences.
fn faults(routes: &[Route], operations: &[Operation]) -> Vec<String> {
    let mut faults = Vec::new();
    let told: Vec<(&str, &str)> = operations.iter().map(|one| (one.method, one.path)).collect();
    for route in routes.iter().filter(|route| is_spoken_of(route)) {
        match told.iter().filter(|(method, path)| (*method, *path) == (route.method, route.path)).count() {
            1 => {}
            count => faults.push(format!("{} {} is described {count} times", route.method, route.path)),
        }
    }
    for one in operations {
        let route = routes.iter().find(|route| route.method == one.method && route.path == one.path);
        let Some(route) = route else {
            faults.push(format!("{} {} is described and no route", one.method, one.path));
            continue;
        };
        if !is_spoken_of(route) {
            faults.push(format!("{} {} is no part of the API", one.method, one.path));
        }
        if one.lacks_example() {
            faults.push(format!("{} {} lacks an example", one.method, one.path));
        }
    }
    let routes = routes.iter().filter_map(|route| described(route).map(|one| (route, one)));
    let named: BTreeSet<Code> = routes.flat_map(|(route, one)| one.codes(route)).collect();
    for code in problems::told().filter(|code| !named.contains(code)) {
        faults.push(format!("no operation refuses with {}", code.as_str()));
    }
    faults
}

#[test]
fn routes_and_descriptions_are_the_same_and_every_code_and_example_is_there() {
    let faults = faults(ROUTES, &operations());
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn what_is_missing_is_told() {
    let whole = operations;
    let without = |path: &str| whole().into_iter().filter(|one| one.path != path).collect::<Vec<_>>();
    assert_eq!(faults(ROUTES, &without("/metrics")), ["get /metrics is described 0 times"]);
    let mut twice = whole();
    twice.extend(whole().into_iter().filter(|one| one.path == "/metrics"));
    assert_eq!(faults(ROUTES, &twice), ["get /metrics is described 2 times"]);
    let mut strange = whole();
    strange.push(Operation::new("get", "/api/v1/nothing", "nothing", "Nothing"));
    assert_eq!(faults(ROUTES, &strange), ["get /api/v1/nothing is described and no route"]);
    let mut silent = without("/metrics");
    silent.push(Operation::new("get", "/metrics", "metrics", "Figures"));
    assert_eq!(faults(ROUTES, &silent), ["get /metrics lacks an example"]);
    let fewer: Vec<Route> =
        ROUTES.iter().filter(|route| !route.path.contains("quarantine")).copied().collect();
    assert!(faults(&fewer, &whole()).contains(&"no operation refuses with journal_failed".to_owned()));
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk<'d>(value: &'d Value, found: &mut Vec<&'d str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| walk(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| walk(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    walk(document(), &mut found);
    let lost: BTreeSet<&str> = found
        .iter()
        .filter(|reference| reference.strip_prefix('#').and_then(|path| document().pointer(path)).is_none())
        .copied()
        .collect();
    assert!(found.len() > 100 && lost.is_empty(), "{lost:?}");
}

#[test]
fn every_example_is_what_its_schema_says() {
    let document = document();
    let mut faults = Vec::new();
    let mut seen = 0;
    let mut look = |name: &str, content: &Value| {
        let named = content.get("examples").and_then(Value::as_object).into_iter().flatten();
        let named = named.map(|(_, example)| match example.get("$ref").and_then(Value::as_str) {
            Some(path) => &document.pointer(path.trim_start_matches('#')).unwrap()["value"],
            None => &example["value"],
        });
        for example in named.chain(content.get("example")) {
            seen += 1;
            if let Err(fault) = validate(document, name, &content["schema"], &example.to_string()) {
                faults.push(format!("{name}: {fault}"));
            }
        }
    };
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let bodies = operation["responses"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(status, body)| (status.as_str(), body));
            for (what, body) in bodies.chain(operation.get("requestBody").map(|body| ("body", body))) {
                for (media, content) in body.get("content").and_then(Value::as_object).into_iter().flatten() {
                    look(&format!("{method} {path} {what} {media} example"), content);
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    assert!(seen > 300, "{seen}");
}

#[test]
fn identifiers_are_unique_and_roles_become_security() {
    let mut ids = BTreeSet::new();
    for route in ROUTES.iter().filter(|route| is_spoken_of(route)) {
        let operation = &document()["paths"][route.path][route.method];
        let what = format!("{} {}", route.method, route.path);
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{what}");
        let needs = serde_json::json!([{ "token": [] }, { "session": [] }]);
        assert_eq!(operation["security"] == needs, route.role.is_some(), "{what}");
        let refusals = operation["responses"].to_string();
        let above = route.role.is_some_and(|role| role > crate::config::Role::Viewer);
        assert_eq!(refusals.contains("role_too_low"), above, "{what}");
        assert_eq!(
            refusals.contains("foreign_origin"),
            route.role.is_some() && route.method != "get",
            "{what}"
        );
    }
}

#[test]
fn answers_are_closed() {
    let drawn = drawn();
    let schemas = drawn["components"]["schemas"].as_object().unwrap();
    let row = &schemas["AuditItem"];
    assert_eq!(row["additionalProperties"], false, "{row}");
    let required: Vec<&str> = row["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for field in ["seq", "requestId", "keyId", "prevHash", "detail"] {
        assert!(required.contains(&field), "{field}: {row}");
    }
    for (name, field) in schemas::LEFT_OUT {
        let schema = schemas[name].to_string();
        assert!(schema.contains(&format!("\"{field}\":")), "{name} has no {field}: {schema}");
    }
}

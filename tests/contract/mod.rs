//! Holds every answer that a test sees against the API document.
//!
//! Never: asks anybody but the document that it is given; pages for people are not in it and are not looked at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::{Value, json};

/// Beginnings of the paths that the document speaks of.
const SPOKEN_OF: [&str; 5] = ["/api", "/webhooks", "/livez", "/readyz", "/metrics"];

/// Validators that were made, by operation and status.
static MADE: Mutex<BTreeMap<String, Arc<Validator>>> = Mutex::new(BTreeMap::new());

/// Panics when an answer is not what the document says of this method of this path.
pub(crate) fn hold(document: &Value, method: &str, path: &str, status: u16, media: &str, text: &str) {
    if let Err(fault) = check(document, method, path, status, media, text) {
        panic!("the API document does not say so of {method} {path}: {status} {media}\n{fault}\n{text}");
    }
}

/// What is wrong with an answer.
pub(crate) fn check(
    document: &Value,
    method: &str,
    path: &str,
    status: u16,
    media: &str,
    text: &str,
) -> Result<(), String> {
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let media = media.split(';').next().unwrap_or_default().trim();
    if !SPOKEN_OF.iter().any(|begin| path.starts_with(begin)) {
        return Ok(());
    }
    let Some((template, item)) = item_of(document, path) else {
        return if status == 404 {
            validate(document, "problem", &problem(), text)
        } else {
            Err("no such path".into())
        };
    };
    let Some(operation) = item.get(method.to_ascii_lowercase()) else {
        return if status == 405 {
            validate(document, "problem", &problem(), text)
        } else {
            Err("no such method".into())
        };
    };
    let answer = operation["responses"].get(status.to_string()).ok_or("no such status")?;
    let Some(contents) = answer.get("content").and_then(Value::as_object) else {
        return if text.is_empty() { Ok(()) } else { Err("a body, and none is promised".to_owned()) };
    };
    let content =
        contents.get(media).ok_or_else(|| format!("no such media type; it has {:?}", contents.keys()))?;
    if media.ends_with("json") && media != "application/x-ndjson" {
        let name = format!("{method} {template} {status} {media}");
        return validate(document, &name, &content["schema"], text);
    }
    Ok(())
}

fn problem() -> Value {
    json!({ "$ref": "#/components/schemas/Problem" })
}

/// The template that a path fits; a written word goes before a placeholder.
fn item_of<'d>(document: &'d Value, path: &str) -> Option<(&'d str, &'d Value)> {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let wanted: Vec<&str> = template.split('/').collect();
        let same = |(wanted, part): (&&str, &&str)| wanted.starts_with('{') || wanted == part;
        wanted.len() == parts.len() && wanted.iter().zip(&parts).all(same)
    };
    let items = document["paths"].as_object()?.iter();
    let fitting = items.filter(|(template, _)| fits(template));
    fitting
        .min_by_key(|(template, _)| template.matches('{').count())
        .map(|(template, item)| (template.as_str(), item))
}

/// Whether a JSON text is what a schema of the document says.
pub(crate) fn validate(document: &Value, name: &str, schema: &Value, text: &str) -> Result<(), String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let validator = match made.get(name) {
        Some(validator) => Arc::clone(validator),
        None => {
            let whole = json!({ "allOf": [schema], "components": document["components"] });
            let options = jsonschema::options().should_validate_formats(true);
            let fresh = Arc::new(options.build(&whole).map_err(|error| format!("{name}: {error}"))?);
            made.insert(name.to_owned(), Arc::clone(&fresh));
            fresh
        }
    };
    drop(made);
    let faults: Vec<String> =
        validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

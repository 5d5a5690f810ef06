//! Schemas of everything that is read and answered: as the types say, and closed where that is true.
//!
//! Never: lets an answer have a field that its type does not have, or miss one that it always has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

use super::describe::{Operation, Schemas, schema_of};
use super::problems;
use crate::domain::activity::ActivityEvidence;
use crate::domain::evidence::Evidence;
use crate::domain::guest::GuestDump;
use crate::domain::hold::Hold;
use crate::domain::remediation::State;
use crate::http::api::guards::BreakerItem;
use crate::http::api::overview::{PolicyItem, ServerItem};
use crate::http::body::REASON_MAX;
use crate::http::health::Checks;
use crate::store::MessageRow;

/// Fields of answers that are left out where there is nothing to say; all others are always there.
pub(super) const LEFT_OUT: [(&str, &str); 8] = [
    ("RemediationRow", "activity"),
    ("Check", "until"),
    ("Policy", "requireAttestation"),
    ("Policy", "corroborate"),
    ("Change", "guard"),
    ("Change", "verdict"),
    ("Change", "seen"),
    ("Change", "limit"),
];

/// A person's words, as a schema.
pub(in crate::http) fn reason_text() -> Schema {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("Why; one line, kept in the audit."))
        .min_length(Some(1))
        .max_length(Some(REASON_MAX))
        .pattern(Some(r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"))
        .into()
}

/// The same, as the document has it.
pub(super) fn reason() -> Value {
    json!(reason_text())
}

/// Every schema that an operation names, by name.
pub(super) fn all(operations: &[Operation]) -> BTreeMap<String, Value> {
    let mut answered: Schemas = operations.iter().flat_map(|one| one.answered.clone()).collect();
    // Named by others, and by no answer itself.
    schema_of::<Hold>(&mut answered);
    schema_of::<BreakerItem>(&mut answered);
    schema_of::<PolicyItem>(&mut answered);
    schema_of::<ServerItem>(&mut answered);
    schema_of::<MessageRow>(&mut answered);
    schema_of::<Evidence>(&mut answered);
    schema_of::<ActivityEvidence>(&mut answered);
    schema_of::<GuestDump>(&mut answered);
    schema_of::<Checks>(&mut answered);
    schema_of::<State>(&mut answered);
    let read = operations.iter().flat_map(|one| one.read.clone());
    let mut all: BTreeMap<String, Value> =
        read.map(|(name, schema)| (name, close_variants(schema))).collect();
    let open: BTreeMap<String, Value> =
        answered.into_iter().map(|(name, schema)| (name.clone(), by_name(&name, schema))).collect();
    let closed = open.iter().map(|(name, schema)| (name.clone(), close(name, &flatten(name, schema, &open))));
    all.extend(closed);
    all.insert("Problem".to_owned(), problems::schema());
    all
}

/// Whatever is read refuses unknown fields; the derive does not say so of variants.
fn close_variants(mut schema: Value) -> Value {
    let variants = schema.get_mut("oneOf").and_then(Value::as_array_mut).into_iter().flatten();
    for fields in variants.filter_map(Value::as_object_mut).filter(|fields| fields.contains_key("properties"))
    {
        fields.insert("additionalProperties".to_owned(), json!(false));
    }
    schema
}

/// The derive writes out what a generic list holds; here its name is enough.
fn by_name(name: &str, mut schema: Value) -> Value {
    if let Some(held) = name.strip_prefix("Page_")
        && let Some(items) = schema.pointer_mut("/properties/items/items")
    {
        *items = json!({ "$ref": format!("#/components/schemas/{held}") });
    }
    schema
}

/// What serde writes flat is written flat: `allOf` of objects becomes one object, or one for each variant.
fn flatten(name: &str, schema: &Value, all: &BTreeMap<String, Value>) -> Value {
    let Some(parts) = schema.get("allOf").and_then(Value::as_array) else { return schema.clone() };
    let mut variants = vec![Map::new()];
    for part in parts {
        let choices = variants_of(name, part, all);
        variants = variants
            .iter()
            .flat_map(|begun| choices.iter().map(|choice| merge(begun.clone(), choice)))
            .collect();
    }
    let about = schema.get("description").cloned();
    let mut whole = match variants.as_slice() {
        [only] => only.clone(),
        several => Map::from_iter([("oneOf".to_owned(), json!(several))]),
    };
    if let Some(about) = about {
        whole.insert("description".to_owned(), about);
    }
    Value::Object(whole)
}

/// The objects that a part of an `allOf` may be.
fn variants_of(name: &str, part: &Value, all: &BTreeMap<String, Value>) -> Vec<Map<String, Value>> {
    if let Some(named) = part.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
        return all.get(named).map(|schema| named_variants(named, schema, all)).unwrap_or_default();
    }
    let choices = part.get("oneOf").or_else(|| part.get("anyOf")).and_then(Value::as_array);
    match choices {
        // `null`: what is flattened may be missing.
        Some(choices) => choices
            .iter()
            .filter(|choice| choice.get("type") != Some(&json!("null")))
            .flat_map(|choice| variants_of(name, choice, all))
            .collect(),
        None => close(name, part).as_object().cloned().into_iter().collect(),
    }
}

/// Those of a type, with the fields that it leaves out already taken care of.
fn named_variants(name: &str, schema: &Value, all: &BTreeMap<String, Value>) -> Vec<Map<String, Value>> {
    variants_of(name, &close(name, &flatten(name, schema, all)), all)
}

fn merge(mut begun: Map<String, Value>, more: &Map<String, Value>) -> Map<String, Value> {
    for (key, value) in more {
        match (begun.get_mut(key), value) {
            (Some(Value::Object(fields)), Value::Object(further)) => fields.extend(further.clone()),
            (Some(Value::Array(names)), Value::Array(further)) => names.extend(further.iter().cloned()),
            (Some(_), _) => {}
            (None, value) => {
                begun.insert(key.clone(), value.clone());
            }
        }
    }
    begun
}

/// Closes every object of a schema: nothing else, and everything that is always there.
fn close(name: &str, schema: &Value) -> Value {
    match schema {
        Value::Array(several) => several.iter().map(|one| close(name, one)).collect(),
        Value::Object(fields) => {
            let inside = fields.iter().map(|(key, value)| (key.clone(), close(name, value)));
            let mut fields: Map<String, Value> = inside.collect();
            if let Some(properties) = fields.get("properties").and_then(Value::as_object).cloned() {
                let kept: BTreeSet<String> = required(name, &fields, &properties);
                fields.insert("required".to_owned(), json!(kept));
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
            Value::Object(fields)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => schema.clone(),
    }
}

/// The fields that are always there. What a flattened type leaves out stays left out.
fn required(name: &str, schema: &Map<String, Value>, properties: &Map<String, Value>) -> BTreeSet<String> {
    let left_out = |field: &str| LEFT_OUT.contains(&(name, field));
    let closed_before = schema.get("additionalProperties") == Some(&json!(false));
    let said = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let said: BTreeSet<&str> = said.iter().filter_map(Value::as_str).collect();
    properties
        .keys()
        .filter(|field| !left_out(field) && (!closed_before || said.contains(field.as_str())))
        .cloned()
        .collect()
}

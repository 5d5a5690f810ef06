//! JSON answers: one object with one known key.
//!
//! Never: looks at the content type, which can lie.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{Raw, Shape, WireError};

/// Reads a JSON text.
pub(super) fn parse(text: &str) -> Result<Raw, WireError> {
    let members: BTreeMap<String, Box<RawValue>> = read(text)?;
    let mut known =
        members.iter().filter_map(|(key, value)| Shape::of(key).map(|shape| (shape, key, value.get())));
    let (Some((shape, key, value)), None) = (known.next(), known.next()) else {
        return Err(WireError::NotOneEnvelope);
    };
    match shape {
        Shape::GatewayError => Ok(Raw::Gateway(read(value)?)),
        Shape::ServiceError => Ok(Raw::Service(read(value)?)),
        Shape::Response => Ok(Raw::Response(key.clone(), Box::new(read(value)?))),
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, WireError> {
    serde_json::from_str(text).map_err(|error| WireError::Json(super::safe(&error.to_string())))
}

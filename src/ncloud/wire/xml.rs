//! XML answers: one known root element.
//!
//! Never: expands entities that a document declares, or reads on after the root element has ended.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde::de::DeserializeOwned;

use super::{Raw, Shape, WireError};

/// Reads an XML text.
pub(super) fn parse(text: &str) -> Result<Raw, WireError> {
    let root = root_name(text)?;
    let shape = Shape::of(&root).ok_or(WireError::NotOneEnvelope)?;
    // The deserializer stops at the end of the root; what follows it is no answer of the vendor.
    if !text.trim_end().ends_with(&format!("</{root}>")) {
        return Err(WireError::NotOneEnvelope);
    }
    match shape {
        Shape::GatewayError => Ok(Raw::Gateway(read(text)?)),
        Shape::ServiceError => Ok(Raw::Service(read(text)?)),
        Shape::Response => Ok(Raw::Response(root, Box::new(read(text)?))),
    }
}

fn root_name(text: &str) -> Result<String, WireError> {
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => {
                return Ok(start.name().as_ref().to_owned());
            }
            Ok(Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::Text(_)) => {}
            // A document type, a self-closed root or the end: the vendor sends none of these.
            Ok(
                Event::DocType(_)
                | Event::Empty(_)
                | Event::End(_)
                | Event::CData(_)
                | Event::GeneralRef(_)
                | Event::Eof,
            ) => return Err(WireError::NotOneEnvelope),
            Err(error) => return Err(WireError::Xml(super::safe(&error.to_string()))),
        }
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, WireError> {
    quick_xml::de::from_str(text).map_err(|error| WireError::Xml(super::safe(&error.to_string())))
}

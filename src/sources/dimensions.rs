//! Dimensions: Cloud Insight's `#{DIMENSIONS}`, the only place where its webhook names the server.
//!
//! Never: picks one of two numbers, or guesses a spelling. How the vendor spells the text is UNCONFIRMED.

use super::loose::Loose;
use super::wire::{self, OnceMap};
use crate::domain::server::ServerNo;

/// What one event is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dimensions {
    /// `instanceNo`
    pub(super) server_no: ServerNo,
    /// `type`, such as `svr`, `fs`, `process`
    pub(super) kind: Option<String>,
}

const EXPECTED: &str = "expected exactly one instanceNo, as in `instanceNo: 90000001, type: svr`";

/// Reads the raw JSON of the field: an object, or a text in one of the known spellings.
pub(super) fn read(raw: &str) -> Result<Dimensions, String> {
    if raw.trim_start().starts_with('{') {
        return from_object(raw);
    }
    let Ok(text) = serde_json::from_str::<String>(raw) else {
        return Err(format!("`dimensions`: {EXPECTED}"));
    };
    let text = text.trim();
    let Some(inner) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
        return from_text(text);
    };
    // `{"instanceNo":"90000001"}` as against `{instanceNo=90000001}`
    if inner.trim_start().starts_with('"') { from_object(text) } else { from_text(inner) }
}

fn from_object(text: &str) -> Result<Dimensions, String> {
    let pairs: OnceMap<Loose> = wire::typed(text).map_err(|error| format!("`dimensions`: {error}"))?;
    let spelt = pairs.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    choose(&spelt.collect::<Vec<_>>())
}

fn from_text(text: &str) -> Result<Dimensions, String> {
    let mut pairs = Vec::new();
    for part in text.split(',') {
        let Some((name, value)) = part.split_once([':', '=']) else {
            return Err(format!("`dimensions`: {EXPECTED}; a part without `:` or `=` was given"));
        };
        pairs.push((name.trim(), value.trim()));
    }
    choose(&pairs)
}

/// Names are counted in any case, so that a second, oddly spelt number is seen; `instanceNo` alone is believed.
fn choose(pairs: &[(&str, &str)]) -> Result<Dimensions, String> {
    let named = |wanted: &str| -> Vec<(&str, &str)> {
        pairs.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).copied().collect()
    };
    let [("instanceNo", number)] = named("instanceNo")[..] else {
        return Err(format!("`dimensions`: {EXPECTED}; correct the rule or the payload template"));
    };
    let server_no = ServerNo::parse(number).map_err(|error| format!("`dimensions.instanceNo`: {error}"))?;
    let kind = match named("type")[..] {
        [(_, kind)] if !kind.is_empty() => Some(kind.to_owned()),
        _ => None,
    };
    Ok(Dimensions { server_no, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: &str) {
        let read = match read(raw) {
            Ok(found) => format!("{} {}", found.server_no, found.kind.unwrap_or_default()),
            Err(why) => why,
        };
        assert!(read.contains(expected), "{raw}: {read}");
    }

    #[test]
    fn every_known_spelling_names_the_same_server() {
        for raw in [
            r#""instanceNo: 90000001, type: svr""#,
            r#""type:svr,instanceNo:90000001""#,
            r#""{instanceNo=90000001, type=svr}""#,
            r#""instanceNo=90000001,type=svr""#,
            r#""{\"instanceNo\":\"90000001\",\"type\":\"svr\"}""#,
            r#""{\"instanceNo\":90000001,\"type\":\"svr\"}""#,
            r#"{"instanceNo":"90000001","type":"svr"}"#,
            r#"{"instanceNo":90000001,"type":"svr"}"#,
        ] {
            check(raw, "90000001 svr");
        }
        check(r#""instanceNo: 90000001""#, "90000001 ");
        check(r#""instanceNo: 90000001, type: fs, mnt: C:""#, "90000001 fs");
    }

    #[test]
    fn anything_but_one_number_is_refused() {
        for raw in [
            r#""""#,
            r#""type: svr""#,
            r#""instanceNo: 90000001, instanceNo: 90000002""#,
            r#""instanceNo: 90000001, instanceNo: 90000001""#,
            r#""instanceNo: 90000001, INSTANCENO: 90000002""#,
            r#""instanceno: 90000001""#,
            r#""instanceNo: 90000001 90000002""#,
            r#""instanceNo: ""#,
            r#""instanceNo: , type: svr""#,
            r#""instanceNo: -1""#,
            r#""instanceNo: 090000001""#,
            r#""instanceNo: 90000001; type: svr""#,
            r#""instanceNo: 90000001, svr""#,
            r#""[{instanceNo=90000001}]""#,
            r#"{"instanceNo":["90000001"]}"#,
            r#"{"instanceNo":90000001.0}"#,
            r#"{"instanceNo":"1","instanceNo":"2"}"#,
            r#""{\"instanceNo\":\"1\",\"instanceNo\":\"2\"}""#,
            r#"{"dimension":{"instanceNo":"1"}}"#,
            "90000001",
            "null",
            "[]",
        ] {
            check(raw, "`dimensions");
        }
    }
}

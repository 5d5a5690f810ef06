//! Cloud Activity Tracer: the vendor's own record of calls, `GetActivityList`.
//!
//! Never: judges whose call an entry is, or takes a part of the record for the whole.
//!
//! Sources: <https://api.ncloud-docs.com/docs/en/management-cloudactivitytracer-getactivitylist.md> (fields, paging from
//! page 0, `page` and `size`, times in epoch milliseconds). How soon an entry appears, how an interrupt is named
//! and how results are spelt is UNCONFIRMED.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::poster::{Poster, WallClock};
use super::read_error::ReadError;
use super::request::ClientError;
use super::text::safe;
use super::wire::loose::Loose;
use crate::config::CloudConfig;
use crate::domain::activity::{Activity, ActivityRules};

const ACTION: &str = "GetActivityList";
const PATH: &str = "/api/v1/activities";
/// Rows asked for per page; the vendor's most.
const PAGE_ROWS: usize = 100;
/// Most pages read of one window of time.
const PAGES_MAX: u32 = 20;
/// Most bytes read of a page: an entry carries product data of any size.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Reads the vendor's record.
#[derive(Debug)]
pub struct Tracer {
    poster: Poster,
    rules: ActivityRules,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Item {
    history_id: Loose,
    nrn: Loose,
    event_time: Loose,
    region_code: Loose,
    resource_id: Loose,
    action_display_name: Loose,
    action: Loose,
    action_result_type: Loose,
    source_type: Loose,
    source_ip: Loose,
}

impl Tracer {
    pub(super) fn renew_keys(&self, config: &CloudConfig) -> Result<(), ClientError> {
        self.poster.renew_keys(config)
    }

    /// A tracer where one is configured. `now_ms` gives our wall clock; each try is signed with it.
    pub fn new(
        config: &CloudConfig,
        now_ms: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Result<Option<Self>, ClientError> {
        let Some(tracer) = &config.tracer else { return Ok(None) };
        let now_ms: WallClock = std::sync::Arc::new(now_ms);
        let poster = Poster::new(config, &tracer.endpoint, now_ms)?;
        Ok(Some(Self { poster, rules: tracer.rules.clone() }))
    }

    /// Which entries are our call.
    pub fn rules(&self) -> &ActivityRules {
        &self.rules
    }

    /// All entries dated within these times, of any resource. An entry that cannot be read is left out: it can
    /// prove nothing.
    pub async fn activities(&self, from: Timestamp, until: Timestamp) -> Result<Vec<Activity>, ReadError> {
        let mut found = Vec::new();
        for page in 0..PAGES_MAX {
            let question = json!({
                "fromEventTime": from.as_millisecond(), "toEventTime": until.as_millisecond(),
                "page": page, "size": PAGE_ROWS,
            });
            let bytes = self.poster.ask_patiently(ACTION, PATH, &question, PAGE_BYTES_MAX).await?;
            let (entries, more) = read(&bytes)?;
            found.extend(entries);
            if !more {
                return Ok(found);
            }
        }
        let why = format!("more than {PAGES_MAX} pages; the record was not read to its end");
        Err(ReadError::Unreadable { action: ACTION, status: 200, why })
    }
}

fn read(bytes: &[u8]) -> Result<(Vec<Activity>, bool), ReadError> {
    let page: Page<'_> = serde_json::from_slice(bytes).map_err(|error| ReadError::Unreadable {
        action: ACTION,
        status: 200,
        why: safe(&format!("it is no list of activities: {error}")),
    })?;
    let entries = page.items.iter().filter_map(|raw| entry(raw.get())).collect();
    Ok((entries, page.has_more))
}

fn entry(text: &str) -> Option<Activity> {
    let item: Item = serde_json::from_str(text).ok()?;
    let word = |value: Loose| safe(&value.0.unwrap_or_default());
    let history_id = word(item.history_id);
    let of_nrn = item.nrn.0.as_deref().and_then(|nrn| nrn.rsplit_once('/')).map(|(_, tail)| safe(tail));
    let resource_id = match (item.resource_id.0.as_deref().map(safe), of_nrn) {
        (Some(id), Some(tail)) if id != tail => return None,
        (Some(id), _) => id,
        (None, tail) => tail?,
    };
    let event_time = item.event_time.0?.parse().ok().and_then(|ms| Timestamp::from_millisecond(ms).ok())?;
    let action = if item.action_display_name.0.is_some() { item.action_display_name } else { item.action };
    (!history_id.is_empty()).then(|| Activity {
        history_id,
        event_time,
        resource_id,
        region_code: word(item.region_code),
        action: word(action),
        result: word(item.action_result_type),
        source_type: word(item.source_type),
        source_ip: word(item.source_ip),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(more: &str) -> String {
        format!(
            r#"{{"historyId":"h-1","nrn":"nrn:PUB:VPCServer:KR:1:Server/90000001","eventTime":1793337600000,
                "regionCode":"KR","resourceType":"Server","actionDisplayName":"Interrupt Server Instance",
                "actionResultType":"SUCCESS","sourceType":"API","sourceIp":"203.0.113.7","productData":{{"a":[1]}}{more}}}"#
        )
    }

    fn page(items: &[String], more: bool) -> String {
        format!(r#"{{"page":0,"size":100,"itemCount":1,"hasMore":{more},"items":[{}]}}"#, items.join(","))
    }

    #[test]
    fn entries_are_read_with_either_spelling_of_their_fields() {
        let text = page(&[item(r#","resourceId":"90000001","actionIdNo":7"#)], true);
        let (entries, more) = read(text.as_bytes()).unwrap();
        assert!(more);
        let entry = &entries[0];
        assert_eq!((entry.history_id.as_str(), entry.resource_id.as_str()), ("h-1", "90000001"));
        assert_eq!(entry.event_time.as_millisecond(), 1_793_337_600_000);
        assert_eq!((entry.action.as_str(), entry.result.as_str()), ("Interrupt Server Instance", "SUCCESS"));
        let older =
            item("").replace("actionDisplayName", "action").replace("1793337600000", "\"1793337600000\"");
        let (entries, more) = read(page(&[older], false).as_bytes()).unwrap();
        assert_eq!((entries[0].action.as_str(), more), ("Interrupt Server Instance", false));
    }

    #[test]
    fn an_entry_that_cannot_be_read_proves_nothing_and_spoils_nothing() {
        let odd = [
            item("").replace("h-1", ""),
            item("").replace("1793337600000", "\"yesterday\""),
            item("").replace("1793337600000", "null"),
            item("").replace("90000001", "").replace("Server/", ""),
            item(r#","resourceId":"90000002""#),
            item(r#","historyId":"h-2""#),
            item("").replace("\"API\"", "[]"),
            "null".to_owned(),
            "[]".to_owned(),
        ];
        for one in odd {
            let (entries, _) = read(page(&[one.clone(), item("")], false).as_bytes()).unwrap();
            assert_eq!(entries.len(), 1, "{one}");
        }
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        for body in ["", "{}", "[]", "null", r#"{"items":{}}"#, r#"{"items":[]"#, "<xml/>"] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
        assert_eq!(read(br#"{"items":[]}"#).unwrap(), (Vec::new(), false));
    }

    #[test]
    fn hostile_texts_become_safe_ones() {
        let (entries, _) =
            read(page(&[item("").replace("203.0.113.7", "a\\u001b[31m\\nb")], false).as_bytes()).unwrap();
        assert_eq!(entries[0].source_ip, "a[31m b");
    }
}

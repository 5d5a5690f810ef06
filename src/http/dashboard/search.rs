//! The one search box of the audit: what a text may be the name of, and which of that the audit knows.
//!
//! Never: guesses; a text is looked for as what it can be, and each of these can be asked for.

use uuid::Uuid;

use super::super::door::Door;
use super::query;
use crate::domain::server::ServerNo;
use crate::store::{AuditFilter, PageRequest, StoreError};

/// One thing that a text may be.
pub(super) struct FoundAs {
    /// Parameter of the API.
    pub(super) name: &'static str,
    /// Value that it would have.
    pub(super) value: String,
    /// The audit has rows with it.
    pub(super) there: bool,
    /// Address of these rows.
    pub(super) link: String,
}

impl FoundAs {
    /// Narrows a filter to this.
    pub(super) fn narrow(&self, filter: &mut AuditFilter) {
        let place = match self.name {
            "serverInstanceNo" => &mut filter.server_instance_no,
            "traceId" => &mut filter.trace_id,
            "deliveryId" => &mut filter.delivery_id,
            "incidentId" => &mut filter.incident_id,
            "remediationId" => &mut filter.remediation_id,
            _ => &mut filter.request_id,
        };
        *place = Some(self.value.clone());
    }
}

/// Everything that a text may be: a `requestId` always; a server by its number, name or address; our own identifiers.
pub(super) async fn look(door: &Door, text: &str) -> Result<Vec<FoundAs>, StoreError> {
    let store = &door.service.store;
    let mut may_be = vec![("requestId", text.to_owned())];
    if ServerNo::parse(text).is_ok() {
        may_be.push(("serverInstanceNo", text.to_owned()));
    }
    let servers = store.servers_called(text).await?;
    may_be.extend(servers.iter().map(|server| ("serverInstanceNo", server.no.to_string())));
    if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        may_be.push(("traceId", text.to_ascii_lowercase()));
    }
    if Uuid::try_parse(text).is_ok() {
        let names = ["remediationId", "incidentId", "deliveryId"];
        may_be.extend(names.map(|name| (name, text.to_ascii_lowercase())));
    }
    may_be.dedup();
    let one = PageRequest { limit: 1, cursor: None, ascending: false };
    let mut found = Vec::with_capacity(may_be.len());
    for (name, value) in may_be {
        let link = format!("/audit?{}", query(&[(name, &value)]));
        let mut candidate = FoundAs { name, value, there: false, link };
        let mut filter = AuditFilter::default();
        candidate.narrow(&mut filter);
        candidate.there = !store.audit(&filter, &one).await?.items.is_empty();
        found.push(candidate);
    }
    Ok(found)
}

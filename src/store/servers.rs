//! The inventory: servers as the cloud last described them, and what look-ups found.
//!
//! Never: treats a failed read as an empty one.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::domain::alert::Alert;
use crate::domain::facts::TargetFact;
use crate::domain::ids::DeliveryId;
use crate::domain::limits::earlier;
use crate::domain::server::{RegionCode, Server, ServerNo};
use crate::domain::target::{ServerName, TargetName, fact_of};

use super::db::{Connection, Row, query, query_scalar};
use super::image::Part;
use super::open::Store;
use super::packed::Long as _;
use super::rows::{Columns, from_json, json, ms};
use super::writer::Tx;
use super::{Doing, StoreError};

/// How long an empty look-up is believed.
const NONE_BELIEVED_FOR: SignedDuration = SignedDuration::from_secs(60);
/// Most pending alerts of one source that are read at a time.
const PENDING_MAX: i64 = 500;

/// When a region's list was last read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryAge {
    /// Region.
    #[schema(value_type = RegionCode)]
    pub region_code: String,
    /// Last complete read.
    pub completed_at: Option<Timestamp>,
    /// Servers in it.
    pub server_count: i64,
    /// Last failed read.
    pub failed_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
}

/// An alert whose target must be looked up.
#[derive(Debug, Clone)]
pub struct PendingAlert {
    /// Its row.
    pub id: i64,
    /// Its delivery.
    pub delivery_id: DeliveryId,
    /// Place in the delivery.
    pub idx: usize,
    /// Its source.
    pub source: String,
    /// The alert.
    pub alert: Alert,
    /// When the delivery came.
    pub received_at: Timestamp,
    /// The delivery left alerts out.
    pub truncated: bool,
    /// Our trace.
    pub trace_id: String,
    /// Person who replayed it.
    pub person: Option<String>,
    /// Delivery that was replayed.
    pub replay_of: Option<DeliveryId>,
}

impl Tx {
    /// Replaces a region's inventory by a complete list.
    pub async fn replace_inventory(
        &mut self,
        region: &RegionCode,
        servers: &[Server],
        read_at: Timestamp,
    ) -> Result<(), StoreError> {
        for server in servers {
            self.upsert_server(server, read_at).await?;
        }
        query("DELETE FROM server WHERE region_code = ? AND seen_at < ?")
            .bind(region.as_str())
            .bind(ms(read_at))
            .execute(self.changing(Part::Inventory).await?)
            .await
            .doing("removing servers that are gone")?;
        query(
            "INSERT INTO inventory_read (region_code, completed_at, server_count) VALUES (?, ?, ?) \
             ON CONFLICT (region_code) DO UPDATE SET completed_at = excluded.completed_at, \
             server_count = excluded.server_count, failed_at = NULL, error = NULL",
        )
        .bind(region.as_str())
        .bind(ms(read_at))
        .bind(i64::try_from(servers.len()).unwrap_or(i64::MAX))
        .execute(self.changing(Part::Inventory).await?)
        .await
        .doing("noting a complete read")
        .map(|_| ())
    }

    /// Notes a failed read. What is known stays, and grows old.
    pub async fn inventory_failed(
        &mut self,
        region: &RegionCode,
        error: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        query(
            "INSERT INTO inventory_read (region_code, failed_at, error) VALUES (?, ?, ?) \
             ON CONFLICT (region_code) DO UPDATE SET failed_at = excluded.failed_at, error = excluded.error",
        )
        .bind(region.as_str())
        .bind(ms(now))
        .bind(error)
        .execute(self.changing(Part::Inventory).await?)
        .await
        .doing("noting a failed read")
        .map(|_| ())
    }

    /// Keeps one server as a complete answer described it; it is found by its name in lower case.
    pub async fn upsert_server(&mut self, server: &Server, seen_at: Timestamp) -> Result<(), StoreError> {
        query(
            "INSERT INTO server (region_code, server_no, server_name, server, seen_at) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT (region_code, server_no) DO UPDATE SET server_name = excluded.server_name, \
             server = excluded.server, seen_at = max(server.seen_at, excluded.seen_at)",
        )
        .bind(server.region.as_str())
        .bind(server.no.as_str())
        .bind(ServerName::new(&server.name).as_str())
        .bind(json(server)?)
        .bind(ms(seen_at))
        .execute(self.changing(Part::Inventory).await?)
        .await
        .doing("keeping a server")
        .map(|_| ())
    }

    /// Keeps what a complete answer gave for a name.
    pub async fn keep_lookup(
        &mut self,
        region: &RegionCode,
        name: &TargetName,
        servers: &[Server],
        seen_at: Timestamp,
    ) -> Result<(), StoreError> {
        for server in servers {
            self.upsert_server(server, seen_at).await?;
        }
        // Names that do not exist are without number. What is not believed any more need not be kept.
        query("DELETE FROM lookup WHERE server_nos = '[]' AND seen_at < ?")
            .bind(ms(earlier(seen_at, NONE_BELIEVED_FOR)))
            .execute(self.changing(Part::Inventory).await?)
            .await
            .doing("forgetting names that did not exist")?;
        let numbers: Vec<&str> = servers.iter().map(|server| server.no.as_str()).collect();
        query(
            "INSERT INTO lookup (region_code, named, server_nos, seen_at) VALUES (?, ?, ?, ?) \
             ON CONFLICT (region_code, named) DO UPDATE SET server_nos = excluded.server_nos, seen_at = excluded.seen_at",
        )
        .bind(region.as_str())
        .bind(name.to_string())
        .bind(json(&numbers)?)
        .bind(ms(seen_at))
        .execute(self.changing(Part::Inventory).await?)
        .await
        .doing("keeping a look-up")
        .map(|_| ())
    }
}

impl Store {
    /// When each region's list was last read.
    pub async fn inventory_ages(&self) -> Result<Vec<InventoryAge>, StoreError> {
        let rows = query("SELECT * FROM inventory_read ORDER BY region_code")
            .fetch_all(&self.readers)
            .await
            .doing("reading the inventory's age")?;
        rows.iter()
            .map(|row| {
                Ok(InventoryAge {
                    region_code: row.text("region_code")?,
                    completed_at: row.time_opt("completed_at")?,
                    server_count: row.int("server_count")?,
                    failed_at: row.time_opt("failed_at")?,
                    error: row.text_opt("error")?,
                })
            })
            .collect()
    }

    /// Alerts whose target must be looked up, oldest first: the first of each source.
    pub async fn pending_alerts(&self) -> Result<Vec<PendingAlert>, StoreError> {
        let rows = query(
            "SELECT a.id, a.delivery_id, a.idx, a.source, a.alert, a.alert_packed, a.received_at, d.truncated, d.trace_id, \
             d.replay_of, d.actor FROM (SELECT id, row_number() OVER (PARTITION BY source ORDER BY id) AS place \
             FROM alert WHERE decision = 'pending') p JOIN alert a ON a.id = p.id \
             JOIN delivery d ON d.id = a.delivery_id WHERE p.place <= ? ORDER BY a.id",
        )
        .bind(PENDING_MAX)
        .fetch_all(&self.readers)
        .await
        .doing("looking for pending alerts")?;
        rows.iter()
            .map(|row| {
                let replay_of = row.text_opt("replay_of")?.map(DeliveryId::from_text);
                Ok(PendingAlert {
                    id: row.int("id")?,
                    delivery_id: DeliveryId::from_text(row.text("delivery_id")?),
                    idx: usize::try_from(row.int("idx")?).unwrap_or(usize::MAX),
                    source: row.text("source")?,
                    alert: from_json(&row.long_text("alert", "alert_packed")?, "alert")?,
                    received_at: row.time("received_at")?,
                    truncated: row.int("truncated")? > 0,
                    trace_id: row.text("trace_id")?,
                    person: if replay_of.is_some() { Some(row.text("actor")?) } else { None },
                    replay_of,
                })
            })
            .collect()
    }
}

/// What the store knows of a name, whatever its age.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// What a look-up found, and when: each number with the server, where it is still kept.
    looked_up: Option<(Vec<Option<Kept>>, Timestamp)>,
    /// Servers that have the name by themselves.
    named: Vec<Kept>,
    /// When the region's list was last read to its end; asked for names only.
    completed_at: Option<i64>,
}

/// A server, and when it was last described.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    server: Server,
    seen_at: i64,
}

impl Known {
    /// What that says now. Anything that is not known from a fresh answer is pending.
    pub(super) fn judge(&self, name: &TargetName, now: Timestamp, fresh_for: SignedDuration) -> TargetFact {
        let oldest = ms(earlier(now, fresh_for));
        let fresh = |kept: &&Kept| kept.seen_at >= oldest;
        let mut found: BTreeMap<&ServerNo, &Server> = BTreeMap::new();
        let mut complete = false;
        if let Some((servers, seen_at)) = self.looked_up.as_ref().filter(|(_, at)| ms(*at) >= oldest) {
            // "None" is believed for a short time only: the server may have been made since.
            complete = !servers.is_empty() || *seen_at >= earlier(now, NONE_BELIEVED_FOR);
            for kept in servers {
                match kept.as_ref().filter(fresh) {
                    Some(kept) => {
                        found.insert(&kept.server.no, &kept.server);
                    }
                    // It was found, and is gone from the list since: ask again.
                    None => complete = false,
                }
            }
        }
        let whole = match name {
            TargetName::No(_) => true,
            // A name is unique only in a complete list: single servers that were looked up say nothing of the others.
            TargetName::Name(_) => self.completed_at.is_some_and(|at| at >= oldest),
            TargetName::Ip(_) => false,
        };
        if whole {
            found.extend(self.named.iter().filter(fresh).map(|kept| (&kept.server.no, &kept.server)));
        }
        let mut servers: Vec<&Server> = found.into_values().collect();
        if let TargetName::Name(called) = name {
            // One that was looked up by this name and has another one by now says nothing of it.
            complete &= servers.is_empty();
            servers = called.among(&servers);
        }
        if servers.is_empty() && !complete { TargetFact::Pending } else { fact_of(name, &servers) }
    }
}

pub(super) async fn known_target(
    connection: &mut Connection,
    region: &RegionCode,
    name: &TargetName,
) -> Result<Known, StoreError> {
    let row = query("SELECT server_nos, seen_at FROM lookup WHERE region_code = ? AND named = ?")
        .bind(region.as_str())
        .bind(name.to_string())
        .fetch_optional(&mut *connection)
        .await
        .doing("reading a look-up")?;
    let mut looked_up = None;
    if let Some(row) = row {
        let mut servers = Vec::new();
        for number in row.value::<Vec<String>>("server_nos")? {
            servers.push(server_by_no(connection, region, &number).await?);
        }
        looked_up = Some((servers, row.time("seen_at")?));
    }
    let (mut named, mut completed_at) = (Vec::new(), None);
    match name {
        TargetName::No(no) => named.extend(server_by_no(connection, region, no.as_str()).await?),
        TargetName::Name(whole) => {
            let part = whole.first_part();
            for called in [Some(whole), part.as_ref()].into_iter().flatten() {
                named.extend(servers_by_name(connection, region, called).await?);
            }
            completed_at = list_completed_at(connection, region).await?;
        }
        TargetName::Ip(_) => {}
    }
    Ok(Known { looked_up, named, completed_at })
}

async fn list_completed_at(
    connection: &mut Connection,
    region: &RegionCode,
) -> Result<Option<i64>, StoreError> {
    let completed: Option<Option<i64>> =
        query_scalar("SELECT completed_at FROM inventory_read WHERE region_code = ?")
            .bind(region.as_str())
            .fetch_optional(connection)
            .await
            .doing("reading the inventory's age")?;
    Ok(completed.flatten())
}

async fn server_by_no(
    connection: &mut Connection,
    region: &RegionCode,
    no: &str,
) -> Result<Option<Kept>, StoreError> {
    let row = query("SELECT server, seen_at FROM server WHERE region_code = ? AND server_no = ?")
        .bind(region.as_str())
        .bind(no)
        .fetch_optional(connection)
        .await
        .doing("reading the inventory")?;
    Ok(row.as_ref().and_then(kept))
}

async fn servers_by_name(
    connection: &mut Connection,
    region: &RegionCode,
    name: &ServerName,
) -> Result<Vec<Kept>, StoreError> {
    let rows = query("SELECT server, seen_at FROM server WHERE region_code = ? AND server_name = ?")
        .bind(region.as_str())
        .bind(name.as_str())
        .fetch_all(connection)
        .await
        .doing("reading the inventory")?;
    Ok(rows.iter().filter_map(kept).collect())
}

/// A server that cannot be read is as one that is not there: it is looked up.
fn kept(row: &Row) -> Option<Kept> {
    Some(Kept { server: row.value("server").ok()?, seen_at: row.int("seen_at").ok()? })
}

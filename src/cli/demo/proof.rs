//! What is proven after the story: audit rows by `requestId`, the chain, the cloud's ledger.
//!
//! Never: takes the service's word where the ledger can be asked.

use std::collections::BTreeMap;

use serde_json::Value;

use super::player::Player;
use super::story::EDGE;
use crate::app::App;
use crate::cli::client::text_of;
use crate::cli::failure::Failure;
use crate::cli::out::Out;
use crate::cli::table::Table;
use crate::cli::when;
use crate::store::verify_chain;

/// Prints and checks; false when something is not so.
pub(super) async fn show(player: &mut Player<'_>, app: &App, out: &mut Out) -> Result<bool, Failure> {
    out.line("")?;
    out.line("the proof")?;
    let mut all = rows_by_request_id(player, out).await?;
    all &= still_unknown(player, out).await?;
    all &= chain_holds(app, out).await?;
    all &= one_effect_each(player, out)?;
    Ok(all)
}

fn check(out: &mut Out, good: bool, text: &str) -> Result<bool, Failure> {
    let mark = if good { '✓' } else { '✗' };
    out.line(format_args!("  {mark} {text}"))?;
    Ok(good)
}

async fn rows_by_request_id(player: &Player<'_>, out: &mut Out) -> Result<bool, Failure> {
    let mut all = !player.request_ids.is_empty();
    for id in &player.request_ids {
        let page = player.api.get(&["audit"], &[("requestId", id.clone())]).await?;
        let items = page.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let text = format!("GET /api/v1/audit?requestId={id} → {} row", items.len());
        all &= check(out, items.len() == 1, &text)?;
        let mut table = Table::new(&["time", "kind", "server", "outcome", "returnCode", "requestId"]);
        for item in &items {
            let at = text_of(item, "at").parse().map_or_else(|_unreadable| String::new(), when::short);
            let fields = ["kind", "serverInstanceNo", "outcome", "returnCode", "requestId"];
            table.row([at].into_iter().chain(fields.map(|field| text_of(item, field))));
        }
        // Whole, because the requestId is what one wants to copy.
        table.print(out, true)?;
    }
    Ok(all)
}

/// Unknown stays unknown: the machine has not touched it since.
async fn still_unknown(player: &Player<'_>, out: &mut Out) -> Result<bool, Failure> {
    let open = player.api.get(&["remediations"], &[("state", "unknown".to_owned())]).await?;
    let items = open.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let found = items.iter().any(|item| text_of(item, "serverInstanceNo") == EDGE);
    check(out, found, &format!("the lost one of {EDGE} is still unknown: `unhang settle` is for people"))
}

async fn chain_holds(app: &App, out: &mut Out) -> Result<bool, Failure> {
    let report = verify_chain(&app.service().store, &app.service().config().audit.ring(), |_rows| {}).await?;
    let text = match &report.fault {
        None => format!("the audit verifies: {} rows, last hash {}", report.rows, report.last_hash),
        Some(fault) => format!("the audit does not verify: row {}: {}", fault.seq, fault.what),
    };
    check(out, report.fault.is_none(), &text)
}

fn one_effect_each(player: &Player<'_>, out: &mut Out) -> Result<bool, Failure> {
    let mut effects: BTreeMap<String, usize> = BTreeMap::new();
    for entry in player.cloud.ledger().into_iter().filter(|entry| entry.effect) {
        *effects.entry(entry.server_instance_no.unwrap_or_default()).or_default() += 1;
    }
    let destroyed = player.cloud.servers().iter().any(|server| server.dumps_destroyed > 0);
    let good = effects.values().all(|count| *count <= 1) && !destroyed;
    let text =
        format!("the cloud's ledger: {} server interrupted, none twice, no dump destroyed", effects.len());
    check(out, good, &text)
}

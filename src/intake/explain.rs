//! Explaining: what would be decided now, with every guard, changing nothing.
//!
//! Never: writes, or wakes anybody.

use jiff::Timestamp;

use super::AlertAnswer;
use super::alerts::{Told, ask, plain_answer, quarantined};
use super::heartbeat;
use crate::config::Config;
use crate::domain::alert::{Envelope, Parsed};
use crate::domain::guard::Trace;
use crate::domain::ids::DeliveryId;
use crate::domain::policy::Trust;
use crate::domain::server::ServerNo;
use crate::store::{FactSource, StoreError};

/// Decides every alert of an envelope with the facts as they are, changing nothing. `received_at` is the time that
/// ages are counted from; `person` is set for a replay.
pub async fn explain(
    facts_from: &mut impl FactSource,
    source: &str,
    trust: Trust,
    envelope: &Envelope,
    person: Option<&str>,
    config: &Config,
    now: Timestamp,
) -> Result<Vec<(AlertAnswer, Trace)>, StoreError> {
    let id = DeliveryId::from_text("dry-run");
    let mut explained = Vec::with_capacity(envelope.alerts.len());
    let ends: Vec<String> = envelope.ended().map(|alert| alert.fingerprint.clone()).collect();
    for (idx, parsed) in envelope.alerts.iter().enumerate() {
        let told = Told {
            delivery_id: &id,
            idx,
            source,
            trust,
            received_at: now,
            truncated: envelope.truncated > 0,
            ends: &ends,
            trace_id: "",
            person,
            replay_of: None,
        };
        explained.push(match parsed {
            Parsed::Alert(alert) if heartbeat::heartbeat_of(config, source, alert).is_some() => {
                let decided = heartbeat::decided();
                (plain_answer(Some(&alert.fingerprint), None, &decided), decided.trace)
            }
            Parsed::Alert(alert) => {
                let (decided, target) = ask(facts_from, &told, alert, config, None, None, now).await?;
                let server = target.no.as_ref().map(ServerNo::to_string);
                (plain_answer(Some(&alert.fingerprint), server, &decided), decided.trace)
            }
            Parsed::Quarantined { fingerprint, why } => {
                let decided = quarantined(why);
                (plain_answer(fingerprint.as_deref(), None, &decided), decided.trace)
            }
        });
    }
    Ok(explained)
}

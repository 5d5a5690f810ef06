//! What commands do with a store of their own: open it to write, and walk its audit.
//!
//! Never: leaves a writer behind.

use tokio_util::task::TaskTracker;

use super::failure::Failure;
use super::out::Out;
use crate::config::Place;
use crate::domain::audit_key::{AuditKey, KeyRing};
use crate::domain::chain::ChainReport;
use crate::store::{Store, verify_chain};

/// Opens a store to write, works with it, and waits until its writer has ended.
pub(super) async fn with_writer<T>(
    place: &Place,
    key: Option<AuditKey>,
    work: impl AsyncFnOnce(&Store) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let (store, writer) = Store::open_at(place, key, |_stats| {}).await?;
    let tasks = TaskTracker::new();
    tasks.spawn(writer);
    tasks.close();
    let done = work(&store).await;
    drop(store);
    tasks.wait().await;
    done
}

/// Walks the audit, and shows how far it is.
pub(super) async fn walk(store: &Store, ring: &KeyRing) -> Result<ChainReport, Failure> {
    let mut progress = Out::stderr();
    let mut told = Ok(());
    let report =
        verify_chain(store, ring, |rows| told = progress.progress(format_args!("verified {rows} rows")))
            .await?;
    told?;
    progress.end_progress()?;
    Ok(report)
}

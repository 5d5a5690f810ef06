//! `/api/v1/notifications`: what people outside are told, and how each receiver stands.
//!
//! Never: an address of a receiver.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::super::auth::Viewer;
use super::super::body::{Params, seq_cursor};
use super::super::door::Door;
use super::super::problem::Problem;
use crate::domain::notice::Kind;
use crate::store::{MessageRow, MessageState, Page, ReceiverState};

/// Messages, and those whom they are for.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Notifications {
    /// The messages, newest first.
    #[serde(flatten)]
    list: Page<MessageRow>,
    /// Every configured receiver.
    receivers: Vec<ReceiverItem>,
}

/// One receiver as it stands.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReceiverItem {
    /// How it stands.
    #[serde(flatten)]
    state: ReceiverState,
    /// Its name.
    name: String,
    /// `slack`, `webhook` or `alertmanager`.
    kind: &'static str,
    /// What it is told.
    events: Vec<Kind>,
    /// Audit rows that it was not told of yet.
    audit_rows_behind: Option<i64>,
}

/// `GET /api/v1/notifications`: messages, newest first; `?receiver=` and `?state=waiting|standing|delivered|given_up`.
pub(in super::super) async fn list(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&req)?;
    let receiver = params.text("receiver");
    let state = params.choice("state", &MessageState::ALL)?;
    let page = params.page(seq_cursor)?;
    params.finish()?;
    let service = &door.service;
    let (config, now) = (service.config(), service.clock.now());
    let found = service.store.messages(receiver.as_deref(), state, &page, now).await?;
    let end = service.store.audit_end().await?.map_or(0, |(seq, _)| seq);
    let mut receivers = Vec::new();
    for one in &config.notify {
        let state = service.store.receiver_state(&one.name, now).await?;
        receivers.push(ReceiverItem {
            audit_rows_behind: state.told_up_to.map(|seq| end.saturating_sub(seq)),
            state,
            name: one.name.clone(),
            kind: one.kind.as_str(),
            events: one.events.iter().copied().collect(),
        });
    }
    Ok(HttpResponse::Ok().json(Notifications { list: found, receivers }))
}

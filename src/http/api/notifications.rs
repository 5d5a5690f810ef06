//! `/api/v1/notifications`: what people outside are told, and how each receiver stands.
//!
//! Never: an address of a receiver.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::super::auth::Viewer;
use super::super::body::{Params, seq_cursor};
use super::super::door::Door;
use super::super::problem::Problem;
use crate::store::MessageState;

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
        let behind = state.told_up_to.map(|seq| end.saturating_sub(seq));
        let mut shown = json!(state);
        if let Value::Object(fields) = &mut shown {
            fields.insert("name".to_owned(), json!(one.name));
            fields.insert("kind".to_owned(), json!(one.kind.as_str()));
            fields.insert("events".to_owned(), json!(one.events));
            fields.insert("auditRowsBehind".to_owned(), json!(behind));
        }
        receivers.push(shown);
    }
    let mut answer = json!(found);
    if let Value::Object(fields) = &mut answer {
        fields.insert("receivers".to_owned(), json!(receivers));
    }
    Ok(HttpResponse::Ok().json(answer))
}

//! Keeps until the answer has left: an unread chunked body, so that its connection ends under the server's deadline, and
//! the turn of the person who asked.
//!
//! Never: reads a body; that is for the handlers.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::HttpMessage as _;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::header::TRANSFER_ENCODING;
use actix_web::web::Bytes;
use futures_core::Stream;

use super::people::Turn;

/// The body of a request, shared by its handler and its answer.
#[derive(Clone)]
pub(super) struct Shared(Rc<RefCell<Payload>>);

impl Shared {
    /// Takes the body of a chunked request and puts a share of it back. A body that is dropped unread would be drained
    /// by the server without a deadline: whoever never ends it would hold the connection. One of known length is not.
    pub(super) fn of(req: &mut ServiceRequest) -> Option<Self> {
        if !req.headers().contains_key(TRANSFER_ENCODING) {
            return None;
        }
        let shared = Self(Rc::new(RefCell::new(req.take_payload())));
        req.set_payload(Payload::Stream { payload: Box::pin(shared.clone()) });
        Some(shared)
    }
}

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(cx)
    }
}

/// An answer that holds these until it has left.
pub(super) struct Holding {
    pub(super) answer: BoxBody,
    pub(super) _request: Option<Shared>,
    pub(super) _turn: Option<Turn>,
}

impl MessageBody for Holding {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.answer.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.answer).poll_next(cx)
    }
}

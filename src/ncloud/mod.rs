//! NAVER Cloud: signs, sends, reads and understands the vendor's Server API. The vendor's words live here only.
//!
//! Owns: signature v2, the wire formats, the verdict over an interrupt's answer, the two HTTP clients.
//! Never: decides whether to interrupt, sends a prepared interrupt twice, touches the store, asks a wall clock.

pub mod client;
pub mod insight;
pub mod outcome;
pub mod read_error;
pub mod reader;
pub mod role;
pub mod signature;
pub mod text;
pub mod tracer;
pub mod wire;

mod paging;
mod poster;
mod request;

#[cfg(test)]
mod loopback;

pub use client::{InterruptClient, PreparedInterrupt};
pub use insight::Insight;
pub use outcome::AttemptReport;
pub use read_error::ReadError;
pub use reader::{CloudClock, Reader};
pub use request::{ClientError, endpoint_for_site};
pub use role::{RoleKeys, RoleReader};
pub use tracer::Tracer;
pub use wire::Region;

use crate::config::CloudConfig;

/// The ways to the cloud.
#[derive(Debug)]
pub struct Clients {
    /// Reads, repeated where that is safe.
    pub reader: Reader,
    /// The one call that is not.
    pub interrupt: InterruptClient,
    /// The vendor's own record of calls, where it is configured.
    pub tracer: Option<Tracer>,
    /// Open events, where it is known where they are.
    pub insight: Option<Insight>,
}

impl Clients {
    /// Signs with other keys from now on; everything else of the configuration stays as it was.
    pub fn renew_keys(&self, config: &CloudConfig) -> Result<(), ClientError> {
        self.interrupt.renew_keys(config)?;
        self.reader.renew_keys(config)?;
        self.tracer.as_ref().map_or(Ok(()), |tracer| tracer.renew_keys(config))?;
        self.insight.as_ref().map_or(Ok(()), |insight| insight.renew_keys(config))
    }
}

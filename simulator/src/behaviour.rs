//! Behaviour: what the simulated cloud does wrong, for whom, and how often.
//!
//! Never: touches a socket or a server; `performance` and `cloud` act on what is said here.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

/// What the cloud does with one call.
///
/// For the interrupt: `ok…` and `done…` deliver it at once (`done_after` later), everything else never delivers
/// it. For reads the same answers are given, and nothing is delivered anyway.
/// Written as `{"kind":"ok_slow","ms":200}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Behaviour {
    /// Delivered and answered as documented.
    Ok,
    /// Delivered at once, answered after `ms`.
    OkSlow {
        /// Time until the answer, in milliseconds.
        ms: u64,
    },
    /// Delivered; the answer lacks `requestId`, as the older documents show.
    OkWithoutRequestId,
    /// Delivered; the answer lacks `returnCode` and `returnMessage`.
    OkWithoutReturnCode,
    /// Delivered; HTTP 200 whose `returnCode` is `code`.
    OkWithReturnCode {
        /// The code to put in place of `0`.
        code: String,
    },
    /// Delivered; XML although JSON was asked for.
    OkAsXml,
    /// Delivered; the body stops half-way through its announced length.
    OkTruncated,
    /// Delivered; a readable answer followed by blanks up to 10 MiB, of unannounced length.
    OkOversize,
    /// Delivered; the body comes a few bytes at a time, for ten minutes at most.
    OkDripped {
        /// Pace of the body; 0 counts as 1.
        #[serde(alias = "bytesPerSecond")]
        bytes_per_second: u64,
    },
    /// Delivered, then the connection is closed without an answer.
    DoneThenClosed,
    /// Delivered, then the connection is reset.
    DoneThenReset,
    /// Delivered, answered 500 with gateway error 900.
    #[serde(rename = "done_then_500")]
    DoneThen500,
    /// Delivered, answered 503 with gateway error 500 (Endpoint Error).
    #[serde(rename = "done_then_503")]
    DoneThen503,
    /// Delivered, answered 504 with gateway error 510 (Endpoint Timeout).
    #[serde(rename = "done_then_504")]
    DoneThen504,
    /// Delivered only after `ms`, also when the caller has gone; answered then.
    DoneAfter {
        /// Time until delivery, in milliseconds.
        ms: u64,
    },
    /// Connection closed without an answer; nothing done.
    NotDoneClosed,
    /// The same bytes as `done_then_500`; nothing done.
    #[serde(rename = "not_done_500")]
    NotDone500,
    /// 503 with `Retry-After`.
    #[serde(rename = "status_503_retry_after")]
    Status503RetryAfter,
    /// 429 with gateway error 420 (Rate Limited).
    #[serde(rename = "status_429")]
    Status429,
    /// 401 with gateway error 200 (Authentication Failed).
    #[serde(rename = "status_401")]
    Status401,
    /// 401 with gateway error 210 (Permission Denied), which is how a missing permission shows.
    #[serde(rename = "status_401_permission")]
    Status401Permission,
    /// 403 with gateway error 230.
    #[serde(rename = "status_403")]
    Status403,
    /// 404 with gateway error 300.
    #[serde(rename = "status_404")]
    Status404,
    /// 307 to the very same address.
    #[serde(rename = "redirect_307")]
    Redirect307,
    /// 302 to the very same address.
    #[serde(rename = "redirect_302")]
    Redirect302,
    /// Silence for `ms`, then the connection is closed; nothing done.
    Stall {
        /// Length of the silence, in milliseconds.
        ms: u64,
    },
    /// Bytes that are not HTTP; nothing done.
    Garbage,
    /// A gateway `error` body inside HTTP 200; nothing done.
    #[serde(rename = "error_in_200")]
    ErrorIn200,
    /// A `responseError` body (1100031) inside HTTP 200; nothing done.
    #[serde(rename = "response_error_in_200")]
    ResponseErrorIn200,
}

/// When the interrupt reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    AtOnce,
    After { ms: u64 },
    Never,
}

impl Behaviour {
    pub(crate) fn delivery(&self) -> Delivery {
        match self {
            Self::Ok
            | Self::OkSlow { .. }
            | Self::OkWithoutRequestId
            | Self::OkWithoutReturnCode
            | Self::OkWithReturnCode { .. }
            | Self::OkAsXml
            | Self::OkTruncated
            | Self::OkOversize
            | Self::OkDripped { .. }
            | Self::DoneThenClosed
            | Self::DoneThenReset
            | Self::DoneThen500
            | Self::DoneThen503
            | Self::DoneThen504 => Delivery::AtOnce,
            Self::DoneAfter { ms } => Delivery::After { ms: *ms },
            Self::NotDoneClosed
            | Self::NotDone500
            | Self::Status503RetryAfter
            | Self::Status429
            | Self::Status401
            | Self::Status401Permission
            | Self::Status403
            | Self::Status404
            | Self::Redirect307
            | Self::Redirect302
            | Self::Stall { .. }
            | Self::Garbage
            | Self::ErrorIn200
            | Self::ResponseErrorIn200 => Delivery::Never,
        }
    }
}

/// Which calls a script speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// `interruptServerInstance`.
    #[default]
    Interrupt,
    /// `getRegionList`, `getServerInstanceList` and `getServerInstanceDetail`.
    Reads,
    /// `GetActivityList` of Cloud Activity Tracer.
    Activities,
    /// `SearchEvent` of Cloud Insight.
    Events,
}

/// One order of misbehaviour.
///
/// With `times` it is queued behind earlier orders of the same place and used up; without, it stands until
/// replaced. `times = 0` forgets everything ordered for that place. A call takes, in this order: the server's
/// queue, the server's standing order, the queue for all servers, the standing order for all, `ok`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Script {
    /// The server it is for; absent means all. Lists and regions have no server.
    #[serde(default, alias = "server_instance_no", skip_serializing_if = "Option::is_none")]
    pub server_instance_no: Option<String>,
    /// Interrupts or reads.
    #[serde(default)]
    pub target: Target,
    /// What to do.
    pub behaviour: Behaviour,
    /// How many calls; absent means from now on.
    #[serde(default)]
    pub times: Option<u32>,
}

impl Script {
    /// A standing order for every interrupt.
    pub fn every_interrupt(behaviour: Behaviour) -> Self {
        Self { server_instance_no: None, target: Target::Interrupt, behaviour, times: None }
    }

    /// For the next interrupt of one server only.
    pub fn next_interrupt(server_instance_no: &str, behaviour: Behaviour) -> Self {
        Self {
            server_instance_no: Some(server_instance_no.to_owned()),
            target: Target::Interrupt,
            behaviour,
            times: Some(1),
        }
    }

    /// A standing order for every read.
    pub fn every_read(behaviour: Behaviour) -> Self {
        Self { server_instance_no: None, target: Target::Reads, behaviour, times: None }
    }
}

#[derive(Debug, Default)]
struct Place {
    queue: VecDeque<(Behaviour, u32)>,
    standing: Option<Behaviour>,
}

/// All orders in force.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    places: BTreeMap<(Target, Option<String>), Place>,
}

impl Scripts {
    pub(crate) fn order(&mut self, script: Script) {
        let key = (script.target, script.server_instance_no);
        match script.times {
            Some(0) => {
                self.places.remove(&key);
            }
            Some(times) => self.places.entry(key).or_default().queue.push_back((script.behaviour, times)),
            None => self.places.entry(key).or_default().standing = Some(script.behaviour),
        }
    }

    /// The behaviour for one call, used up where it was queued.
    pub(crate) fn take(&mut self, target: Target, server_instance_no: Option<&str>) -> Behaviour {
        if self.places.is_empty() {
            return Behaviour::Ok;
        }
        let own = server_instance_no.and_then(|no| self.take_from(&(target, Some(no.to_owned()))));
        own.or_else(|| self.take_from(&(target, None))).unwrap_or(Behaviour::Ok)
    }

    fn take_from(&mut self, key: &(Target, Option<String>)) -> Option<Behaviour> {
        let place = self.places.get_mut(key)?;
        let Some((behaviour, left)) = place.queue.front_mut() else {
            return place.standing.clone();
        };
        let taken = behaviour.clone();
        *left = left.saturating_sub(1);
        if *left == 0 {
            place.queue.pop_front();
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queued_orders_come_first_and_are_used_up() {
        let mut scripts = Scripts::default();
        scripts.order(Script::every_interrupt(Behaviour::Status429));
        scripts.order(Script::next_interrupt("1", Behaviour::Garbage));
        scripts.order(Script { times: Some(2), ..Script::next_interrupt("1", Behaviour::DoneThen500) });
        let taken: Vec<_> = (0..4).map(|_| scripts.take(Target::Interrupt, Some("1"))).collect();
        assert_eq!(
            taken,
            [Behaviour::Garbage, Behaviour::DoneThen500, Behaviour::DoneThen500, Behaviour::Status429]
        );
        assert_eq!(scripts.take(Target::Interrupt, Some("2")), Behaviour::Status429);
        assert_eq!(scripts.take(Target::Reads, Some("1")), Behaviour::Ok);
    }

    #[test]
    fn times_zero_forgets_the_place() {
        let mut scripts = Scripts::default();
        scripts.order(Script::every_read(Behaviour::Status403));
        scripts.order(Script { times: Some(0), ..Script::every_read(Behaviour::Ok) });
        assert_eq!(scripts.take(Target::Reads, None), Behaviour::Ok);
    }

    #[test]
    fn orders_are_written_with_a_kind() {
        let script: Script = serde_json::from_str(
            r#"{"serverInstanceNo":"7","target":"interrupt","behaviour":{"kind":"done_then_503"},"times":null}"#,
        )
        .unwrap();
        assert_eq!(script.behaviour, Behaviour::DoneThen503);
        let typo = serde_json::from_str::<Behaviour>(r#"{"kind":"ok_slow","ms":1,"s":2}"#);
        assert!(typo.is_err());
    }
}

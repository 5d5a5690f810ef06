//! The fake cloud: servers as they really are, and the ledger of what really happened to them.
//!
//! Never: knows what the service stored.

use unhang::domain::remediation::Outcome;
use unhang::domain::server::Server;

use super::values::{MINUTE, SECOND, at, ms, servers};
use crate::prng::Prng;

/// One request that was handed to the HTTP client.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) nonce: u64,
    pub(crate) server: usize,
    /// Time on the wire.
    pub(crate) signed_at: i64,
    pub(crate) handed_at: i64,
    pub(crate) send_before: i64,
    pub(crate) arrived: bool,
    /// When it took effect.
    pub(crate) effect_at: Option<i64>,
}

/// An answer on its way back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    pub(crate) nonce: u64,
    pub(crate) outcome: Outcome,
    pub(crate) unauthorized: bool,
}

/// A server as it really is.
#[derive(Debug, Clone)]
pub(crate) struct Real {
    pub(crate) server: Server,
    pub(crate) present: bool,
    pub(crate) busy_until: Option<(i64, bool)>,
    /// When it was really started, whoever did it.
    pub(crate) boots: Vec<i64>,
}

impl Real {
    fn start(&mut self, time: i64) {
        self.server.uptime_at = Some(at(time));
        self.boots.push(time);
    }
}

/// What the cloud does with a request.
#[derive(Debug, Clone, Copy)]
enum Behaviour {
    Done,
    DoneThenLost,
    LostOnTheWay,
    Refused,
    Unauthorized,
    BrokenAnswer,
}

/// The cloud.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) real: Vec<Real>,
    pub(crate) ledger: Vec<Request>,
    pub(crate) replies: Vec<Reply>,
}

impl Cloud {
    /// The cloud at the beginning.
    pub(crate) fn new() -> Self {
        let real = servers().into_iter().map(|server| {
            let boots = server.uptime_at.map(ms).into_iter().collect();
            Real { server, present: true, busy_until: None, boots }
        });
        Self { real: real.collect(), ledger: Vec::new(), replies: Vec::new() }
    }

    /// Lets operations end whose time has come.
    pub(crate) fn pass(&mut self, time: i64) {
        for real in &mut self.real {
            if let Some((until, reboots)) = real.busy_until.filter(|(until, _)| *until <= time) {
                real.busy_until = None;
                "NULL".clone_into(&mut real.server.operation_code);
                if reboots {
                    real.start(until);
                }
            }
        }
    }

    /// A request reaches the cloud, or is lost on its way.
    pub(crate) fn arrive(&mut self, index: usize, time: i64, faults: bool, rng: &mut Prng) {
        let behaviour = if faults {
            rng.weighted(&[
                (45, Behaviour::Done),
                (12, Behaviour::DoneThenLost),
                (10, Behaviour::LostOnTheWay),
                (15, Behaviour::Refused),
                (4, Behaviour::Unauthorized),
                (8, Behaviour::BrokenAnswer),
            ])
        } else {
            Behaviour::Done
        };
        let request = &mut self.ledger[index];
        request.arrived = true;
        let nonce = request.nonce;
        let real = &mut self.real[request.server];
        let old = (time - request.signed_at).abs() > 5 * MINUTE;
        let (acts, reply) = match behaviour {
            Behaviour::LostOnTheWay => (false, None),
            _ if old => (false, Some((Outcome::Rejected, true))),
            Behaviour::Unauthorized => (false, Some((Outcome::Rejected, true))),
            _ if !real.present || real.server.status_code != "RUN" => {
                (false, Some((Outcome::Rejected, false)))
            }
            Behaviour::Refused => (false, Some((Outcome::Rejected, false))),
            Behaviour::Done => (true, Some((Outcome::Accepted, false))),
            Behaviour::BrokenAnswer => (true, Some((Outcome::Unknown, false))),
            Behaviour::DoneThenLost => (true, None),
        };
        if acts {
            request.effect_at = Some(time);
            "INTRT".clone_into(&mut real.server.operation_code);
            let reboots = !rng.chance(100);
            real.busy_until = Some((time + 30 * SECOND + i64::from(rng.chance(500)) * 9 * MINUTE, reboots));
        }
        if let Some((outcome, unauthorized)) = reply {
            self.replies.push(Reply { nonce, outcome, unauthorized });
        }
    }

    /// Somebody reboots a server.
    pub(crate) fn reboot(&mut self, index: usize, time: i64) {
        self.real[index].start(time);
    }

    /// Something happens to a server without us.
    pub(crate) fn stir(&mut self, index: usize, time: i64, rng: &mut Prng) {
        let real = &mut self.real[index];
        match rng.below(6) {
            0 => {
                let stopped = real.server.status_code == "RUN";
                if stopped { "NSTOP" } else { "RUN" }.clone_into(&mut real.server.status_code);
            }
            1 => {
                "CHNG".clone_into(&mut real.server.operation_code);
                real.busy_until = Some((time + 5 * MINUTE, rng.chance(300)));
            }
            2 => real.present = !real.present,
            // The number is given out again.
            3 => real.server.created_at = at(time),
            4 => real.server.name.push('x'),
            _ => real.start(time),
        }
    }
}

//! The story as data: scenes of steps, each with what is expected.
//!
//! Never: does anything; that is `player`.

use jiff::SignedDuration;
use simulator::Behaviour;

use super::config::{HUNG, SLOW};
use super::payload::{Sender, Telling};

/// `win-app-01`, Windows on XEN.
pub(super) const APP: &str = "90000001";
/// `lnx-web-01`, Linux.
const LINUX: &str = "90000003";
/// `lnx-old-01`, Linux.
const OLD_LINUX: &str = "90000004";
/// `win-db-01`, Windows.
const DB: &str = "90000005";
/// `win-edge-01`, Windows.
pub(super) const EDGE: &str = "90000006";
/// No server of the fleet.
const NOBODY: &str = "99999999";

/// What one alert is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    /// Decision.
    pub(super) decision: &'static str,
    /// Reasons that are right; empty: none is given.
    pub(super) reasons: &'static [&'static str],
}

/// One step.
#[derive(Debug)]
pub(super) enum Step {
    /// The guest of a server hangs.
    Hang(&'static str),
    /// The cloud will misbehave at the next interrupt of a server.
    Misbehave(&'static str, Behaviour),
    /// An alert is delivered and answered.
    Tell(Telling, Word),
    /// The very same bytes again: the same delivery.
    TellAgain,
    /// The newest delivery's alert is decided within the time.
    Decided(Word),
    /// A guard said no to the newest delivery's alert, whether or not it was the first.
    SaidNo(&'static str),
    /// The newest remediation reaches a state.
    Reaches(&'static str),
    /// The newest remediation has the cloud's `requestId`.
    HasRequestId,
    /// The cloud's own ledger for a server: requests and effects.
    Ledger {
        /// The server.
        server: &'static str,
        /// Requests that came in.
        requests: usize,
        /// Requests that reached the server.
        effects: usize,
    },
}

/// Steps that belong together; the first that fails ends them.
#[derive(Debug)]
pub(super) struct Scene {
    /// What it shows.
    pub(super) title: &'static str,
    /// In order.
    pub(super) steps: Vec<Step>,
}

fn word(decision: &'static str, reasons: &'static [&'static str]) -> Word {
    Word { decision, reasons }
}

fn firing(alert: &'static str, server: &'static str, note: &'static str) -> Telling {
    Telling { sender: Sender::Alertmanager, alert, server, firing: true, note }
}

/// The whole story.
pub(super) fn scenes() -> Vec<Scene> {
    vec![interrupted(), refused_linux(), refused_unknown(), refused_stale(), resolved(), lost(), identical()]
}

fn interrupted() -> Scene {
    Scene {
        title: "win-app-01 hangs: one interrupt, and the proof of it",
        steps: vec![
            Step::Hang(APP),
            Step::Tell(firing(HUNG, APP, "win-app-01 answers ping, exporter silent"), word("remediate", &[])),
            Step::Tell(firing(HUNG, APP, "still silent"), word("duplicate", &["duplicate"])),
            Step::Reaches("confirmed"),
            Step::HasRequestId,
            Step::Tell(firing(HUNG, APP, "told late"), word("suppressed", &["dump_window"])),
            Step::Ledger { server: APP, requests: 1, effects: 1 },
        ],
    }
}

fn refused_linux() -> Scene {
    Scene {
        title: "a Linux server is never interrupted",
        steps: vec![
            Step::Tell(firing(HUNG, LINUX, "lnx-web-01"), word("suppressed", &["not_eligible"])),
            Step::Ledger { server: LINUX, requests: 0, effects: 0 },
        ],
    }
}

fn refused_unknown() -> Scene {
    Scene {
        title: "an unknown server is looked up, then refused",
        steps: vec![
            Step::Tell(firing(HUNG, NOBODY, "nobody"), word("pending", &[])),
            Step::Decided(word("suppressed", &["target_unknown"])),
            Step::Ledger { server: NOBODY, requests: 0, effects: 0 },
        ],
    }
}

fn refused_stale() -> Scene {
    let age = SignedDuration::from_mins(20);
    let telling = Telling {
        sender: Sender::CloudInsight { age },
        alert: HUNG,
        server: DB,
        firing: true,
        note: "win-db-01",
    };
    Scene {
        title: "an old Cloud Insight call, sent again, is refused",
        steps: vec![
            Step::Tell(telling, word("suppressed", &["stale"])),
            Step::Ledger { server: DB, requests: 0, effects: 0 },
        ],
    }
}

fn resolved() -> Scene {
    let over = Telling { firing: false, ..firing(SLOW, DB, "win-db-01 recovered") };
    Scene {
        title: "resolved while it settles: taken back, nothing sent",
        steps: vec![
            Step::Tell(firing(SLOW, DB, "win-db-01 is slow"), word("remediate", &[])),
            Step::Tell(over, word("resolved", &[])),
            Step::Reaches("cancelled"),
            Step::Ledger { server: DB, requests: 0, effects: 0 },
        ],
    }
}

/// The reason of the second telling is that of the first guard: a dump may be being written, or the open unknown.
fn lost() -> Scene {
    Scene {
        title: "the cloud's answer is lost: unknown, and never sent again",
        steps: vec![
            Step::Hang(EDGE),
            Step::Misbehave(EDGE, Behaviour::NotDoneClosed),
            Step::Tell(firing(HUNG, EDGE, "win-edge-01 hangs"), word("remediate", &[])),
            Step::Reaches("unknown"),
            Step::Tell(
                firing(HUNG, EDGE, "win-edge-01 still hangs"),
                word("suppressed", &["unknown_open", "dump_window"]),
            ),
            Step::SaidNo("unknown_open"),
            Step::Reaches("unknown"),
            Step::Ledger { server: EDGE, requests: 1, effects: 0 },
        ],
    }
}

fn identical() -> Scene {
    Scene {
        title: "the same bytes twice are one delivery",
        steps: vec![
            Step::Tell(firing(HUNG, OLD_LINUX, "lnx-old-01"), word("suppressed", &["not_eligible"])),
            Step::TellAgain,
        ],
    }
}

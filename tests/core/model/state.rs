//! The model's state: a few remediations, attempts, processes and requests, over a few instants.
//!
//! Never: anything that is not compared when states are.

use unhang::domain::remediation::{Outcome, State as Standing};

/// Seconds of the instants: within a send's deadline, past a pre-flight and a deadline, past an approval and a
/// signature, past the cooldown.
pub(super) const INSTANTS: [i64; 4] = [0, 40, 700, 2900];
/// Cooldown of the model's policy, in seconds.
pub(super) const COOLDOWN: i64 = 2100;

/// How much of the world is explored.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each switches one kind of event")]
pub(super) struct Size {
    pub(super) servers: u8,
    pub(super) rems: usize,
    pub(super) attempts: usize,
    pub(super) epochs: u8,
    pub(super) instants: u8,
    /// A person must approve.
    pub(super) approval: bool,
    /// People clear holds, settle open ends and change the policy.
    pub(super) people: bool,
    /// Alerts resolve.
    pub(super) resolves: bool,
    /// Holds are set.
    pub(super) holds: bool,
    /// Somebody restarts servers.
    pub(super) boots: bool,
}

impl Size {
    /// Crashes at every point, rival owners, repeated tries.
    pub(super) fn crashes() -> Self {
        let short = Self {
            servers: 1,
            rems: 1,
            attempts: 3,
            epochs: 2,
            instants: 3,
            approval: false,
            people: false,
            resolves: false,
            holds: true,
            boots: false,
        };
        short.or_by("UNHANG_MODEL_CRASHES")
    }

    /// What people and senders do, a second remediation behind the cooldown.
    pub(super) fn people() -> Self {
        let short = Self {
            rems: 2,
            attempts: 2,
            epochs: 1,
            instants: 4,
            people: true,
            holds: false,
            ..Self::crashes()
        };
        short.or_by("UNHANG_MODEL_PEOPLE")
    }

    /// A person must approve.
    pub(super) fn approval() -> Self {
        let short = Self {
            rems: 1,
            attempts: 2,
            epochs: 2,
            instants: 4,
            approval: true,
            resolves: true,
            ..Self::crashes()
        };
        short.or_by("UNHANG_MODEL_APPROVAL")
    }

    /// Two servers that share the one place in flight.
    pub(super) fn two_servers() -> Self {
        let short = Self {
            servers: 2,
            rems: 2,
            attempts: 2,
            epochs: 2,
            instants: 2,
            holds: false,
            ..Self::crashes()
        };
        short.or_by("UNHANG_MODEL_TWO_SERVERS")
    }

    /// Servers that somebody restarts at any point.
    pub(super) fn boots() -> Self {
        let short = Self {
            rems: 2,
            attempts: 2,
            epochs: 1,
            instants: 4,
            holds: false,
            boots: true,
            ..Self::crashes()
        };
        short.or_by("UNHANG_MODEL_BOOTS")
    }

    /// Other counts from the environment: `remediations,attempts,epochs,instants`.
    fn or_by(self, name: &str) -> Self {
        let text: String = crate::sizes::size(name, String::new());
        let numbers: Vec<usize> = text.split(',').filter_map(|part| part.trim().parse().ok()).collect();
        let small = |number: usize| u8::try_from(number).unwrap();
        match numbers[..] {
            [rems, attempts, epochs, instants] => {
                Self { rems, attempts, epochs: small(epochs), instants: small(instants), ..self }
            }
            _ => self,
        }
    }
}

/// A fault planted in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plant {
    ResendOnUnknown,
    NoEpochCheck,
    CallBeforeCommit,
    FreeOnUnknown,
    HoldNotRead,
    LateHandOver,
    BootUnseen,
}

impl Plant {
    /// Each fault, where to look for it, and the laws that may show it.
    pub(super) fn all() -> [(Self, Size, &'static [&'static str]); 7] {
        let again: &[&str] = &["not sent, but it was handed over", "two requests of one remediation"];
        let twice: &[&str] = &["an intent inside the cooldown", "two effects in a cooldown"];
        [
            (Self::ResendOnUnknown, Size::crashes(), again),
            (Self::NoEpochCheck, Size::crashes(), &["an intent of a stale epoch"]),
            (Self::CallBeforeCommit, Size::crashes(), &["a request without a durable intent"]),
            (Self::FreeOnUnknown, Size::people(), twice),
            (Self::HoldNotRead, Size::crashes(), &["an intent under a hold"]),
            (Self::LateHandOver, Size::crashes(), &["handed over after its deadline"]),
            (Self::BootUnseen, Size::boots(), &["an intent on a server that was restarted since"]),
        ]
    }
}

/// One remediation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rem {
    pub(super) server: u8,
    pub(super) state: Standing,
    pub(super) begun: u8,
    pub(super) notice: u8,
    pub(super) approved: Option<u8>,
    /// Which of the two policies it was decided by.
    pub(super) policy: u8,
    /// When its server had been started, as far as that was known at the decision.
    pub(super) boot: Option<u8>,
}

/// One attempt, stored, with what became of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Attempt {
    pub(super) rem: u8,
    pub(super) epoch: u8,
    pub(super) at: u8,
    pub(super) outcome: Option<Known>,
    pub(super) request: Request,
    pub(super) effect: bool,
    pub(super) reply: Option<Known>,
}

/// [`Outcome`] with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Known {
    Accepted,
    Rejected,
    NotSent,
    Unknown,
}

impl Known {
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Accepted => Outcome::Accepted,
            Self::Rejected => Outcome::Rejected,
            Self::NotSent => Outcome::NotSent,
            Self::Unknown => Outcome::Unknown,
        }
    }
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Request {
    None,
    Travelling,
    Arrived,
}

/// Where the task of a request stands in its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Ready,
    Waiting,
    Answered(Known),
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Process {
    pub(super) epoch: u8,
    /// A pre-flight read: of which remediation, when, and the boot that it saw.
    pub(super) kept: Option<(u8, Read)>,
    /// A claim whose commit failed: the remediation whose newest intent, if any, was not sent.
    pub(super) undo: Option<(u8, Option<u8>)>,
    pub(super) sends: Vec<(u8, Stage)>,
}

/// What a pre-flight read saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Read {
    pub(super) at: u8,
    pub(super) boot: Option<u8>,
}

/// The whole state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct State {
    pub(super) now: u8,
    pub(super) epoch: u8,
    pub(super) hold: bool,
    pub(super) policy: u8,
    pub(super) resolved: [Option<u8>; 2],
    /// When each server was last started.
    pub(super) boots: [Option<u8>; 2],
    pub(super) rems: Vec<Rem>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) processes: [Option<Process>; 2],
    pub(super) broken: Option<&'static str>,
}

impl State {
    pub(super) fn begin() -> Self {
        Self {
            now: 0,
            epoch: 0,
            hold: false,
            policy: 0,
            resolved: [None; 2],
            boots: [None; 2],
            rems: Vec::new(),
            attempts: Vec::new(),
            processes: [None, None],
            broken: None,
        }
    }

    pub(super) fn live(&self, server: u8) -> Option<usize> {
        self.rems.iter().position(|rem| rem.server == server && !rem.state.is_terminal())
    }

    /// Notes the first law that broke.
    pub(super) fn must(&mut self, holds: bool, law: &'static str) {
        if !holds && self.broken.is_none() {
            self.broken = Some(law);
        }
    }
}

/// What happens between two states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Begin,
    TimePasses,
    AlertFires(u8),
    AlertResolves(u8),
    ServerStarts(u8),
    HoldSet,
    HoldCleared,
    PolicyChanges,
    PersonApproves(usize),
    PersonSettles { rem: usize, happened: bool },
    ProcessStarts(usize),
    ProcessDies(usize),
    Settles { process: usize, rem: usize },
    Reviews { process: usize, rem: usize },
    Asks { process: usize, rem: usize },
    Claims { process: usize, rem: usize, commit: Commit },
    Undoes(usize),
    HandsOver { process: usize, attempt: u8 },
    CannotConnect { process: usize, attempt: u8 },
    GivesUpWaiting { process: usize, attempt: u8 },
    Hears { process: usize, attempt: u8 },
    StoresOutcome { process: usize, attempt: u8 },
    CloudActs { attempt: usize, answers: bool },
    CloudRefuses { attempt: usize },
    RequestIsLost { attempt: usize },
    RebootIsSeen { rem: usize },
    NoRebootInTime { rem: usize },
}

/// What becomes of the commit of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commit {
    Good,
    Failed,
    FailedButThere,
}

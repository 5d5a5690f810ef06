//! Ways in which the world itself can misbehave, so that the checker is seen to see.
//!
//! Never: used by a history that is meant to be sound.

/// One planted misbehaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A restart takes an intent in flight for not sent, and sends again.
    ResendUnknown,
    /// The request leaves inside the claim, before its commit.
    CallBeforeCommit,
    /// An unknown attempt does not block its server.
    FreeOnUnknown,
    /// The claim does not read holds.
    ForgetHold,
    /// The claim does not compare its epoch.
    NoEpoch,
    /// The hand-over does not look at its deadline.
    LateSend,
    /// A resolved notice of an alert that joined is not linked to the remediation.
    ForgetJoined,
    /// The decision does not see the live remediation.
    TwoLive,
    /// People may approve their own orders.
    ApproveOwn,
    /// The signature is made anew at the hand-over.
    SignAgain,
    /// A lost answer is taken for proof that nothing was sent.
    LostIsNotSent,
    /// Outcomes may be rewritten.
    OutcomeRewritten,
    /// A storm ends by itself.
    StormEnds,
    /// A demoted policy goes on.
    NoLadder,
    /// The breaker forgets what failed.
    BreakerForgets,
    /// An older store is taken as it is.
    TrustRestored,
    /// Heartbeats are not asked for.
    NoBeat,
    /// Nobody notes when nobody watched.
    NoGaps,
    /// A first start is not taken for a time without watch.
    NoFirstGap,
    /// Nobody sees when a server was started.
    BootUnseen,
    /// Nobody remembers that the clock stood still.
    ForgetStall,
    /// Nobody looks at what waits for a person.
    NoReview,
    /// Nobody is woken for what was queued again.
    LostWakeUp,
}

impl Bug {
    /// Those that break a law while faults go on, with the laws that may show them.
    pub(crate) const UNSAFE: [(Self, &'static [u8]); 21] = [
        (Self::ResendUnknown, &[7, 8, 16, 17]),
        (Self::CallBeforeCommit, &[10]),
        (Self::FreeOnUnknown, &[8, 9]),
        (Self::ForgetHold, &[28]),
        (Self::NoEpoch, &[36]),
        (Self::LateSend, &[15]),
        (Self::ForgetJoined, &[26]),
        (Self::TwoLive, &[34]),
        (Self::ApproveOwn, &[31]),
        (Self::SignAgain, &[19]),
        (Self::LostIsNotSent, &[7, 16, 17]),
        (Self::ForgetStall, &[29]),
        (Self::StormEnds, &[24]),
        (Self::NoLadder, &[31]),
        (Self::BreakerForgets, &[0]),
        (Self::TrustRestored, &[42]),
        (Self::NoBeat, &[0]),
        (Self::NoGaps, &[0]),
        (Self::NoFirstGap, &[0]),
        (Self::BootUnseen, &[52, 53]),
        (Self::OutcomeRewritten, &[16, 17, 32]),
    ];
    /// Those that only show once faults stop.
    pub(crate) const STUCK: [(Self, &'static [u8]); 2] = [(Self::NoReview, &[45]), (Self::LostWakeUp, &[45])];
}

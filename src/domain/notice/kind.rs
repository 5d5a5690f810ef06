//! Kinds of messages: the closed list, with the title, the weight and the usual words of each.
//!
//! Never: a kind without words.

use serde::{Deserialize, Serialize};

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// A person should look today.
    Warning,
    /// A person is needed now.
    Critical,
}

impl Severity {
    /// The word in labels and bodies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $word:literal $severity:ident $title:literal $text:literal,)+) => {
        /// What is told. The list is closed: receivers may rely on the words.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[schema(as = NoticeKind)]
        pub enum Kind { $($(#[$doc])* $variant,)+ }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word in configuration, store and bodies.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// How much it matters.
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }

            /// A few words for people.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// `UnhangUnknown` and the like, for Alertmanager.
            pub fn alert_name(self) -> &'static str {
                match self { $(Self::$variant => concat!("Unhang", stringify!($variant)),)+ }
            }

            /// The usual template of its text.
            pub(super) fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

kinds! {
    /// A person is asked.
    Proposed = "proposed" Critical "Approval needed"
        "interrupt {{ server | code }} in {{ region }}? Policy {{ policy | code }} waits for a person{% if alert %}, for alert {{ alert | code }} of {{ source | code }}{% endif %}.",
    /// What a person was asked about was taken back.
    Withdrawn = "withdrawn" Info "No longer needed"
        "the interrupt of {{ server | code }} in {{ region }} that waited for a person is off: {{ detail | code }}.",
    /// The cloud took the interrupt.
    Sent = "sent" Info "Interrupt sent"
        "the cloud took the interrupt of {{ server | code }} in {{ region }} under policy {{ policy | code }}, requestId {{ request_id | code }}.",
    /// The cloud refused it.
    Rejected = "rejected" Warning "Interrupt refused"
        "the cloud refused the interrupt of {{ server | code }} in {{ region }}: {{ detail | code }}.",
    /// No byte left, and no try is left.
    NotSent = "not_sent" Warning "Interrupt not sent"
        "the interrupt of {{ server | code }} in {{ region }} could not be sent: {{ detail | code }}. The server still hangs.",
    /// The reboot was seen.
    Confirmed = "confirmed" Info "Interrupt confirmed"
        "{{ server | code }} in {{ region }}: {{ detail | code }}.",
    /// No reboot was seen in time.
    Unconfirmed = "unconfirmed" Warning "No reboot seen"
        "the cloud took the interrupt of {{ server | code }} in {{ region }}, and no reboot was seen: {{ detail | code }}. Look at its console, then settle.",
    /// It may have been sent.
    Unknown = "unknown" Critical "Unknown: it may have been sent"
        "whether {{ server | code }} in {{ region }} was interrupted nobody can tell: {{ detail | code }}. It is never sent again by machine; a person must settle it.",
    /// People closed it.
    Settled = "settled" Info "Settled"
        "{{ server | code }} in {{ region }}: {{ detail | code }}.",
    /// Too many servers at once.
    StormOpened = "storm_opened" Critical "Storm: nothing is sent"
        "too many servers of {{ region }} hang at once: {{ detail | code }}. Nothing is sent there until a person clears storm {{ number }}.",
    /// A person cleared a storm.
    StormCleared = "storm_cleared" Info "Storm cleared"
        "{{ who | code }} cleared storm {{ number }} of {{ region }}: {{ reason | code }}.",
    /// Somebody stopped acting in a scope.
    HoldSet = "hold_set" Warning "Hold set"
        "nothing is sent in scope {{ detail | code }}{% if until %} until {{ until }}{% endif %}; hold {{ number }} by {{ who | code }}: {{ reason | code }}.",
    /// A hold was cleared.
    HoldCleared = "hold_cleared" Info "Hold cleared"
        "{{ who | code }} cleared hold {{ number }}: {{ reason | code }}.",
    /// A source gives no sign of life.
    SourceSilent = "source_silent" Warning "Source silent"
        "source {{ source | code }} gives no sign of life: {{ detail | code }}. What it tells is not acted on.",
    /// A source gives signs of life again.
    SourceHeardAgain = "source_heard_again" Info "Source heard again"
        "source {{ source | code }} gives signs of life again.",
    /// The store is distrusted.
    QuarantineOpened = "quarantine_opened" Critical "Quarantine: nothing is sent"
        "the store knows less than was done: {{ detail | code }}. Nothing is sent until a person has compared.",
    /// A person ended a quarantine.
    QuarantineCleared = "quarantine_cleared" Info "Quarantine cleared"
        "{{ who | code }} ended the quarantine: {{ reason | code }}.",
    /// A policy lost its trust.
    PolicyDemoted = "policy_demoted" Warning "Policy demoted"
        "policy {{ policy | code }} asks a person from now on: {{ detail | code }}.",
    /// A person gave it back.
    PolicyPromoted = "policy_promoted" Info "Policy promoted"
        "{{ who | code }} promoted policy {{ policy | code }}: {{ reason | code }}.",
    /// A run of bad outcomes stops a policy.
    BreakerOpened = "breaker_opened" Warning "Breaker open"
        "policy {{ policy | code }} is stopped after a run of bad attempts: {{ detail | code }}.",
    /// Attempts go on.
    BreakerClosed = "breaker_closed" Info "Breaker closed"
        "policy {{ policy | code }} may act again.",
    /// The file with the heads of the audit is gone.
    HeadsMissing = "heads_missing" Critical "Audit heads are gone"
        "the heads of the audit in {{ detail | code }} are missing or empty; find out who took them.",
    /// The end of the audit, signed.
    AuditHead = "audit_head" Info "Head of the audit"
        "{{ detail | code }}.",
    /// A person tries a receiver.
    Test = "test" Info "Test"
        "this is a test; nothing happened.",
}

impl Kind {
    /// The kind of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }

    /// Whether a person must do something.
    pub fn needs_person(self) -> bool {
        self.severity() > Severity::Info
    }

    /// Told where nothing is said: what needs a person, and what came of it.
    pub fn is_usual(self) -> bool {
        self.needs_person() || matches!(self, Self::Sent | Self::Confirmed | Self::Withdrawn)
    }
}

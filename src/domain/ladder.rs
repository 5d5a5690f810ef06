//! Evidence ladder: how far a policy may go by what it has shown. It falls by itself and rises by a person.
//!
//! Never: raises a policy above its configured mode, or back up by itself.

use jiff::Timestamp;
use serde::Serialize;

use super::breaker::{End, Tried};
use super::policy::Mode;

/// Newest judged attempts that are looked at.
pub const JUDGED_WINDOW: usize = 10;
/// Fewer judged attempts say nothing.
pub const JUDGED_MIN: usize = 5;
/// Least share of good ones, in fifths: 0.8.
const GOOD_FIFTHS_MIN: usize = 4;

/// A demotion that nobody has taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Demotion {
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub why: String,
}

/// The mode that holds: the lower of the configured one and, after a demotion, `approve`.
pub fn effective(mode: Mode, demoted: Option<&Demotion>) -> Mode {
    if demoted.is_some() { mode.min(Mode::Approve) } else { mode }
}

/// Why the attempts of a policy, newest first, no longer bear its acting alone.
pub fn fallen(tried: &[Tried]) -> Option<String> {
    let ends = tried.iter().filter_map(Tried::end);
    let judged: Vec<End> =
        ends.filter(|end| matches!(end, End::Good | End::Bad)).take(JUDGED_WINDOW).collect();
    let good = judged.iter().filter(|end| **end == End::Good).count();
    let judged = judged.len();
    let too_few = judged >= JUDGED_MIN && good * 5 < judged * GOOD_FIFTHS_MIN;
    too_few.then(|| format!("{good} of the last {judged} judged attempts were confirmed, below 0.8"))
}

/// What a policy has shown, counted from rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Alerts that would have acted in another mode than `shadow`.
    pub shadow_hits: i64,
    /// Remediations that a person was asked about.
    pub approvals_asked: i64,
    /// Those that a person approved.
    pub approvals_given: i64,
    /// Remediations that were confirmed, by a reboot, by a dump or by the cloud's record of the call alone, or that a
    /// person says happened. More than the breaker and the share call good: those leave out what only the record confirms.
    pub confirmed: i64,
    /// Accepted, and no reboot was seen, or people say that it did not happen.
    pub unconfirmed: i64,
    /// Attempts whose answer was lost, whatever was found out since.
    pub unknown: i64,
    /// Attempts that the cloud refused.
    pub rejected: i64,
    /// People's reports that a wrong server was named.
    pub wrong_target: i64,
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bad, good, pending};
    use super::*;

    #[test]
    fn a_demotion_lowers_auto_to_approve_and_raises_nothing() {
        let demotion = Demotion { at: Timestamp::UNIX_EPOCH, why: "unknown".into() };
        for (mode, expected) in [
            (Mode::Off, Mode::Off),
            (Mode::Shadow, Mode::Shadow),
            (Mode::Approve, Mode::Approve),
            (Mode::Auto, Mode::Approve),
        ] {
            assert_eq!(effective(mode, Some(&demotion)), expected);
            assert_eq!(effective(mode, None), mode);
        }
    }

    #[test]
    fn the_share_counts_from_five_judged_and_over_the_last_ten() {
        let of = |goods: usize, bads: usize| [vec![bad(0); bads], vec![good(0); goods]].concat();
        assert_eq!(fallen(&of(0, 4)), None, "four say nothing");
        assert_eq!(fallen(&of(4, 1)), None, "exactly 0.8");
        assert!(fallen(&of(3, 2)).is_some());
        assert_eq!(fallen(&of(8, 2)), None);
        assert!(fallen(&of(7, 3)).is_some());
        assert_eq!(fallen(&[vec![good(0); 10], vec![bad(0); 10]].concat()), None, "older ones are forgotten");
        assert_eq!(fallen(&[vec![pending(0); 9], of(3, 1)].concat()), None, "pending ones are not judged");
        let by_record = Tried { by_record: true, ..good(0) };
        assert!(
            fallen(&[vec![by_record; 9], of(3, 2)].concat()).is_some(),
            "a record of the call is no reboot"
        );
        assert_eq!(fallen(&[vec![by_record; 9], of(0, 4)].concat()), None, "and no failure either");
    }
}

//! Activity: what the cloud's own record says of a server, and when that proves our call.
//!
//! Never: negative evidence. A record that is not there proves nothing and re-arms nothing.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::limits::{earlier, later};
use super::server::Server;

/// How far before the intent a record of our call may be dated: clocks differ.
pub const BEFORE_INTENT: SignedDuration = SignedDuration::from_mins(1);
/// How far after it: a signature is good for five minutes, and clocks differ.
pub const AFTER_INTENT: SignedDuration = SignedDuration::from_mins(6);
/// Longest gap between two looks into the record.
const GAP_MAX: SignedDuration = SignedDuration::from_mins(30);

/// One entry of the cloud's activity record. All texts are safe to print.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Activity {
    /// `historyId`
    pub history_id: String,
    /// `eventTime`
    pub event_time: Timestamp,
    /// `resourceId`, or the end of the `nrn`.
    pub resource_id: String,
    /// `regionCode`; empty where there is none.
    pub region_code: String,
    /// `actionDisplayName`, or `action`.
    pub action: String,
    /// `actionResultType`; empty where there is none.
    pub result: String,
    /// `sourceType`; empty where there is none.
    pub source_type: String,
    /// `sourceIp`; empty where there is none.
    pub source_ip: String,
}

/// Which entries are our call. The vendor documents none of these words (UNCONFIRMED), so all are configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityRules {
    /// Names of the action.
    pub action_names: Vec<String>,
    /// Results that mean that it was carried out.
    pub success_values: Vec<String>,
    /// Ways in which we call.
    pub source_types: Vec<String>,
    /// Addresses from which we call; empty: any.
    pub source_ips: Vec<String>,
}

/// Evidence that our call arrived. It proves the call, not the reboot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActivityEvidence {
    /// What kind of evidence.
    pub kind: &'static str,
    /// What it proves.
    pub proves: &'static str,
    /// The entry.
    #[serde(flatten)]
    pub entry: Activity,
}

/// The times between which a record of our call is dated.
pub fn window(intent_at: Timestamp) -> (Timestamp, Timestamp) {
    (earlier(intent_at, BEFORE_INTENT), later(intent_at, AFTER_INTENT))
}

/// Whether an entry is about this very server.
pub fn is_about(entry: &Activity, server: &Server) -> bool {
    let region = &entry.region_code;
    entry.resource_id == server.no.as_str() && (region.is_empty() || region == server.region.as_str())
}

/// The entry that proves that the call of this intent arrived: this server, our action, carried out, from us, in time.
pub fn proof(
    entries: &[Activity],
    server: &Server,
    intent_at: Timestamp,
    rules: &ActivityRules,
) -> Option<ActivityEvidence> {
    let (from, until) = window(intent_at);
    let named = |list: &[String], word: &str| list.iter().any(|one| one.eq_ignore_ascii_case(word));
    let ours = |entry: &&Activity| {
        is_about(entry, server)
            && (from..=until).contains(&entry.event_time)
            && named(&rules.action_names, &entry.action)
            && named(&rules.success_values, &entry.result)
            && named(&rules.source_types, &entry.source_type)
            && (rules.source_ips.is_empty() || named(&rules.source_ips, &entry.source_ip))
    };
    entries.iter().find(ours).map(|entry| ActivityEvidence {
        kind: "activity",
        proves: "that our call reached the cloud, not that the server rebooted",
        entry: entry.clone(),
    })
}

/// When to look again: the gap grows with the age of the intent.
pub fn next_look(intent_at: Timestamp, last: Option<Timestamp>, poll: SignedDuration) -> Timestamp {
    let Some(last) = last else { return intent_at };
    let gap = (last.duration_since(intent_at) / 4).min(GAP_MAX).max(poll);
    later(last, gap)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, server};
    use super::*;

    fn rules() -> ActivityRules {
        ActivityRules {
            action_names: vec!["Interrupt Server Instance".into(), "interruptServerInstance".into()],
            success_values: vec!["SUCCESS".into()],
            source_types: vec!["API".into()],
            source_ips: Vec::new(),
        }
    }

    fn entry() -> Activity {
        Activity {
            history_id: "h-1".into(),
            event_time: at(1),
            resource_id: "90000001".into(),
            region_code: "KR".into(),
            action: "Interrupt Server Instance".into(),
            result: "SUCCESS".into(),
            source_type: "API".into(),
            source_ip: "203.0.113.7".into(),
        }
    }

    #[track_caller]
    fn check(change: fn(&mut Activity), proves: bool) {
        let mut changed = entry();
        change(&mut changed);
        let found = proof(&[changed.clone()], &server(), at(0), &rules());
        assert_eq!(found.is_some(), proves, "{changed:?}");
    }

    #[test]
    fn only_our_call_to_this_server_in_time_is_evidence() {
        check(|_| {}, true);
        check(|e| e.action = "interruptserverinstance".into(), true);
        check(|e| e.region_code = String::new(), true);
        check(|e| e.event_time = at(-60), true);
        check(|e| e.event_time = at(360), true);
        check(|e| e.event_time = at(-61), false);
        check(|e| e.event_time = at(361), false);
        check(|e| e.resource_id = "90000002".into(), false);
        check(|e| e.resource_id = String::new(), false);
        check(|e| e.region_code = "JPN".into(), false);
        check(|e| e.action = "Reboot Server Instance".into(), false);
        check(|e| e.action = String::new(), false);
        check(|e| e.result = "FAIL".into(), false);
        check(|e| e.result = String::new(), false);
        check(|e| e.source_type = "CONSOLE".into(), false);
    }

    #[test]
    fn where_our_addresses_are_known_another_caller_is_no_evidence() {
        let at_home = |ip: &str| ActivityRules { source_ips: vec![ip.to_owned()], ..rules() };
        assert!(proof(&[entry()], &server(), at(0), &at_home("203.0.113.7")).is_some());
        assert!(proof(&[entry()], &server(), at(0), &at_home("203.0.113.8")).is_none());
        assert!(proof(&[], &server(), at(0), &rules()).is_none());
    }

    #[test]
    fn looks_become_rarer_and_never_stop_by_themselves() {
        let poll = SignedDuration::from_secs(10);
        assert_eq!(next_look(at(0), None, poll), at(0));
        assert_eq!(next_look(at(0), Some(at(5)), poll), at(15));
        assert_eq!(next_look(at(0), Some(at(400)), poll), at(500));
        assert_eq!(next_look(at(0), Some(at(86_400)), poll), at(88_200));
    }
}

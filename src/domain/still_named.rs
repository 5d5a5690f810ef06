//! Whether what named the server still names it, and it alone: asked right before an interrupt, of the cloud.
//!
//! Never: takes a name that cannot be read for one that still fits, or acts on labels that name different servers.

use super::alert::{Alert, BY_HAND};
use super::decision::several;
use super::facts::TargetFact;
use super::guard::{Reason, Trace, Verdict};
use super::policy::Policy;
use super::server::Server;
use super::target::{Named, TargetName, fact_of, target_name};

/// What a name of the alert led to, read together with the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The name.
    pub name: TargetName,
    /// The servers that the cloud lists for it, or why that could not be read.
    pub servers: Result<Vec<Server>, String>,
}

impl Resolved {
    /// What that says of the name; `None` where it could not be read.
    pub fn fact(&self) -> Option<TargetFact> {
        let servers: Vec<&Server> = self.servers.as_ref().ok()?.iter().collect();
        Some(match &self.name {
            TargetName::Name(name) => fact_of(&self.name, &name.among(&servers)),
            TargetName::No(_) | TargetName::Ip(_) => fact_of(&self.name, &servers),
        })
    }
}

/// A remediation's alert, and the server that it was decided for.
#[derive(Debug, Clone, Copy)]
pub struct Decided<'a> {
    /// Its source.
    pub source: &'a str,
    /// The alert.
    pub alert: &'a Alert,
    /// The server.
    pub server: &'a Server,
}

impl Decided<'_> {
    /// The name that decided, and the others; `None` where the labels name no server.
    fn names(&self, policy: &Policy) -> Option<(TargetName, Vec<TargetName>)> {
        if self.source == BY_HAND {
            return Some((TargetName::No(self.server.no.clone()), Vec::new()));
        }
        match target_name(policy, self.alert) {
            Named::Target { name, others } => Some((name, others)),
            Named::Missing { .. } | Named::Malformed { .. } => None,
        }
    }

    /// The one name that is read again beside the server. A number needs no second read: the server is read by it. Then
    /// it is an address beside it, or a name that is not the server's own.
    pub fn to_resolve(&self, policy: &Policy) -> Option<TargetName> {
        let (name, others) = self.names(policy)?;
        if !matches!(name, TargetName::No(_)) {
            return Some(name);
        }
        let address = others.iter().find(|other| matches!(other, TargetName::Ip(_)));
        let foreign = |other: &&TargetName| match other {
            TargetName::Name(name) => name.among(&[self.server]).is_empty(),
            TargetName::No(_) | TargetName::Ip(_) => false,
        };
        address.or_else(|| others.iter().find(foreign)).cloned()
    }

    /// Asks it of the cloud's answers: of the server as it was read, and of the name read with it.
    pub fn ask(&self, trace: &mut Trace, policy: &Policy, resolved: Option<&Resolved>) {
        let ours = format!("server {} alone", self.server.no);
        let mut note = |guard, verdict, seen: &str| trace.note(guard, verdict, seen, &ours, None);
        let Some((name, others)) = self.names(policy) else {
            return note(Reason::TargetChanged, Verdict::Stop, "the labels name no server");
        };
        for other in &others {
            if other.contradicts(self.server, &TargetFact::Pending) {
                note(Reason::TargetAmbiguous, Verdict::Stop, &other.to_string());
            }
        }
        if let TargetName::No(no) = &name {
            let verdict = if *no == self.server.no { Verdict::Pass } else { Verdict::Stop };
            note(Reason::TargetChanged, verdict, &name.to_string());
        }
        let Some(wanted) = self.to_resolve(policy) else { return };
        let fact =
            resolved.filter(|resolved| resolved.name == wanted).map(|resolved| (resolved, resolved.fact()));
        let (fact, first) = match fact {
            Some((_, Some(fact))) => (fact, wanted == name),
            Some((Resolved { name: _, servers }, None)) => {
                let why = servers.as_ref().err().map_or("", String::as_str);
                return note(Reason::Blind, Verdict::Wait, &format!("{wanted}: {why}"));
            }
            None => return note(Reason::Blind, Verdict::Wait, &format!("{wanted} was not looked up")),
        };
        let seen = if let TargetFact::Found(found) = &fact {
            format!("{wanted} is server {}", found.no)
        } else if let TargetFact::Ambiguous { named, numbers } = &fact {
            several(named, numbers)
        } else {
            format!("{wanted} is no server")
        };
        let same = matches!(&fact, TargetFact::Found(found) if found.identity() == self.server.identity());
        let (guard, fits) = if first {
            (Reason::TargetChanged, same)
        } else {
            (Reason::TargetAmbiguous, !wanted.contradicts(self.server, &fact))
        };
        note(guard, if fits { Verdict::Pass } else { Verdict::Stop }, &seen);
    }

    /// Asks it of what the inventory knew when the facts were read. It may stop; only the cloud's answer lets go.
    pub fn ask_inventory(&self, trace: &mut Trace, policy: &Policy, known: &TargetFact) {
        let ours = format!("server {} alone", self.server.no);
        match known {
            TargetFact::Found(found) if found.no != self.server.no => {
                let name = self.names(policy).map_or_else(String::new, |(name, _)| name.to_string());
                let seen = format!("{name} is server {}", found.no);
                trace.note(Reason::TargetChanged, Verdict::Stop, seen, ours, None);
            }
            TargetFact::Ambiguous { named, numbers } => {
                trace.note(Reason::TargetChanged, Verdict::Stop, several(named, numbers), ours, None);
            }
            TargetFact::Disagree { seen } => {
                trace.note(Reason::TargetAmbiguous, Verdict::Stop, seen, ours, None);
            }
            TargetFact::Found(_)
            | TargetFact::Missing { .. }
            | TargetFact::Malformed { .. }
            | TargetFact::Pending
            | TargetFact::Unreadable { .. }
            | TargetFact::Unknown { .. }
            | TargetFact::RegionUnknown { .. } => {}
        }
    }
}

#[cfg(test)]
#[path = "still_named_tests.rs"]
mod tests;

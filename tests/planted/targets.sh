# shellcheck shell=bash
# Which server an alert means.

plant misfit-is-a-refusal src/domain/target.rs \
  's/TargetKind::Ip => Ok\(address\(value\)\.map\(TargetName::Ip\)\)/TargetKind::Ip => address(value).map(|ip| Some(TargetName::Ip(ip))).ok_or_else(|| "an address".to_owned())/' \
  --lib domain::target
plant names-have-case src/domain/target.rs \
  's/Self\(text\.to_lowercase\(\)\)/Self(text.to_owned())/' \
  --lib domain::target
plant ipv4-inside-ipv6-is-another-address src/domain/address.rs \
  's/Some\(found\.to_canonical\(\)\)/Some(found)/' \
  --lib domain::address
plant other-labels-not-asked src/moves.rs \
  's/if other\.contradicts\(server, &known\)/if false \&\& other.contradicts(server, \&known)/' \
  --test service targets::labels_that_name
plant wrong-region-is-an-unknown-target src/domain/decision.rs \
  's/no\(Reason::RegionUnknown, seen, wanted\)/no(Reason::TargetUnknown, seen, wanted)/' \
  --test service targets::
plant moved-address-still-acts src/domain/still_named.rs \
  's/\(Reason::TargetChanged, same\)/(Reason::TargetChanged, same || wanted == name)/' \
  --lib domain::still_named
plant other-labels-not-resolved src/domain/still_named.rs \
  's/!wanted\.contradicts\(self\.server, &fact\)/true/' \
  --lib domain::still_named
plant unread-name-passes src/domain/still_named.rs \
  's/note\(Reason::Blind, Verdict::Wait, &format!\("\{wanted\}: \{why\}"\)\)/note(Reason::Blind, Verdict::Pass, \&format!("{wanted}: {why}"))/' \
  --lib domain::still_named

# shellcheck shell=bash
# The attempt journal, and a store that knows less than was done.

plant no-high-water-check src/quarantine.rs \
  's/if journal.high_water > store.high_water \{/if journal.high_water > store.high_water + 1000 {/' \
  --lib quarantine::
plant journal-answer-of-another-attempt src/dispatcher/outcome.rs \
  's/answers.get\(nonce\) else/answers.values().next() else/' \
  --test service journal::an_answer
plant late-answer-not-taken src/dispatcher/outcome.rs \
  's/Outcome::Accepted \| Outcome::Rejected => true,/Outcome::Accepted | Outcome::Rejected => false,/' \
  --test service journal::an_answer
plant intent-not-in-the-journal src/dispatcher/handover.rs \
  's/if let Err\(error\) = service.journal.write\(Entry::Intent\(intent\)\).await \{\n\s*return not_sent\(chain\(&error\)\);\n\s*\}/drop(intent);/' \
  --lib dispatcher::handover
plant hold-file-not-looked-at-again src/dispatcher/handover.rs \
  's/match hold_file\(&service.config\(\).store.hold_file\) \{/match hold_file(&service.config().store.hold_file).filter(|_| false) {/' \
  --lib dispatcher::handover
plant quarantine-not-asked-in-claim src/domain/standing.rs \
  's/facts.quarantine.is_some\(\), seen, "no quarantine"/false, seen, "no quarantine"/' \
  --lib domain::claim
plant damaged-line-passed-over src/journal.rs \
  's/Err\(why\) => known.faults.push\(format!\("line \{\}: \{why\}", place \+ 1\)\),/Err(_why) => drop(place),/' \
  --lib journal::
plant highest-number-lost-with-old-lines src/journal/lines.rs \
  's/version, high_water: self.high_water \}/version, high_water: 0 }/' \
  --lib journal::
plant moved-journal-written-on src/journal.rs \
  's/if \(own.dev\(\), own.ino\(\)\) != \(there.dev\(\), there.ino\(\)\) \{/if own.dev() != there.dev() {/' \
  --lib journal::
plant forgotten-server-not-held src/hands/quarantine.rs \
  's/if tx.was_held_for\(&reason\).await\? \{/if tx.was_held_for(&reason).await? || !reason.is_empty() {/' \
  --test service journal::a_restored
plant attempt-number-given-twice src/hands/quarantine.rs \
  's/    tx.continue_attempts_above\(high_water\).await\?;\n//' \
  --test service journal::a_restored
plant reboot-unwatched-does-not-count src/domain/standing.rs \
  's/    limits::ask_unwatched\(trace, on.policy, &on.facts.unwatched, on.server, now\);\n//' \
  --lib domain::claim

# shellcheck shell=bash
# The pure core in random histories, the claim protocol, and the real store beside its model.

plant window-forgets-its-last-attempt src/domain/limits.rs \
  's/let free = inside.len\(\) < allowed;/let free = inside.len() <= allowed;/' \
  --test core simulation::runs::the_laws
plant spacing-not-asked src/domain/limits.rs \
  's/let verdict = if free_at.is_some\(\) \{ Verdict::Wait \}/let verdict = if false \{ Verdict::Wait \}/' \
  --test core simulation::runs::the_laws
plant dump-window-without-the-memory src/domain/limits.rs \
  's/writing.saturating_add\(DUMP_REBOOT\).max\(DUMP_WINDOW_MIN\)/DUMP_WINDOW_MIN.max(writing.min(DUMP_REBOOT))/' \
  --test core simulation::runs::the_laws
plant approval-age-ignored src/domain/claim.rs \
  's/if age > APPROVAL_AGE_MAX \{ Verdict::Expire \}/if age > APPROVAL_AGE_MAX * 100 { Verdict::Expire }/' \
  --test core simulation::runs::the_laws
plant resolved-not-asked-at-the-claim src/domain/claim.rs \
  's/    ask_resolved\(&mut trace, waiting, facts\);\n//' \
  --test core simulation::runs::the_laws
plant policy-hash-not-compared src/domain/claim.rs \
  's/policy.hash\(\) == waiting.policy_hash/policy.name == waiting.policy/' \
  --test core simulation::runs::the_laws
plant identity-not-compared src/domain/claim.rs \
  's/let same = server.identity\(\) == \*identity;/let same = server.no == identity.no;/' \
  --test core simulation::runs::the_laws
plant old-pre-flight-trusted src/domain/claim.rs \
  's/now.duration_since\(seen.read_at\) <= PREFLIGHT_AGE_MAX/now.duration_since(seen.read_at) <= PREFLIGHT_AGE_MAX * 100/' \
  --lib domain::claim
plant stall-not-counted src/domain/claim.rs \
  's/stall.filter\(\|stall\| at <= stall.until\)/stall.filter(|_| false)/' \
  --test core simulation::runs::the_laws
plant joined-end-not-asked src/domain/claim.rs \
  's/if facts.joined_end.is_some\(\) \{ Verdict::Stop \}/if false { Verdict::Stop }/' \
  --test core simulation::runs::the_laws
plant hold-not-asked-at-the-claim src/domain/standing.rs \
  's/    ask_holds\(trace, on, now\);\n//' \
  --test core model::the_claim_protocol_holds_through
plant unknown-frees-its-server src/domain/facts.rs \
  's/Some\(Outcome::NotSent \| Outcome::Rejected\) => false,\n            Some\(Outcome::Accepted \| Outcome::Unknown\)/Some(Outcome::NotSent | Outcome::Rejected | Outcome::Unknown) => false,\n            Some(Outcome::Accepted)/' \
  --test core model::the_claim_protocol_holds_whatever
plant two-may-live migrations/sqlite/0001_first.sql \
  's/CREATE UNIQUE INDEX one_live_remediation_per_server/CREATE INDEX one_live_remediation_per_server/' \
  --test core store_model::
plant outcomes-rewritten src/store/attempts.rs \
  's/WHERE nonce = \? AND \(outcome IS NULL OR \(outcome = .unknown. AND \? IN \(.accepted., .rejected.\)\)\)/WHERE nonce = ? AND (outcome IS NULL OR outcome = \x27unknown\x27 OR ? = \x27accepted\x27)/' \
  --test core store_model::
plant a-failed-job-leaves-its-rows src/store/writer.rs \
  's/drop\(tx.inner.rollback\(\).await\);\n        return Err\(error\);/drop(tx.db().await);\n        drop(tx.inner.commit().await);\n        return Err(error);/' \
  --test core store_model::

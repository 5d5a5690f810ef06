# shellcheck shell=bash
# Sending once, recording it, and the door.

plant call-before-commit src/dispatcher/claiming.rs \
  's/Ok\(Claimed::Send \{ prepared: Box::new\(prepared\), send_before, line \}\)/drop(self.cloud.interrupt.send(prepared, send_before).await);\n        Ok(Claimed::Done)/' \
  --test service crash::
plant resend-after-a-crash src/dispatcher/outcome.rs \
  's/write_outcome\(tx, nonce, Outcome::Unknown, &with, false, now\)/write_outcome(tx, nonce, Outcome::NotSent, &with, false, now)/' \
  --test service crash::
plant lost-answer-taken-for-not-sent src/ncloud/client.rs \
  's/Exchange::Lost \{ why: chain\(&error.without_url\(\)\) \}/Exchange::NotSent { why: chain(&error.without_url()) }/' \
  --test service outcomes::every
plant redirects-followed src/ncloud/client.rs \
  's/redirect::Policy::none\(\)/redirect::Policy::limited(3)/' \
  --test service outcomes::every
plant no-lock src/store/lock.rs \
  's/return Err\(LockError::Taken \{ path: shown, owner \}\);/drop(owner);/' \
  --test service outcomes::a_second_process
plant outcome-of-another-attempt src/store/attempts.rs \
  's/WHERE nonce = \? AND \(outcome IS NULL OR/WHERE nonce <> ? AND (outcome IS NULL OR/' \
  --test service outcomes::an_unknown
plant unknown-frees-the-server src/domain/facts.rs \
  's/Some\(Outcome::NotSent \| Outcome::Rejected\) => false,\n            Some\(Outcome::Accepted \| Outcome::Unknown\)/Some(Outcome::NotSent | Outcome::Rejected | Outcome::Unknown) => false,\n            Some(Outcome::Accepted)/' \
  --lib domain::
plant one-too-many-in-the-window src/domain/limits.rs \
  's/let free = inside.len\(\) < allowed;/let free = inside.len() <= allowed;/' \
  --lib domain::
plant hold-not-asked-again src/domain/standing.rs \
  's/    ask_holds\(trace, on, now\);\n//' \
  --lib domain::claim
plant resolve-does-not-cancel src/store/remediations.rs \
  's/WHERE state IN \(.settling., .awaiting_approval., .queued.\) AND id IN/WHERE state = \x27nowhere\x27 AND id IN/' \
  --test service hands::a_resolve_of
plant approval-of-ones-own-replay src/hands.rs \
  's/remediation.requested_by.as_deref\(\) == Some\(person\)/false/' \
  --test service hands::nobody
plant audit-hash-without-the-detail src/domain/audit.rs \
  's/    field\(Some\(event.detail.as_bytes\(\)\)\);\n//' \
  --lib domain::audit
plant answer-before-the-commit src/store/turn.rs \
  's/inner.commit\(\).await.map_err/inner.rollback().await.map_err/' \
  --test store one_job
plant schema-without-the-unique-index migrations/sqlite/0001_first.sql \
  's/CREATE UNIQUE INDEX one_attempt_that_may_have_acted ON attempt \(remediation_id\)\n  WHERE outcome IS NULL OR outcome <> .not_sent.;//' \
  --test store the_schema_refuses
plant unread-body-drained-for-ever src/http/linger.rs \
  's/if !req.headers\(\).contains_key\(TRANSFER_ENCODING\)/if !req.headers().contains_key(TRANSFER_ENCODING) || req.headers().len() > 1/' \
  --test service hostile::a_chunked
plant any-credential-will-do src/sources/credential.rs \
  's/Err\(other\) => reason = reason.max\(other\)/Err(other) => { reason = reason.max(other); verified = Some(Verified { index, sender_time: None, signature: None }); }/' \
  --lib sources::credential
plant alerts-decided-as-they-stand src/domain/alert.rs \
  's/place\(self\).cmp\(&place\(other\)\).then_with\(\|\| self.cmp\(other\)\)/std::cmp::Ordering::Equal/' \
  --lib http::tests::ends::the_order
plant firing-beside-its-end-opens src/intake/alerts.rs \
  's/ends: told.ends.to_vec\(\),/ends: Vec::new(),/' \
  --lib http::tests::ends::the_order
plant ends-of-a-broken-body-lost src/http/webhooks.rs \
  's/let ends = ends\(source, &limits, &bytes, verified.sender_time, now\);/let ends = Vec::new();/' \
  --lib http::tests::ends::an_end
plant end-without-a-fingerprint-lost src/intake/alerts.rs \
  's/cancellable.is_empty\(\) && alert.is_named_by_its_labels\(\)/false/' \
  --lib http::tests::ends::an_end
plant odd-end-quarantined src/sources/skeleton.rs \
  's/Some\(end\) => Parsed::Alert\(Box::new\(end\)\),\n            None/Some(_) | None/' \
  --lib http::tests::ends::an_end
plant test-told-by-its-name-alone src/sources/skeleton.rs \
  's/body.group_key.map_or\(!dialect.keyless, \|key\| !is_key_of_a_group\(key.get\(\)\)\)/false/' \
  --lib http::tests::ends::a_test
plant matched-label-may-be-unsound src/domain/decision.rs \
  's/alert.is_unsound\(label\) && reads\(label\)/alert.is_unsound(label) \&\& reads(label) \&\& label.is_empty()/' \
  --lib domain::decision

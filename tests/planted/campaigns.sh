# shellcheck shell=bash
# Faults from outside: named points, power loss, two processes, the k-th call.

plant call-before-the-commit-at-a-point src/dispatcher/claiming.rs \
  's/Ok\(Claimed::Send \{ prepared: Box::new\(prepared\), send_before, line \}\)/drop((line, self.cloud.interrupt.send(prepared, send_before).await));\n        Ok(Claimed::Done)/' \
  --test campaigns points::killed_at_every
plant resend-after-a-crash-at-a-point src/dispatcher/outcome.rs \
  's/write_outcome\(tx, nonce, Outcome::Unknown, &with, false, now\)/write_outcome(tx, nonce, Outcome::NotSent, &with, false, now)/' \
  --test campaigns points::killed_at_every
plant journal-answer-after-the-commit src/dispatcher/handover.rs \
  's/if let Err\(error\) = service.journal.write\(Entry::Answer\(answer\)\).await \{/let late = std::sync::Arc::clone(&service.journal);\n    tokio::spawn(async move {\n        tokio::time::sleep(std::time::Duration::from_millis(500)).await;\n        drop(late.write(Entry::Answer(answer)).await);\n    });\n    if let Err(error) = Ok::<(), crate::journal::JournalError>(()) {/' \
  --test campaigns points::killed_at_every
plant journal-intent-after-the-request src/dispatcher/handover.rs \
  's/    if let Err\(error\) = service.journal.write\(Entry::Intent\(intent\)\).await \{\n\s*return not_sent\(chain\(&error\)\);\n\s*\}\n//; s/client.send\(prepared, send_before\).await,/{\n            let report = client.send(prepared, send_before).await;\n            if let Err(error) = service.journal.write(Entry::Intent(intent)).await {\n                return not_sent(chain(&error));\n            }\n            report\n        }/' \
  --test campaigns points::killed_at_every
plant commits-that-are-not-synced src/store/open.rs \
  's/synchronous\(SqliteSynchronous::Full\)/synchronous(SqliteSynchronous::Normal)/; s/"PRAGMA synchronous", "2"/"PRAGMA synchronous", "1"/' \
  --test campaigns power_loss::
plant two-owners-of-one-store src/store/lock.rs \
  's/return Err\(LockError::Taken \{ path: shown, owner \}\);/drop(owner);/' \
  --test campaigns two_processes::
plant commit-error-swallowed src/store/turn.rs \
  's/    inner.commit\(\).await.map_err\(\|source\| \{.*?\n    \}\)/    drop(inner.commit().await);\n    let _ = may_be_kept;\n    Ok(())/s' \
  --test campaigns faults::fire_and_confirm
plant late-request-handed-over src/ncloud/client.rs \
  's/left.is_zero\(\)/false/; s/left.min\(CONNECT_TIMEOUT_MAX\)/CONNECT_TIMEOUT_MAX/; s/Instant::now\(\) >= send_before/false/' \
  --test campaigns points::frozen_between
plant half-made-store-refused src/store/open.rs \
  's/ \|\| is_half_made\(path\)/ || (is_half_made(path) \&\& false)/' \
  --test campaigns points::killed_while

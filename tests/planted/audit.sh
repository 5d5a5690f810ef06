# shellcheck shell=bash
# The audit: its key, its heads, its folding.

plant audit-key-ignored src/domain/audit.rs \
  's/    seal\(key, &bytes\)\n/    seal(None, &bytes)\n/' \
  --lib domain::audit::
plant heads-not-compared src/domain/chain.rs \
  's/            if head.hash != link.hash \{/            if head.hash.is_empty() {/' \
  --test cli tampering::
plant cut-end-not-seen-by-heads src/domain/chain.rs \
  's/_ if seq > end =>/_ if seq > end + 1000 =>/' \
  --test cli tampering::
plant fold-ignores-outcomes src/domain/fold.rs \
  's/    \("attempt_outcome", attempt_ended\),\n//' \
  --lib domain::fold
plant unkeyed-row-after-keyed-ones src/domain/chain.rs \
  's/None if self.keyed_rows > 0 =>/None if self.keyed_rows < 0 =>/' \
  --test cli tampering::
plant pruned-without-a-checkpoint src/domain/chain.rs \
  's/None => "rows before it are missing, and no checkpoint tells of them",/None => return None,/' \
  --test cli tampering::
plant collected-dumps-not-compared src/store/state.rs \
  's/reason FROM dump_collected"/reason FROM dump_collected WHERE 0"/' \
  --test service audit::folding
plant storm-clearing-not-folded src/domain/fold.rs \
  's/    \("storm_cleared", guards::storm_cleared\),\n//' \
  --test service audit::what_guards
plant named-heads-may-be-missing src/cli/audit/verify.rs \
  's/required \|\| named\.is_some\(\) \|\| place\.heads_named/required/' \
  --test cli tampering::
plant vanished-heads-begun-anew src/heads.rs \
  's/if let Some\(before\) = before \{/if let Some(before) = before.filter(|_| false) {/' \
  --test service audit::a_heads_file
plant pruned-rows-not-asked-for src/cli/audit/verify.rs \
  's/\|_\| !args\.allow_gaps/|_| false/' \
  --test cli tampering::
plant answer-of-the-cloud-cut src/ncloud/outcome.rs \
  's/bytes: body\.bytes\(\)\.to_vec\(\)/bytes: body.bytes().iter().take(2048).copied().collect()/' \
  --lib ncloud::client::
plant answer-not-taken-from-the-journal src/dispatcher/outcome.rs \
  's/answer: answer\.answer\.clone\(\)/answer: None/' \
  --test service journal::an_answer_that_was_read
plant changed-body-replayed src/hands/replay.rs \
  's/!= Some\(hash\.as_str\(\)\)/== Some("")/' \
  --test service tampering::a_body_that_was_changed
plant bodies-not-compared src/store/state.rs \
  's/FROM body"/FROM body WHERE 0"/' \
  --test service tampering::whatever_decides
plant schema-not-compared src/store/verify.rs \
  's/            schema::compare\(&mut fold, db\)\.await\?;\n//' \
  --test service tampering::a_schema_with
plant servers-of-remediations-not-sealed src/store/waiting/rows.rs \
  's/\[&self\.server, &self\.alert,/["", \&self.alert,/' \
  --test service tampering::whatever_decides
plant alerts-not-compared src/domain/fold/alerts.rs \
  's/if told\.judged != found \{/if told.judged != found \&\& told.seq < 0 {/' \
  --test service tampering::whatever_decides

# shellcheck shell=bash
# One owner per file; files that are taken away underneath; evidence elsewhere that the store went back.

plant file-itself-not-locked src/store/lock.rs \
  's/let owner = "it has the file under another name".to_owned\(\);\n\s*return Err\(LockError::Taken \{ path: store.display\(\).to_string\(\), owner \}\);//' \
  --lib store::lock
plant second-name-accepted src/store/lock.rs \
  's/        1 => Ok\(\(\)\),/        1 | 2 => Ok(()),/' \
  --lib store::lock
plant replaced-file-not-seen src/store/files.rs \
  's/if self.seen.is_some_and\(\|seen\| seen.file != now.file\) \{/if self.seen.is_some_and(|seen| seen.file.0 != now.file.0) {/' \
  --lib store::files
plant store-written-over-not-seen src/store/writer.rs \
  's/files.are_as_left\(\).map_err\(went_back\)\?;/drop(files.are_as_left().map_err(went_back));/' \
  --test service replaced::nothing_is_promised_into_a_store_that_was_written_over
plant lost-journal-promises-on src/store/writer.rs \
  's/Some\(why\) => Err\(went_back\(why\)\),/Some(_why) => Ok(newest),/' \
  --test service replaced::nothing_is_promised_into_a_store_that_was_taken_away
plant replaced-owner-goes-on src/store/turn.rs \
  's/                still_ours\(&mut inner, before\).await\?;\n//' \
  --test service replaced::a_process_that_another_has_replaced
plant newer-head-is-a-log-line src/quarantine.rs \
  's/    findings.extend\(find_behind_heads\(&service.store, newest_head\).await\?\);/    drop(find_behind_heads(&service.store, newest_head).await?);/' \
  --test service journal::a_store_that_is_older
plant links-followed src/files.rs \
  's/opened\(options.mode\(0o600\), OFlags::NOFOLLOW, path\)/opened(options.mode(0o600), OFlags::empty(), path)/' \
  --lib files::tests::a_file_of_ones_own
plant unverified-copy-gets-its-name src/cli/upkeep.rs \
  's/    if let Some\(fault\) = report.fault \{\n/    if let Some(fault) = report.fault {\n        half.create().map_err(trouble)?;\n/' \
  --test cli tampering::a_copy_that_does_not_verify

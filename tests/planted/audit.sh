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

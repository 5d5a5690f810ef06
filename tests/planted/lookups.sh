# shellcheck shell=bash
# Look-ups: whose turn it is, and how many names of one source wait.

plant sources-take-no-turns src/domain/turns.rs \
  's/        self\.last\.clone_from\(&source\);\n//' \
  --lib domain::turns
plant names-of-a-source-without-cap src/domain/turns.rs \
  's/if names\.len\(\) >= OPEN_NAMES_MAX \{/if names.len() > usize::MAX - 1 {/' \
  --lib domain::turns

#!/usr/bin/env bash
# The long forms of the fault campaigns, one after the other. For each it prints the command that repeats it, the seed,
# what it counted, and how long it took; at the end a table. Exits 1 if a law was broken.
#
#   bash tests/campaigns/run.sh              all of them, several hours on 2 cores
#   bash tests/campaigns/run.sh SHARE        the same with a share of the sizes, such as 10 for a tenth
#   UNHANG_SEED=7 bash tests/campaigns/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
share=${1:-1}
export UNHANG_SEED=${UNHANG_SEED:-$((RANDOM * 32768 + RANDOM + 1))}
logs=${CARGO_TARGET_DIR:-target}/campaigns
mkdir -p "$logs"
table=()
failed=0

printf 'build\n'
cargo test --locked --release --test campaigns --no-run

# name, filter, settings
campaign() {
  local name=$1 filter=$2 begun=$SECONDS verdict=kept
  shift 2
  printf '\n== %s\n%s UNHANG_SEED=%s cargo test --locked --release --test campaigns %s -- --nocapture\n' \
    "$name" "$*" "$UNHANG_SEED" "$filter"
  # Lines as they come are the progress; all of them are kept in the log.
  if ! env "$@" cargo test --locked --release --test campaigns "$filter" -- --nocapture \
    2>&1 | tee "$logs/$name.log" | grep --line-buffered -E 'to go|of .* states|states in|plays|recorded|broken|^(kill|stop|fail) at|: calls|FAILED|test result'; then
    verdict=BROKEN
    failed=1
  fi
  table+=("$(printf '%-16s %-8s %6s s   %s' "$name" "$verdict" $((SECONDS - begun)) "$*")")
}

part() { printf '%s' $((($1 + share - 1) / share)); }

campaign points points:: UNHANG_ROUNDS="$(part 20)" UNHANG_KILLS="$(part 20000)"
campaign power-loss power_loss:: UNHANG_STATES="$(part 50000)" UNHANG_RECORDINGS="$(part 20)"
campaign two-processes two_processes:: UNHANG_PAIRS="$(part 2000)"
if [ "$share" -eq 1 ]; then faults=0; else faults=$(part 2000); fi
campaign faults faults:: UNHANG_FAULTS="$faults"
campaign clocks clocks::

printf '\nUNHANG_SEED=%s, logs in %s\n' "$UNHANG_SEED" "$logs"
printf '%s\n' "${table[@]}"
exit "$failed"

#!/usr/bin/env bash
# The long forms of the fault campaigns, one after the other, in a release build. Each prints the command that repeats
# it, its progress, and at its end one line: command, seed, counts, seconds, broken laws. Exits 1 if a part failed.
#
#   bash tests/campaigns/run.sh                               all of them, several hours on 2 cores
#   bash tests/campaigns/run.sh SHARE                         the same with a share of the sizes, such as 10 for a tenth
#   bash tests/campaigns/run.sh SHARE power_loss clocks       only these parts; 1 is the whole size
#   UNHANG_SEED=7 bash tests/campaigns/run.sh
#
# Parts: points power_loss two_processes faults clocks
set -euo pipefail
cd "$(dirname "$0")/../.."
share=${1:-1}
[[ $share =~ ^[1-9][0-9]*$ ]] || { printf 'SHARE is a number from 1, such as 10 for a tenth; got "%s"\n' "$share" >&2; exit 2; }
shift $(($# > 0 ? 1 : 0))
all=(points power_loss two_processes faults clocks)
[ $# -gt 0 ] || set -- "${all[@]}"
for wanted; do
  [[ " ${all[*]} " == *" $wanted "* ]] || { printf 'no part "%s"; there are: %s\n' "$wanted" "${all[*]}" >&2; exit 2; }
done
export UNHANG_SEED=${UNHANG_SEED:-$((RANDOM * 32768 + RANDOM + 1))}
logs=${CARGO_TARGET_DIR:-target}/campaigns
mkdir -p "$logs"
ends=()
failed=0

printf 'build\n'
cargo test --locked --release --test campaigns --no-run

# The numbers of all broken laws that a log names; 0 when there is none.
broken_in() {
  local found
  found=$(grep -oE '(broken )?laws?:? [{0-9][0-9, }]*' "$1" | grep -oE '[0-9]+' | sort -nu | paste -sd, || true)
  printf '%s' "${found:-0}"
}

# name, settings
campaign() {
  local name=$1 begun=$SECONDS verdict=kept log="$logs/$1.log"
  shift
  local command="UNHANG_SEED=$UNHANG_SEED${*:+ $*} cargo test --locked --release --test campaigns $name:: -- --nocapture"
  printf '\n== %s\n%s\n' "$name" "$command"
  # Lines as they come are the progress; all of them are kept in the log.
  if ! env "$@" cargo test --locked --release --test campaigns "$name::" -- --nocapture \
    2>&1 | tee "$log" | { grep --line-buffered -E 'to go|of .* states|recorded|broken|^(kill|stop|fail) at|: calls|FAILED|test result' || true; }; then
    verdict=FAILED
    failed=1
  fi
  local counts laws=0
  counts=$(grep -o 'counts: .*' "$log" | sed 's/^counts: //' | paste -sd';' | sed 's/;/; /g' || true)
  # A run that failed without naming a law has its reason in the log.
  if [ "$verdict" = FAILED ]; then laws=$(broken_in "$log"); fi
  ends+=("$(printf '%s: %s | seed %s | %s | %s s | broken laws: %s | %s' \
    "$name" "$command" "$UNHANG_SEED" "${counts:-no counts}" $((SECONDS - begun)) "$laws" "$verdict")")
  printf '%s\n' "${ends[-1]}"
}

part() { printf '%s' $((($1 + share - 1) / share)); }

for wanted; do
  case $wanted in
    points) campaign points UNHANG_ROUNDS="$(part 20)" UNHANG_KILLS="$(part 20000)" ;;
    power_loss) campaign power_loss UNHANG_STATES="$(part 50000)" UNHANG_RECORDINGS="$(part 20)" ;;
    two_processes) campaign two_processes UNHANG_PAIRS="$(part 2000)" ;;
    # 0: every call of every story.
    faults)
      campaign faults UNHANG_FAULTS="$([ "$share" -eq 1 ] && printf 0 || part 2000)" UNHANG_FAULT_PAIRS="$(part 500)"
      ;;
    clocks) campaign clocks ;;
  esac
done

printf '\nlogs in %s\n' "$logs"
printf '%s\n' "${ends[@]}"
exit "$failed"

#!/usr/bin/env bash
# Plants known bugs, one at a time, in a copy of the tree, and expects the named test to fail. A check that never failed
# proves nothing. Prints a table; exits 1 if a bug goes unseen, or no longer applies.
#
# The bugs are listed in tests/planted/, one file per matter.
#
#   bash tests/planted.sh [NAME…]
#   bash tests/planted.sh --check     only asks whether each still applies; seconds, in tests/run.sh
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
only_check=false
if [ "${1:-}" = --check ]; then
  only_check=true
  shift
fi
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$copy"
cd "$copy"
export CARGO_TARGET_DIR=$root/target/planted CARGO_INCREMENTAL=1 UNHANG_KILLS=${UNHANG_KILLS:-100}
missed=0
planted=0

# name, file, perl substitution, arguments of cargo test
plant() {
  local name=$1 file=$2 change=$3
  shift 3
  if [ "${#wanted[@]}" -gt 0 ] && [[ ! " ${wanted[*]} " == *" $name "* ]]; then return; fi
  cp "$file" "$copy/.kept"
  perl -0pi -e "$change" "$file"
  local verdict
  if cmp -s "$file" "$copy/.kept"; then
    verdict="DOES NOT APPLY"
    missed=1
  elif "$only_check"; then
    verdict="applies"
  elif ! cargo test --locked "$@" --no-run >"$copy/.log" 2>&1; then
    verdict="DOES NOT BUILD"
    tail -n 15 "$copy/.log"
    missed=1
  elif cargo test --locked "$@" >"$copy/.log" 2>&1; then
    verdict="NOT SEEN"
    missed=1
  else
    verdict="caught"
  fi
  cp "$copy/.kept" "$file"
  planted=$((planted + 1))
  if [ "$verdict" = applies ]; then return; fi
  printf '%-34s %-15s %s\n' "$name" "$verdict" "cargo test $*"
  # What it said, so that a test that failed for another reason does not pass for one that saw the bug.
  if [ "$verdict" = caught ]; then grep -m 1 -A 3 'panicked at' "$copy/.log" | sed 's/^/    /' || true; fi
}
wanted=("$@")

for list in tests/planted/*.sh; do
  # shellcheck source=/dev/null
  source "$list"
done
printf '%s planted bugs, %s\n' "$planted" "$([ "$missed" = 0 ] && echo 'all as expected' || echo 'not all as expected')"
exit "$missed"

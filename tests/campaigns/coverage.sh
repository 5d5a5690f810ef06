#!/usr/bin/env bash
# Branches of src/domain that no test takes: by file how many are covered, then each that is not, with its line.
# What runs: all unit tests, the model of the store, the store's own tests, and some histories of tests/core.
# Needs the compiler's own llvm tools: rustup component add llvm-tools.
#
#   bash tests/campaigns/coverage.sh                 the table; docs/COVERAGE.md says why each one is left
#   bash tests/campaigns/coverage.sh chain.rs        that file in full as well
set -euo pipefail
cd "$(dirname "$0")/../.."
host=$(rustc -vV | sed -n 's/^host: //p')
tools=$(rustc --print sysroot)/lib/rustlib/$host/bin
[ -x "$tools/llvm-cov" ] || rustup component add llvm-tools
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Only our own crates are measured; branches are an unstable option of a stable compiler.
wrapper=$(realpath -m "${CARGO_TARGET_DIR:-target}")/coverage/rustc
mkdir -p "${wrapper%/*}"
cat >"$wrapper" <<'W'
#!/usr/bin/env bash
RUSTC_BOOTSTRAP=1 exec "$@" -Cinstrument-coverage -Zcoverage-options=branch
W
chmod +x "$wrapper"
export RUSTC_WORKSPACE_WRAPPER=$wrapper LLVM_PROFILE_FILE=$work/%p-%m.profraw
build() { cargo test --locked "$@" --no-run --message-format=json | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'; }
unit=$(build --lib | tail -n 1)
core=$(build --test core | grep '/core-' | tail -n 1)
store=$(build --test store | grep '/store-' | tail -n 1)
rm -f "$work"/*.profraw
"$unit" >"$work/unit.log" || { cat "$work/unit.log"; exit 1; }
"$store" >"$work/store.log" || { cat "$work/store.log"; exit 1; }
UNHANG_HISTORIES=${UNHANG_HISTORIES:-2000} UNHANG_STORE_CASES=${UNHANG_STORE_CASES:-64} "$core" \
  simulation::runs::the_laws simulation::runs::every model::the_claim_protocol_holds_with store_model >"$work/core.log" 2>&1 \
  || { cat "$work/core.log"; exit 1; }
"$tools/llvm-profdata" merge -sparse "$work"/*.profraw -o "$work/all.profdata"
show() {
  "$tools/llvm-cov" show "$unit" -object "$core" -object "$store" -instr-profile "$work/all.profdata" \
    --show-branches=count --show-instantiations=false "$@"
}

# The part of a file behind `mod tests` tests, and is not counted.
count='
  /^ *[0-9]+\|/ {
    split($0, part, "|"); line = part[1] + 0; text[line] = substr($0, index($0, "|") + 1); sub(/^[^|]*\|/, "", text[line])
    if (text[line] ~ /^mod tests/) tests = 1
  }
  # The crate was compiled with its tests and without: a branch that either took is taken.
  /Branch \(/ && !tests {
    match($0, /\([0-9]+:[0-9]+\)/); place = substr($0, RSTART + 1, RLENGTH - 2)
    match($0, /True: [^,]*/); yes[place] += substr($0, RSTART + 6, RLENGTH - 6) != "0"
    match($0, /False: [^\]]*/); no[place] += substr($0, RSTART + 7, RLENGTH - 7) != "0"
    if (!(place in known)) { known[place] = 1; places[++count] = place }
  }
  END {
    for (n = 1; n <= count; n++) {
      place = places[n]; split(place, at, ":"); source = text[at[1]]; gsub(/^ +/, "", source)
      if (!yes[place]) left = left sprintf("  %s:%s never true:  %s\n", file, place, source)
      if (!no[place]) left = left sprintf("  %s:%s never false: %s\n", file, place, source)
      covered += (yes[place] > 0) + (no[place] > 0)
    }
    printf "%-24s %4d of %4d branches\n%s", file, covered, count * 2, left
  }
'
for path in $(find src/domain -name '*.rs' ! -name '*_tests.rs' ! -name testing.rs | sort); do
  show "$path" | awk -v file="${path#src/domain/}" "$count"
done | tee "$work/table"
awk '/ branches$/ { covered += $2; all += $4 } END { printf "%d of %d branches of src/domain\n", covered, all }' "$work/table"
if [ $# -gt 0 ]; then show "src/domain/$1"; fi

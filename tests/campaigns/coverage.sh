#!/usr/bin/env bash
# Line, region and branch coverage of src/domain by its unit tests and the histories of tests/core, per file.
# Needs the compiler's own llvm tools: rustup component add llvm-tools.
#
#   bash tests/campaigns/coverage.sh [file of src/domain to show in full]
set -euo pipefail
cd "$(dirname "$0")/../.."
host=$(rustc -vV | sed -n 's/^host: //p')
tools=$(rustc --print sysroot)/lib/rustlib/$host/bin
[ -x "$tools/llvm-cov" ] || rustup component add llvm-tools
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Only our own crates are measured; branches are an unstable option of a stable compiler.
cat >"$work/rustc" <<'W'
#!/usr/bin/env bash
RUSTC_BOOTSTRAP=1 exec "$@" -Cinstrument-coverage -Zcoverage-options=branch
W
chmod +x "$work/rustc"
export RUSTC_WORKSPACE_WRAPPER=$work/rustc LLVM_PROFILE_FILE=$work/%p-%m.profraw
build() { cargo test --locked "$@" --no-run --message-format=json | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'; }
unit=$(build --lib | tail -n 1)
core=$(build --test core | grep '/core-' | tail -n 1)
rm -f "$work"/*.profraw
"$unit" domain:: >/dev/null
UNHANG_HISTORIES=${UNHANG_HISTORIES:-2000} "$core" simulation::runs::the_laws simulation::runs::every model::the_claim_protocol_holds_with >/dev/null
"$tools/llvm-profdata" merge -sparse "$work"/*.profraw -o "$work/all.profdata"
"$tools/llvm-cov" report "$unit" -object "$core" -instr-profile "$work/all.profdata" src/domain
if [ $# -gt 0 ]; then
  "$tools/llvm-cov" show "$unit" -object "$core" -instr-profile "$work/all.profdata" --show-branches=count "src/domain/$1"
fi

#!/usr/bin/env bash
# The pages in a real browser: bash tests/browser/run.sh [BINARY] [TEST.js ...]
# Needs Node 18.19 or newer, npm and Chromium. Screenshots go to target/browser/.
set -euo pipefail
root=$(realpath "$(dirname "$0")/../..")
UNHANG_BINARY=$(realpath "${1:-$root/target/release/unhang}")
export UNHANG_BINARY
shift || true
[ -x "$UNHANG_BINARY" ] || { printf 'no binary at %s\n' "$UNHANG_BINARY" >&2; exit 1; }
cd "$root/tests/browser"

# What is locked, nothing else; no scripts of packages are run.
npm ci --ignore-scripts --no-audit --no-fund --silent
mkdir -p "$root/target/browser"

tests=("$@")
[ "${#tests[@]}" -gt 0 ] || tests=(*.test.js)
# One file at a time: each has its own service, cloud and browser.
exec node --test --test-concurrency=1 --test-reporter=spec "${tests[@]}"

#!/usr/bin/env bash
# What the dashboard costs with a million audit rows: time of each page, memory and intake with 200 of them open.
# bash benches/dashboard.sh [BINARY]; ROWS=100000 for a short one. Figures are printed, never asserted.
set -euo pipefail
root=$(realpath "$(dirname "$0")/..")
UNHANG_BINARY=$(realpath "${1:-$root/target/release/unhang}")
export UNHANG_BINARY
cd "$root/tests/browser"
exec node numbers.js

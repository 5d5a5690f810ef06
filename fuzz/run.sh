#!/usr/bin/env bash
# Fuzzes every reader of strangers' bytes, guided by coverage (libFuzzer; stable compiler, needs g++).
#
#   bash fuzz/run.sh [SECONDS_PER_TARGET] [TARGET…]      default 20 s each
#
# Inputs that broke something stay in fuzz/artifacts/; what was learnt, in fuzz/corpus/ (neither is committed).
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-20}
shift || true
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || targets=(alertmanager grafana cloud_insight credential config cloud)
RUSTC_WORKSPACE_WRAPPER=$PWD/instrument.sh cargo build --locked --release --package fuzz
binary=../target/release/fuzz

seed() {
  local to=corpus/$1
  mkdir -p "$to"
  case $1 in
    alertmanager | grafana) cp -n ../tests/samples/"$1"/*.json "$to"/ ;;
    cloud_insight) cp -n ../tests/samples/cloud-insight/* "$to"/ ;;
    config) cp -n ../config/*.toml "$to"/ ;;
    cloud) for answer in ../tests/samples/ncloud/*; do { printf '\0'; cat "$answer"; } >"$to/$(basename "$answer")"; done ;;
    credential) printf '{}\nauthorization: Bearer x\nX-Unhang-Token: y\nX-Grafana-Alerting-Timestamp: 1\nX-Grafana-Alerting-Signature: 00\n' >"$to/all" ;;
  esac
}

for target in "${targets[@]}"; do
  seed "$target"
  mkdir -p "artifacts/$target"
  log=$(mktemp)
  if FUZZ_TARGET=$target "$binary" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=512 -max_len=65536 \
    -artifact_prefix="artifacts/$target/" -print_final_stats=1 "corpus/$target" >"$log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    edges=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)
    printf '%-14s %12s inputs in %s s, %s, no crash\n' "$target" "$runs" "$seconds" "$edges"
    rm -f "$log"
  else
    tail -n 40 "$log"
    printf '%s: broken; the input is in fuzz/artifacts/%s\n' "$target" "$target"
    exit 1
  fi
done

#!/usr/bin/env bash
# Fuzzes every reader of strangers' bytes, guided by coverage (libFuzzer; stable compiler, needs g++), two at a time.
#
#   bash fuzz/run.sh [SECONDS_PER_TARGET] [TARGET…]      default 20 s each
#
# Inputs that broke something stay in fuzz/artifacts/; what was learnt, in fuzz/corpus/ (neither is committed).
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-20}
shift || true
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || targets=(alertmanager grafana cloud_insight credential config cloud audit journal)
# What is built for the release is taken as it is; our own crates are built in parts, which takes two minutes less.
RUSTC_WORKSPACE_WRAPPER=$PWD/instrument.sh cargo build --locked --release --package fuzz \
  --config 'profile.release.package.unhang.codegen-units=16' --config 'profile.release.package.fuzz.codegen-units=16'
binary=../target/release/fuzz

seed() {
  local to=corpus/$1
  mkdir -p "$to"
  case $1 in
    alertmanager | grafana) cp -n ../tests/samples/"$1"/*.json "$to"/ ;;
    cloud_insight) cp -n ../tests/samples/cloud-insight/* "$to"/ ;;
    config) cp -n ../config/*.toml "$to"/ ;;
    cloud) for answer in ../tests/samples/ncloud/*; do { printf '\0'; cat "$answer"; } >"$to/$(basename "$answer")"; done ;;
    audit) { cat ../tests/samples/audit/export.ndjson && printf -- '--\n{"at":"2026-11-22T00:01:00Z","seq":1,"hash":"h","storeRows":1,"prevHead":"","keyId":null,"mac":""}\n'; } >"$to/all" ;;
    journal) printf '+%s\n' \
      '{"kind":"opened","at":"2026-11-22T00:00:00Z","storeId":"s","machineId":"m","version":"0.1.0","highWater":1}' \
      '{"kind":"intent","attemptId":1,"nonce":"n","serverInstanceNo":"90000001","regionCode":"KR","signedAt":"2026-11-22T00:00:07Z"}' \
      '{"kind":"answer","nonce":"n","outcome":"accepted","cause":"answered","requestId":"q","returnCode":"0","returnMessage":null,"httpStatus":200,"bodySha256":null,"raisesHold":false}' \
      '{"kind":"stamp","at":"2026-11-22T00:00:30Z","bootId":"b","bootSeconds":5,"audit":{"seq":1,"hash":"h"}}' \
      '{"kind":"reconciled","at":"2026-11-22T00:01:00Z","person":"kim","reason":"looked","highWater":1,"storeId":"s","machineId":"m"}' >"$to/all" ;;
    credential) printf '{}\nauthorization: Bearer x\nX-Unhang-Token: y\nX-Grafana-Alerting-Timestamp: 1\nX-Grafana-Alerting-Signature: 00\n' >"$to/all" ;;
  esac
}

fuzz() {
  local target=$1 log runs edges
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
    return 1
  fi
}

failed=0
for ((n = 0; n < ${#targets[@]}; n += 2)); do
  running=()
  for target in "${targets[@]:n:2}"; do
    fuzz "$target" &
    running+=($!)
  done
  for one in "${running[@]}"; do wait "$one" || failed=1; done
done
exit "$failed"

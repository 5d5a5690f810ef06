#!/usr/bin/env bash
# The stack of compose.yml as processes of this machine, with the same files: Debian's packages prometheus and
# prometheus-alertmanager, curl, and the binary of unhang. Ctrl-C ends all four.
#
#   bash config/compose/processes.sh [FOLDER]      FOLDER keeps the data; without one it is a new one that goes at the end
#
# Variables: UNHANG names the binary (else target/release/unhang), UNHANG_PORT, PROMETHEUS_PORT, ALERTMANAGER_PORT and CLOUD_PORT
# other ports, FAST=1 waits seconds where the rule waits five minutes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
binary=$(realpath "${UNHANG:-$here/../../target/release/unhang}")
unhang_port=${UNHANG_PORT:-8080}
prometheus_port=${PROMETHEUS_PORT:-9090}
alertmanager_port=${ALERTMANAGER_PORT:-9093}
cloud_port=${CLOUD_PORT:-9095}
started=()
own=

finish() {
  trap - EXIT
  # unhang first: it ends when nothing is in flight any more. Only what was started here is ended.
  local pid
  for pid in "${started[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  [ -z "$own" ] || rm -rf "$own"
}
trap finish EXIT
trap 'exit 0' INT TERM

[ -x "$binary" ] || { printf 'no binary at %s\n' "$binary" >&2; exit 1; }
if [ "$#" -gt 0 ]; then
  mkdir -p "$1"
  folder=$(realpath "$1")
else
  folder=$(mktemp -d)
  own=$folder
fi

# The same files, on these ports.
mkdir -p "$folder/rules" "$folder/secrets"
for file in prometheus.yml alertmanager.yml unhang.toml cloud.toml; do
  sed -e "s/127\.0\.0\.1:8080/127.0.0.1:$unhang_port/g" -e "s/127\.0\.0\.1:9093/127.0.0.1:$alertmanager_port/g" \
    -e "s/127\.0\.0\.1:9095/127.0.0.1:$cloud_port/g" "$here/$file" >"$folder/$file"
done
cp "$here"/../prometheus/*.rules.yml "$folder/rules/"
(umask 077 && cp "$here"/../example-secrets/*-* "$folder/secrets/")
chmod 600 "$folder"/secrets/*
if [ -n "${FAST:-}" ]; then
  sed -i -e 's/for: 5m/for: 3s/' -e 's/interval: 30s/interval: 1s/' "$folder/rules/hung-windows.rules.yml"
  sed -i -e 's/interval: 5s/interval: 1s/' -e 's/refresh_interval: 30s/refresh_interval: 5s/' "$folder/prometheus.yml"
  sed -i -e 's/group_wait: 5s/group_wait: 1s/' "$folder/alertmanager.yml"
  sed -i -e 's/settle = "30s"/settle = "1s"/' "$folder/unhang.toml"
fi

# A token of your own; the configuration has its hash.
"$binary" token new --role approver --name you >"$folder/token.txt"
cd "$folder"

start() {
  local log=$1
  shift
  "$@" >"$folder/$log.log" 2>&1 &
  started+=($!)
}

# Waits until a command is content, for a minute at most, while the process that was started last runs.
until_well() {
  local what=$1
  shift
  for _ in $(seq 300); do
    if "$@" >/dev/null 2>&1; then return; fi
    kill -0 "${started[-1]}" 2>/dev/null || break
    sleep 0.2
  done
  printf '%s does not come up:\n' "$what" >&2
  tail -n 20 "$folder/$what.log" >&2
  exit 1
}

cloud=http://127.0.0.1:$cloud_port
start cloud "$binary" simulate-cloud --listen "127.0.0.1:$cloud_port" --scenario cloud.toml
until_well cloud curl -sf "$cloud/_simulator/servers"
sed -n '/^\[\[tokens\]\]/,$p' token.txt >>unhang.toml
start unhang "$binary" serve --config unhang.toml --log-format json
until_well unhang "$binary" health --config unhang.toml
start alertmanager prometheus-alertmanager --config.file=alertmanager.yml --storage.path=alertmanager \
  --cluster.listen-address= "--web.listen-address=127.0.0.1:$alertmanager_port"
until_well alertmanager curl -sf "http://127.0.0.1:$alertmanager_port/-/ready"
start prometheus prometheus --config.file=prometheus.yml --storage.tsdb.path=prometheus \
  "--web.listen-address=127.0.0.1:$prometheus_port"
until_well prometheus curl -sf "http://127.0.0.1:$prometheus_port/-/ready"
# In the order in which they are to end.
started=("${started[1]}" "${started[3]}" "${started[2]}" "${started[0]}")

cat <<TEXT
The stack is up, in $folder
  unhang        http://127.0.0.1:$unhang_port/     log in with the token
  Prometheus    http://127.0.0.1:$prometheus_port/alerts
  Alertmanager  http://127.0.0.1:$alertmanager_port/
  the cloud     $cloud/

export UNHANG_URL=http://127.0.0.1:$unhang_port UNHANG_TOKEN=$(sed -n 's/^# \(unhang_.*\)/\1/p' token.txt)
curl -X POST $cloud/_simulator/servers/90000001/hang      let a server hang; six minutes later
unhang tail                                                           it is interrupted, once
curl $cloud/_simulator/ledger                             and this is what the cloud knows of it
TEXT
wait

#!/usr/bin/env bash
# Schemathesis against the real binary with a simulated cloud: every operation of the API document with valid and
# invalid requests. Bounded by examples and by time; loopback only.
#
#   bash tests/schemathesis.sh [BINARY]       target/release/unhang when nothing is said
#   UNHANG_EXAMPLES=100 bash tests/schemathesis.sh
set -euo pipefail
cd "$(dirname "$0")/.."

version=4.32.5
binary="$PWD/${1:-target/release/unhang}"
venv="$PWD/target/schemathesis-$version"
work="$(mktemp -d)"
started=()

finish() {
  local pid
  for pid in "${started[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap finish EXIT

# Waits until a file tells what sed looks for.
told() {
  local found
  for _ in $(seq 300); do
    found="$(sed -n "$2" "$1" | head -n 1)"
    if [ -n "$found" ]; then
      printf '%s' "$found"
      return
    fi
    sleep 0.1
  done
  printf 'waited too long for %s:\n' "$1" >&2
  cat "$1" >&2
  exit 1
}

if [ ! -x "$venv/bin/schemathesis" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
fi

"$binary" simulate-cloud --listen 127.0.0.1:0 >"$work/cloud.log" &
started+=($!)
endpoint="$(told "$work/cloud.log" 's/^endpoint = "\(.*\)"$/\1/p')"

token() { printf '%s-of-schemathesis-0123456789abcdef' "$1"; }
sha() { token "$1" | sha256sum | cut -d ' ' -f 1; }
umask 077
for name in sender guest; do
  token "$name" >"$work/$name"
done
sed -n 's/^# export NCLOUD_ACCESS_KEY_ID=//p' "$work/cloud.log" | tr -d '\n' >"$work/access"
sed -n 's/^# export NCLOUD_SECRET_KEY=//p' "$work/cloud.log" | tr -d '\n' >"$work/secret"
cat >"$work/unhang.toml" <<TOML
[server]
listen = "127.0.0.1:0"
[store]
url = "sqlite://$work/unhang.db"
watermark = "1MiB"
ballast = "0"
[cloud]
endpoint = "$endpoint"
region = "KR"
access_key_file = "access"
secret_key_file = "secret"
[[sources]]
name = "alertmanager"
kind = "alertmanager"
trust = "act"
auth = [{ kind = "bearer", secret_file = "sender" }]
[[sources]]
name = "guests"
kind = "guest"
name_pattern = ".*"
auth = [{ kind = "bearer", secret_file = "guest" }]
[[policies]]
name = "hung-windows"
mode = "approve"
match = { alertname = "WindowsVmHung" }
target = ["label:server_instance_no"]
settle = "0s"
[dispatch]
tick = "100ms"
[storm]
share = 1.0
count = 100
same_zone = 100
[[tokens]]
name = "oncall"
role = "operator"
sha256 = "$(sha operator)"
[[tokens]]
name = "lead"
role = "approver"
sha256 = "$(sha approver)"
TOML
(cd "$work" && exec "$binary" serve --config unhang.toml --log-format json 2>"$work/unhang.log") &
started+=($!)
service=$!
url="http://$(told "$work/unhang.log" 's/.*"addr":"\([^"]*\)".*/\1/p')"

# A few stored things: deliveries, remediations that wait for a person, a hold, a silence.
ask() { curl -sS --fail-with-body -H "authorization: Bearer $(token "$1")" -H 'content-type: application/json' "${@:2}"; }
until ask operator "$url/api/v1/servers?limit=1" | grep -q '"eligible"'; do sleep 0.1; done
for no in 90000001 90000003 90000005; do
  ask sender -o "$work/answer" -d @- "$url/webhooks/alertmanager" <<JSON
{"version":"4","groupKey":"{}:{$no}","truncatedAlerts":0,"status":"firing","receiver":"unhang","groupLabels":{},
 "commonLabels":{},"commonAnnotations":{},"externalURL":"http://alertmanager.example","alerts":[{"status":"firing",
 "labels":{"alertname":"WindowsVmHung","server_instance_no":"$no"},"annotations":{},
 "startsAt":"$(date -u +%Y-%m-%dT%H:%M:%SZ)","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://prometheus.example",
 "fingerprint":"00000000$no"}]}
JSON
done
ask operator -o "$work/hold" -d '{"scope":"region","name":"JPN","reason":"moving","duration":"4h"}' "$url/api/v1/holds"
ask operator -o "$work/silence" -d '{"matchers":["a=b"],"comment":"patch night","duration":"4h"}' "$url/api/v1/silences"

UNHANG_APPROVER="$(token approver)"
UNHANG_SENDER="$(token sender)"
UNHANG_GUEST="$(token guest)"
UNHANG_REMEDIATION="$(sed -n 's/.*"remediationId":"\([^"]*\)".*/\1/p' "$work/answer")"
UNHANG_INCIDENT="$(sed -n 's/.*"incidentId":"\([^"]*\)".*/\1/p' "$work/answer")"
export UNHANG_APPROVER UNHANG_SENDER UNHANG_GUEST UNHANG_REMEDIATION UNHANG_INCIDENT
cp tests/schemathesis.toml "$work"
(
  cd "$work"
  # The stream of events has no end to wait for; tests/service and src/http/tests ask it.
  NO_COLOR=1 timeout 400 "$venv/bin/schemathesis" --config-file schemathesis.toml run "$url/api/openapi.json" \
    --exclude-operation-id followAudit --max-examples "${UNHANG_EXAMPLES:-8}" --continue-on-failure --no-shrink --request-timeout 10
)

# Whatever was asked: the service still serves, ends when it is told to, and its audit trail is whole.
curl -sS --fail "$url/readyz" >/dev/null
kill -TERM "$service"
wait "$service"
(cd "$work" && "$binary" audit verify --config unhang.toml)

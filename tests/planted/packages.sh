# shellcheck shell=bash
# What ships beside the binary, and the health check.

plant health-wants-a-sound-file src/config/load.rs \
  's/    problems.retain\(\|problem\| problem.key == "server.listen"\);\n//; s/(addresses\(&mut section\);)/$1\n    section.finish();/' \
  --test service health::
plant not-ready-passes-for-ready src/cli/health.rs \
  's/if status == 200 \{/if status > 0 {/' \
  --test service health::
plant hung-exporter-answers simulator/src/monitoring.rs \
  's/"windows" if down \|\| server.hung => None/"windows" if down => None/' \
  --test service stack::
plant rule-that-never-fires config/prometheus/unhang-alerts.rules.yml \
  's/max\(unhang_unknown_open\) > 0/max(unhang_unknown_open) > 1/' \
  --test shipped rules::
plant rule-test-that-sees-nothing config/prometheus/unhang-alerts.test.yml \
  's/(alertname: UnhangAuditBroken\n        eval_time: 5m\n        exp_alerts:) \[\]/alertname: UnhangNothing\n        eval_time: 5m\n        exp_alerts: []/' \
  --test shipped rules::
plant unit-with-capabilities config/systemd/unhang.service \
  's/CapabilityBoundingSet=\n//' \
  --test shipped unit::
plant route-to-unhang-alone config/alertmanager/receiver.yml \
  's/      continue: true\n//' \
  --test shipped alertmanager::
plant image-as-root Dockerfile \
  's/USER 65532:65532\n//' \
  --test shipped image::

# shellcheck shell=bash
# Boots that somebody else caused, and stores that were lost.

plant reboot-not-asked src/domain/standing.rs \
  's/    reboot::ask\(trace, [^\n]*\n//' \
  --lib domain::claim
plant moved-boot-passes src/domain/reboot.rs \
  's/None if moved && hang\.decided_uptime_at\.is_some\(\)/None if moved \&\& false/' \
  --lib domain::reboot
plant confirmation-outlives-a-boot src/domain/reboot.rs \
  's/booted_at\.is_none\(\) \|\| precedes\(at\)/booted_at.is_none() || precedes(at) || hang.began_at < at/' \
  --lib domain::reboot
plant skewed-boot-passes src/domain/reboot.rs \
  's/later\(at, skew_max\.saturating_add\(UPTIME_UNIT\)\)/later(at, skew_max.min(UPTIME_UNIT))/' \
  --lib domain::reboot
plant dump-window-of-attempts-only src/domain/limits.rs \
  's/server\.memory_bytes\)\.max\(booted\)/server.memory_bytes).max(booted.filter(|_| false))/' \
  --lib domain::decision
plant first-start-is-no-gap src/quarantine.rs \
  's/let first = history\.identity\.is_none\(\)/let first = false/' \
  --lib quarantine::
plant confirmation-not-kept src/store/remediations.rs \
  's/confirmed_at = CASE WHEN \? THEN \? ELSE confirmed_at END/confirmed_at = CASE WHEN ? THEN NULL * ? ELSE confirmed_at END/' \
  --test service rebooted::

# shellcheck shell=bash
# Maintenance windows, collected dumps, the word of guests, and explaining.

plant dump-collected-ends-the-dump-window src/domain/limits.rs \
  's/dump_window_until\(attempts, server\).filter\(\|until\| now < \*until\)/dump_window_until(attempts, server).filter(|until| now < *until && dump_collected_at.is_none())/' \
  --lib domain::decision
plant dump-collected-frees-refused-attempts src/domain/limits.rs \
  's/past.outcome == Some\(Outcome::Rejected\)\)/past.outcome == Some(Outcome::Rejected) && !dump_collected_at.is_some_and(|at| past.intent_at < at))/' \
  --lib domain::decision
plant maintenance-ignores-the-time-zone src/domain/recurring.rs \
  's/let zone = zone\(timezone\)\?;/let zone = zone(timezone).map(|_| TimeZone::UTC)?;/' \
  --lib domain::recurring
plant maintenance-lost-when-the-clock-leaps src/domain/recurring.rs \
  's/to_ambiguous_zoned\(shown\).compatible\(\)/to_ambiguous_zoned(shown).unambiguous()/' \
  --lib domain::recurring
plant guest-dump-from-before-the-intent src/domain/guest.rs \
  's/\(after && heard\).then/(heard || after).then/' \
  --lib domain::guest
plant alert-source-may-attest src/http/door.rs \
  's/self.known.values\(\).filter\(\|sender\| sender.is_guest\(\)\)/self.known.values()/' \
  --test service guest::only_guests
plant guest-may-send-alerts src/http/door.rs \
  's/self.known.get\(name\).filter\(\|sender\| !sender.is_guest\(\)\)/self.known.get(name)/' \
  --test service guest::only_guests
plant old-attestation-will-do src/domain/standing.rs \
  's/let old = now.duration_since\(attested.at\) > age_max;/let old = false;/' \
  --lib domain::decision
plant resolved-without-a-trace src/domain/decision.rs \
  's/        trace.note\(Reason::Resolved, Verdict::Stop, "status resolved", "status firing", None\);\n//' \
  --test service why::every_alert
plant guest-speaks-for-every-server src/http/api/guest.rs \
  's/    speaks_for\(&door, source, &server_no\).await\?;\n//' \
  --test service guest::a_guest_speaks_only
plant guest-clock-ahead-counts src/domain/guest.rs \
  's/let written_at = earlier\(dump.written_at, ahead\);/let written_at = dump.written_at;/' \
  --lib domain::guest
plant lost-call-proven-by-an-earlier-reboot src/domain/evidence.rs \
  's/else \{ UPTIME_UNIT \}/else { CLOCK_TOLERANCE }/' \
  --lib domain::evidence
plant record-of-the-call-is-a-reboot src/domain/breaker.rs \
  's/State::Confirmed\) if self.by_record =>/State::Confirmed) if self.by_record \&\& false =>/' \
  --lib domain::breaker
plant record-of-the-call-is-not-read src/store/guards.rs \
  's/row.int\("by_record"\)\? != 0/row.int("by_record")? > 1/' \
  --test store what_only_the_cloud
plant dump-of-another-region-collected src/domain/limits.rs \
  's/past.region == server.region && dump_collected_at/dump_collected_at/' \
  --lib domain::decision
plant word-of-the-machine-before src/store/guest.rs \
  's/AND min\(at, received_at\) >= \? ORDER/AND ? IS NOT NULL ORDER/' \
  --test store the_newest_word

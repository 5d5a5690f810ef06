# shellcheck shell=bash
# Blindness: heartbeats, reads, the clock, the disk; recovery of the store; holds that always work.

plant heartbeat-not-asked src/domain/standing.rs \
  's/    ask_heartbeats\(trace, &on.facts.heartbeats, now\);\n//' \
  --lib domain::claim
plant heartbeat-may-be-older src/domain/standing.rs \
  's/age <= \*within && //' \
  --lib domain::claim
plant end-of-a-heartbeat-is-life src/intake/heartbeat.rs \
  's/    if alert.status == AlertStatus::Resolved \{\n        return None;\n    \}\n//' \
  --test service faults::while_its_source
plant heartbeat-event-each-time src/intake/heartbeat.rs \
  's/if before.is_some_and\(.*?\) <= heartbeat.within\) \{/if before.is_some_and(|at| now < at) {/' \
  --test service faults::while_its_source
plant failing-reads-not-seen src/service.rs \
  's/\(\*failed >= FAILED_READS_MAX\)/(*failed == u32::MAX)/' \
  --test service faults::while_the_cloud
plant failing-reads-never-read-again src/domain/claim.rs \
  's/\n            \|\| health.reads.is_some\(\)//' \
  --lib domain::claim
plant clock-jump-not-seen src/clock.rs \
  's/if drift.abs\(\) > DRIFT_MAX_MS \{/if drift.abs() > i64::MAX - 1 {/' \
  --lib clock::
plant clock-jump-forward-not-seen src/clock.rs \
  's/if drift.abs\(\) > DRIFT_MAX_MS \{/if drift < -DRIFT_MAX_MS {/' \
  --lib clock::
plant drift-by-the-wall-clock src/clock.rs \
  's/later.mono.saturating_duration_since\(self.mono\).as_millis\(\);/(later.wall_ms - self.wall_ms).unsigned_abs();/' \
  --lib clock::
plant old-date-confirms-a-jump src/clock.rs \
  's/            state.anchor = date.at;/            state.anchor = Moment::now();/; s/        if state.date.is_some_and\(\|known\| known.at.mono >= date.at.mono\) \{\n            return;\n        \}\n//' \
  --lib clock::
plant unproven-clock-trusted src/clock.rs \
  's/None if demand.required =>/None if demand.required \&\& age.is_some() =>/' \
  --test service faults::a_clock
plant date-of-a-jump-taken src/ncloud/reader.rs \
  's/if sent.drift_ms\(received\).abs\(\) > DRIFT_MAX_MS \{/if sent.drift_ms(received).abs() == i64::MAX {/' \
  --lib ncloud::reader
plant watermark-not-asked src/service.rs \
  's/Ok\(free\) if free >= watermark => None,/Ok(free) if free >= watermark.min(1) => None,/' \
  --test service faults::a_full_disk
plant unknown-room-is-enough-room src/store/disk.rs \
  's/let stat = rustix::fs::statvfs\((.*?)\)\?;/let Ok(stat) = rustix::fs::statvfs($1) else { return Ok(u64::MAX) };/' \
  --lib store::disk
plant ballast-never-given-up src/dispatcher/outcome.rs \
  's/if error.is_full\(\) && give_up_ballast\(service\)/if error.is_full() \&\& error.is_io() \&\& give_up_ballast(service)/' \
  --test service faults::an_outcome
plant dead-connection-comes-back src/store/open.rs \
  's/Ok\(!connection.is_in_transaction\(\)\)/Ok(!connection.is_in_transaction() || true)/' \
  --test service faults::a_full_disk
plant locked-store-asked-once-per-job src/store/mod.rs \
  's/self.is_doubt\(\) \|\| matches!\(self, Self::NotBegun \{ .. \}\)/self.is_doubt()/' \
  --test store_faults all_who_wait
plant log-never-folded src/store/wal.rs \
  's/let large = bytes > if idle \{ FOLD_IDLE_BYTES \} else \{ FOLD_BUSY_BYTES \};/let large = bytes > u64::from(idle) * u64::MAX;/; s/u64::from\(idle\) \* u64::MAX/u64::MAX - u64::from(idle)/' \
  --test store_faults under_load
plant unreadable-hold-file-is-none src/service.rs \
  's/Err\(error\) => Some\(format!\("the hold file \{\} cannot be read: \{error\}", path.display\(\)\)\),/Err(_) => None,/' \
  --lib service::
plant hold-waits-for-the-store src/http/api/mutes.rs \
  's/const HOLD_WITHIN: Duration = Duration::from_secs\(2\);/const HOLD_WITHIN: Duration = Duration::from_secs(60);/' \
  --test service faults::a_locked
plant wordless-hold-is-a-failure src/cli/hold_file.rs \
  's/Ok\(written.map_or_else\(\|error\| Set::Wordless\(error.to_string\(\)\), \|\(\)\| Set::New\)\)/written.map(|()| Set::New).map_err(trouble)/' \
  --test service faults::a_full_disk

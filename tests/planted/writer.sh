# shellcheck shell=bash
# What the writer remembers, and the rows that wait.

plant hold-not-forgotten src/store/hands.rs \
  's/self.changing\(Part::Holds\)/self.db()/g' \
  --test core store_model
plant remediation-not-forgotten src/store/remediations.rs \
  's/self.changing\(part\)/self.db()/g' \
  --test core store_model
plant new-remediation-not-forgotten src/store/remediations.rs \
  's/self.image.forget\(Part::Life\(&new.server.region, &new.server.no\)\);//' \
  --test core store_model
plant intent-does-not-fire src/store/remediations.rs \
  's/ && to != State::Intent \{/ {/' \
  --test store_memory a_remediation
plant inventory-counted-for-ever src/store/image.rs \
  's/self.fires.values_mut\(\).for_each\(Fires::forget_kinds\);//' \
  --test store_memory each_write
plant attempt-not-forgotten src/store/attempts.rs \
  's/self.changing\(Part::Attempts\)/self.db()/g' \
  --test core store_model
plant end-not-forgotten src/store/incidents.rs \
  's/self.changing\(Part::End\(fingerprint\)\)/self.db()/g' \
  --test core store_model
plant foreign-write-not-seen src/store/writer.rs \
  's/if turn.follows\(&before\)/if turn.follows(\&before) || true/' \
  --test store what_another
plant waiting-delivery-passed-over src/store/deliveries.rs \
  's/if self.waiting.deliveries.iter\(\).any\(waits\) \{/if self.waiting.deliveries.iter().any(waits) \&\& false {/' \
  --test store rows_that_wait
plant sighting-counted-for-ever src/domain/sightings.rs \
  's/                self.counted.remove\(sighting\);\n            \} else/            } else/' \
  --lib domain::sightings
plant inventory-not-forgotten src/store/servers.rs \
  's/self.changing\(Part::Inventory\)/self.db()/g' \
  --test store_memory each_write
plant guest-not-forgotten src/store/guest.rs \
  's/self.changing\(Part::Guests\)/self.db()/g' \
  --test store_memory each_write
plant storm-not-forgotten src/store/guards.rs \
  's/self.changing\(Part::Storms\)/self.db()/g' \
  --test store_memory each_write
plant standing-not-forgotten src/store/guards.rs \
  's/self.changing\(Part::Standing\)/self.db()/g' \
  --test store_memory each_write
plant silence-not-forgotten src/store/hands.rs \
  's/self.changing\(Part::Silences\)/self.db()/g' \
  --test store_memory each_write
plant heartbeat-not-forgotten src/store/heartbeat.rs \
  's/self.changing\(Part::Heartbeats\)/self.db()/g' \
  --test store_memory each_write
plant quarantine-not-forgotten src/store/quarantine.rs \
  's/self.changing\(Part::Quarantine\)/self.db()/g' \
  --test store_memory each_write
plant gap-not-forgotten src/store/quarantine.rs \
  's/self.changing\(Part::Gaps\)/self.db()/g' \
  --test store_memory each_write
plant closed-incident-joined src/store/incidents.rs \
  's/self.changing\(Part::Incident\(id\)\)/self.db()/g' \
  --test store_memory an_incident
plant lost-rows-committed src/store/writer.rs \
  's/if tx.waiting.is_broken\(\) \{/if tx.waiting.is_broken() \&\& false {/' \
  --test store rows_that_were_lost
plant packed-without-a-checksum src/store/packed.rs \
  's/include_checksum\(true\)/include_checksum(false)/' \
  --lib store::packed
plant searched-alert-packed src/store/waiting/rows.rs \
  's/row.alert.as_ref\(\).filter\(\|_\| row.server_no.is_some\(\)\)/row.alert.as_ref()/' \
  --test service why::
plant searched-body-packed src/store/packed.rs \
  's/if all_read \{ pack\(&body\) \} else \{ None \}/pack(\&body)/' \
  --test service why::
plant damaged-detail-ends-the-verifying src/store/query/audit.rs \
  's/\.unwrap_or_else\(\|_error\| DAMAGED.to_owned\(\)\)/?/' \
  --test cli tampering
plant known-body-taken-for-new src/store/deliveries.rs \
  's/self.first_of_body.remove\(&\(row.text/let _ = (\&(row.text/' \
  --test store_bodies bodies_that_wait
plant new-body-new-for-ever src/store/deliveries.rs \
  's/        self.first_of_body.remove\(&new.body_key\(\)\);\n//' \
  --test store_bodies bodies_that_wait
plant interrupted-not-forgotten src/store/image.rs \
  's/fires.forget_interrupted\(\);/let _ = fires;/' \
  --test store_memory a_remediation_is_seen
plant waiting-remediation-passed-over src/store/image.rs \
  's/if self.waiting.opens_for\(region, no\)/if false \&\& self.waiting.opens_for(region, no)/' \
  --test store_memory a_remediation_is_joined
plant old-bodies-lost migrations/sqlite/0015_bodies.sql \
  's/INSERT INTO body_in_order \(sha256, bytes, packed\) SELECT sha256, bytes, packed FROM body;//' \
  --test store_bodies bodies_of_an_older
plant references-stay-off migrations/sqlite/0015_bodies.sql \
  's/PRAGMA foreign_keys = ON;//' \
  --test store_bodies bodies_of_an_older
plant forgotten-sighting-counts src/domain/sightings.rs \
  's/self.counted.remove\(&sighting\);/let _ = \&sighting;/' \
  --lib domain::sightings
plant limit-compiled-anew src/store/query/audit.rs \
  's/ORDER BY seq LIMIT 0 \+ \?/ORDER BY seq LIMIT ?/' \
  --test store_plans no_limit

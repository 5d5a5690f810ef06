# shellcheck shell=bash
# What the writer remembers, and the rows that wait.

plant hold-not-forgotten src/store/hands.rs \
  's/self.changing\(Part::Holds\)/self.db()/g' \
  --test core store_model
plant remediation-not-forgotten src/store/remediations.rs \
  's/self.changing\(Part::Remediations\)/self.db()/g' \
  --test core store_model
plant attempt-not-forgotten src/store/attempts.rs \
  's/self.changing\(Part::Attempts\)/self.db()/g' \
  --test core store_model
plant end-not-forgotten src/store/incidents.rs \
  's/self.changing\(Part::Ends\)/self.db()/g' \
  --test core store_model
plant foreign-write-not-seen src/store/writer.rs \
  's/if data_version == before.data_version \{ before.image \}/if data_version >= 0 { before.image }/' \
  --test store what_another
plant waiting-delivery-passed-over src/store/deliveries.rs \
  's/if self.waiting.deliveries.iter\(\).any\(waits\) \{/if self.waiting.deliveries.iter().any(waits) \&\& false {/' \
  --test store rows_that_wait
plant sighting-counted-for-ever src/domain/sightings.rs \
  's/                self.counted.remove\(sighting\);\n            \} else/            } else/' \
  --lib domain::sightings

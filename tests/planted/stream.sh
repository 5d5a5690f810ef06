# shellcheck shell=bash
# The event stream: no gap, an end when it must end, nobody who holds a place.

plant stream-leaves-gaps src/http/stream.rs \
  's/if batch.after > self.cursor \{/if false {/; s/target: newest,\n/target: cursor,\n/' \
  --test service stream::
plant stream-outlives-its-stop src/http/stream.rs \
  's/                \(\) = self.door.service.stopping.cancelled\(\) => return None,\n//' \
  --test service stream::two_hundred
plant stream-outlives-its-token src/http/stream.rs \
  's/if !self.admission.holds/if false && !self.admission.holds/' \
  --test service stream::a_stream_ends
plant who-reads-nothing-stays src/http/mod.rs \
  's/        cut_off_after\(&socket, config\)\?;\n//' \
  --test service stream::who_reads
plant writer-keeps-its-news src/store/writer.rs \
  's/    news.send_if_modified\(/    if newest > 0 { return; }\n    news.send_if_modified(/' \
  --test service stream::an_event

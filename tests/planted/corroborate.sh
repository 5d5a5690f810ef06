# shellcheck shell=bash
# Second signals before the intent, and the cloud's own record as evidence.

plant could-not-tell-passes src/domain/corroboration.rs \
  's/Some\(Seen::CouldNotTell\(why\)\) => \(Verdict::Wait,/Some(Seen::CouldNotTell(why)) => (Verdict::Pass,/' \
  --test service corroboration::without_an_address
plant signals-not-asked-again src/domain/corroboration.rs \
  's/now\.duration_since\(signal\.asked_at\) <= SIGNAL_AGE_MAX/now >= signal.asked_at/' \
  --lib domain::
plant disagreement-only-delays src/domain/corroboration.rs \
  's/Some\(Seen::Disagrees\(why\)\) => \(Verdict::Stop,/Some(Seen::Disagrees(why)) => (Verdict::Wait,/' \
  --lib domain::
plant address-of-the-alert-believed src/dispatcher/asking.rs \
  's/Ok\(\[one\]\) if one\.identity\(\) == server\.identity\(\) => Ok\(claimed\)/Ok(_) => Ok(claimed)/' \
  --test service corroboration::without_an_address
plant silenced-counts-as-active src/signals/alertmanager.rs \
  's/if found\.contains\(&"suppressed"\)/if found.is_empty()/; s/\*state == "active"/!state.is_empty()/' \
  --lib signals::
plant activity-of-another-server src/domain/activity.rs \
  's/entry\.resource_id == server\.no\.as_str\(\)/!entry.resource_id.is_empty() \&\& !server.no.as_str().is_empty()/' \
  --test service evidence::no_record
plant activity-older-than-the-intent src/domain/activity.rs \
  's/\(from\.\.=until\)\.contains\(&entry\.event_time\)/(entry.event_time <= until || entry.event_time < from)/' \
  --lib domain::activity
plant no-record-rearms src/verifier/activity.rs \
  's/let Some\(evidence\) = evidence else \{ return Ok\(false\) \};/let Some(evidence) = evidence else {\n        move_with_event(tx, \&remediation, Event::SettledNotHappened, \&Move::default(), actor, None, now).await?;\n        return Ok(false);\n    };/' \
  --test service evidence::no_record

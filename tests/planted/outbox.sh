# shellcheck shell=bash
# Messages to people.

plant place-moved-without-messages src/store/outbox.rs \
  's/for one in given \{/for one in given.iter().take(0) {/' \
  --test service notify::a_receiver_that_was_down
plant delivered-not-recorded src/store/outbox.rs \
  's/WHERE id = \?3 AND done_at IS NULL/WHERE id = ?3 AND done_at IS NOT NULL/' \
  --test service notify::a_receiver_that_was_down
plant later-before-earlier src/outbox/delivery.rs \
  's/let in_order = receiver.kind != ReceiverKind::Alertmanager;/let in_order = false;/' \
  --test service notify::a_receiver_that_was_down
plant identity-of-the-place src/outbox/making.rs \
  's/webhook_id\(&receiver.name, &item.hash, message.kind\)/webhook_id(\&receiver.name, \&item.seq.to_string(), message.kind)/' \
  --test service notify::a_restored
plant stuck-behind-a-cut-audit src/outbox/making.rs \
  's/if seq == end \{/if seq >= end {/' \
  --test service notify::a_restored
plant one-worker-for-all src/outbox/mod.rs \
  's/if !self.working.contains_key\(&receiver.name\)/if self.working.is_empty()/' \
  --test service notify::a_receiver_that_never
plant refused-one-keeps-the-others src/store/outbox.rs \
  's/const REFUSED_MAX: i64 = 3;/const REFUSED_MAX: i64 = i64::MAX;/' \
  --test service notify::a_message_that_is_refused
plant alert-never-ended src/outbox/making.rs \
  's/if standing && let Some\(condition\)/if !standing \&\& let Some(condition)/' \
  --test service notify::a_real_alertmanager
plant alert-not-posted-again src/outbox/delivery.rs \
  's/let again = \(standing && !over\)/let again = (standing \&\& over)/' \
  --test service notify::a_real_alertmanager
plant our-own-alert-acts src/sources/skeleton.rs \
  's/value == OWN_LABEL.1/value != OWN_LABEL.1 \&\& value.is_empty()/' \
  --test service notify::labels_of_strangers
plant chat-marks-of-others src/domain/notice/wording.rs \
  's/.<. => safe.push_str\("&lt;"\),/\x27<\x27 => safe.push(c),/' \
  --lib domain::notice
plant signature-without-the-time src/outbox/body.rs \
  's/format!\("\{id\}.\{second\}.\{body\}"\)/format!("{id}.{body}", body = body, id = if second > 0 { id } else { "" })/' \
  --lib outbox::body
plant silence-told-each-time src/outbox/watch.rs \
  's/let was = told == Some\(begins\);/let was = told == Some(ends);/' \
  --lib outbox::watch
plant end-of-the-wrong-state src/domain/notice.rs \
  's/said.of_state\(said.state\("from"\)\?\)/said.of_state(said.state("to")?)/' \
  --lib domain::notice
plant open-breaker-not-told src/outbox/watch.rs \
  's/Breaker::Open \{ until \} => Some\(Some\(until\)\),/Breaker::Open { until } => Some(Some(until)).filter(|_| false),/' \
  --test service notify::kinds::an_open_breaker
plant no-reboot-told-as-one src/domain/notice.rs \
  's/\(_, State::Unconfirmed\) => Some\(Kind::Unconfirmed\)/(_, State::Unconfirmed) => Some(Kind::Confirmed)/' \
  --test service notify::kinds::an_accepted
plant each-try-told-as-the-last src/domain/notice.rs \
  's/Outcome::NotSent \| Outcome::Unknown => return None/Outcome::NotSent => Kind::NotSent,\n                Outcome::Unknown => return None/' \
  --test service notify::kinds::an_interrupt
plant last-try-not-told src/domain/notice.rs \
  's/\(_, State::NotSent\) => Some\(Kind::NotSent\)/(_, State::NotSent) => None/' \
  --test service notify::kinds::an_interrupt

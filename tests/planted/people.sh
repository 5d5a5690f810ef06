# shellcheck shell=bash
# What people read, mute and name: nobody delays another, and nothing waits for ever.

plant exports-without-a-share src/http/people.rs \
  's/const EXPORTS_EACH: usize = 2;/const EXPORTS_EACH: usize = 500;/; s/const EXPORTS_IN_ALL: usize = 8;/const EXPORTS_IN_ALL: usize = 500;/' \
  --test service people::a_person
plant turn-given-back-before-the-answer-left src/http/mod.rs \
  's/_request: unread, _turn: turn \}/_request: unread, _turn: None }/' \
  --test service people::slow_pages
plant one-log-in-ends-anothers-session src/http/session.rs \
  's/\.filter\(\|\(_, session\)\| session\.token == token\)/.filter(|(_, session)| session.since <= now)/' \
  --lib session::
plant silences-without-end src/hands.rs \
  's/if let Err\(why\) = hold::room_for\(&new\.matchers, &tx\.silences\(now\)\.await\?\) \{/if let Err(why) = hold::room_for(&new.matchers, &[]) {/' \
  --test service people::silences
plant opened-with-waiting src/files.rs \
  's/let flags = OFlags::NONBLOCK \| OFlags::NOCTTY/let flags = OFlags::NOCTTY/' \
  --test service people::no_file
plant a-hanging-room-holds-the-stop src/app.rs \
  's/const ROOMS_END_WITHIN: Duration = Duration::from_secs\(6\);/const ROOMS_END_WITHIN: Duration = Duration::from_secs(60);/' \
  --test service people::a_stop

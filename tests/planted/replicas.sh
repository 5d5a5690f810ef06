# shellcheck shell=bash
# Several replicas on one PostgreSQL.

plant image-kept-over-another-s-turn src/store/turn.rs \
  's/!before.ended_badly && self.count == next && self.server == before.server/!before.ended_badly/' \
  --test store_replicas another_replica_s
plant turn-goes-back src/store/turn.rs \
  's/\(self.count <= before.count\)/(false)/' \
  --test store_replicas a_store_that_went_back
plant lost-rows-hidden-by-later-turns src/store/turn.rs \
  's/still_there\(&mut inner, before\).await\?;//' \
  --test store_replicas a_store_that_went_back
plant doubt-tried-again src/store/turn.rs \
  's/StoreError::InDoubt \{ source \}/StoreError::Commit { source }/' \
  --test store_replicas a_commit_without_an_answer
plant intent-of-an-older-epoch migrations/postgres/0001_first.sql \
  's/NEW.epoch <> \(SELECT max\(epoch\) FROM owner\)/false/' \
  --test store_replicas an_intent_of_an_older_epoch
plant two-hold-the-lease src/store/lease.rs \
  's/if live == Some\(1\) \{/if live == Some(2) {/' \
  --test store_replicas the_lease_has_one_holder
plant replaced-holder-renews src/store/lease.rs \
  's/WHERE one = 1 AND epoch = \?",\n        \)\n        .bind\(millis/WHERE one = 1 OR epoch = ?",\n        )\n        .bind(millis/' \
  --test store_replicas the_lease_has_one_holder
plant promotion-not-seen src/quarantine.rs \
  's/store.attempts > 0 \|\| at.is_shared/store.attempts > 0 \&\& !at.is_shared/' \
  --lib a_new_replica_needs_no_journal
plant standby-sends src/lease.rs \
  's/State::Standby => Some\(.*?\),\n/State::Standby => None,\n/' \
  --lib lease
plant lease-to-its-very-end src/lease.rs \
  's/LASTS.saturating_sub\(MARGIN\)/LASTS/' \
  --lib lease
plant other-replicas-not-told src/store/turn.rs \
  's/newest.unwrap_or\(0\).to_string\(\)/"0"/' \
  --test store_replicas what_another_replica
plant server-that-forgets src/store/postgres.rs \
  's/\("fsync", &\["on"\]\[\.\.\]\)/("fsync", \&["on", "off"][..])/' \
  --test store_replicas a_server_that_is_not_to_be_trusted
plant read-without-a-bound src/store/db/mod.rs \
  's/tokio::time::timeout\(ANSWER_MAX, asking\).await.unwrap_or_else\(\|_elapsed\| Err\(silent\(\)\)\)/asking.await/' \
  --test service a_read_that_gets_no_answer
plant connections-that-wait-for-ever src/store/postgres.rs \
  's/ping\(connection, LATE_MAX\)/ping(connection, Duration::MAX)/' \
  --test service a_read_that_gets_no_answer
plant other-configuration-takes-over src/replica.rs \
  's/if !found.was_over\(lease\) \{/if lease.is_live {/' \
  --test service a_standby_that_was_given_another
plant other-configuration-not-named src/replica.rs \
  's/service.lease.bar\(Some\(chain\(error\)\)\)/service.lease.bar(None)/' \
  --test service a_standby_that_was_given_another

# shellcheck shell=bash
# Keys of a server role.

plant keys-that-have-run-out-are-used src/server_role.rs \
  's/Some\(Until::Time\(until\)\) => until <= now,/Some(Until::Time(until)) => until <= now \&\& until > now,/' \
  --test service server_role::without_keys
plant keys-of-before-are-taken src/server_role.rs \
  's/if keys.until.is_some_and\(\|until\| until <= service.clock.wall\(\)\)/if keys.until.is_some_and(|until| until <= Timestamp::MIN)/' \
  --test service server_role::without_keys
plant keys-not-asked-for-in-time src/server_role.rs \
  's/\(left \/ 2\).clamp\(Duration::from_secs\(1\), long\)/(left * 200).max(long)/' \
  --test service server_role::keys_of_the_role

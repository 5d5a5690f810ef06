# shellcheck shell=bash
# Storm guard, circuit breaker, evidence ladder.

plant storm-off-by-default src/domain/storm.rs \
  's/Self \{ share: 0.1, count: 2, same_zone: 3, window/Self { share: 1.0, count: 1_000_000, same_zone: 1_000_000, window/' \
  --lib domain::storm
plant storm-not-asked-in-the-claim src/domain/standing.rs \
  's/    storm::ask\(trace, on.rules, &on.facts.storm, on.server, &on.policy.name\);\n//' \
  --lib domain::claim
plant storm-one-too-many src/domain/storm.rs \
  's/if f64::from\(distinct\) > bearable/if f64::from(distinct) > bearable + 1.0/' \
  --lib domain::storm
plant storm-forgets-at-restart src/app.rs \
  's/(let epoch = tx.begin_epoch\(.*?\).await\?;)/$1\n                for id in 1..9 { tx.clear_storm(id, "restart", "restart", now).await?; }/' \
  --test service storm::five_hundred
plant storm-seen-and-not-kept src/store/guards.rs \
  's/(INSERT INTO storm .*?) VALUES \(\?, \?, \?, \?, \?\)/$1 SELECT ?, ?, ?, ?, ? WHERE 0/' \
  --test service storm::servers_that_are_told
plant storm-counts-what-was-cleared src/store/fires.rs \
  's/Some\(at\) => cleared_at = at,/Some(_at) => {}/' \
  --test service storm::five_hundred
plant cut-group-opens-no-storm src/domain/signs.rs \
  's/if question.truncated && question.origin/if false && question.origin/' \
  --test service storm::a_group
plant breaker-never-opens src/domain/breaker.rs \
  's/bad_in_a_row\(tried\) >= failures/bad_in_a_row(tried) > failures + 1000/' \
  --lib domain::breaker
plant breaker-half-open-for-many src/domain/breaker.rs \
  's/pending: tried.iter\(\).any\(\|one\| one.end\(\) == Some\(End::Pending\)\)/pending: false/' \
  --lib domain::breaker
plant reset-does-not-count src/store/guards.rs \
  's/SELECT max\(at\) FROM breaker_reset/SELECT min(0) FROM breaker_reset/' \
  --test service storm::three_refused
plant demotion-ignored src/domain/ladder.rs \
  's/if demoted.is_some\(\) \{ mode.min\(Mode::Approve\) \} else \{ mode \}/if demoted.is_some() { mode } else { mode }/' \
  --lib domain::
plant unknown-does-not-demote src/moves/ladder.rs \
  's/State::Unknown => Some\(.*?\),\n/State::Unknown => None,\n/' \
  --test service storm::a_policy_whose
plant queued-outlives-the-demotion src/domain/claim.rs \
  's/let demoted = is_demoted\(policy, facts\);/let demoted = false;/' \
  --lib domain::claim

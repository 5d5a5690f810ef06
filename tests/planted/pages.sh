# shellcheck shell=bash
# What is ordered at the pages: an approval of what was shown, and a hold when the store takes none.

plant approval-of-another-decision src/hands.rs \
  's/decision_hash.as_deref\(\).is_none_or\(\|seen\| seen == decision_hash\)/decision_hash.as_deref().is_none_or(|_| true)/' \
  --test service pages::an_approval
plant approval-of-what-nobody-saw src/hands.rs \
  's/\(version.is_some\(\) \|\| decision_hash.is_some\(\)\).then_some/(true).then_some/' \
  --lib http::tests::api::bodies_are_checked
plant page-that-names-no-decision src/http/dashboard/remediations.rs \
  's/Seen::new\(Some\(version\), Some\(decision\)\)/Seen::new(Some(version), Some(decision).filter(|_| false))/' \
  --test service pages::an_approval
plant hold-button-without-its-file src/http/dashboard/holds.rs \
  's/problem.code\(\) == Code::StoreFailed && /problem.code() == Code::NotFound \&\& /' \
  --test service pages::the_hold_button
plant narrow-hold-stops-everything src/http/dashboard/holds.rs \
  's/ && wanted.scope == "global" =>/ =>/' \
  --test service pages::the_hold_button

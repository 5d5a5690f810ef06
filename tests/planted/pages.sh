# shellcheck shell=bash
# What is ordered at the pages: an approval of what was shown, and a hold when the store takes none.

plant approval-of-another-decision src/hands.rs \
  's/if approval.decision_hash.is_some\(\) && approval.decision_hash != tx.decision_hash\(id\).await\? \{/if approval.decision_hash.is_none() \&\& tx.decision_hash(id).await?.is_none() {/' \
  --test service pages::an_approval
plant page-that-names-no-decision src/http/dashboard/remediations.rs \
  's/decision_hash: Some\(form.text\("decision"\).to_owned\(\)\),/decision_hash: None,/' \
  --test service pages::an_approval
plant hold-button-without-its-file src/http/dashboard/holds.rs \
  's/problem.code\(\) == Code::StoreFailed && /problem.code() == Code::NotFound \&\& /' \
  --test service pages::the_hold_button
plant narrow-hold-stops-everything src/http/dashboard/holds.rs \
  's/ && wanted.scope == "global" =>/ =>/' \
  --test service pages::the_hold_button

# shellcheck shell=bash
# Notices that say nothing new.

plant guard-that-changed-is-no-news src/store/renewals.rs \
  's/\[check.guard.as_str\(\), check.verdict.as_str\(\)\]/[check.guard.as_str()]/' \
  --lib renewals
plant renewed-for-ever src/store/renewals.rs \
  's/\(0\.\.ms_of\(RENEWED_FOR\)\)\.contains\(&ago\)/ago >= 0/' \
  --lib store::renewals
plant every-notice-renews-the-hour src/store/renewals.rs \
  's/(            return true;\n)/            self.0.insert(alert, (said, now));\n$1/' \
  --lib store::renewals
plant shadow-is-renewed src/store/renewals.rs \
  's/reason != Reason::Shadow/true/' \
  --lib http::tests::renewals
plant replay-is-renewed src/intake/alerts.rs \
  's/if told.person.is_none\(\) \{ tx.renewal/if true { tx.renewal/' \
  --lib http::tests::renewals
plant renewal-not-told src/intake/mod.rs \
  's/fields.insert\("renewed".to_owned\(\), serde_json::json!\(told\)\);//' \
  --lib http::tests::renewals
plant renewal-not-folded src/domain/fold.rs \
  's/    guards::renewed\(fold, fact\);\n//' \
  --lib http::tests::renewals
plant renewal-not-counted src/store/renewals.rs \
  's/self.waiting.count_renewal\([^;]*;//' \
  --lib http::tests::renewals
plant renewal-not-replayed src/store/query/record.rs \
  's/        alerts.extend\(self.renewed_alerts\(&ids\).await\?\);\n//' \
  --lib http::tests::renewals
plant renewal-lost-where-it-was-written src/store/deliveries.rs \
  's/renewals = \?, renewals_packed = \?, renewal_count = \? /renewals = renewals || substr(?, 1, 0), renewals_packed = coalesce(renewals_packed, substr(?, 1, 0)), renewal_count = 0 * ? /' \
  --test store rows_that_wait
plant renewal-not-in-the-list src/store/query/deliveries.rs \
  's/AND renewal_count > 0/AND renewal_count < 0/' \
  --lib http::tests::renewals

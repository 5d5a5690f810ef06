-- When a person last said that the server hangs: an order, a replay, or an approval that confirms it. A boot after it makes
-- it worth nothing. Rows of before have none.
ALTER TABLE remediation ADD COLUMN confirmed_at INTEGER;

-- When the notice came with which an alert opened or joined a remediation. An end of it that is noticed later ends the
-- remediation too, also when it came while a try was in flight. Rows of before are taken as joined from the beginning.
ALTER TABLE remediation_alert ADD COLUMN joined_at INTEGER;

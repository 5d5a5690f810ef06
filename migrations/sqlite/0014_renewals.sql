-- Notices that say again what was recorded before lie with their delivery in one text, packed as other long texts
-- (src/store/renewals.rs). A delivery of before has none.
ALTER TABLE delivery ADD COLUMN renewals TEXT NOT NULL DEFAULT '';
ALTER TABLE delivery ADD COLUMN renewals_packed BLOB;
ALTER TABLE delivery ADD COLUMN renewal_count INTEGER NOT NULL DEFAULT 0;

-- How many of them came in a minute.
CREATE TABLE renewal_count (
  decision TEXT NOT NULL,
  reason   TEXT NOT NULL,
  minute   INTEGER NOT NULL,
  alerts   INTEGER NOT NULL,
  PRIMARY KEY (decision, reason, minute)
) STRICT, WITHOUT ROWID;

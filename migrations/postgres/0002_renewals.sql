-- Notices that say again what was recorded before lie with their delivery in one text, packed as other long texts
-- (src/store/renewals.rs). A delivery of before has none.
ALTER TABLE delivery ADD COLUMN renewals TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE delivery ADD COLUMN renewals_packed BYTEA;
ALTER TABLE delivery ADD COLUMN renewal_count BIGINT NOT NULL DEFAULT 0;

-- How many of them came in a minute.
CREATE TABLE renewal_count (
  decision TEXT COLLATE "C" NOT NULL,
  reason   TEXT COLLATE "C" NOT NULL,
  minute   BIGINT NOT NULL,
  alerts   BIGINT NOT NULL,
  PRIMARY KEY (decision, reason, minute)
);

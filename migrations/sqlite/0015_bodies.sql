-- no-transaction
-- Bodies one after the other instead of by their hash: each was two pages at random, and is a part of the last one now.
-- A table that others refer to can be exchanged only while references are not looked at, and that cannot be said inside
-- a transaction (https://www.sqlite.org/lang_altertable.html#otheralter). Broken off, it is done again from the begin.
PRAGMA foreign_keys = OFF;
BEGIN IMMEDIATE;
CREATE TABLE body_in_order (
  sha256 TEXT PRIMARY KEY NOT NULL,
  bytes  BLOB NOT NULL,
  packed BLOB
) STRICT;
INSERT INTO body_in_order (sha256, bytes, packed) SELECT sha256, bytes, packed FROM body;
DROP TABLE body;
ALTER TABLE body_in_order RENAME TO body;
COMMIT;
PRAGMA foreign_keys = ON;

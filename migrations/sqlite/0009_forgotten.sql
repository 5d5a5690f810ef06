-- Interrupts that only the attempt journal knows: the store was restored from an older copy. Limits count them like attempts.
CREATE TABLE forgotten_attempt (
  attempt_id     INTEGER PRIMARY KEY,
  server_no      TEXT NOT NULL,
  region_code    TEXT NOT NULL,
  policy         TEXT NOT NULL,
  intent_at      INTEGER NOT NULL,
  outcome        TEXT NOT NULL CHECK (outcome IN ('accepted', 'rejected', 'unknown')),
  memory_bytes   INTEGER NOT NULL,
  cooldown_until INTEGER NOT NULL
) STRICT;
CREATE TRIGGER forgotten_attempt_is_never_changed BEFORE UPDATE ON forgotten_attempt
BEGIN SELECT RAISE(ABORT, 'what the journal knew is kept'); END;
CREATE TRIGGER forgotten_attempt_is_never_deleted BEFORE DELETE ON forgotten_attempt
BEGIN SELECT RAISE(ABORT, 'what the journal knew is kept'); END;

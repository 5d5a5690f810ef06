-- Who this store is, what the attempt journal once knew better, and when nobody watched.

CREATE TABLE store_identity (
  one        INTEGER PRIMARY KEY CHECK (one = 1),
  store_id   TEXT NOT NULL CHECK (length(store_id) > 0),
  created_at INTEGER NOT NULL,
  machine_id TEXT
) STRICT;

CREATE TRIGGER store_identity_is_kept BEFORE UPDATE OF store_id, created_at ON store_identity
BEGIN SELECT RAISE(ABORT, 'a store keeps its identity'); END;
CREATE TRIGGER store_identity_is_never_deleted BEFORE DELETE ON store_identity
BEGIN SELECT RAISE(ABORT, 'a store keeps its identity'); END;

CREATE TABLE quarantine (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  opened_at  INTEGER NOT NULL,
  why        TEXT NOT NULL CHECK (length(why) > 0),
  cleared_at INTEGER,
  cleared_by TEXT,
  reason     TEXT,
  CONSTRAINT clearing_names_a_person_and_a_reason CHECK (
    (cleared_at IS NULL) = (cleared_by IS NULL) AND (cleared_at IS NULL) = (reason IS NULL))
) STRICT;
CREATE UNIQUE INDEX one_open_quarantine ON quarantine ((1)) WHERE cleared_at IS NULL;

CREATE TRIGGER quarantine_is_cleared_once BEFORE UPDATE ON quarantine
WHEN OLD.cleared_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a cleared quarantine stays cleared'); END;
CREATE TRIGGER quarantine_is_never_deleted BEFORE DELETE ON quarantine
BEGIN SELECT RAISE(ABORT, 'quarantines are kept'); END;

-- Times in which this service saw nothing: a reboot in one of them may have been anybody's.
CREATE TABLE watch_gap (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  from_at  INTEGER NOT NULL,
  until_at INTEGER NOT NULL,
  CONSTRAINT a_gap_ends_after_it_begins CHECK (from_at < until_at)
) STRICT;
CREATE INDEX watch_gap_by_end ON watch_gap (until_at);

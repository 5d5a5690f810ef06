-- When each source last gave its sign of life. One row a source; it only moves forward.
CREATE TABLE heartbeat (
  source  TEXT PRIMARY KEY,
  last_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER heartbeat_never_moves_back BEFORE UPDATE OF last_at ON heartbeat
WHEN NEW.last_at < OLD.last_at
BEGIN SELECT RAISE(ABORT, 'a heartbeat never moves back'); END;

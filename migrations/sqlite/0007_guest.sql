-- What a person says of a dump, and what guests say of themselves.

-- The dump of every interrupt before this time is in safe hands: it ends their cooldown, and nothing else.
CREATE TABLE dump_collected (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  region_code TEXT NOT NULL,
  server_no   TEXT NOT NULL,
  at          INTEGER NOT NULL,
  person      TEXT NOT NULL CHECK (length(person) > 0),
  reason      TEXT NOT NULL CHECK (length(reason) > 0)
) STRICT;
CREATE INDEX dump_collected_by_server ON dump_collected (server_no, at);

CREATE TRIGGER dump_collected_is_never_changed BEFORE UPDATE ON dump_collected
BEGIN SELECT RAISE(ABORT, 'what a person said of a dump is kept'); END;
CREATE TRIGGER dump_collected_is_never_deleted BEFORE DELETE ON dump_collected
BEGIN SELECT RAISE(ABORT, 'what a person said of a dump is kept'); END;

CREATE TABLE attestation (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  source      TEXT NOT NULL,
  region_code TEXT NOT NULL,
  server_no   TEXT NOT NULL,
  kind        TEXT NOT NULL,
  at          INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  said        TEXT NOT NULL,
  CONSTRAINT kind_is_known CHECK (kind IN ('dump_settings', 'dump_found'))
) STRICT;
CREATE INDEX attestation_by_server ON attestation (server_no, kind, id);

-- Why did nothing happen to a server that no alert could be tied to?
CREATE INDEX alert_without_server ON alert (received_at) WHERE server_no IS NULL;
CREATE INDEX remediation_by_server ON remediation (server_no, created_at);

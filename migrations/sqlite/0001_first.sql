-- Times are integer milliseconds since 1970 UTC. Rules that keep machines safe are said here as well as in code.

CREATE TABLE owner (
  epoch      INTEGER PRIMARY KEY AUTOINCREMENT,
  started_at INTEGER NOT NULL,
  pid        INTEGER NOT NULL,
  version    TEXT NOT NULL,
  stopped_at INTEGER
) STRICT;

CREATE TABLE body (
  sha256 TEXT PRIMARY KEY,
  bytes  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery (
  id          TEXT PRIMARY KEY,
  trace_id    TEXT NOT NULL,
  source      TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  peer        TEXT NOT NULL,
  credential  INTEGER NOT NULL,
  body_sha256 TEXT NOT NULL REFERENCES body (sha256),
  sender_time INTEGER,
  alert_count INTEGER NOT NULL,
  truncated   INTEGER NOT NULL,
  dedupable   INTEGER NOT NULL CHECK (dedupable IN (0, 1)),
  repeat_of   TEXT REFERENCES delivery (id),
  replay_of   TEXT REFERENCES delivery (id),
  actor       TEXT NOT NULL,
  config_hash TEXT NOT NULL,
  answer      TEXT NOT NULL
) STRICT;
CREATE INDEX delivery_by_body ON delivery (source, body_sha256, received_at);
CREATE INDEX delivery_by_time ON delivery (received_at);
CREATE INDEX delivery_by_source ON delivery (source, received_at);

CREATE TABLE incident (
  id           TEXT PRIMARY KEY,
  server_no    TEXT NOT NULL,
  region_code  TEXT NOT NULL,
  server_name  TEXT NOT NULL,
  opened_at    INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL,
  closed_at    INTEGER
) STRICT;
CREATE UNIQUE INDEX one_open_incident_per_server ON incident (region_code, server_no) WHERE closed_at IS NULL;
CREATE INDEX incident_by_time ON incident (opened_at);

CREATE TABLE incident_alert (
  incident_id    TEXT NOT NULL REFERENCES incident (id),
  source         TEXT NOT NULL,
  fingerprint    TEXT NOT NULL,
  firing         INTEGER NOT NULL CHECK (firing IN (0, 1)),
  last_notice_at INTEGER NOT NULL,
  PRIMARY KEY (incident_id, source, fingerprint)
) STRICT, WITHOUT ROWID;
CREATE INDEX incident_alert_by_fingerprint ON incident_alert (fingerprint) WHERE firing = 1;

-- The newest end that any source reported for a fingerprint. It only moves forward.
CREATE TABLE resolved_notice (
  fingerprint TEXT PRIMARY KEY,
  ended_at    INTEGER NOT NULL,
  noticed_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE remediation (
  id                 TEXT PRIMARY KEY,
  incident_id        TEXT NOT NULL REFERENCES incident (id),
  state              TEXT NOT NULL,
  version            INTEGER NOT NULL DEFAULT 1,
  server_no          TEXT NOT NULL,
  region_code        TEXT NOT NULL,
  server             TEXT NOT NULL,
  policy             TEXT NOT NULL,
  policy_hash        TEXT NOT NULL,
  config_hash        TEXT NOT NULL,
  source             TEXT NOT NULL,
  alert              TEXT NOT NULL,
  needs_person       INTEGER NOT NULL CHECK (needs_person IN (0, 1)),
  requested_by       TEXT,
  replay_of          TEXT REFERENCES delivery (id),
  delivery_id        TEXT REFERENCES delivery (id),
  trace_id           TEXT NOT NULL,
  created_at         INTEGER NOT NULL,
  settle_until       INTEGER NOT NULL,
  not_before         INTEGER NOT NULL,
  episode_started_at INTEGER,
  last_notice_at     INTEGER NOT NULL,
  waiting_since      INTEGER NOT NULL,
  approved_by        TEXT,
  approved_at        INTEGER,
  reason             TEXT,
  until              INTEGER,
  detail             TEXT NOT NULL DEFAULT '',
  finished_at        INTEGER,
  CONSTRAINT finished_exactly_when_terminal CHECK (
    (state IN ('confirmed', 'rejected', 'not_sent', 'closed_happened', 'closed_not_happened', 'cancelled', 'expired'))
    = (finished_at IS NOT NULL)),
  CONSTRAINT approval_names_a_person CHECK ((approved_by IS NULL) = (approved_at IS NULL))
) STRICT;
CREATE UNIQUE INDEX one_live_remediation_per_server ON remediation (region_code, server_no) WHERE finished_at IS NULL;
CREATE INDEX remediation_by_incident ON remediation (incident_id);
CREATE INDEX remediation_live ON remediation (state, not_before) WHERE finished_at IS NULL;
CREATE INDEX remediation_by_time ON remediation (created_at);

-- Alerts that opened or joined a remediation: a resolved notice of any of them cancels it before the intent.
CREATE TABLE remediation_alert (
  remediation_id TEXT NOT NULL REFERENCES remediation (id),
  fingerprint    TEXT NOT NULL,
  PRIMARY KEY (remediation_id, fingerprint)
) STRICT, WITHOUT ROWID;
CREATE INDEX remediation_alert_by_fingerprint ON remediation_alert (fingerprint);

CREATE TABLE legal_move (
  from_state TEXT NOT NULL,
  to_state   TEXT NOT NULL,
  PRIMARY KEY (from_state, to_state)
) STRICT, WITHOUT ROWID;
INSERT INTO legal_move (from_state, to_state) VALUES
  ('settling', 'awaiting_approval'), ('settling', 'queued'), ('awaiting_approval', 'queued'), ('intent', 'queued'),
  ('settling', 'cancelled'), ('awaiting_approval', 'cancelled'), ('queued', 'cancelled'),
  ('settling', 'expired'), ('awaiting_approval', 'expired'), ('queued', 'expired'),
  ('queued', 'intent'),
  ('intent', 'accepted'), ('unknown', 'accepted'), ('intent', 'rejected'), ('unknown', 'rejected'),
  ('intent', 'not_sent'), ('intent', 'unknown'),
  ('accepted', 'confirmed'), ('unconfirmed', 'confirmed'), ('unknown', 'confirmed'), ('accepted', 'unconfirmed'),
  ('unconfirmed', 'closed_happened'), ('unknown', 'closed_happened'),
  ('unconfirmed', 'closed_not_happened'), ('unknown', 'closed_not_happened');

CREATE TRIGGER remediation_begins_settling BEFORE INSERT ON remediation
WHEN NEW.state <> 'settling'
BEGIN SELECT RAISE(ABORT, 'a remediation begins settling'); END;

CREATE TRIGGER remediation_moves_legally BEFORE UPDATE OF state ON remediation
WHEN OLD.state <> NEW.state
 AND NOT EXISTS (SELECT 1 FROM legal_move WHERE from_state = OLD.state AND to_state = NEW.state)
BEGIN SELECT RAISE(ABORT, 'illegal move of a remediation'); END;

CREATE TRIGGER remediation_is_never_deleted BEFORE DELETE ON remediation
BEGIN SELECT RAISE(ABORT, 'remediations are kept'); END;

CREATE TABLE attempt (
  id             INTEGER PRIMARY KEY AUTOINCREMENT,
  remediation_id TEXT NOT NULL REFERENCES remediation (id),
  try            INTEGER NOT NULL CHECK (try BETWEEN 1 AND 3),
  nonce          TEXT NOT NULL UNIQUE,
  epoch          INTEGER NOT NULL REFERENCES owner (epoch),
  server_no      TEXT NOT NULL,
  region_code    TEXT NOT NULL,
  policy         TEXT NOT NULL,
  intent_at      INTEGER NOT NULL,
  signed_at      INTEGER NOT NULL,
  send_before    INTEGER NOT NULL,
  request_hash   TEXT NOT NULL,
  uptime_at      INTEGER,
  memory_bytes   INTEGER NOT NULL,
  cooldown_until INTEGER NOT NULL,
  outcome        TEXT CHECK (outcome IN ('accepted', 'rejected', 'not_sent', 'unknown')),
  outcome_at     INTEGER,
  cause          TEXT,
  request_id     TEXT,
  return_code    TEXT,
  return_message TEXT,
  http_status    INTEGER,
  body_sha256    TEXT,
  evidence       TEXT,
  UNIQUE (remediation_id, try),
  CONSTRAINT outcome_has_a_time CHECK ((outcome IS NULL) = (outcome_at IS NULL))
) STRICT;
-- Of all attempts of a remediation at most one may have had an effect.
CREATE UNIQUE INDEX one_attempt_that_may_have_acted ON attempt (remediation_id)
  WHERE outcome IS NULL OR outcome <> 'not_sent';
CREATE INDEX attempt_by_time ON attempt (intent_at);

CREATE TRIGGER attempt_is_never_deleted BEFORE DELETE ON attempt
BEGIN SELECT RAISE(ABORT, 'attempts are kept'); END;

CREATE TRIGGER attempt_intent_is_fixed BEFORE UPDATE OF remediation_id, try, nonce, epoch, server_no, region_code,
  intent_at, signed_at, send_before, request_hash ON attempt
BEGIN SELECT RAISE(ABORT, 'an intent is not rewritten'); END;

CREATE TRIGGER attempt_outcome_is_final BEFORE UPDATE OF outcome ON attempt
WHEN OLD.outcome IS NOT NULL AND NOT (OLD.outcome = 'unknown' AND NEW.outcome IN ('accepted', 'rejected'))
BEGIN SELECT RAISE(ABORT, 'an outcome is final'); END;

CREATE TABLE alert (
  id             INTEGER PRIMARY KEY AUTOINCREMENT,
  delivery_id    TEXT NOT NULL REFERENCES delivery (id),
  idx            INTEGER NOT NULL,
  source         TEXT NOT NULL,
  fingerprint    TEXT,
  status         TEXT,
  alert          TEXT,
  received_at    INTEGER NOT NULL,
  server_no      TEXT,
  region_code    TEXT,
  policy         TEXT,
  decision       TEXT NOT NULL,
  reason         TEXT,
  until          INTEGER,
  detail         TEXT NOT NULL,
  trace          TEXT NOT NULL,
  config_hash    TEXT NOT NULL,
  decided_at     INTEGER NOT NULL,
  incident_id    TEXT REFERENCES incident (id),
  remediation_id TEXT REFERENCES remediation (id),
  UNIQUE (delivery_id, idx)
) STRICT;
CREATE INDEX alert_pending ON alert (id) WHERE decision = 'pending';
CREATE INDEX alert_by_server ON alert (server_no, received_at) WHERE server_no IS NOT NULL;
CREATE INDEX alert_by_incident ON alert (incident_id) WHERE incident_id IS NOT NULL;

CREATE TABLE hold (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  scope      TEXT NOT NULL CHECK (scope IN ('global', 'source', 'policy', 'region', 'server')),
  name       TEXT NOT NULL,
  author     TEXT NOT NULL,
  reason     TEXT NOT NULL CHECK (length(reason) > 0),
  set_at     INTEGER NOT NULL,
  until      INTEGER,
  cleared_at INTEGER,
  cleared_by TEXT
) STRICT;
CREATE INDEX hold_active ON hold (id) WHERE cleared_at IS NULL;

CREATE TABLE silence (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  matchers   TEXT NOT NULL,
  author     TEXT NOT NULL,
  comment    TEXT NOT NULL CHECK (length(comment) > 0),
  starts_at  INTEGER NOT NULL,
  ends_at    INTEGER NOT NULL,
  expired_at INTEGER,
  expired_by TEXT,
  CHECK (starts_at < ends_at)
) STRICT;
CREATE INDEX silence_active ON silence (ends_at) WHERE expired_at IS NULL;

CREATE TABLE settlement (
  remediation_id TEXT NOT NULL REFERENCES remediation (id),
  person         TEXT NOT NULL,
  verdict        TEXT NOT NULL CHECK (verdict IN ('happened', 'not_happened')),
  reason         TEXT NOT NULL,
  at             INTEGER NOT NULL,
  PRIMARY KEY (remediation_id, person)
) STRICT, WITHOUT ROWID;

CREATE TABLE server (
  region_code  TEXT NOT NULL,
  server_no    TEXT NOT NULL,
  server_name  TEXT NOT NULL,
  server       TEXT NOT NULL,
  seen_at      INTEGER NOT NULL,
  PRIMARY KEY (region_code, server_no)
) STRICT, WITHOUT ROWID;
CREATE INDEX server_by_name ON server (region_code, server_name);

-- Answers of look-ups: an address or name and the server that a complete answer gave for it.
CREATE TABLE lookup (
  region_code TEXT NOT NULL,
  named       TEXT NOT NULL,
  server_nos  TEXT NOT NULL,
  seen_at     INTEGER NOT NULL,
  PRIMARY KEY (region_code, named)
) STRICT, WITHOUT ROWID;

CREATE TABLE inventory_read (
  region_code  TEXT PRIMARY KEY,
  completed_at INTEGER,
  server_count INTEGER NOT NULL DEFAULT 0,
  failed_at    INTEGER,
  error        TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
  key        TEXT NOT NULL,
  person     TEXT NOT NULL,
  parameters TEXT NOT NULL,
  status     INTEGER NOT NULL,
  answer     TEXT NOT NULL,
  at         INTEGER NOT NULL,
  PRIMARY KEY (person, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
  seq                INTEGER PRIMARY KEY AUTOINCREMENT,
  at                 INTEGER NOT NULL,
  kind               TEXT NOT NULL,
  actor_kind         TEXT NOT NULL CHECK (actor_kind IN ('source', 'person', 'service')),
  actor_name         TEXT NOT NULL,
  trace_id           TEXT,
  delivery_id        TEXT,
  incident_id        TEXT,
  remediation_id     TEXT,
  attempt_id         INTEGER,
  server_instance_no TEXT,
  region_code        TEXT,
  source             TEXT,
  policy             TEXT,
  decision           TEXT,
  reason             TEXT,
  outcome            TEXT,
  request_id         TEXT,
  return_code        TEXT,
  return_message     TEXT,
  http_status        INTEGER,
  detail             TEXT NOT NULL,
  prev_hash          TEXT NOT NULL,
  hash               TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_server ON audit (server_instance_no, seq) WHERE server_instance_no IS NOT NULL;
CREATE INDEX audit_by_request ON audit (request_id, seq) WHERE request_id IS NOT NULL;
CREATE INDEX audit_by_trace ON audit (trace_id, seq) WHERE trace_id IS NOT NULL;
CREATE INDEX audit_by_delivery ON audit (delivery_id, seq) WHERE delivery_id IS NOT NULL;
CREATE INDEX audit_by_incident ON audit (incident_id, seq) WHERE incident_id IS NOT NULL;
CREATE INDEX audit_by_remediation ON audit (remediation_id, seq) WHERE remediation_id IS NOT NULL;
CREATE INDEX audit_by_outcome ON audit (outcome, seq) WHERE outcome IS NOT NULL;
CREATE INDEX audit_by_time ON audit (at, seq);

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

-- What people outside are told. A projection of the audit: nothing in these tables decides what is sent to the cloud.

-- How far each receiver has been told of the audit: the last row that was looked at for it.
CREATE TABLE outbox_cursor (
  receiver TEXT PRIMARY KEY,
  seq      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  receiver     TEXT NOT NULL,
  seq          INTEGER NOT NULL,
  kind         TEXT NOT NULL,
  -- The same for every try, so that a receiver can tell a second one.
  webhook_id   TEXT NOT NULL,
  message      TEXT NOT NULL,
  made_at      INTEGER NOT NULL,
  -- For receivers that keep an alert open: it is posted again until it ends.
  standing     INTEGER NOT NULL CHECK (standing IN (0, 1)),
  condition    TEXT,
  ends_at      INTEGER,
  -- Tries in a row without success, and how many of them refused the message itself.
  attempts     INTEGER NOT NULL DEFAULT 0,
  refused      INTEGER NOT NULL DEFAULT 0,
  not_before   INTEGER NOT NULL,
  last_error   TEXT,
  delivered_at INTEGER,
  given_up_at  INTEGER,
  done_at      INTEGER,
  CONSTRAINT one_message_per_receiver_and_event UNIQUE (receiver, seq, kind),
  CONSTRAINT done_is_delivered_or_given_up CHECK (done_at IS NULL OR delivered_at IS NOT NULL OR given_up_at IS NOT NULL)
) STRICT;
CREATE INDEX outbox_to_do ON outbox (receiver, id) WHERE done_at IS NULL;
CREATE INDEX outbox_done ON outbox (done_at) WHERE done_at IS NOT NULL;
CREATE INDEX outbox_delivered ON outbox (receiver, delivered_at) WHERE delivered_at IS NOT NULL;
CREATE INDEX outbox_standing ON outbox (receiver, condition) WHERE standing = 1 AND done_at IS NULL;

-- The newest of a kind of event is asked for without reading the whole audit.
CREATE INDEX audit_of_conditions ON audit (kind, seq)
  WHERE kind IN ('source_silent', 'source_heard_again', 'breaker_opened', 'breaker_closed');

-- Storms, breakers and the standing of policies.

-- The newest firing notice of a server that a policy claims. A storm is counted from these.
CREATE TABLE sighting (
  region_code        TEXT NOT NULL,
  server_no          TEXT NOT NULL,
  policy             TEXT NOT NULL,
  zone_code          TEXT NOT NULL,
  subnet_no          TEXT NOT NULL,
  placement_group_no TEXT NOT NULL,
  seen_at            INTEGER NOT NULL,
  PRIMARY KEY (region_code, server_no, policy)
) STRICT, WITHOUT ROWID;
CREATE INDEX sighting_by_time ON sighting (region_code, seen_at, zone_code, subnet_no, placement_group_no);

CREATE TABLE storm (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  region_code TEXT NOT NULL,
  opened_at   INTEGER NOT NULL,
  why         TEXT NOT NULL CHECK (length(why) > 0),
  servers     TEXT NOT NULL,
  policies    TEXT NOT NULL,
  cleared_at  INTEGER,
  cleared_by  TEXT,
  reason      TEXT,
  CONSTRAINT a_clearing_names_person_and_reason CHECK (
    (cleared_at IS NULL) = (cleared_by IS NULL) AND (cleared_at IS NULL) = (reason IS NULL))
) STRICT;
CREATE UNIQUE INDEX one_open_storm_per_region ON storm (region_code) WHERE cleared_at IS NULL;
CREATE INDEX storm_by_region ON storm (region_code, id);

CREATE TRIGGER storm_is_cleared_once BEFORE UPDATE ON storm
WHEN OLD.cleared_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a storm is cleared once'); END;
CREATE TRIGGER storm_is_never_deleted BEFORE DELETE ON storm
BEGIN SELECT RAISE(ABORT, 'storms are kept'); END;

-- Attempts before the newest reset do not count for the breaker of the policy.
CREATE TABLE breaker_reset (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  policy TEXT NOT NULL,
  at     INTEGER NOT NULL,
  person TEXT NOT NULL,
  reason TEXT NOT NULL CHECK (length(reason) > 0)
) STRICT;
CREATE INDEX breaker_reset_by_policy ON breaker_reset (policy, at);

-- A policy that was demoted asks a person, whatever its mode. Attempts before the newest promotion do not count.
CREATE TABLE policy_standing (
  policy      TEXT PRIMARY KEY,
  demoted_at  INTEGER,
  why         TEXT,
  promoted_at INTEGER,
  promoted_by TEXT,
  reason      TEXT,
  CONSTRAINT a_demotion_says_why CHECK ((demoted_at IS NULL) = (why IS NULL)),
  CONSTRAINT a_promotion_names_person_and_reason CHECK (
    (promoted_at IS NULL) = (promoted_by IS NULL) AND (promoted_at IS NULL) = (reason IS NULL))
) STRICT, WITHOUT ROWID;

-- People's reports that a policy named a wrong server.
CREATE TABLE target_report (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  policy TEXT NOT NULL,
  at     INTEGER NOT NULL,
  person TEXT NOT NULL,
  reason TEXT NOT NULL CHECK (length(reason) > 0)
) STRICT;
CREATE INDEX target_report_by_policy ON target_report (policy);

CREATE INDEX attempt_by_policy ON attempt (policy, intent_at);
CREATE INDEX remediation_by_policy ON remediation (policy);
-- Sent, and nobody knows yet what came of it.
CREATE INDEX remediation_sent ON remediation (region_code, created_at)
  WHERE finished_at IS NULL AND state IN ('intent', 'accepted', 'unconfirmed', 'unknown');
CREATE INDEX alert_in_shadow ON alert (policy) WHERE reason = 'shadow';
CREATE INDEX server_by_kind ON server
  (region_code, json_extract(server, '$.hypervisorCode'), json_extract(server, '$.platformCode'));

-- A row or more in every table: every state, values that are missing, and texts that a careless copy would spoil.
INSERT INTO owner (epoch, started_at, pid, version, stopped_at) VALUES (1, 1000, 17, '0.0.1', 2000);
INSERT INTO body (sha256, bytes, packed) VALUES ('plain', x'00ff5c0a', NULL), ('packed', x'', x'0128b52ffd'),
  ('large', zeroblob(1500000), NULL);
-- The later one has the earlier name.
INSERT INTO delivery (id, trace_id, source, received_at, peer, credential, body_sha256, sender_time, alert_count, truncated,
  dedupable, repeat_of, replay_of, actor, config_hash, answer, answer_packed) VALUES
  ('z', 't', 's', 1000, '127.0.0.1', 0, 'large', NULL, 1, 0, 1, NULL, NULL, 's', 'c', printf('%1200000s', 'x'), NULL),
  ('m', 't', 's', 1001, '::1', 1, 'plain', 999, 1, 2, 0, 'z', NULL, 's', 'c', '', x'0128b52ffd'),
  ('a', 't', 's', 1002, '::1', 1, 'packed', -5, 1, 2, 0, 'z', 'm', 'kim', 'c', '{"a":"\\u00e9\n\t\\"}' || printf('%1200000s', 'x'), NULL);
UPDATE delivery SET renewals = '[{"idx":0}]', renewal_count = 1 WHERE id = 'm';
UPDATE delivery SET renewals_packed = x'0128b52ffd', renewal_count = 2000 WHERE id = 'z';
INSERT INTO renewal_count VALUES ('duplicate', 'duplicate', 29000000, 3), ('suppressed', 'hold', 0, 9223372036854775807);
INSERT INTO incident (id, server_no, region_code, server_name, opened_at, last_seen_at, closed_at) VALUES
  ('i1', '1', 'KR', '이름 "quoted" \N \. ''x''', 1, 2, 3), ('i2', '2', 'KR', '', 1, 2, NULL), ('i3', '3', 'KR', 'n', 1, 2, NULL),
  ('i4', '4', 'KR', 'n', 1, 2, NULL), ('i5', '5', 'KR', 'n', 1, 2, 3);
INSERT INTO incident_alert VALUES ('i1', 's', 'f1', 1, 5), ('i1', 's', 'f2', 0, 6);
INSERT INTO resolved_notice VALUES ('f2', 7, 8);
INSERT INTO remediation (id, incident_id, state, server_no, region_code, server, policy, policy_hash, config_hash, source, alert,
  needs_person, requested_by, replay_of, delivery_id, trace_id, created_at, settle_until, not_before, episode_started_at,
  last_notice_at, waiting_since)
  SELECT 'r' || substr(id, 2), id, 'settling', server_no, region_code, '{"serverInstanceNo":"1"}', 'p', 'h', 'c', 's', '{}',
  1, 'kim', 'a', 'z', 't', 1, 2, 3, NULL, 4, 5 FROM incident;
INSERT INTO remediation_alert VALUES ('r1', 'f1', NULL), ('r1', 'f2', 9);
UPDATE remediation SET state = 'queued' WHERE id <> 'r5';
UPDATE remediation SET state = 'intent' WHERE id IN ('r1', 'r2', 'r4');
INSERT INTO attempt (id, remediation_id, try, nonce, epoch, server_no, region_code, policy, intent_at, signed_at, send_before,
  request_hash, memory_bytes, cooldown_until, outcome, outcome_at, http_status, evidence) VALUES
  (1, 'r1', 1, 'n1', 1, '1', 'KR', 'p', 1, 1, 1, 'h', 9223372036854775807, 9, 'not_sent', 2, NULL, NULL),
  (2, 'r1', 2, 'n2', 1, '1', 'KR', 'p', 1, 1, 1, 'h', 1, 9, 'accepted', 2, 200, 'uptime'),
  (3, 'r2', 1, 'n3', 1, '2', 'KR', 'p', 1, 1, 1, 'h', 1, 9, 'unknown', 2, 502, NULL),
  (4, 'r4', 1, 'n4', 1, '4', 'KR', 'p', 1, 1, 1, 'h', 1, 9, NULL, NULL, NULL, NULL);
UPDATE remediation SET state = 'accepted', version = 7 WHERE id = 'r1';
UPDATE remediation SET state = 'confirmed', finished_at = 9, approved_by = 'lee', approved_at = 8 WHERE id = 'r1';
UPDATE remediation SET state = 'unknown' WHERE id = 'r2';
UPDATE remediation SET state = 'cancelled', finished_at = 9, reason = 'hold', detail = 'd' WHERE id = 'r5';
-- Intents of an epoch that is over.
INSERT INTO owner (epoch, started_at, pid, version) VALUES (2, 3000, 18, '0.0.2');
INSERT INTO alert (delivery_id, idx, source, fingerprint, status, alert, received_at, server_no, region_code, policy, decision,
  reason, until, detail, trace, config_hash, decided_at, incident_id, remediation_id, alert_packed, trace_packed) VALUES
  ('z', 0, 's', 'f1', 'firing', '{}', 1, '1', 'KR', 'p', 'open', NULL, NULL, '', '[]', 'c', 2, 'i1', 'r1', NULL, NULL),
  ('z', 1, 's', NULL, NULL, NULL, 1, NULL, NULL, NULL, 'pending', 'shadow', 4, 'd', '', 'c', 2, NULL, NULL, x'01', x'00');
INSERT INTO hold (scope, name, author, reason, set_at, until, cleared_at, cleared_by) VALUES
  ('global', '', 'kim', 'why' || char(10) || 'not', 1, NULL, NULL, NULL), ('server', '1', 'kim', 'x', 1, 5, 4, 'lee');
INSERT INTO silence (matchers, author, comment, starts_at, ends_at, expired_at, expired_by) VALUES ('[]', 'kim', 'c', 1, 2, NULL, NULL);
INSERT INTO settlement VALUES ('r2', 'kim', 'happened', 'seen', 5);
INSERT INTO server VALUES ('KR', '1', 'n', '{"hypervisorCode":"KVM","platformCode":"WIN"}', 1);
INSERT INTO lookup VALUES ('KR', '10.0.0.1', '["1"]', 1);
INSERT INTO inventory_read VALUES ('KR', 1, 3, NULL, NULL), ('JP', NULL, 0, 5, 'no');
INSERT INTO idempotency VALUES ('k', 'kim', '{}', 200, '{}', 1);
INSERT INTO quarantine (opened_at, why, cleared_at, cleared_by, reason) VALUES (1, 'w', 2, 'kim', 'r');
INSERT INTO watch_gap (from_at, until_at) VALUES (1, 2);
INSERT INTO sighting VALUES ('KR', '1', 'p', 'z', 's', 'g', 1);
INSERT INTO storm (region_code, opened_at, why, servers, policies, cleared_at, cleared_by, reason) VALUES
  ('KR', 1, 'w', '[]', '[]', 2, 'kim', 'r'), ('KR', 3, 'w', '[]', '[]', NULL, NULL, NULL);
INSERT INTO breaker_reset (policy, at, person, reason) VALUES ('p', 1, 'kim', 'r');
INSERT INTO policy_standing VALUES ('p', 1, 'w', NULL, NULL, NULL);
INSERT INTO target_report (policy, at, person, reason) VALUES ('p', 1, 'kim', 'r');
INSERT INTO heartbeat VALUES ('s', 5);
INSERT INTO activity_seen VALUES ('r2', 1, NULL, '[]', 'timeout');
INSERT INTO dump_collected (region_code, server_no, at, person, reason) VALUES ('KR', '1', 1, 'kim', 'r');
INSERT INTO attestation (source, region_code, server_no, kind, at, received_at, said) VALUES ('s', 'KR', '1', 'dump_found', 1, 2, '{}');
INSERT INTO forgotten_attempt VALUES (77, '9', 'KR', 'p', 1, 'unknown', 0, 5);
INSERT INTO outbox_cursor VALUES ('pager', 3);
INSERT INTO outbox (receiver, seq, kind, webhook_id, message, made_at, standing, condition, not_before, last_error) VALUES
  ('pager', 1, 'unknown', 'w', '{}', 1, 1, 'c', 2, 'refused');
-- Numbers that were given to rows that are gone.
UPDATE sqlite_sequence SET seq = 77 WHERE name = 'attempt';
INSERT INTO watch_gap (id, from_at, until_at) VALUES (500, 1, 2);
DELETE FROM watch_gap WHERE id = 500;

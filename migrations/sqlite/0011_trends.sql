-- What the pages of servers and trends read: the incidents of a server, and alerts counted by decision and reason over time.

CREATE INDEX incident_by_server ON incident (server_no, opened_at);
CREATE INDEX alert_by_decision ON alert (decision, reason, received_at);

-- What the cloud's own activity record said of a remediation whose end nobody could prove: the newest answer.
-- Absence of an entry proves nothing; it is kept so that people see what was asked, and when.
CREATE TABLE activity_seen (
  remediation_id TEXT PRIMARY KEY REFERENCES remediation (id),
  asked_at       INTEGER NOT NULL,
  answered_at    INTEGER,
  found          TEXT NOT NULL,
  error          TEXT,
  CONSTRAINT found_is_a_list CHECK (json_valid(found) AND json_type(found) = 'array'),
  CONSTRAINT an_asking_had_an_answer_or_an_error CHECK (answered_at IS NOT NULL OR error IS NOT NULL)
) STRICT, WITHOUT ROWID;

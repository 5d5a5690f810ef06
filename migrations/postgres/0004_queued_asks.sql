-- What is queued asks a person where it may no longer act alone: its policy was demoted, its source is believed less, or
-- its episode has grown old.
INSERT INTO legal_move (from_state, to_state) VALUES ('queued', 'awaiting_approval');

-- The highest number that was ever given, by a name that both kinds of store know.
CREATE VIEW high_water AS SELECT name, seq FROM sqlite_sequence;

-- Long texts may be packed: a number of a dictionary and a Zstandard frame (src/store/packed.rs). Then the column of the
-- text itself is empty. Rows of before stay as they are.
ALTER TABLE body ADD COLUMN packed BLOB;
ALTER TABLE delivery ADD COLUMN answer_packed BLOB;
ALTER TABLE alert ADD COLUMN alert_packed BLOB;
ALTER TABLE alert ADD COLUMN trace_packed BLOB;
ALTER TABLE audit ADD COLUMN detail_packed BLOB;

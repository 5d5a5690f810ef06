-- Which key a row of the audit was hashed with: NULL is a plain SHA-256, as before there were keys.
ALTER TABLE audit ADD COLUMN key_id TEXT;

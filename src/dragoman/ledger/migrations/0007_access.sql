-- Who did what and whether they might, in a chain of hashes; and how fast requests come.

-- One row a decision, appended in the transaction that acts on it. It names people and holds none of their words.
-- n         1, 2, 3, … without a gap
-- at        seconds since the epoch by the database's clock
-- source    through which door it came: linear, http, cli, library
-- person    their id in Linear, '' when nobody was identified; name as they were called then
-- verdict   'allowed', or why not
-- previous  hash of the row before; 64 zeros for the first
-- hash      sha256 over previous and all that this row says: see ledger/audit.py
CREATE TABLE audit (
  n            INTEGER PRIMARY KEY,
  at           REAL NOT NULL,
  source       TEXT NOT NULL,
  organization TEXT NOT NULL,
  session      TEXT NOT NULL,
  team         TEXT NOT NULL,
  person       TEXT NOT NULL,
  name         TEXT NOT NULL,
  action       TEXT NOT NULL,
  verdict      TEXT NOT NULL,
  previous     TEXT NOT NULL,
  hash         TEXT NOT NULL
);

-- Against slips of our own. What changes the file on purpose gets around them, and then the chain tells.
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN
  SELECT raise(ABORT, 'the audit trail is only ever appended to');
END;
CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit
BEGIN
  SELECT raise(ABORT, 'the audit trail is only ever appended to');
END;

CREATE TRIGGER audit_counted AFTER INSERT ON audit
BEGIN
  INSERT INTO tallies (name, label, amount) VALUES ('decisions', NEW.action || ' ' || NEW.verdict, 1)
  ON CONFLICT (name, label) DO UPDATE SET amount = amount + 1;
END;

-- How fast requests come, one row for each organization and each person in it: see core/pace.py.
-- full_at  when the bucket is full again
-- told_at  when somebody was last told that it is empty
CREATE TABLE paces (
  key     TEXT PRIMARY KEY,
  full_at REAL NOT NULL,
  told_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX paces_by_age ON paces (full_at);

-- Digests of words that were refused on an issue, so that no later context holds them: see core/unheard.py.
CREATE TABLE unheard (
  issue  TEXT NOT NULL,
  digest TEXT NOT NULL,
  PRIMARY KEY (issue, digest)
) WITHOUT ROWID;

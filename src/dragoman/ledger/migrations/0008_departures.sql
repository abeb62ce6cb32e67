-- For those who keep copies: what left the ledger. What came or changed they find in the journal, by its numbers.

-- One row for each of these:
-- session   this session was forgotten
-- journal   the end of the journal was cut off: numbers above this one may be given out again
-- messages  the same of the conversations
-- The newest row is never forgotten, so that numbers only grow.
CREATE TABLE departures (
  n        INTEGER PRIMARY KEY,
  at       REAL NOT NULL,
  session  TEXT,
  journal  INTEGER,
  messages INTEGER
);

CREATE TRIGGER session_left AFTER DELETE ON sessions
BEGIN
  INSERT INTO departures (at, session) VALUES ((julianday('now') - 2440587.5) * 86400.0, OLD.id);
END;

CREATE TRIGGER journal_cut AFTER DELETE ON journal WHEN OLD.n > (SELECT coalesce(max(n), 0) FROM journal)
BEGIN
  INSERT INTO departures (at, journal)
  VALUES ((julianday('now') - 2440587.5) * 86400.0, (SELECT coalesce(max(n), 0) FROM journal));
END;

CREATE TRIGGER messages_cut AFTER DELETE ON messages WHEN OLD.n > (SELECT coalesce(max(n), 0) FROM messages)
BEGIN
  INSERT INTO departures (at, messages)
  VALUES ((julianday('now') - 2440587.5) * 86400.0, (SELECT coalesce(max(n), 0) FROM messages));
END;

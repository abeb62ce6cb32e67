-- When a session times out, and each change of its status.

-- NULL while it does not: a turn is under way, or the session is over.
ALTER TABLE sessions ADD COLUMN expires_at REAL;
CREATE INDEX sessions_expiring ON sessions (expires_at) WHERE expires_at IS NOT NULL;

-- A session begins as "creating", at its created_at: that has no row here.
CREATE TABLE status_changes (
  session TEXT NOT NULL,
  n       INTEGER NOT NULL,
  at      REAL NOT NULL,
  status  TEXT NOT NULL,
  PRIMARY KEY (session, n)
) WITHOUT ROWID;

-- An error is three failed turns in a row now, not one.
UPDATE sessions SET status = 'active'
WHERE status = 'error' AND coalesce(json_extract(CASE WHEN json_valid(body) THEN body END, '$.value.failures'), 0) < 3;

-- Of what is here already only the last change is known.
INSERT INTO status_changes (session, n, at, status)
SELECT id, 1, updated_at, status FROM sessions WHERE status <> 'creating';

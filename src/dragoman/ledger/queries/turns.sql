-- name: remember
-- Note a key; changes no row when it was known.
INSERT INTO seen (key, at) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: load
-- The stored state of a session.
SELECT body FROM sessions WHERE id = ?;

-- name: open
-- A session that was not there.
INSERT INTO sessions
  (id, organization, host, issue, issue_key, status, phase, live, expires_at, pull_request, created_at, updated_at, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: store
-- A session of which something changed that is searched for.
UPDATE sessions
SET host = ?, issue = ?, issue_key = ?, status = ?, phase = ?, live = ?, expires_at = ?, pull_request = ?,
    updated_at = ?, body = ?
WHERE id = ?;

-- name: store_body
-- A session of which nothing changed that is searched for: leaves the indexes alone.
UPDATE sessions SET updated_at = ?, body = ? WHERE id = ?;

-- name: change_status
-- The status has changed.
INSERT INTO status_changes (session, n, at, status)
SELECT ?, coalesce(max(n), 0) + 1, ?, ? FROM status_changes WHERE session = ?;

-- name: expired
-- Sessions whose time is over, longest first.
SELECT id FROM sessions WHERE expires_at <= ? ORDER BY expires_at LIMIT ?;

-- name: note
-- One line of the journal.
INSERT INTO journal (session, at, kind, body) VALUES (?, ?, ?, ?);

-- name: say
-- One line of the conversation.
INSERT INTO messages (session, turn, at, role, text, author, linear_id, opencode_id, tokens, cost)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: log_delivery
-- One webhook delivery and what became of it.
INSERT INTO deliveries (at, key, type, action, organization, session, verdict) VALUES (?, ?, ?, ?, ?, ?, ?);

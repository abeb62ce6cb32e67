-- name: session
-- One session.
SELECT created_at, updated_at, body FROM sessions WHERE id = ?;

-- name: of_issue
-- The sessions of an issue, newest first.
SELECT created_at, updated_at, body FROM sessions WHERE issue = ? ORDER BY n DESC;

-- name: active
-- The sessions that are being created or active, newest first.
SELECT created_at, updated_at, body FROM sessions WHERE status IN ('creating', 'active') ORDER BY n DESC;

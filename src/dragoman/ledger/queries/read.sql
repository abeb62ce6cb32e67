-- name: sessions
-- The newest sessions, filtered by status and issue key where those are given.
SELECT id, organization, host, issue_key, status, phase, live, created_at, updated_at
FROM sessions
WHERE status = coalesce(?, status) AND coalesce(issue_key, '') = coalesce(?, issue_key, '')
ORDER BY n DESC LIMIT ?;

-- name: session
-- One session with all we know of it.
SELECT id, organization, host, issue_key, status, phase, live, created_at, updated_at, body
FROM sessions WHERE id = ?;

-- name: journal
-- The newest lines of a session's journal, oldest of them first.
SELECT n, at, kind, body FROM (
  SELECT n, at, kind, body FROM journal WHERE session = ? ORDER BY n DESC LIMIT ?
) AS newest ORDER BY n;

-- name: journal_after
-- The lines of a session's journal after one of them.
SELECT n, at, kind, body FROM journal WHERE session = ? AND n > ? ORDER BY n LIMIT ?;

-- name: conversation
-- The newest lines of a session's conversation, oldest of them first.
SELECT turn, at, role, text, author, linear_id, opencode_id, tokens, cost FROM (
  SELECT * FROM messages WHERE session = ? ORDER BY n DESC LIMIT ?
) AS newest ORDER BY n;

-- name: waiting_effects
-- The unfinished effects of a session, in the order in which they were queued. What has no lane is always a head, and only
-- heads are looked at for it: there is no index of all effects by session.
SELECT n, lane, pool, kind, created_at, due_at, head, attempts, claim IS NOT NULL, outcome, error, body
FROM effects WHERE n IN (
  SELECT n FROM effects WHERE session = ? AND lane IS NOT NULL AND done_at IS NULL
  UNION ALL SELECT n FROM effects INDEXED BY effects_ready WHERE session = ? AND lane IS NULL AND head = 1
) ORDER BY n LIMIT ?;

-- name: parked_effects
-- What was given up lately, newest first.
SELECT n, lane, pool, kind, created_at, due_at, head, attempts, 0, outcome, error
FROM effects WHERE done_at IS NOT NULL AND outcome = 'parked' ORDER BY done_at DESC LIMIT ?;

-- name: status_changes
-- When a session got each of its statuses, oldest first.
SELECT at, status FROM (
  SELECT 0 AS n, created_at AS at, 'creating' AS status FROM sessions WHERE id = ?
  UNION ALL SELECT n, at, status FROM status_changes WHERE session = ?
) AS changes ORDER BY n;

-- name: statuses
-- How many sessions have each status.
SELECT status, count(*) FROM sessions GROUP BY status;

-- name: backlog
-- For each pool: heads, those that are due and free among them, and when the oldest was queued.
SELECT pool, count(*), coalesce(sum(due_at <= ? AND claim IS NULL), 0), min(created_at)
FROM effects WHERE head = 1 GROUP BY pool;

-- name: deliveries
-- The newest deliveries.
SELECT at, key, type, action, organization, session, verdict FROM deliveries ORDER BY n DESC LIMIT ?;

-- name: ids_beginning
-- The newest sessions whose id begins so.
SELECT id FROM sessions WHERE substr(id, 1, length(?)) = ? ORDER BY n DESC LIMIT ?;

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
-- The unfinished effects of a session, in the order in which they were queued.
SELECT n, lane, pool, kind, created_at, due_at, head, attempts, claim IS NOT NULL, outcome, error
FROM effects WHERE session = ? AND done_at IS NULL AND (lane IS NOT NULL OR head = 1) ORDER BY n LIMIT ?;

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

-- name: open_runs
-- The sessions of a host that have a turn under way.
SELECT id, body FROM sessions WHERE live = 1 AND host = ? ORDER BY n;

-- name: working_runs
-- The sessions of a host that OpenCode works for.
SELECT id, body FROM sessions WHERE live = 1 AND host = ? AND phase = 'Working';

-- name: starting
-- The sessions of an organization whose turn has not begun to work.
SELECT id, body FROM sessions WHERE live = 1 AND organization = ? AND phase = 'Starting' ORDER BY n;

-- name: sessions_of_issue
-- The newest sessions of an issue.
SELECT body FROM sessions WHERE issue = ? ORDER BY created_at DESC, n DESC LIMIT ?;

-- name: concerned_by_issue
-- The sessions of an issue that have a turn under way, and the newest.
SELECT id FROM sessions WHERE issue = ? AND (live = 1 OR n IN (
  SELECT n FROM sessions WHERE issue = ? ORDER BY created_at DESC, n DESC LIMIT ?
));

-- name: count_sessions
-- How many sessions an issue got since a moment.
SELECT count(*) FROM sessions WHERE issue = ? AND created_at >= ?;

-- name: backlog
-- For each pool: heads, those that are due and free among them, and when the oldest was queued.
SELECT pool, count(*), coalesce(sum(due_at <= ? AND claim IS NULL), 0), min(created_at)
FROM effects WHERE head = 1 GROUP BY pool;

-- name: deliveries
-- The newest deliveries.
SELECT at, key, type, action, organization, session, verdict FROM deliveries ORDER BY n DESC LIMIT ?;

-- name: effects_of
-- What was decided for the agent in a session, done or not, oldest first.
SELECT body FROM effects WHERE session = ? AND pool IN ('start', 'agent') ORDER BY n;

-- name: live_sessions_of
-- The sessions of an organization that have a turn under way.
SELECT id FROM sessions WHERE organization = ? AND live = 1;

-- name: lane_of_people
-- What still waits to be shown in a session, oldest first.
SELECT body FROM effects WHERE session = ? AND lane = 'linear' AND done_at IS NULL ORDER BY n;

-- name: ids_beginning
-- The newest sessions whose id begins so.
SELECT id FROM sessions WHERE substr(id, 1, length(?)) = ? ORDER BY n DESC LIMIT ?;

-- name: watched
-- The sessions that wait for news of a pull request.
SELECT id, pull_request FROM sessions WHERE pull_request IS NOT NULL ORDER BY n;

-- name: watching
-- The sessions that wait for news of one pull request.
SELECT id FROM sessions WHERE pull_request = ? ORDER BY n;

-- name: watching_any
-- The sessions that wait for news of a pull request whose address begins so.
SELECT id FROM sessions WHERE pull_request IS NOT NULL AND substr(pull_request, 1, length(?)) = ? ORDER BY n;

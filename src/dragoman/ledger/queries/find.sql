-- name: open_runs
-- The sessions of a host that have a turn under way.
SELECT id, body FROM sessions WHERE live = 1 AND host = ? ORDER BY n;

-- name: working_runs
-- The sessions of a host that OpenCode works for.
SELECT id, body FROM sessions WHERE live = 1 AND host = ? AND phase = 'Working';

-- name: starting
-- The sessions of an organization whose turn has not begun to work. The plus keeps SQLite from walking all there ever were.
SELECT id, body FROM sessions WHERE live = 1 AND organization = ? AND phase = 'Starting' ORDER BY +n;

-- name: sessions_of_issue
-- The newest sessions of an issue.
SELECT body FROM sessions WHERE issue = ? ORDER BY created_at DESC, n DESC LIMIT ?;

-- name: around_live
-- The sessions of an issue when one of them has a turn under way: those that have one first, then the newest.
SELECT id, body FROM sessions AS s
WHERE issue = ? AND EXISTS (SELECT 1 FROM sessions WHERE issue = s.issue AND live = 1)
ORDER BY live DESC, created_at DESC LIMIT 50;

-- name: concerned_by_issue
-- The sessions of an issue that have a turn under way, and the newest.
SELECT id FROM sessions WHERE issue = ? AND (live = 1 OR n IN (
  SELECT n FROM sessions WHERE issue = ? ORDER BY created_at DESC, n DESC LIMIT ?
));

-- name: count_sessions
-- How many sessions an issue got since a moment.
SELECT count(*) FROM sessions WHERE issue = ? AND created_at >= ?;

-- name: effects_of
-- What was decided for the agent in a session, done or not, oldest first.
SELECT body FROM effects WHERE session = ? AND pool IN ('start', 'agent') ORDER BY n;

-- name: live_sessions_of
-- The sessions of an organization that have a turn under way.
SELECT id FROM sessions WHERE organization = ? AND live = 1;

-- name: lane_of_people
-- What still waits to be shown in a session, oldest first.
SELECT body FROM effects WHERE session = ? AND lane = 'linear' AND done_at IS NULL ORDER BY n;

-- name: watched
-- The sessions that wait for news of a pull request.
SELECT id, pull_request FROM sessions WHERE pull_request IS NOT NULL ORDER BY +n;

-- name: watching
-- The sessions that wait for news of one pull request.
SELECT id FROM sessions WHERE pull_request = ? ORDER BY n;

-- name: watching_any
-- The sessions that wait for news of a pull request whose address begins so.
SELECT id FROM sessions WHERE pull_request IS NOT NULL AND substr(pull_request, 1, length(?)) = ? ORDER BY +n;

-- name: idle
-- A session without a turn under way that nothing was heard of since a moment.
SELECT id, body FROM sessions WHERE id = ? AND live = 0 AND updated_at <= ?;

-- name: clearing
-- Whether the workspace of a session is to be removed already.
SELECT 1 FROM effects WHERE session = ? AND lane = 'desk' AND done_at IS NULL AND kind = 'ClearWorkspace' LIMIT 1;

-- name: unused_between
-- The sessions of a host that nothing was heard of since a moment, longest ago first, after one of them. Scans; asked seldom.
SELECT n, updated_at, body FROM sessions
WHERE host = ? AND live = 0 AND updated_at <= ? AND (updated_at, n) > (?, ?) ORDER BY updated_at, n LIMIT ?;

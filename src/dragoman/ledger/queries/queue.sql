-- name: prioritise
-- Where the unstarted runs of a session stand in the queue.
UPDATE effects SET priority = ?
WHERE session = ? AND pool IN ('start', 'agent') AND kind = 'StartRun' AND done_at IS NULL;

-- name: working
-- How many sessions of a host OpenCode works for.
SELECT count(*) FROM sessions WHERE live = 1 AND host = ? AND phase IN ('Working', 'Stopping');

-- name: beginning
-- How many runs of a host are being started.
SELECT count(*) FROM effects WHERE pool = 'start' AND head = 1 AND claim IS NOT NULL AND host = ? AND due_at > ?;

-- name: claim_left
-- Starts of runs that their session has left: they need no place. The plus keeps SQLite from walking the whole queue.
UPDATE effects SET claim = ?, claimed_by = ?, due_at = ?, attempts = attempts + 1
WHERE n IN (
  SELECT n FROM effects WHERE pool = 'start' AND head = 1 AND host = ? AND priority = 0 AND +due_at <= ? ORDER BY n LIMIT ?
)
RETURNING n, session, lane, pool, kind, created_at, attempts, expires_at, body;

-- name: claim_starts
-- The first of the queue that are due; what people were told is told anew if they have to wait again.
UPDATE effects SET claim = ?, claimed_by = ?, due_at = ?, attempts = attempts + 1, told = NULL
WHERE n IN (
  SELECT n FROM effects
  WHERE pool = 'start' AND head = 1 AND host = ? AND priority > 0 AND due_at <= ?
  ORDER BY priority, n LIMIT ?
)
RETURNING n, session, lane, pool, kind, created_at, attempts, expires_at, body;

-- name: next_start
-- When a start that waits for its time may be tried again.
SELECT min(due_at) FROM effects WHERE pool = 'start' AND head = 1 AND host = ? AND priority > 0 AND due_at > ?;

-- name: first_in_queue
-- The first of the queue, and what people were told of them.
SELECT n, session, told, body FROM effects
WHERE pool = 'start' AND head = 1 AND host = ? AND priority > 0 AND claim IS NULL AND due_at <= ?
ORDER BY priority, n LIMIT ?;

-- name: untold
-- The first of the queue of whom people were told nothing.
SELECT n, session, priority, body FROM effects
WHERE pool = 'start' AND head = 1 AND claim IS NULL AND told IS NULL AND host = ? AND priority > 0 AND due_at <= ?
ORDER BY priority, n LIMIT ?;

-- name: tell
-- Note what people were told.
UPDATE effects SET told = ? WHERE n = ?;

-- name: ahead
-- How many stand before one of the queue.
SELECT count(*) FROM effects
WHERE pool = 'start' AND head = 1 AND host = ? AND claim IS NULL AND priority > 0 AND (priority, n) < (?, ?);

-- name: standing
-- The start of a session that waits in the queue.
SELECT n, host, priority, body FROM effects
WHERE session = ? AND pool IN ('start', 'agent') AND kind = 'StartRun' AND done_at IS NULL
  AND head = 1 AND claim IS NULL AND priority > 0;

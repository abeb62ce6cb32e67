-- name: insert
-- A thing to do: head when nothing unfinished is before it in its lane. Without a lane the comparison is never true.
INSERT INTO effects (session, lane, host, pool, kind, created_at, due_at, expires_at, body, head)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?,
        NOT EXISTS (SELECT 1 FROM effects WHERE session = ? AND lane = ? AND done_at IS NULL));

-- name: job_waits
-- Whether a job of this kind is still to be done.
SELECT 1 FROM effects WHERE pool = 'system' AND host = '' AND head = 1 AND kind = ? LIMIT 1;

-- name: job_forward
-- A job that waits need not wait longer than this.
UPDATE effects SET due_at = ? WHERE pool = 'system' AND host = '' AND head = 1 AND kind = ? AND claim IS NULL AND due_at > ?;

-- name: claim
-- Take the heads that are due, longest waiting first; due_at becomes the end of the claim.
UPDATE effects SET claim = ?, claimed_by = ?, due_at = ?, attempts = attempts + 1
WHERE n IN (
  SELECT n FROM effects WHERE pool = ? AND host = ? AND head = 1 AND due_at <= ? ORDER BY due_at LIMIT ?
)
RETURNING n, session, lane, pool, kind, created_at, attempts, expires_at, body;

-- name: end
-- The end of a claimed effect: done, dropped or parked.
UPDATE effects SET done_at = ?, outcome = ?, error = ?, head = 0, claim = NULL
WHERE n = ? AND claim = ?;

-- name: advance
-- The lowest unfinished row of a lane is its head.
UPDATE effects SET head = 1
WHERE n = (SELECT n FROM effects WHERE session = ? AND lane = ? AND done_at IS NULL ORDER BY n LIMIT 1)
RETURNING pool;

-- name: drop_fleeting
-- What may be late no more: fleeting activities that nobody is sending at this moment.
UPDATE effects SET done_at = ?, outcome = 'dropped', head = 0, claim = NULL
WHERE session = ? AND lane = 'linear' AND done_at IS NULL AND expires_at IS NOT NULL
  AND (claim IS NULL OR due_at <= ?);

-- name: retry
-- Give a claimed effect back until later; as head it goes on holding its lane.
UPDATE effects SET due_at = ?, error = ?, claim = NULL, claimed_by = NULL WHERE n = ? AND claim = ?;

-- name: renew
-- Keep a claim longer.
UPDATE effects SET due_at = ? WHERE n = ? AND claim = ?;

-- name: release_host
-- What an earlier process of the host had claimed falls due at once.
UPDATE effects SET due_at = ?, claim = NULL, claimed_by = NULL
WHERE head = 1 AND claimed_by = ?
RETURNING pool;

-- name: bring_forward
-- What waits for a moment that is further away than it should be. Timers stay as they are: whoever hears one counts the time
-- by the same clock, and one that came early would be lost.
UPDATE effects SET due_at = max(?, due_at - ?), expires_at = expires_at - ?
WHERE done_at IS NULL AND due_at > ? AND pool <> 'timers'
RETURNING pool;

-- name: next_due
-- When the next head of a pool may be claimed.
SELECT due_at FROM effects WHERE pool = ? AND host = ? AND head = 1 ORDER BY due_at LIMIT 1;

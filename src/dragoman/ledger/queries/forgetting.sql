-- name: sessions
-- All sessions of an issue, found by its key as any of them knew it.
SELECT s.id, s.host, s.live, s.issue_key, s.body FROM sessions AS s
WHERE s.issue_key = ?
   OR s.issue IN (SELECT issue FROM sessions WHERE issue_key = ? AND issue IS NOT NULL)
ORDER BY s.n;

-- name: on_their_way
-- What people are still to read of a session, and what is still to be delivered; timers aside.
SELECT 1 FROM effects WHERE session = ? AND lane IS NOT NULL AND done_at IS NULL LIMIT 1;

-- name: pull_requests
-- Addresses of the pull requests that a session opened.
SELECT DISTINCT pull_request FROM turns WHERE session = ? AND pull_request IS NOT NULL;

-- name: is_live
-- Whether a session has a turn under way.
SELECT 1 FROM sessions WHERE id = ? AND live = 1;

-- name: ask
-- Somebody wants an issue forgotten.
INSERT INTO effects (session, lane, host, pool, kind, created_at, due_at, body, head)
VALUES (NULL, NULL, '', 'system', ?, ?, ?, ?, 1) RETURNING n;

-- name: asked
-- The same wish, if it waits or is under way.
SELECT n, body FROM effects WHERE pool = 'system' AND host = '' AND head = 1 AND kind = ? LIMIT 1;

-- name: ask_again
-- The newest wish counts, and at once if nobody is at it.
UPDATE effects SET body = ?, due_at = CASE WHEN claim IS NULL THEN ? ELSE due_at END WHERE n = ?;

-- name: erase_journal
-- Some lines of a session's journal.
DELETE FROM journal WHERE n IN (SELECT n FROM journal WHERE session = ? LIMIT ?);

-- name: erase_messages
-- Some lines of its conversation.
DELETE FROM messages WHERE n IN (SELECT n FROM messages WHERE session = ? LIMIT ?);

-- name: erase_effects
-- Some of what was done in it.
DELETE FROM effects WHERE n IN (SELECT n FROM effects WHERE session = ? AND done_at IS NOT NULL LIMIT ?);

-- name: erase_deliveries
-- Some of what arrived for it.
DELETE FROM deliveries WHERE n IN (SELECT n FROM deliveries WHERE session = ? LIMIT ?);

-- name: erase_waiting
-- What was still to be done in it: timers.
DELETE FROM effects WHERE session = ?;

-- name: erase_turns
-- How its turns went; what was counted stays counted.
DELETE FROM turns WHERE session = ?;

-- name: erase_status_changes
-- When its status changed.
DELETE FROM status_changes WHERE session = ?;

-- name: erase_progress
-- What its comment says of the turn under way.
DELETE FROM progress WHERE session = ?;

-- name: erase_session
-- The session itself.
DELETE FROM sessions WHERE id = ?;

-- name: old_reports
-- Reports that nobody fetched, once the wish itself is forgotten.
DELETE FROM meta WHERE key LIKE 'forget:%' AND CAST(substr(key, 8) AS INTEGER) NOT IN (SELECT n FROM effects);

-- name: drop_report
-- A report that was read.
DELETE FROM meta WHERE key = ?;

-- name: bury
-- How many turns a session had: as many as it has rows for, or as its state says.
INSERT INTO forgotten (session, turns, at)
SELECT id, max(coalesce((SELECT max(number) FROM turns WHERE session = id), 0),
               coalesce(json_extract(CASE WHEN json_valid(body) THEN body END, '$.value.turns'), 0)), ?
FROM sessions WHERE id = ?
ON CONFLICT (session) DO UPDATE SET turns = excluded.turns, at = excluded.at;

-- name: turns_before
-- How many turns a forgotten session had.
SELECT turns FROM forgotten WHERE session = ?;

-- name: untold
-- Turns that ended since a moment and were not told, oldest first, once people have read their end.
SELECT t.session, t.number, t.begun_at, t.ended_at, t.outcome, t.first_post, t.asks, t.tokens, t.cost,
       coalesce(t.model, ''), coalesce(t.template, '')
FROM turns AS t
WHERE t.ended_at > ? AND t.traced = 0
  AND NOT EXISTS (SELECT 1 FROM effects AS e
                  WHERE e.session = t.session AND e.lane = 'linear' AND e.done_at IS NULL AND e.created_at <= t.ended_at)
ORDER BY t.ended_at LIMIT ?;

-- name: done
-- What was done in a session since a moment, of what was decided before another.
SELECT kind, json_extract(CASE WHEN json_valid(body) THEN body END, '$.value.id'), created_at, done_at, outcome, attempts
FROM effects
WHERE done_at >= ? AND session = ? AND created_at BETWEEN ? AND ?
  AND kind IN ('ReadIssue', 'BeginIssue', 'StartRun', 'SteerRun', 'ResumeRun', 'AnswerPermission', 'AnswerQuestion',
               'AbortRun', 'Post')
ORDER BY done_at LIMIT ?;

-- name: tools
-- When tools started and ended in a session, by the part of the message that they stand in; no arguments, no results.
SELECT kind, at, json_extract(body, '$.value.part'), json_extract(body, '$.value.tool.name')
FROM journal
WHERE session = ? AND at BETWEEN ? AND ? AND kind IN ('ToolStarted', 'ToolFinished') AND json_valid(body)
ORDER BY n LIMIT ?;

-- name: prompted
-- When the message was written that began a turn.
SELECT json_extract(body, '$.value.prompt.sent_at') FROM journal
WHERE session = ? AND at = ? AND kind IN ('SessionOpened', 'Prompted') AND json_valid(body) ORDER BY n LIMIT 1;

-- name: told
-- A turn was told.
UPDATE turns SET traced = 1 WHERE session = ? AND number = ?;

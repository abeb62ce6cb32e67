-- name: begin_turn
-- A turn whose prompt was heard.
INSERT INTO turns (session, number, begun_at, first_post) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: end_turn
-- The end of a turn, told once.
UPDATE turns SET ended_at = ?, outcome = ?, tokens = ?, cost = ?
WHERE session = ? AND number = ? AND ended_at IS NULL;

-- name: ask
-- The agent asks people for something in a turn.
UPDATE turns SET asks = asks + 1 WHERE session = ? AND number = ?;

-- name: model
-- Which model works, or has worked, in a turn.
UPDATE turns SET model = ? WHERE session = ? AND number = ?;

-- name: template
-- With which template a turn works.
UPDATE turns SET template = ? WHERE session = ? AND number = ?;

-- name: pull_request
-- Which pull request a turn opened.
UPDATE turns SET pull_request = ? WHERE session = ? AND number = ?;

-- name: tallies
-- Sums since the ledger began.
SELECT name, label, amount FROM tallies ORDER BY name, label;

-- name: open_asks
-- What the agent waits on people for.
SELECT coalesce(sum(json_array_length(CASE WHEN json_valid(body) THEN body END, '$.value.phase.asks')), 0)
FROM sessions WHERE live = 1 AND phase = 'Working';

-- name: starts_waiting
-- Runs that wait to be started: the queue that people see.
SELECT count(*) FROM effects WHERE pool = 'start' AND head = 1 AND kind = 'StartRun' AND claim IS NULL;

-- name: ages
-- For each pool, since when its oldest unfinished effect could have been done. Only what waits for its time on purpose
-- counts from then.
SELECT pool, min(CASE WHEN pool IN ('timers', 'system') THEN due_at ELSE created_at END)
FROM effects WHERE head = 1 GROUP BY pool;

-- name: turns_since
-- How turns went that began since a moment, with what they are grouped by.
SELECT t.session, t.begun_at, t.first_shown_at, t.ended_at, t.outcome, t.asks, t.tokens, t.cost,
       t.pull_request,
       coalesce(json_extract(s.readable, '$.value.issue.team_key'), substr(s.issue_key, 1, instr(s.issue_key, '-') - 1)),
       json_extract(s.readable, '$.value.workspace.repository'),
       json_extract(s.readable, '$.value.creator.name'),
       t.model, t.template
FROM turns AS t
JOIN (SELECT id, issue_key, CASE WHEN json_valid(body) THEN body END AS readable FROM sessions) AS s ON s.id = t.session
WHERE t.begun_at >= ?;

-- name: live_turns
-- The turns that are under way.
SELECT id, coalesce(json_extract(CASE WHEN json_valid(body) THEN body END, '$.value.turns'), 0) FROM sessions WHERE live = 1;

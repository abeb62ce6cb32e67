-- name: heads
-- The newest numbers of what is only ever added to.
SELECT coalesce((SELECT max(n) FROM journal), 0), coalesce((SELECT max(n) FROM messages), 0),
       coalesce((SELECT max(n) FROM departures), 0);

-- name: oldest_departure
-- Since when departures are still known.
SELECT coalesce(min(n), 0) FROM departures;

-- name: departures
-- What left the ledger after a number.
SELECT n, session, journal, messages FROM departures WHERE n > ? ORDER BY n LIMIT ?;

-- name: heard
-- Which sessions heard something after a number: each turn adds a line to the journal, whatever else it changes.
SELECT n, session FROM journal WHERE n > ? ORDER BY n LIMIT ?;

-- name: session
-- A session as it is copied.
SELECT n, id, organization, host, issue, issue_key, status,
       coalesce((SELECT c.at FROM status_changes AS c WHERE c.session = sessions.id ORDER BY c.n DESC LIMIT 1), created_at),
       phase, live, created_at, updated_at, body
FROM sessions WHERE id = ?;

-- name: sessions_after
-- The sessions after a number.
SELECT n, id, organization, host, issue, issue_key, status,
       coalesce((SELECT c.at FROM status_changes AS c WHERE c.session = sessions.id ORDER BY c.n DESC LIMIT 1), created_at),
       phase, live, created_at, updated_at, body
FROM sessions WHERE n > ? ORDER BY n LIMIT ?;

-- name: first_line
-- The oldest line of a conversation that is still there.
SELECT min(n) FROM messages WHERE session = ?;

-- name: lines_after
-- The lines of a conversation after a number.
SELECT n, turn, at, role, text, author, linear_id, opencode_id, tokens, cost
FROM messages WHERE session = ? AND n > ? ORDER BY n LIMIT ?;

-- name: is_known
-- Whether a session is there.
SELECT 1 FROM sessions WHERE id = ?;

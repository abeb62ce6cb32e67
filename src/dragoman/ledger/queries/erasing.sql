-- name: journal
-- What was heard.
DELETE FROM journal WHERE session = ?;

-- name: messages
-- What was said.
DELETE FROM messages WHERE session = ?;

-- name: effects
-- What was done and was to be done.
DELETE FROM effects WHERE session = ?;

-- name: deliveries
-- What arrived for it.
DELETE FROM deliveries WHERE session = ?;

-- name: turns
-- How its turns went.
DELETE FROM turns WHERE session = ?;

-- name: status_changes
-- When it had which status.
DELETE FROM status_changes WHERE session = ?;

-- name: session
-- The session itself.
DELETE FROM sessions WHERE id = ?;

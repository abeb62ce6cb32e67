-- name: load
-- What the comment of a session's turn says, and since when.
SELECT body, shown_at FROM progress WHERE session = ?;

-- name: store
-- What it says now.
INSERT INTO progress (session, body, shown_at) VALUES (?, ?, ?)
ON CONFLICT (session) DO UPDATE SET body = excluded.body, shown_at = excluded.shown_at;

-- name: drop
-- The turn has ended.
DELETE FROM progress WHERE session = ?;

-- name: claim_key
-- The key of a comment that we are about to write: when its webhook comes, it is known.
INSERT INTO seen (key, at) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: head
-- The end of the chain.
SELECT n, hash, at FROM audit ORDER BY n DESC LIMIT 1;

-- name: append
-- One more row.
INSERT INTO audit (n, at, source, organization, session, team, person, name, action, verdict, previous, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: newest
-- The newest rows, whatever they say.
SELECT n, at, source, organization, session, team, person, name, action, verdict, previous, hash
FROM audit WHERE at >= ? ORDER BY n DESC LIMIT ?;

-- name: newest_refused
-- The newest refusals.
SELECT n, at, source, organization, session, team, person, name, action, verdict, previous, hash
FROM audit WHERE at >= ? AND verdict <> 'allowed' ORDER BY n DESC LIMIT ?;

-- name: after
-- A stretch of the chain.
SELECT n, at, source, organization, session, team, person, name, action, verdict, previous, hash
FROM audit WHERE n > ? ORDER BY n LIMIT ?;

-- name: with_hash
-- Which row ends in this hash.
SELECT n FROM audit WHERE hash = ? LIMIT 1;

-- name: paces
-- How an organization's bucket stands, and a person's.
SELECT key, full_at, told_at FROM paces WHERE key IN (?, ?);

-- name: set_pace
-- A request was taken, or somebody was told that it was not.
INSERT INTO paces (key, full_at, told_at) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET full_at = excluded.full_at, told_at = excluded.told_at;

-- name: unhear
-- Words that were refused on an issue.
INSERT INTO unheard (issue, digest) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: unheard
-- All that were.
SELECT digest FROM unheard WHERE issue = ?;

-- name: forget_seen
-- Dedupe keys that nobody can repeat any more.
DELETE FROM seen WHERE key IN (SELECT key FROM seen WHERE at < ? ORDER BY at LIMIT ?);

-- name: forget_effects
-- Effects that ended long ago.
DELETE FROM effects WHERE n IN (SELECT n FROM effects WHERE done_at < ? ORDER BY done_at LIMIT ?);

-- name: forget_deliveries
-- The oldest lines of the log of deliveries. Rows are numbered as time goes, so no more than the oldest are looked at.
DELETE FROM deliveries WHERE n IN (SELECT n FROM (SELECT n, at FROM deliveries ORDER BY n LIMIT ?) WHERE at < ?);

-- name: forget_messages
-- The same for conversations.
DELETE FROM messages WHERE n IN (SELECT n FROM (SELECT n, at FROM messages ORDER BY n LIMIT ?) WHERE at < ?);

-- name: forget_journal
-- The same for journals.
DELETE FROM journal WHERE n IN (SELECT n FROM (SELECT n, at FROM journal ORDER BY n LIMIT ?) WHERE at < ?);

-- name: forget_paces
-- Buckets that have long been full again.
DELETE FROM paces WHERE key IN (SELECT key FROM paces WHERE full_at < ? ORDER BY full_at LIMIT ?);

-- name: forget_departures
-- What left so long ago that every copy has heard of it.
DELETE FROM departures WHERE n IN (
  SELECT n FROM departures WHERE at < ? AND n < (SELECT max(n) FROM departures) ORDER BY n LIMIT ?
);

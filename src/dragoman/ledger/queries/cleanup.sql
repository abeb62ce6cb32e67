-- name: forget_seen
-- Dedupe keys that nobody can repeat any more.
DELETE FROM seen WHERE key IN (SELECT key FROM seen WHERE at < ? ORDER BY at LIMIT ?);

-- name: forget_effects
-- Effects that ended long ago.
DELETE FROM effects WHERE n IN (SELECT n FROM effects WHERE done_at < ? ORDER BY done_at LIMIT ?);

-- name: forget_deliveries
-- The oldest lines of the log of deliveries.
DELETE FROM deliveries WHERE n IN (SELECT n FROM deliveries WHERE at < ? ORDER BY n LIMIT ?);

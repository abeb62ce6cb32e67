-- name: beat
-- A host is alive.
INSERT INTO hosts (id, heartbeat_at, info) VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at, info = excluded.info;

-- name: latest
-- The last moment at which any host was alive.
SELECT max(heartbeat_at) FROM hosts;

-- name: set_back
-- No host was alive later than now.
UPDATE hosts SET heartbeat_at = ? WHERE heartbeat_at > ?;

-- name: hosts
-- Every host.
SELECT id, heartbeat_at, info FROM hosts ORDER BY id;

-- name: get_value
-- A single value.
SELECT value FROM meta WHERE key = ?;

-- name: put_value
-- A single value, new or instead of the one before.
INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value;

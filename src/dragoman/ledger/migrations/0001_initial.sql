-- The ledger as it begins. Times are seconds since the epoch by the database's own clock.

-- One row a session: the whole state is in `body`; the other columns repeat what is searched for.
CREATE TABLE sessions (
  n            INTEGER PRIMARY KEY,
  id           TEXT NOT NULL UNIQUE,
  organization TEXT NOT NULL,
  host         TEXT NOT NULL,
  issue        TEXT,
  issue_key    TEXT,
  status       TEXT NOT NULL,
  phase        TEXT NOT NULL,
  live         INTEGER NOT NULL,
  created_at   REAL NOT NULL,
  updated_at   REAL NOT NULL,
  body         TEXT NOT NULL
);
CREATE INDEX sessions_of_issue ON sessions (issue, created_at) WHERE issue IS NOT NULL;
CREATE INDEX sessions_live ON sessions (host, phase) WHERE live = 1;
CREATE INDEX sessions_by_status ON sessions (status);

-- What was heard already: deliveries, contents of deliveries, facts of runs (those begin with the run).
CREATE TABLE seen (
  key TEXT PRIMARY KEY,
  at  REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX seen_by_age ON seen (at);

-- Append-only, for people and for replay; never the source of truth.
CREATE TABLE journal (
  n       INTEGER PRIMARY KEY,
  session TEXT NOT NULL,
  at      REAL NOT NULL,
  kind    TEXT NOT NULL,
  body    TEXT NOT NULL
);
CREATE INDEX journal_of_session ON journal (session);

-- The conversation, kept for later sessions of the issue and for people.
CREATE TABLE messages (
  n           INTEGER PRIMARY KEY,
  session     TEXT NOT NULL,
  turn        INTEGER NOT NULL,
  at          REAL NOT NULL,
  role        TEXT NOT NULL,
  text        TEXT NOT NULL,
  author      TEXT,
  linear_id   TEXT,
  opencode_id TEXT,
  tokens      INTEGER NOT NULL,
  cost        REAL NOT NULL
);
CREATE INDEX messages_of_session ON messages (session);

-- What must be done. `session` and `lane` are NULL where there is none; host '' = whichever host comes first.
-- head   1 for unfinished rows without a lane and for the lowest unfinished row of each lane: only those are claimed
-- due_at from when it may be claimed; a claim moves it to its own end, so an expired claim falls due by itself
CREATE TABLE effects (
  n          INTEGER PRIMARY KEY,
  session    TEXT,
  lane       TEXT,
  host       TEXT NOT NULL,
  pool       TEXT NOT NULL,
  kind       TEXT NOT NULL,
  created_at REAL NOT NULL,
  due_at     REAL NOT NULL,
  expires_at REAL,
  head       INTEGER NOT NULL,
  attempts   INTEGER NOT NULL DEFAULT 0,
  claim      TEXT,
  claimed_by TEXT,
  done_at    REAL,
  outcome    TEXT CHECK (outcome IN ('done', 'dropped', 'parked')),
  error      TEXT,
  body       TEXT NOT NULL
);
CREATE INDEX effects_ready ON effects (pool, host, due_at) WHERE head = 1;
CREATE INDEX effects_of_lane ON effects (session, lane, n) WHERE done_at IS NULL AND lane IS NOT NULL;
CREATE INDEX effects_of_agent ON effects (session) WHERE pool = 'agent';
CREATE INDEX effects_done ON effects (done_at) WHERE done_at IS NOT NULL;

-- One row a data folder; `info` is JSON text about its process and its OpenCode server.
CREATE TABLE hosts (
  id           TEXT PRIMARY KEY,
  heartbeat_at REAL NOT NULL,
  info         TEXT NOT NULL
);

-- Single values that must outlive a restart.
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
);

-- Webhook deliveries and what became of them, the ignored ones included.
CREATE TABLE deliveries (
  n            INTEGER PRIMARY KEY,
  at           REAL NOT NULL,
  key          TEXT NOT NULL,
  type         TEXT NOT NULL,
  action       TEXT NOT NULL,
  organization TEXT NOT NULL,
  session      TEXT,
  verdict      TEXT NOT NULL
);

-- Numbers for people: how each turn went, and counts that stay right when old rows are forgotten.

-- One row a turn. What is not known yet, or was never seen, is NULL.
-- begun_at        when its prompt was heard: the same transaction
-- first_post      id of the activity that is to be shown first; first_shown_at when Linear had taken it
-- outcome         stopped: by a person, or withdrawn; refused: it never ran; unknown: ended before this table existed
-- asks            permissions and questions that the agent raised
CREATE TABLE turns (
  session        TEXT NOT NULL,
  number         INTEGER NOT NULL,
  begun_at       REAL NOT NULL,
  first_post     TEXT,
  first_shown_at REAL,
  ended_at       REAL,
  outcome        TEXT CHECK (outcome IN ('answered', 'failed', 'stopped', 'refused', 'unknown')),
  asks           INTEGER NOT NULL DEFAULT 0,
  tokens         INTEGER NOT NULL DEFAULT 0,
  cost           REAL NOT NULL DEFAULT 0,
  PRIMARY KEY (session, number)
) WITHOUT ROWID;

-- Sums since the ledger began. Kept by triggers: a change and its count are one, whoever makes the change.
-- name, label  'activities' by type and outcome, 'turns' by outcome, 'deliveries' by verdict, 'tokens', 'cost'
CREATE TABLE tallies (
  name   TEXT NOT NULL,
  label  TEXT NOT NULL,
  amount REAL NOT NULL,
  PRIMARY KEY (name, label)
) WITHOUT ROWID;

-- What is here already. A conversation tells when a turn began and ended, not how.
INSERT INTO turns (session, number, begun_at, ended_at, outcome, tokens, cost)
SELECT said.session, said.turn, min(said.at),
       CASE WHEN under_way.turn IS NULL THEN max(said.at) END,
       CASE WHEN under_way.turn IS NULL THEN 'unknown' END,
       sum(said.tokens), sum(said.cost)
FROM messages AS said
LEFT JOIN (SELECT id, json_extract(body, '$.value.turns') AS turn FROM sessions WHERE live = 1) AS under_way
  ON under_way.id = said.session AND under_way.turn = said.turn
WHERE said.turn > 0
GROUP BY said.session, said.turn;

INSERT INTO tallies (name, label, amount)
SELECT 'activities', replace(lower(json_extract(body, '$.value.activity.type')), 'failure', 'error') || ' ' || outcome, count(*)
FROM effects WHERE kind = 'Post' AND done_at IS NOT NULL GROUP BY 2
UNION ALL SELECT 'deliveries', verdict, count(*) FROM deliveries GROUP BY 2
UNION ALL SELECT 'turns', outcome, count(*) FROM turns WHERE ended_at IS NOT NULL GROUP BY 2
UNION ALL SELECT 'tokens', '', coalesce(sum(tokens), 0) FROM turns WHERE ended_at IS NOT NULL
UNION ALL SELECT 'cost', '', coalesce(sum(cost), 0) FROM turns WHERE ended_at IS NOT NULL;

CREATE TRIGGER delivery_logged AFTER INSERT ON deliveries
BEGIN
  INSERT INTO tallies (name, label, amount) VALUES ('deliveries', NEW.verdict, 1)
  ON CONFLICT (name, label) DO UPDATE SET amount = amount + 1;
END;

CREATE TRIGGER turn_ended AFTER UPDATE OF ended_at ON turns WHEN OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL
BEGIN
  INSERT INTO tallies (name, label, amount)
  VALUES ('turns', NEW.outcome, 1), ('tokens', '', NEW.tokens), ('cost', '', NEW.cost)
  ON CONFLICT (name, label) DO UPDATE SET amount = amount + excluded.amount;
END;

CREATE TRIGGER activity_ended AFTER UPDATE OF done_at ON effects
WHEN NEW.kind = 'Post' AND OLD.done_at IS NULL AND NEW.done_at IS NOT NULL
BEGIN
  INSERT INTO tallies (name, label, amount)
  VALUES ('activities', replace(lower(json_extract(NEW.body, '$.value.activity.type')), 'failure', 'error') || ' ' || NEW.outcome, 1)
  ON CONFLICT (name, label) DO UPDATE SET amount = amount + 1;
  UPDATE turns SET first_shown_at = NEW.done_at
  WHERE session = NEW.session AND first_shown_at IS NULL AND NEW.outcome = 'done'
    AND first_post = json_extract(NEW.body, '$.value.id');
END;

-- Sessions that were forgotten: how many turns they had. Who writes there again begins with the next number, since the
-- ids of activities are made of session and turn, and Linear refuses one that it has.
CREATE TABLE forgotten (
  session TEXT PRIMARY KEY,
  turns   INTEGER NOT NULL,
  at      REAL NOT NULL
) WITHOUT ROWID;

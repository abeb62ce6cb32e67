-- What the comment says that shows the progress of a turn, where people read comments instead of activities. It is
-- edited in place, so what it said last is needed for what it says next. A row goes when its turn has ended.
CREATE TABLE progress (
  session  TEXT PRIMARY KEY,
  body     TEXT NOT NULL,
  shown_at REAL NOT NULL
) WITHOUT ROWID;

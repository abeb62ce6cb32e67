-- Runs that wait to be started: a queue with priorities, and only as many are taken from it as there are places.

-- priority  of StartRun alone: 1 urgent … 4 low; 0 = its session has left the run, so it needs no place
-- told      what people were told that it waits for: 'capacity', 'opencode'; NULL = nothing since it was last tried
ALTER TABLE effects ADD COLUMN priority INTEGER NOT NULL DEFAULT 3;
ALTER TABLE effects ADD COLUMN told TEXT;

CREATE INDEX starts_in_order ON effects (host, priority, n, due_at, claim) WHERE pool = 'start' AND head = 1;
CREATE INDEX starts_left ON effects (host, n) WHERE pool = 'start' AND head = 1 AND priority = 0;
CREATE INDEX starts_untold ON effects (host, priority, n)
  WHERE pool = 'start' AND head = 1 AND claim IS NULL AND told IS NULL;
CREATE INDEX starts_claimed ON effects (host, due_at) WHERE pool = 'start' AND head = 1 AND claim IS NOT NULL;

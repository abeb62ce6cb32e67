-- Which turns were told to whoever collects traces. One that was told twice has the same ids, so that does no harm.
ALTER TABLE turns ADD COLUMN traced INTEGER NOT NULL DEFAULT 0;
CREATE INDEX turns_by_end ON turns (ended_at) WHERE ended_at IS NOT NULL;

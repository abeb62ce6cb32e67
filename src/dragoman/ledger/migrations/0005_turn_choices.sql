-- What a turn worked with and what came of it; NULL where that is not known.
-- model         "provider/model" that answered; until then the one that was asked for
-- template      the configured template that the session was begun with
-- pull_request  address of the pull request that the turn opened
ALTER TABLE turns ADD COLUMN model TEXT;
ALTER TABLE turns ADD COLUMN template TEXT;
ALTER TABLE turns ADD COLUMN pull_request TEXT;

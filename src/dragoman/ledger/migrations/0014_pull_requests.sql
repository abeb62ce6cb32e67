-- Which sessions wait for news of which pull request: its URL; NULL when nobody wants any.
ALTER TABLE sessions ADD COLUMN pull_request TEXT;
CREATE INDEX sessions_by_pull_request ON sessions (pull_request) WHERE pull_request IS NOT NULL;

-- A run is started by workers of their own: what was decided for the agent lies in two pools now.
DROP INDEX effects_of_agent;
CREATE INDEX effects_of_agent ON effects (session) WHERE pool IN ('start', 'agent');

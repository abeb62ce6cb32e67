-- Asks are counted as turns are: the sum stays right when the turns they belong to are forgotten.
INSERT INTO tallies (name, label, amount) SELECT 'asks', '', coalesce(sum(asks), 0) FROM turns WHERE true
ON CONFLICT (name, label) DO UPDATE SET amount = excluded.amount;

CREATE TRIGGER turn_asked AFTER UPDATE OF asks ON turns WHEN NEW.asks > OLD.asks
BEGIN
  INSERT INTO tallies (name, label, amount) VALUES ('asks', '', NEW.asks - OLD.asks)
  ON CONFLICT (name, label) DO UPDATE SET amount = amount + excluded.amount;
END;

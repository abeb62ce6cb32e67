-- The count of activities must not keep a row from being parked because its body cannot be read.
DROP TRIGGER activity_ended;
CREATE TRIGGER activity_ended AFTER UPDATE OF done_at ON effects
WHEN NEW.kind = 'Post' AND OLD.done_at IS NULL AND NEW.done_at IS NOT NULL
  AND json_valid(NEW.body) AND json_extract(NEW.body, '$.value.activity.type') IS NOT NULL
BEGIN
  INSERT INTO tallies (name, label, amount)
  VALUES ('activities', replace(lower(json_extract(NEW.body, '$.value.activity.type')), 'failure', 'error') || ' ' || NEW.outcome, 1)
  ON CONFLICT (name, label) DO UPDATE SET amount = amount + 1;
  UPDATE turns SET first_shown_at = NEW.done_at
  WHERE session = NEW.session AND first_shown_at IS NULL AND NEW.outcome = 'done'
    AND first_post = json_extract(NEW.body, '$.value.id');
END;

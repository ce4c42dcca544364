-- Version 2: limits for each key of a queue (docs/adr/0016-limit-keys.md).
--
-- A job with a key is queued in one of two ways. It *has a place* when `later` is NULL, as every job that a worker may take;
-- else it *waits for a place*: `later` is the greatest number there is, so that no claim looks at it, whatever version
-- makes it. Places are given by claims alone, so that those who have one (let in, or under way) are never more than the
-- limit. The triggers see to what waits, and say in `key_look` which keys a claim has to look at, so that this holds for
-- whatever changes a job.

ALTER TABLE job ADD COLUMN limit_key TEXT CHECK (length(limit_key) BETWEEN 1 AND 256);

-- The limit of each key that has none of its own; NULL = 1.
ALTER TABLE queue ADD COLUMN key_limit INTEGER CHECK (key_limit >= 0);

CREATE TABLE key_limit (
  queue     TEXT NOT NULL,
  limit_key TEXT NOT NULL,
  job_limit INTEGER NOT NULL CHECK (job_limit >= 0),
  PRIMARY KEY (queue, limit_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE key_look (
  queue     TEXT NOT NULL,
  limit_key TEXT NOT NULL,
  PRIMARY KEY (queue, limit_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_key_waits ON job (queue, limit_key, priority DESC, seq)
  WHERE limit_key IS NOT NULL AND later = 9223372036854775807;
CREATE INDEX job_key_let_in ON job (queue, limit_key, priority DESC, seq)
  WHERE limit_key IS NOT NULL AND status = 'queued' AND later IS NULL;
CREATE INDEX job_key_under_way ON job (queue, limit_key) WHERE limit_key IS NOT NULL AND owner_slot IS NOT NULL;

-- It comes.
CREATE TRIGGER job_key_comes AFTER INSERT ON job
WHEN NEW.limit_key IS NOT NULL AND NEW.status = 'queued' AND NEW.later IS NULL
BEGIN
  UPDATE job SET later = 9223372036854775807 WHERE seq = NEW.seq;
  INSERT OR IGNORE INTO key_look VALUES (NEW.queue, NEW.limit_key);
END;

-- Its time has come, or a new round was opened. (One that was given back by its worker keeps its place.)
CREATE TRIGGER job_key_comes_again AFTER UPDATE OF status, later ON job
WHEN NEW.limit_key IS NOT NULL AND NEW.status = 'queued' AND NEW.later IS NULL
  AND (OLD.later < 9223372036854775807 OR OLD.ended IS NOT NULL)
BEGIN
  UPDATE job SET later = 9223372036854775807 WHERE seq = NEW.seq;
  INSERT OR IGNORE INTO key_look VALUES (NEW.queue, NEW.limit_key);
END;

-- One that had a place has ended, or is gone.
CREATE TRIGGER job_key_goes AFTER UPDATE OF status ON job
WHEN OLD.limit_key IS NOT NULL AND OLD.later IS NULL AND OLD.ended IS NULL AND NEW.ended IS NOT NULL
BEGIN
  INSERT OR IGNORE INTO key_look VALUES (OLD.queue, OLD.limit_key);
END;

CREATE TRIGGER job_key_is_gone AFTER DELETE ON job
WHEN OLD.limit_key IS NOT NULL AND OLD.later IS NULL AND OLD.ended IS NULL
BEGIN
  INSERT OR IGNORE INTO key_look VALUES (OLD.queue, OLD.limit_key);
END;

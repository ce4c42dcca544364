-- Version 2: limits for each key of a queue (docs/adr/0016-limit-keys.md).
--
-- A job with a key is queued in one of two ways. It *has a place* when `later` is NULL, as every job that a worker may take;
-- else it *waits for a place*: `later` is the greatest number there is, so that no claim looks at it, whatever version
-- makes it. Places are given by claims alone, under a lock for the key, so that those who have one (let in, or under way)
-- are never more than the limit. The triggers see to what waits, and say in `key_look` which keys a claim has to look at, so
-- that this holds for whatever changes a job. They lock nothing: whoever submits or ends a job waits for nobody.

ALTER TABLE qmanager.job ADD COLUMN limit_key text CHECK (length(limit_key) BETWEEN 1 AND 256);

-- The limit of each key that has none of its own; NULL = 1.
ALTER TABLE qmanager.queue ADD COLUMN key_limit integer CHECK (key_limit >= 0);

CREATE TABLE qmanager.key_limit (
  queue     text NOT NULL,
  limit_key text NOT NULL,
  job_limit integer NOT NULL CHECK (job_limit >= 0),
  PRIMARY KEY (queue, limit_key)
);

-- Not unique: of two who write one key at once, the second would wait for the end of the first one's transaction.
CREATE TABLE qmanager.key_look (
  id        bigint GENERATED ALWAYS AS IDENTITY,
  queue     text NOT NULL,
  limit_key text NOT NULL,
  PRIMARY KEY (queue, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX job_key_waits ON qmanager.job (queue, limit_key, rank, seq)
  WHERE limit_key IS NOT NULL AND later = 9223372036854775807;
CREATE INDEX job_key_let_in ON qmanager.job (queue, limit_key, rank, seq)
  WHERE limit_key IS NOT NULL AND status = 'queued' AND later IS NULL;
CREATE INDEX job_key_under_way ON qmanager.job (queue, limit_key)
  WHERE limit_key IS NOT NULL AND owner_slot IS NOT NULL;

CREATE FUNCTION qmanager.job_key_waits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.later := 9223372036854775807;
  RETURN NEW;
END $$;

-- It comes.
CREATE TRIGGER job_key_comes BEFORE INSERT ON qmanager.job FOR EACH ROW
WHEN (NEW.limit_key IS NOT NULL AND NEW.status = 'queued' AND NEW.later IS NULL)
EXECUTE FUNCTION qmanager.job_key_waits();

-- Its time has come, or a new round was opened. (One that was given back by its worker keeps its place.)
CREATE TRIGGER job_key_comes_again BEFORE UPDATE OF status, later ON qmanager.job FOR EACH ROW
WHEN (NEW.limit_key IS NOT NULL AND NEW.status = 'queued' AND NEW.later IS NULL
  AND (OLD.later < 9223372036854775807 OR OLD.ended IS NOT NULL))
EXECUTE FUNCTION qmanager.job_key_waits();

CREATE FUNCTION qmanager.job_key_look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    INSERT INTO qmanager.key_look (queue, limit_key) VALUES (OLD.queue, OLD.limit_key);
  ELSE
    INSERT INTO qmanager.key_look (queue, limit_key) VALUES (NEW.queue, NEW.limit_key);
  END IF;
  RETURN NULL;
END $$;

-- Many jobs of one key in one transaction leave one mark: nobody can take it before they are there.
CREATE FUNCTION qmanager.job_key_look_once() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  mark text := NEW.queue || ' ' || NEW.limit_key;
BEGIN
  IF current_setting('qmanager.marked', true) IS DISTINCT FROM mark THEN
    INSERT INTO qmanager.key_look (queue, limit_key) VALUES (NEW.queue, NEW.limit_key);
    PERFORM set_config('qmanager.marked', mark, true);
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER job_key_waits AFTER INSERT ON qmanager.job FOR EACH ROW
WHEN (NEW.limit_key IS NOT NULL AND NEW.later = 9223372036854775807)
EXECUTE FUNCTION qmanager.job_key_look_once();

CREATE TRIGGER job_key_waits_again AFTER UPDATE OF status, later ON qmanager.job FOR EACH ROW
WHEN (NEW.limit_key IS NOT NULL AND NEW.later = 9223372036854775807
  AND (OLD.later < NEW.later OR OLD.ended IS NOT NULL))
EXECUTE FUNCTION qmanager.job_key_look();

-- One that had a place has ended, or is gone.
CREATE TRIGGER job_key_goes AFTER UPDATE OF status ON qmanager.job FOR EACH ROW
WHEN (OLD.limit_key IS NOT NULL AND OLD.later IS NULL AND OLD.ended IS NULL AND NEW.ended IS NOT NULL)
EXECUTE FUNCTION qmanager.job_key_look();

CREATE TRIGGER job_key_is_gone AFTER DELETE ON qmanager.job FOR EACH ROW
WHEN (OLD.limit_key IS NOT NULL AND OLD.later IS NULL AND OLD.ended IS NULL)
EXECUTE FUNCTION qmanager.job_key_look();

-- `qmanager.submit` gets a parameter. It is another function by that; whoever might call the old one may call the new one.
CREATE TEMPORARY TABLE submit_rights ON COMMIT DROP AS
  SELECT r.grantee, r.is_grantable, pg_get_userbyid(p.proowner) AS owner
  FROM pg_proc p CROSS JOIN aclexplode(p.proacl) AS r
  WHERE p.oid = 'qmanager.submit(text,text,text,text,jsonb,integer,timestamptz)'::regprocedure
    AND r.privilege_type = 'EXECUTE' AND r.grantee <> p.proowner;

DROP FUNCTION qmanager.submit(text, text, text, text, jsonb, integer, timestamptz);

-- A job from SQL, in the caller's own transaction: it is there when that commits, and never was when it rolls back.
-- The definition is the text of a workflow file (a list of tasks, YAML or JSON). It is checked by the worker that claims
-- the job; one that is wrong fails with cause `invalid` and says why. Repeating it with the same key and text is safe.
CREATE FUNCTION qmanager.submit(
  definition text,
  key        text DEFAULT NULL,
  queue      text DEFAULT 'default',
  name       text DEFAULT NULL,
  labels     jsonb DEFAULT '{}',
  priority   integer DEFAULT 0,
  run_at     timestamptz DEFAULT NULL,
  limit_key  text DEFAULT NULL
) RETURNS uuid LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  moment   bigint := qmanager.now_micros();
  source   text := 'source:' || encode(sha256(convert_to(submit.definition, 'UTF8')), 'hex');
  random   text := replace(gen_random_uuid()::text, '-', '');
  -- UUIDv7: milliseconds, then random bits.
  new_id   uuid := (lpad(to_hex(moment / 1000), 12, '0') || '7' || substr(random, 14, 3) || substr(random, 17))::uuid;
  new_seq  bigint;
  old_id   uuid;
  old_hash text;
  due      bigint := (extract(epoch FROM submit.run_at) * 1000000)::bigint;
BEGIN
  IF submit.definition IS NULL THEN
    RAISE EXCEPTION 'the definition is NULL' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF submit.queue IS NULL OR submit.queue !~ '^[a-z][a-z0-9_-]{0,31}$' OR submit.queue ~ '[0-9]$' OR submit.queue ~ '^run-' THEN
    RAISE EXCEPTION '% is not the name of a queue', coalesce(quote_literal(submit.queue), 'NULL')
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Write small letters, digits, - and _, at most 32, beginning with a letter and not ending in a digit.';
  END IF;
  IF submit.labels IS NULL OR jsonb_typeof(submit.labels) <> 'object'
     OR EXISTS (SELECT FROM jsonb_each(submit.labels) AS label WHERE jsonb_typeof(label.value) <> 'string') THEN
    RAISE EXCEPTION 'labels must be an object of strings' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF submit.limit_key !~ '^[^[:cntrl:][:space:]]([^[:cntrl:]]{0,254}[^[:cntrl:][:space:]])?$' THEN
    RAISE EXCEPTION '% is not a limit key', quote_literal(submit.limit_key)
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Write 1 to 256 printable characters, without blanks at either end.';
  END IF;
  INSERT INTO qmanager.job (id, queue, name, labels, key, priority, run_at, later, submitter, hash, source, tasks, created,
                            limit_key)
    VALUES (new_id, submit.queue, submit.name, submit.labels, submit.key, coalesce(submit.priority, 0), due, due,
            'sql:' || session_user, source, source, 0, moment, submit.limit_key)
    ON CONFLICT DO NOTHING RETURNING seq INTO new_seq;
  IF new_seq IS NULL THEN
    SELECT id, job.source INTO old_id, old_hash FROM qmanager.job
      WHERE job.key = submit.key AND job.queue = submit.queue;
    IF old_hash IS DISTINCT FROM source THEN
      RAISE EXCEPTION 'key % belongs to job %, which has another definition', quote_literal(submit.key), old_id
        USING ERRCODE = 'unique_violation';
    END IF;
    RETURN old_id;
  END IF;
  INSERT INTO qmanager.definition (job, definition, settings) VALUES (new_seq, submit.definition, '{}');
  PERFORM pg_notify('qmanager', submit.queue);
  RETURN new_id;
END $$;
-- Who may submit may run commands on the workers: it is for the owner to say who.
REVOKE ALL ON FUNCTION qmanager.submit FROM PUBLIC;
DO $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT * FROM submit_rights LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION qmanager.submit TO %s%s',
      CASE WHEN r.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r.grantee)) END,
      CASE WHEN r.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
  END LOOP;
END $$;

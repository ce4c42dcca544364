-- Version 1. As in SQLite's schema, the CHECKs and the trigger carry the state machine of a job (design.md section 4).
-- Moments are microseconds since 1970, always by this server's clock.

CREATE SCHEMA IF NOT EXISTS qmanager;

CREATE TABLE qmanager.migration (
  version    integer PRIMARY KEY,
  applied_at timestamptz NOT NULL DEFAULT now(),
  by_program text NOT NULL
);

CREATE FUNCTION qmanager.now_micros() RETURNS bigint LANGUAGE sql VOLATILE
AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;

CREATE TABLE qmanager.queue (
  name      text PRIMARY KEY,
  paused    boolean NOT NULL DEFAULT false,
  job_limit integer CHECK (job_limit >= 0),
  executor  text,
  store     text,
  CHECK ((executor IS NULL) = (store IS NULL))
);

-- `seq` is the order of arrival. `later` is `run_at` until that moment has come, then NULL: so claims never look at
-- jobs that wait for their time. `store` is where the job's files are, '' as long as they are nowhere.
-- `source` is the hash of a text that came by SQL.
CREATE TABLE qmanager.job (
  seq           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id            uuid NOT NULL UNIQUE,
  queue         text NOT NULL,
  name          text,
  status        text NOT NULL DEFAULT 'queued'
    CHECK (status IN ('queued', 'running', 'cancelling', 'succeeded', 'cancelled', 'failed')),
  cause         text,
  message       text,
  labels        jsonb NOT NULL DEFAULT '{}',
  key           text,
  priority      integer NOT NULL DEFAULT 0,
  rank          bigint NOT NULL GENERATED ALWAYS AS (-(priority::bigint)) STORED,
  run_at        bigint,
  later         bigint,
  submitter     text NOT NULL,
  hash          text NOT NULL,
  source        text,
  tasks         integer NOT NULL CHECK (tasks >= 0),
  n_running     integer NOT NULL DEFAULT 0 CHECK (n_running >= 0),
  n_succeeded   integer NOT NULL DEFAULT 0 CHECK (n_succeeded >= 0),
  n_failed      integer NOT NULL DEFAULT 0 CHECK (n_failed >= 0),
  n_skipped     integer NOT NULL DEFAULT 0 CHECK (n_skipped >= 0),
  n_cancelled   integer NOT NULL DEFAULT 0 CHECK (n_cancelled >= 0),
  created       bigint NOT NULL,
  started       bigint,
  ended         bigint,
  round         integer NOT NULL DEFAULT 1 CHECK (round >= 1),
  epoch         bigint NOT NULL DEFAULT 0 CHECK (epoch >= 0),
  owner_host    text,
  owner_run_dir text,
  owner_slot    text,
  cancel        text CHECK (cancel IN ('cancel', 'now')),
  store         text NOT NULL DEFAULT '',
  CHECK ((ended IS NOT NULL) = (status IN ('succeeded', 'cancelled', 'failed'))),
  CHECK ((owner_slot IS NOT NULL) = (status IN ('running', 'cancelling'))),
  CHECK ((owner_host IS NOT NULL) = (owner_slot IS NOT NULL)),
  CHECK ((owner_run_dir IS NOT NULL) = (owner_slot IS NOT NULL)),
  CHECK (owner_slot IS NULL OR (epoch > 0 AND started IS NOT NULL)),
  CHECK (later IS NULL OR status = 'queued'),
  CHECK (cancel IS NULL OR status <> 'queued'),
  CHECK (status <> 'succeeded' OR cause IS NULL)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

CREATE INDEX job_ready ON qmanager.job (queue, store, rank, seq) WHERE status = 'queued' AND later IS NULL;
CREATE INDEX job_later ON qmanager.job (queue, later) WHERE later IS NOT NULL;
CREATE INDEX job_owned ON qmanager.job (owner_slot, owner_run_dir, owner_host, queue) WHERE owner_slot IS NOT NULL;
CREATE INDEX job_ended ON qmanager.job (ended, seq) WHERE ended IS NOT NULL;
CREATE UNIQUE INDEX job_key ON qmanager.job (key, queue) WHERE key IS NOT NULL;
CREATE INDEX job_suffix ON qmanager.job (right(id::text, 8));
CREATE INDEX job_submitter ON qmanager.job (submitter, seq);

CREATE FUNCTION qmanager.job_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'illegal step of a job: % -> %, epoch % -> %, round % -> %',
    OLD.status, NEW.status, OLD.epoch, NEW.epoch, OLD.round, NEW.round;
END $$;

CREATE TRIGGER job_step BEFORE UPDATE OF status, epoch, round ON qmanager.job FOR EACH ROW
WHEN (NEW.epoch < OLD.epoch OR NOT CASE OLD.status
  WHEN 'queued' THEN NEW.status IN ('queued', 'running', 'cancelled', 'failed') AND NEW.round = OLD.round
  WHEN 'running' THEN NEW.round = OLD.round
  WHEN 'cancelling' THEN NEW.status <> 'running' AND NEW.round = OLD.round
  ELSE NEW.status = 'queued' AND NEW.round = OLD.round + 1 END)
EXECUTE FUNCTION qmanager.job_step();

-- Apart from the job, and narrow: a renewal neither rewrites the job's row nor waits for whoever holds it. `token` is
-- the claim's: after a lost reply the claimer finds its job by it.
CREATE TABLE qmanager.lease (
  job   uuid PRIMARY KEY REFERENCES qmanager.job (id) ON DELETE CASCADE,
  epoch bigint NOT NULL,
  until bigint NOT NULL,
  token uuid NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

-- Apart, so that a step of the job never rewrites a definition of many megabytes.
CREATE TABLE qmanager.definition (
  job        bigint PRIMARY KEY REFERENCES qmanager.job (seq) ON DELETE CASCADE,
  definition text NOT NULL,
  settings   text NOT NULL
);

CREATE TABLE qmanager.task (
  job        bigint NOT NULL REFERENCES qmanager.job (seq) ON DELETE CASCADE,
  ix         integer NOT NULL CHECK (ix >= 0),
  status     text NOT NULL
    CHECK (status IN ('waiting', 'running', 'retrying', 'succeeded', 'skipped', 'cancelled', 'failed')),
  attempt    integer NOT NULL CHECK (attempt >= 0),
  retries    integer NOT NULL CHECK (retries >= 0),
  losses     integer NOT NULL CHECK (losses >= 0),
  cause      text,
  message    text,
  code       integer,
  started    bigint,
  ended      bigint,
  retry_at   bigint,
  pid        integer,
  start_time bigint,
  boot_id    text,
  host       text,
  nonce      text,
  stopping   text CHECK (stopping IN ('release', 'timeout', 'cancel')),
  PRIMARY KEY (job, ix),
  CHECK (status <> 'running' OR attempt > 0),
  CHECK (status <> 'succeeded' OR cause IS NULL),
  CHECK ((pid IS NULL) = (nonce IS NULL))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

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
  run_at     timestamptz DEFAULT NULL
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
  INSERT INTO qmanager.job (id, queue, name, labels, key, priority, run_at, later, submitter, hash, source, tasks, created)
    VALUES (new_id, submit.queue, submit.name, submit.labels, submit.key, coalesce(submit.priority, 0), due, due,
            'sql:' || session_user, source, source, 0, moment)
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

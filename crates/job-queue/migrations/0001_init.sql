-- Version 1. The CHECKs and the trigger carry the state machine of a job (docs: design.md section 4), so that no bug
-- above can write what must not be.

CREATE TABLE queue (
  name      TEXT NOT NULL PRIMARY KEY,
  paused    INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  job_limit INTEGER CHECK (job_limit >= 0),
  executor  TEXT,
  store     TEXT,
  CHECK ((executor IS NULL) = (store IS NULL))
) STRICT, WITHOUT ROWID;

-- `seq` is the order of arrival. `later` is `run_at` until that moment has come, then NULL: so claims never look at
-- jobs that wait for their time.
CREATE TABLE job (
  seq           INTEGER PRIMARY KEY,
  id            TEXT NOT NULL UNIQUE CHECK (length(id) = 36),
  queue         TEXT NOT NULL,
  name          TEXT,
  status        TEXT NOT NULL CHECK (status IN ('queued', 'running', 'cancelling', 'succeeded', 'cancelled', 'failed')),
  cause         TEXT,
  message       TEXT,
  labels        TEXT NOT NULL,
  key           TEXT,
  priority      INTEGER NOT NULL,
  run_at        INTEGER,
  later         INTEGER,
  submitter     TEXT NOT NULL,
  hash          TEXT NOT NULL,
  tasks         INTEGER NOT NULL CHECK (tasks >= 0),
  n_running     INTEGER NOT NULL DEFAULT 0 CHECK (n_running >= 0),
  n_succeeded   INTEGER NOT NULL DEFAULT 0 CHECK (n_succeeded >= 0),
  n_failed      INTEGER NOT NULL DEFAULT 0 CHECK (n_failed >= 0),
  n_skipped     INTEGER NOT NULL DEFAULT 0 CHECK (n_skipped >= 0),
  n_cancelled   INTEGER NOT NULL DEFAULT 0 CHECK (n_cancelled >= 0),
  created       INTEGER NOT NULL,
  started       INTEGER,
  ended         INTEGER,
  round         INTEGER NOT NULL DEFAULT 1 CHECK (round >= 1),
  epoch         INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0),
  owner_host    TEXT,
  owner_run_dir TEXT,
  owner_slot    TEXT,
  lease_until   INTEGER,
  cancel        TEXT CHECK (cancel IN ('cancel', 'now')),
  store         TEXT,
  CHECK ((ended IS NOT NULL) = (status IN ('succeeded', 'cancelled', 'failed'))),
  CHECK ((lease_until IS NOT NULL) = (status IN ('running', 'cancelling'))),
  CHECK ((owner_host IS NOT NULL) = (lease_until IS NOT NULL)),
  CHECK ((owner_run_dir IS NOT NULL) = (lease_until IS NOT NULL)),
  CHECK ((owner_slot IS NOT NULL) = (lease_until IS NOT NULL)),
  CHECK (lease_until IS NULL OR (epoch > 0 AND started IS NOT NULL)),
  CHECK (later IS NULL OR status = 'queued'),
  CHECK (cancel IS NULL OR status <> 'queued'),
  CHECK (status <> 'succeeded' OR cause IS NULL)
) STRICT;

CREATE INDEX job_ready ON job (queue, priority DESC, seq) WHERE status = 'queued' AND later IS NULL;
CREATE INDEX job_later ON job (queue, later) WHERE later IS NOT NULL;
CREATE INDEX job_owned ON job (owner_slot, owner_run_dir, owner_host, queue) WHERE owner_slot IS NOT NULL;
CREATE INDEX job_ended ON job (ended, seq) WHERE ended IS NOT NULL;
CREATE UNIQUE INDEX job_key ON job (key, queue) WHERE key IS NOT NULL;
CREATE INDEX job_suffix ON job (substr(id, -8));
CREATE INDEX job_submitter ON job (submitter, seq);

CREATE TRIGGER job_step BEFORE UPDATE OF status, epoch, round ON job
WHEN NEW.epoch < OLD.epoch OR NOT CASE OLD.status
  WHEN 'queued' THEN NEW.status IN ('queued', 'running', 'cancelled', 'failed') AND NEW.round = OLD.round
  WHEN 'running' THEN NEW.round = OLD.round
  WHEN 'cancelling' THEN NEW.status <> 'running' AND NEW.round = OLD.round
  ELSE NEW.status = 'queued' AND NEW.round = OLD.round + 1 END
BEGIN SELECT raise(ABORT, 'illegal step of a job'); END;

-- Apart, so that a step of the job never rewrites a definition of many megabytes.
CREATE TABLE definition (
  job        INTEGER PRIMARY KEY REFERENCES job (seq) ON DELETE CASCADE,
  definition TEXT NOT NULL,
  settings   TEXT NOT NULL
) STRICT;

CREATE TABLE task (
  job        INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
  ix         INTEGER NOT NULL CHECK (ix >= 0),
  status     TEXT NOT NULL
    CHECK (status IN ('waiting', 'running', 'retrying', 'succeeded', 'skipped', 'cancelled', 'failed')),
  attempt    INTEGER NOT NULL CHECK (attempt >= 0),
  retries    INTEGER NOT NULL CHECK (retries >= 0),
  losses     INTEGER NOT NULL CHECK (losses >= 0),
  cause      TEXT,
  message    TEXT,
  code       INTEGER,
  started    INTEGER,
  ended      INTEGER,
  retry_at   INTEGER,
  pid        INTEGER,
  start_time INTEGER,
  boot_id    TEXT,
  host       TEXT,
  nonce      TEXT,
  stopping   TEXT CHECK (stopping IN ('release', 'timeout', 'cancel')),
  PRIMARY KEY (job, ix),
  CHECK (status <> 'running' OR attempt > 0),
  CHECK (status <> 'succeeded' OR cause IS NULL),
  CHECK ((pid IS NULL) = (nonce IS NULL))
) STRICT, WITHOUT ROWID;

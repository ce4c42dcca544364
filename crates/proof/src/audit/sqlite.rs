//! The audit trail of an SQLite queue.

use std::{path::Path, time::Duration};

use anyhow::Result;
use rusqlite::{Connection, OpenFlags, Row};

use super::{Change, Changed, Health, JobEnd, TaskRow};

/// What a job's or task's trigger writes; `NEW` and `OLD` are rows of the product's own tables.
const INSTALL: &str = "
CREATE TABLE proof_audit (
  seq INTEGER PRIMARY KEY, t INTEGER NOT NULL, job TEXT, round INTEGER, epoch INTEGER,
  key TEXT, status TEXT, cancel TEXT, slot TEXT, run_dir TEXT, lease INTEGER,
  task INTEGER, gone INTEGER, attempt INTEGER, retries INTEGER, losses INTEGER, cause TEXT, message TEXT,
  code INTEGER, stopping TEXT, pid INTEGER);
CREATE TRIGGER proof_job_made AFTER INSERT ON job BEGIN JOB END;
CREATE TRIGGER proof_job_step AFTER UPDATE OF status, epoch, round, cancel, owner_slot, lease_until ON job BEGIN JOB END;
CREATE TRIGGER proof_task_made AFTER INSERT ON task BEGIN TASK END;
CREATE TRIGGER proof_task_step AFTER UPDATE ON task BEGIN TASK END;
CREATE TRIGGER proof_task_gone AFTER DELETE ON task BEGIN
  INSERT INTO proof_audit (t, job, round, epoch, task, gone)
  SELECT NOW, id, round, epoch, OLD.ix, 1 FROM job WHERE seq = OLD.job; END;
";
const JOB: &str = "INSERT INTO proof_audit (t, job, round, epoch, key, status, cancel, slot, run_dir, lease) VALUES
  (NOW, NEW.id, NEW.round, NEW.epoch, NEW.key, NEW.status, NEW.cancel, NEW.owner_slot, NEW.owner_run_dir, NEW.lease_until);";
const TASK: &str = "INSERT INTO proof_audit (t, job, round, epoch, task, status, attempt, retries, losses, cause,
  message, code, stopping, pid) SELECT NOW, id, round, epoch, NEW.ix, NEW.status, NEW.attempt, NEW.retries, NEW.losses,
  NEW.cause, NEW.message, NEW.code, NEW.stopping, NEW.pid FROM job WHERE seq = NEW.job;";
const NOW: &str = "CAST(unixepoch('subsec') * 1000000 AS INTEGER)";

pub(super) fn install(path: &Path) -> Result<()> {
    let sql = INSTALL.replace("JOB END", &format!("{JOB} END")).replace("TASK END", &format!("{TASK} END"));
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {} COMMIT;", sql.replace("NOW", NOW)))?;
    Ok(())
}

pub(super) fn changes(path: &Path) -> Result<Vec<Change>> {
    let connection = open(path)?;
    let mut statement = connection.prepare(
        "SELECT seq, t, job, round, epoch, key, status, cancel, slot, run_dir, lease, task, gone, attempt, retries, \
         losses, cause, message, code, stopping, pid FROM proof_audit ORDER BY seq",
    )?;
    let rows = statement.query_map((), |row| {
        let task: Option<usize> = row.get("task")?;
        let what = match (task, row.get::<_, Option<i64>>("gone")?) {
            (Some(task), Some(_)) => Changed::TaskGone { task },
            (Some(_), None) => Changed::Task(task_row(row)?),
            (None, _) => Changed::Job {
                key: row.get("key")?,
                status: row.get("status")?,
                cancel: row.get("cancel")?,
                owner: row.get::<_, Option<String>>("slot")?.zip(row.get("run_dir")?),
                lease: row.get("lease")?,
            },
        };
        let (seq, t, job) = (row.get("seq")?, row.get("t")?, row.get("job")?);
        Ok(Change { seq, t, job, round: row.get("round")?, epoch: row.get("epoch")?, what })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn jobs(path: &Path) -> Result<Vec<JobEnd>> {
    let connection = open(path)?;
    let mut tasks = connection.prepare(
        "SELECT ix AS task, status, attempt, retries, losses, cause, message, code, stopping, pid FROM task \
         WHERE job = ?1 ORDER BY ix",
    )?;
    let mut statement =
        connection.prepare("SELECT seq, id, key, status, round, cause, message FROM job ORDER BY seq")?;
    let mut rows = statement.query(())?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get("seq")?;
        jobs.push(JobEnd {
            job: row.get("id")?,
            key: row.get("key")?,
            status: row.get("status")?,
            round: row.get("round")?,
            cause: row.get("cause")?,
            message: row.get("message")?,
            tasks: tasks.query_map([seq], task_row)?.collect::<Result<_, _>>()?,
        });
    }
    Ok(jobs)
}

pub(super) fn open_jobs(path: &Path) -> Result<u64> {
    Ok(open(path)?.query_row("SELECT count(*) FROM job WHERE ended IS NULL", (), |row| row.get(0))?)
}

pub(super) fn health(path: &Path) -> Result<Health> {
    let connection = open(path)?;
    let mut problems: Vec<String> =
        connection.prepare("PRAGMA integrity_check(20)")?.query_map((), |row| row.get(0))?.collect::<Result<_, _>>()?;
    problems.retain(|line| line != "ok");
    let orphans: Vec<String> =
        connection.prepare("PRAGMA foreign_key_check")?.query_map((), |row| row.get(0))?.collect::<Result<_, _>>()?;
    problems.extend(orphans.iter().map(|table| format!("a row of {table} belongs to nothing")));
    let wrong: u64 = connection.query_row(
        "SELECT count(*) FROM job WHERE n_running < 0 OR n_succeeded < 0 OR n_failed < 0 OR n_skipped < 0 OR n_cancelled < 0 \
         OR n_succeeded <> (SELECT count(*) FROM task WHERE task.job = job.seq AND task.status = 'succeeded') \
         OR n_failed <> (SELECT count(*) FROM task WHERE task.job = job.seq AND task.status = 'failed')",
        (),
        |row| row.get(0),
    )?;
    if wrong > 0 {
        problems.push(format!("{wrong} jobs have counts that their task rows do not have"));
    }
    let wal = std::fs::metadata(format!("{}-wal", path.display())).map_or(0, |meta| meta.len());
    Ok(Health { problems, wal })
}

fn task_row(row: &Row<'_>) -> rusqlite::Result<TaskRow> {
    Ok(TaskRow {
        task: row.get("task")?,
        status: row.get("status")?,
        attempt: row.get("attempt")?,
        retries: row.get("retries")?,
        losses: row.get("losses")?,
        cause: row.get("cause")?,
        message: row.get("message")?,
        code: row.get("code")?,
        stopping: row.get("stopping")?,
        pid: row.get("pid")?,
    })
}

fn open(path: &Path) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(Duration::from_secs(20))?;
    Ok(connection)
}

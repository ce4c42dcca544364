//! The audit trail of a PostgreSQL queue. Rows come as JSON, one a line.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use super::{Change, Changed, Health, JobEnd, TaskRow};
use crate::server::Psql;

const INSTALL: &str = "
CREATE TABLE qmanager.proof_audit (
  seq bigserial PRIMARY KEY, tx bigint NOT NULL DEFAULT txid_current(), t bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
  job uuid, round integer, epoch bigint, key text, status text, cancel text, slot text, run_dir text,
  task integer, gone boolean, attempt integer, retries integer, losses integer, cause text, message text, code integer,
  stopping text, pid integer);
CREATE FUNCTION qmanager.proof_job() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO qmanager.proof_audit (job, round, epoch, key, status, cancel, slot, run_dir) VALUES
    (NEW.id, NEW.round, NEW.epoch, NEW.key, NEW.status, NEW.cancel, NEW.owner_slot, NEW.owner_run_dir);
  RETURN NULL; END $$;
CREATE TRIGGER proof_made AFTER INSERT ON qmanager.job FOR EACH ROW EXECUTE FUNCTION qmanager.proof_job();
CREATE TRIGGER proof_step AFTER UPDATE OF status, epoch, round, cancel, owner_slot ON qmanager.job
  FOR EACH ROW EXECUTE FUNCTION qmanager.proof_job();
CREATE FUNCTION qmanager.proof_task() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'DELETE' THEN
    INSERT INTO qmanager.proof_audit (job, round, epoch, task, gone)
      SELECT id, round, epoch, OLD.ix, true FROM qmanager.job WHERE seq = OLD.job;
  ELSE
    INSERT INTO qmanager.proof_audit (job, round, epoch, task, status, attempt, retries, losses, cause, message, code,
        stopping, pid)
      SELECT id, round, epoch, NEW.ix, NEW.status, NEW.attempt, NEW.retries, NEW.losses, NEW.cause, NEW.message, NEW.code,
        NEW.stopping, NEW.pid FROM qmanager.job WHERE seq = NEW.job;
  END IF;
  RETURN NULL; END $$;
CREATE TRIGGER proof_change AFTER INSERT OR UPDATE OR DELETE ON qmanager.task
  FOR EACH ROW EXECUTE FUNCTION qmanager.proof_task();
";

pub(super) fn install(psql: &Psql) -> Result<()> {
    psql.run(INSTALL).map(drop)
}

pub(super) fn changes(psql: &Psql) -> Result<Vec<Change>> {
    let rows = rows(psql, "SELECT * FROM qmanager.proof_audit ORDER BY seq")?;
    let change = |row: &Value| -> Result<Change> {
        let what = match (row["task"].as_u64(), row["gone"].as_bool()) {
            (Some(task), Some(true)) => Changed::TaskGone { task: usize::try_from(task)? },
            (Some(_), _) => Changed::Task(task_row(row)?),
            (None, _) => Changed::Job {
                key: text(row, "key"),
                status: text(row, "status").unwrap_or_default(),
                cancel: text(row, "cancel"),
                owner: text(row, "slot").zip(text(row, "run_dir")),
                lease: None,
            },
        };
        Ok(Change {
            seq: row["seq"].as_i64().unwrap_or_default(),
            t: row["t"].as_i64().unwrap_or_default(),
            job: text(row, "job").unwrap_or_default(),
            round: number(row, "round")?,
            epoch: row["epoch"].as_u64().unwrap_or_default(),
            what,
        })
    };
    let changes = rows.iter().map(|row| Ok((row["tx"].as_i64().unwrap_or_default(), change(row)?)));
    Ok(in_order(changes.collect::<Result<_>>()?))
}

/// What one transaction changed happened at once, in whatever order the server wrote it: claims come first, then ends,
/// then what follows from them, then the end of the job.
fn in_order(changes: Vec<(i64, Change)>) -> Vec<Change> {
    // By job: a transaction that ends one and takes another may see what was committed after it began.
    let mut begun: BTreeMap<(i64, String), i64> = BTreeMap::new();
    for (transaction, change) in &changes {
        begun.entry((*transaction, change.job.clone())).or_insert(change.seq);
    }
    let rank = |change: &Change| match &change.what {
        Changed::Job { owner: Some(_), .. } => 0,
        Changed::TaskGone { .. } => 1,
        Changed::Task(row) if row.status != "running" => 2,
        Changed::Task(_) => 3,
        Changed::Job { owner: None, .. } => 4,
    };
    let mut changes = changes;
    changes.sort_by_key(|(transaction, change)| (begun[&(*transaction, change.job.clone())], rank(change), change.seq));
    let renumbered = (0..).zip(changes).map(|(seq, (_, change))| Change { seq, ..change });
    renumbered.collect()
}

pub(super) fn jobs(psql: &Psql) -> Result<Vec<JobEnd>> {
    let tasks = rows(
        psql,
        "SELECT j.id AS of, t.ix AS task, t.* FROM qmanager.task t JOIN qmanager.job j ON j.seq = t.job ORDER BY 1, 2",
    )?;
    let jobs = rows(psql, "SELECT id, key, status, round, cause, message FROM qmanager.job ORDER BY seq")?;
    let mut of_job: BTreeMap<&str, Vec<TaskRow>> = BTreeMap::new();
    for task in &tasks {
        of_job.entry(task["of"].as_str().unwrap_or_default()).or_default().push(task_row(task)?);
    }
    let mut end = |row: &Value| {
        let job = text(row, "id").unwrap_or_default();
        Ok(JobEnd {
            key: text(row, "key"),
            status: text(row, "status").unwrap_or_default(),
            round: number(row, "round")?,
            cause: text(row, "cause"),
            message: text(row, "message"),
            tasks: of_job.remove(job.as_str()).unwrap_or_default(),
            job,
        })
    };
    jobs.iter().map(&mut end).collect()
}

pub(super) fn open_jobs(psql: &Psql) -> Result<u64> {
    Ok(psql.run("SELECT count(*) FROM qmanager.job WHERE ended IS NULL")?.trim().parse()?)
}

pub(super) fn health(psql: &Psql) -> Result<Health> {
    let wrong = psql.run(
        "SELECT 'job ' || id || ' has counts that its task rows do not have' FROM qmanager.job j WHERE \
         n_succeeded <> (SELECT count(*) FROM qmanager.task t WHERE t.job = j.seq AND t.status = 'succeeded') OR \
         n_failed <> (SELECT count(*) FROM qmanager.task t WHERE t.job = j.seq AND t.status = 'failed')",
    )?;
    Ok(Health { problems: wrong.lines().map(str::to_owned).collect(), wal: 0 })
}

fn rows(psql: &Psql, query: &str) -> Result<Vec<Value>> {
    let lines = psql.run(&format!("SELECT row_to_json(r) FROM ({query}) r"))?;
    lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn task_row(row: &Value) -> Result<TaskRow> {
    Ok(TaskRow {
        task: usize::try_from(row["task"].as_u64().unwrap_or_default())?,
        status: text(row, "status").unwrap_or_default(),
        attempt: number(row, "attempt")?,
        retries: number(row, "retries")?,
        losses: number(row, "losses")?,
        cause: text(row, "cause"),
        message: text(row, "message"),
        code: row["code"].as_i64().map(i32::try_from).transpose()?,
        stopping: text(row, "stopping"),
        pid: row["pid"].as_i64().map(i32::try_from).transpose()?,
    })
}

fn text(row: &Value, name: &str) -> Option<String> {
    row[name].as_str().map(str::to_owned)
}

fn number(row: &Value, name: &str) -> Result<u32> {
    Ok(u32::try_from(row[name].as_u64().unwrap_or_default())?)
}

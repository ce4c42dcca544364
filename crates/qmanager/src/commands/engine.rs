//! From configuration, environment and flags to what a manager is told.

use std::{collections::BTreeMap, os::unix::net::UnixStream, path::PathBuf, time::Duration};

use task_process::aside::{self, Answer, Question};
use workflow_model::{ExecutorKind, QueueName};

use super::context::Context;
use crate::{
    config,
    exit::{Error, Exit},
    layout::Layout,
    manager::{Options, Pool, Times},
    telemetry,
};

/// The poll floor of a queue that other hosts use too.
const SHARED_POLL: Duration = Duration::from_secs(5);

/// Everything of a manager's options but its pools.
pub(super) fn options(context: &Context, layout: Layout, db: String, pools: Vec<Pool>) -> Result<Options, Error> {
    Ok(Options {
        layout,
        times: times(context, job_queue::is_shared(&db))?,
        db,
        password_file: context.config()?.db.password_file.clone(),
        qworker: program(context, "qworker")?,
        task_executors: task_executors(context, &pools)?,
        pools,
        ambient: ambient(context),
        notify_socket: context.environment.var("NOTIFY_SOCKET").map(PathBuf::from),
        hangup: !context.environment.ignored_signals.contains(&rustix::process::Signal::HUP.as_raw()),
        umask: caller_umask(),
        log: telemetry::level(context.global.quiet, context.global.verbose).to_string(),
    })
}

/// A pool as flags and configuration say.
pub(super) fn pool(
    context: &Context,
    qname: QueueName,
    configured: Option<&config::Pool>,
    flags: (Option<ExecutorKind>, Option<u32>, Option<u32>),
) -> Result<Pool, Error> {
    let (executor, count, parallel) = flags;
    let config = context.config()?;
    let executor = executor.or(configured.and_then(|pool| pool.executor)).unwrap_or(ExecutorKind::Shell);
    usable(context, executor)?;
    let cpus = context.environment.cpus.max(1);
    Ok(Pool {
        qname,
        executor,
        count: count.or(configured.and_then(|pool| pool.count)).unwrap_or(cpus),
        parallel: parallel.or(configured.and_then(|pool| pool.parallel)).unwrap_or(cpus),
        settings: config.settings(),
        store: config.store().to_owned(),
        place: None,
    })
}

/// Whether this program has an executor.
///
/// # Errors
/// Code 9, with those that it has.
pub(super) fn usable(context: &Context, kind: ExecutorKind) -> Result<(), Error> {
    if context.registry.has(kind) {
        return Ok(());
    }
    let known: Vec<&str> =
        ExecutorKind::ALL.iter().filter(|kind| context.registry.has(**kind)).map(|kind| kind.as_str()).collect();
    Err(Error::new(Exit::ExecutorUnusable, format!("this build of qmanager has no {kind} executor"))
        .hint(format!("it has: {}", known.join(", "))))
}

/// Whether the engine of a pool can be spoken to, if it needs one: whoever waits in front of a terminal is told at once what
/// is wrong, and not after the patience that tasks have with an engine that is restarted.
///
/// # Errors
/// Code 9, with what is wrong and what to do.
pub(super) fn reachable(context: &Context, pool: &Pool) -> Result<(), Error> {
    if pool.executor != ExecutorKind::Docker {
        return Ok(());
    }
    let settings = &pool.settings.executors.docker;
    let host = executor::engine_address(settings, &ambient(context));
    if host.strip_prefix("unix://").is_some_and(|path| UnixStream::connect(path).is_ok()) {
        return Ok(());
    }
    let program = program(context, context.registry.program(ExecutorKind::Docker))?;
    let Ok(Answer::Findings(found)) = aside::ask(&program, &Question::Doctor { host, init: settings.init }) else {
        return Ok(());
    };
    match found.into_iter().find(|finding| !finding.usable) {
        Some(finding) => Err(Error::new(Exit::ExecutorUnusable, finding.what).hint(finding.help)),
        None => Ok(()),
    }
}

/// A program of ours: beside this one.
pub(super) fn program(context: &Context, name: &str) -> Result<PathBuf, Error> {
    let path = context.environment.program.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(Error::new(Exit::ExecutorUnusable, format!("cannot find {}", path.display()))
        .hint("qmanager, qworker, task-executor and task-executor-sdk belong into one folder: install them together"))
}

/// The task executors' programs that these pools need.
fn task_executors(context: &Context, pools: &[Pool]) -> Result<BTreeMap<ExecutorKind, PathBuf>, Error> {
    let kinds = pools.iter().map(|pool| pool.executor);
    kinds.map(|kind| Ok((kind, program(context, context.registry.program(kind))?))).collect()
}

fn times(context: &Context, shared: bool) -> Result<Times, Error> {
    let times = context.config()?.times;
    let default = Times::default();
    let or = |value: Option<config::Duration>, default: Duration| value.map_or(default, |value| value.0);
    let poll = or(times.poll, default.poll);
    Ok(Times {
        lease: or(times.lease, default.lease),
        // A server tells of new jobs, and is asked by all hosts: more seldom, unless somebody has said how often.
        poll: if shared && context.loaded()?.is_built_in("times.poll") { SHARED_POLL } else { poll },
        backoff: or(times.backoff, default.backoff),
        backoff_max: or(times.backoff_max, default.backoff_max),
    })
}

/// Variables that are text; what of them reaches a task is decided by the executor's allow-list.
pub(super) fn ambient(context: &Context) -> BTreeMap<String, String> {
    let vars = context.environment.vars.iter();
    vars.filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value.to_str()?.to_owned()))).collect()
}

/// Our own files are for their owner alone; tasks get the caller's umask back.
pub(super) fn caller_umask() -> u32 {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077)).as_raw_mode()
}

/// A manager's error as the command line tells it.
pub(super) fn failed(error: crate::manager::Error) -> Error {
    use crate::manager::Error as E;
    match error {
        E::Queue(error) => error.into(),
        E::Folder(error) => error.into(),
        E::Running { .. } => {
            Error::refused(error.to_string()).hint("`qmanager status` shows it, `qmanager stop` ends it")
        }
        error => {
            let what = error.to_string();
            let made = Error::new(Exit::ExecutorUnusable, what);
            match std::error::Error::source(&error) {
                Some(source) => made.because(source.to_string()),
                None => made,
            }
        }
    }
}

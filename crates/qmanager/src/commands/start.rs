//! `qmanager start`: this host's daemon, in the foreground or detached.

use std::{
    fs::OpenOptions,
    os::unix::{fs::OpenOptionsExt, net::UnixDatagram, process::CommandExt},
    process::{Command, Stdio},
    time::Duration,
};

use workflow_model::QueueName;

use super::{context::Context, engine, submit};
use crate::{
    cli::StartArgs,
    config,
    exit::{Error, Exit},
    layout::Layout,
    manager::{Manager, ManagerState, Pool},
    output::JSON_VERSION,
    store,
    text::counted,
};

/// How long a detached daemon may take to be ready.
const READY: Duration = Duration::from_secs(30);

pub(super) async fn run(context: &Context, args: &StartArgs) -> Result<Exit, Error> {
    let pools = pools(context, args)?;
    let cpus = context.environment.cpus.max(1);
    let workers: u32 = pools.iter().map(|pool| pool.count).fold(0, u32::saturating_add);
    if workers > cpus.saturating_mul(4) && !args.force {
        return Err(Error::usage(format!("{workers} workers are more than four for each of {cpus} CPUs"))
            .hint("each worker is a process that runs one job; --force starts them all the same"));
    }
    if args.detach {
        return detach(context).await;
    }
    let queue = context.queue()?;
    let (pools, layout) = (placed(context, pools)?, layout(context)?);
    let db = context.config()?.db_url().to_owned();
    let served: Vec<String> = pools.iter().map(|pool| format!("{} x {}", pool.count, pool.qname)).collect();
    let options = engine::options(context, layout, db, pools)?;
    let manager = Manager::start(options, false).map_err(engine::failed)?;
    context.out.note(format_args!("serving {} ({})", served.join(", "), counted(workers as usize, "worker")));
    tell(context, std::process::id())?;
    manager.serve(queue, None).await.map_err(engine::failed)?;
    Ok(Exit::Done)
}

/// On a shared queue: the pools with the store that this host has.
fn placed(context: &Context, pools: Vec<Pool>) -> Result<Vec<Pool>, Error> {
    let place = context.place()?;
    Ok(pools.into_iter().map(|pool| Pool { place: place.clone(), ..pool }).collect())
}

/// The folders; on a shared queue with what tells this host from all others.
fn layout(context: &Context) -> Result<Layout, Error> {
    let layout = context.layout()?;
    if !context.is_shared()? {
        return Ok(layout);
    }
    let identity = store::id(layout.state_dir())
        .map_err(|e| Error::io(format!("cannot use {}", layout.state_dir().display()), e))?;
    Ok(layout.with_identity(Some(identity)))
}

/// The configured pools, or the one that the flags say.
fn pools(context: &Context, args: &StartArgs) -> Result<Vec<Pool>, Error> {
    let flags = (args.executor, args.workers, args.parallel);
    let configured = &context.config()?.workers;
    let named = context.qname()?;
    if named.is_none()
        && configured.len() > 1
        && (args.executor.is_some() || args.workers.is_some() || args.parallel.is_some())
    {
        let names: Vec<&str> = configured.iter().map(|pool| pool.qname.as_str()).collect();
        return Err(Error::usage("the configuration has several pools: it is not clear which one the flags mean")
            .hint(format!("say which with --qname: {}", names.join(", "))));
    }
    if named.is_none() && !configured.is_empty() {
        return configured.iter().map(|pool| engine::pool(context, pool.qname.clone(), Some(pool), flags)).collect();
    }
    let qname: QueueName = named.unwrap_or_default();
    submit::refuse_reserved(&qname)?;
    let configured: Option<&config::Pool> = configured.iter().find(|pool| pool.qname == qname);
    Ok(vec![engine::pool(context, qname, configured, flags)?])
}

fn tell(context: &Context, pid: u32) -> Result<(), Error> {
    if context.out.json {
        context.out.object(&serde_json::json!({ "v": JSON_VERSION, "pid": pid }))?;
    }
    context.out.flush()
}

/// Starts this program again without -d, in a session of its own; answers when it says that it is ready.
async fn detach(context: &Context) -> Result<Exit, Error> {
    let layout = context.layout()?;
    layout.create()?;
    if let Some(state) = ManagerState::read(&layout) {
        return Err(Error::refused(format!("a daemon runs here already (process {})", state.process.pid))
            .hint("`qmanager status` shows it, `qmanager stop` ends it"));
    }
    let log_path = layout.state_dir().join("qmanager.log");
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&log_path);
    let log = log.map_err(|e| Error::io(format!("cannot write {}", log_path.display()), e))?;
    let size = log.metadata().map_or(0, |meta| meta.len());
    let socket = Ready::bind(&layout)?;
    let copy = log.try_clone().map_err(|e| Error::io(format!("cannot write {}", log_path.display()), e))?;
    #[expect(clippy::disallowed_methods, reason = "the daemon is this program itself, started again")]
    let mut command = Command::new(&context.environment.program);
    command.args(without_detach(std::env::args_os().skip(1)));
    command.env("NOTIFY_SOCKET", &socket.path).process_group(0);
    command.stdin(Stdio::null()).stdout(copy).stderr(log);
    let mut child = command.spawn().map_err(|e| Error::internal("cannot start the daemon").because(e))?;
    if socket.wait(&mut child).await? {
        context.out.note(format_args!("daemon {} is ready; it logs to {}", child.id(), log_path.display()));
        tell(context, child.id())?;
        return Ok(Exit::Done);
    }
    let status = child.wait().map_err(|e| Error::internal("cannot wait for the daemon").because(e))?;
    let said = std::fs::read(&log_path).unwrap_or_default();
    let said = String::from_utf8_lossy(said.get(usize::try_from(size).unwrap_or(0)..).unwrap_or_default()).into_owned();
    let exit = Exit::TABLE.iter().map(|(exit, _)| *exit).find(|exit| Some(i32::from(exit.code())) == status.code());
    let exit = exit.filter(|exit| *exit != Exit::Done).unwrap_or(Exit::Internal);
    let mut error = Error::new(exit, if said.trim().is_empty() { format!("the daemon ended: {status}") } else { said });
    error.verbatim = error.what.contains('\n');
    Err(error)
}

/// The daemon's own words are ours without -d; a cluster of short flags (`-qd`) loses its d.
fn without_detach(args: impl Iterator<Item = std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    let keep = |arg: std::ffi::OsString| match arg.to_str() {
        Some("--detach" | "-d") => None,
        Some(cluster)
            if cluster.starts_with('-') && cluster[1..].chars().all(|c| "dqv".contains(c)) && cluster.len() > 1 =>
        {
            Some(cluster.replace('d', "").into())
        }
        _ => Some(arg),
    };
    args.filter_map(keep).collect()
}

/// Where the daemon says that it is ready, as to a service manager.
struct Ready {
    path: std::path::PathBuf,
    socket: UnixDatagram,
}

impl Ready {
    fn bind(layout: &Layout) -> Result<Self, Error> {
        let path = layout.run_dir().join(format!("ready.{}", std::process::id()));
        let failed = |e| Error::io(format!("cannot make {}", path.display()), e);
        // A name that a dead process of our number left.
        if path.exists() {
            std::fs::remove_file(&path).map_err(failed)?;
        }
        let socket = UnixDatagram::bind(&path).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        Ok(Self { path, socket })
    }

    /// Whether the daemon became ready; false if it ended first.
    async fn wait(&self, child: &mut std::process::Child) -> Result<bool, Error> {
        let socket = self.socket.try_clone().and_then(tokio::net::UnixDatagram::from_std);
        let socket = socket.map_err(|e| Error::internal("cannot wait for the daemon").because(e))?;
        let deadline = tokio::time::Instant::now() + READY;
        let mut buffer = [0; 512];
        loop {
            tokio::select! {
                received = socket.recv(&mut buffer) => {
                    let count = received.map_err(|e| Error::internal("cannot wait for the daemon").because(e))?;
                    if buffer[..count].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                        return Ok(true);
                    }
                }
                () = tokio::time::sleep(Duration::from_millis(20)) => {
                    if child.try_wait().is_ok_and(|status| status.is_some()) {
                        return Ok(false);
                    }
                }
                () = tokio::time::sleep_until(deadline) => {
                    return Err(Error::internal(format!("the daemon (process {}) is not ready after {READY:?}", child.id())));
                }
            }
        }
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        // It lies in our own run-dir, which is emptied at the next start as well.
        std::fs::remove_file(&self.path).unwrap_or(());
    }
}

#[cfg(test)]
mod tests {
    use super::without_detach;

    #[test]
    fn the_daemon_gets_the_same_words_without_detach() {
        let words = |line: &str| without_detach(line.split(' ').map(Into::into)).join(std::ffi::OsStr::new(" "));
        assert_eq!(words("start -d --workers 2"), "start --workers 2");
        assert_eq!(words("start -qd --qname d"), "start -q --qname d");
        assert_eq!(words("--detach start --state-dir /d -C d"), "start --state-dir /d -C d");
    }
}

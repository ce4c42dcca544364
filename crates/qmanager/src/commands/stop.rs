//! `qmanager stop`: asks this host's daemon to end, and waits until it is gone.

use std::{os::fd::OwnedFd, time::Duration};

use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::{Interest, unix::AsyncFd};

use super::{context::Context, pairs};
use crate::{
    cli::StopArgs,
    exit::{Error, Exit},
    link::StopHow,
    manager::{ManagerState, StopRequest},
    output::JSON_VERSION,
    text::counted,
};

/// How long the tasks of a handover are left alone when nothing is said.
const HANDOVER: Duration = Duration::from_secs(600);

pub(super) async fn run(context: &Context, args: &StopArgs) -> Result<Exit, Error> {
    let layout = context.layout()?;
    let request = request(args)?;
    let Some((state, process)) = daemon(&layout)? else {
        if context.out.json {
            context.out.object(&serde_json::json!({ "v": JSON_VERSION, "stopped": false }))?;
        }
        context.out.note("no daemon runs here");
        return Ok(Exit::Done);
    };
    // A signal alone means just that; so a plain stop works on a full disk and without a run-dir.
    if request.how != StopHow::Release {
        request.write(&layout).map_err(|e| Error::io("cannot leave the request in the run-dir", e))?;
    }
    rustix::process::pidfd_send_signal(&process, Signal::TERM)
        .map_err(|e| Error::io(format!("cannot tell process {}", state.process.pid), e.into()))?;
    let busy = state.workers.iter().filter(|worker| worker.job.is_some()).count();
    if args.drain && busy > 0 {
        context.out.note(format_args!("waiting for {}", counted(busy, "running job")));
    }
    gone(process).await?;
    if context.out.json {
        context.out.object(&serde_json::json!({ "v": JSON_VERSION, "stopped": true, "pid": state.process.pid }))?;
    }
    context.out.note(format_args!("daemon {} has ended", state.process.pid));
    Ok(Exit::Done)
}

fn request(args: &StopArgs) -> Result<StopRequest, Error> {
    let keep = args.handover.as_deref().map(|text| pairs::duration("--handover", text)).transpose()?;
    let how = match (args.drain, args.now, keep) {
        (true, ..) => StopHow::Drain,
        (_, true, _) => StopHow::Now,
        (_, _, Some(_)) => StopHow::Handover,
        _ => StopHow::Release,
    };
    let keep_s = (how == StopHow::Handover).then(|| keep.unwrap_or(HANDOVER).as_secs().max(1));
    Ok(StopRequest { how, keep_s })
}

/// The daemon that serves this state-dir, held so that its number cannot become another's.
fn daemon(layout: &crate::layout::Layout) -> Result<Option<(ManagerState, OwnedFd)>, Error> {
    let Some(state) = ManagerState::read(layout) else {
        return match std::fs::metadata(layout.manager_state()) {
            // One may run, and we are not the one to end it.
            Err(denied) if denied.kind() == std::io::ErrorKind::PermissionDenied => {
                let what = format!("cannot look at {}", layout.manager_state().display());
                Err(Error::new(Exit::QueueUnavailable, what).because(denied))
            }
            _ => Ok(None),
        };
    };
    let Some(pid) = Pid::from_raw(state.process.pid) else { return Ok(None) };
    match rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK) {
        // Looked at again now that the number is ours to hold.
        Ok(process) => Ok(task_process::is_alive(&state.process).then_some((state, process))),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(error) => Err(Error::io(format!("cannot watch process {pid:?}"), error.into())),
    }
}

async fn gone(process: OwnedFd) -> Result<(), Error> {
    let failed = |e: std::io::Error| Error::internal("cannot wait for the daemon").because(e);
    #[expect(deprecated, reason = "the sound form is an unsafe fn; an OwnedFd always answers the same descriptor")]
    let process = AsyncFd::with_interest(process, Interest::READABLE).map_err(failed)?;
    process.readable().await.map_err(failed)?.retain_ready();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_a_request() {
        let of = |args: StopArgs| {
            let request = request(&args).unwrap();
            (request.how, request.keep_s)
        };
        assert_eq!(of(StopArgs::default()), (StopHow::Release, None));
        assert_eq!(of(StopArgs { drain: true, ..StopArgs::default() }), (StopHow::Drain, None));
        assert_eq!(of(StopArgs { now: true, ..StopArgs::default() }), (StopHow::Now, None));
        let handover = StopArgs { handover: Some("90s".into()), ..StopArgs::default() };
        assert_eq!(of(handover), (StopHow::Handover, Some(90)));
    }
}

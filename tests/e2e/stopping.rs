//! How a task executor and its task end before their time: killed, told to stop, or because nobody renews the lease.

use std::{io, io::Write as _, time::Duration};

use executor::{Condition, Ending, Executor as _, Shutdown};
use executor_shell::ShellExecutor;
use task_process::{Exit, Lease, deadline_in, encode_request, read_handle, read_report};
use workflow_model::Epoch;

use crate::{
    boundary::{Worker, until_there, within},
    task_executor::spare,
};

#[tokio::test]
async fn f02_f05_a_killed_task_executor_is_no_success_and_its_task_is_ended_by_the_handle() {
    let mut worker = Worker::new();
    let request = worker.request("trap '' TERM; touch up; sleep 300 & wait; touch survived");
    let running = worker.start(&request).await;
    until_there(worker.job_dir.files().join("up")).await;
    running.kill().expect("killed");
    assert_eq!(within(running.exited()).await, Exit::Unknown, "it has not said its code");
    assert_eq!(read_report(&request.paths, request.nonce), None, "never success");
    assert_eq!(worker.inbox.try_recv(), None);
    let handle = read_handle(&request.paths).expect("a handle");
    let shell = ShellExecutor::new();
    assert_eq!(executor::block_on(shell.describe(&handle)), Condition::Running);
    executor::block_on(shell.stop(&handle, Shutdown::Twice, &request.spec.job_files)).expect("the tree is ended");
    assert_eq!(executor::block_on(shell.describe(&handle)), Condition::Gone);
}

#[tokio::test]
async fn f10_f11_the_first_stop_has_grace_and_the_second_has_none() {
    let mut worker = Worker::new();
    let polite = worker.request("trap 'touch polite; exit 0' TERM; touch up1; sleep 300 & wait");
    let running = worker.start(&polite).await;
    until_there(worker.job_dir.files().join("up1")).await;
    running.stop().expect("TERM");
    assert_eq!(worker.message().await.outcome.ending, Ending::Stopped);
    assert!(worker.job_dir.files().join("polite").exists());
    within(running.exited()).await;

    let stubborn = worker.request("trap '' TERM; touch up2; sleep 300 & wait");
    let running = worker.start(&stubborn).await;
    until_there(worker.job_dir.files().join("up2")).await;
    running.stop().expect("TERM");
    running.stop().expect("at once");
    // The grace period is 10 s.
    let report = tokio::time::timeout(Duration::from_secs(8), worker.message()).await.expect("no grace");
    assert_eq!(report.outcome.ending, Ending::Stopped);
    assert!(matches!(within(running.exited()).await, Exit::Code(0)));
    running.stop().expect("one that has ended is well");
}

#[tokio::test]
async fn f12_a_task_that_ignores_term_is_killed_after_the_grace() {
    let mut worker = Worker::new();
    let mut request = worker.request("trap '' TERM; touch up; sleep 300 & wait");
    request.spec.grace = Duration::from_millis(200);
    let running = worker.start(&request).await;
    until_there(worker.job_dir.files().join("up")).await;
    running.stop().expect("TERM");
    assert_eq!(worker.message().await.outcome.ending, Ending::Stopped);
}

#[tokio::test]
async fn f14_when_nobody_renews_the_lease_the_task_is_stopped_before_its_end() {
    let mut worker = Worker::new();
    let mut request = worker.request("touch up; sleep 300");
    request.spec.grace = Duration::from_millis(500);
    let deadline = deadline_in(Duration::from_secs(4));
    request.deadline = Some(deadline);
    let running = worker.start(&request).await;
    within(running.exited()).await;
    assert!(task_process::boottime_now() < deadline, "before another host may begin");
    assert!(worker.job_dir.files().join("up").exists());
    assert_eq!(read_report(&request.paths, request.nonce).expect("a report").outcome.ending, Ending::Stopped);
    assert_eq!(worker.inbox.try_recv(), None, "nobody is there to be told");
}

#[tokio::test]
async fn a_renewed_lease_lets_the_task_go_on() {
    let mut worker = Worker::new();
    let mut request = worker.request("sleep 1.5; echo on");
    request.deadline = Some(deadline_in(Duration::from_secs(1)));
    let lease = Lease { epoch: Epoch(6), deadline: deadline_in(Duration::from_secs(60)) };
    lease.write(&request.paths.lease).expect("written");
    let (report, out) = worker.run(&request).await;
    assert!(report.outcome.is_success(), "{:?}", report.outcome);
    assert_eq!(out, "on\n");
}

#[tokio::test]
async fn a_stop_before_the_launch_launches_nothing() -> io::Result<()> {
    let mut worker = Worker::new();
    let request = worker.request("touch launched");
    let (mut child, mut stdin) = spare();
    let pid = rustix::process::Pid::from_child(&child);
    let frame = encode_request(&request, 0).expect("a frame");
    // It is stopped, gets the whole request and TERM, and goes on: TERM is there before the launch.
    rustix::process::kill_process(pid, rustix::process::Signal::STOP)?;
    stdin.write_all(&frame)?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    rustix::process::kill_process(pid, rustix::process::Signal::CONT)?;
    child.wait()?;
    assert!(!worker.job_dir.files().join("launched").exists());
    Ok(())
}

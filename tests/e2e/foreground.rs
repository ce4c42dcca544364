//! `qmanager run` and what goes on with its jobs: exit codes, variables, secrets, selections, resume, retry.

use std::fs;

use rustix::process::Signal;

use crate::harness::{Done, Host, TASK_EXECUTOR, until};

const GOOD: &str = "- name: a\n  params: {command: echo out; echo err >&2}\n";
const BAD: &str = "- name: a\n  params: {command: echo why >&2; exit 3}\n- name: b\n  depends: [a]\n";

fn host() -> Host {
    Host::new().with_env("QMANAGER__TASKS__GRACE", "200ms").with_env("QMANAGER__TIMES__POLL", "100ms")
}

#[test]
fn only_and_from_leave_the_rest_alone() {
    let host = host();
    let task = |name: &str, depends: &str| {
        format!("- name: {name}\n  depends: [{depends}]\n  params: {{command: echo {name} >> trace}}\n")
    };
    host.write("chain.yaml", [task("a", ""), task("b", "a"), task("c", "b")].concat());
    host.qmanager(["run", "chain.yaml", "--from", "b"]).expect(0);
    assert_eq!(host.read("trace"), "b\nc\n");
    host.qmanager(["run", "chain.yaml", "--only", "a"]).expect(0);
    assert_eq!(host.read("trace"), "b\nc\na\n");
    let why = host.qmanager(["explain", "@last", "b"]).success();
    assert!(why.stdout.contains("--only"), "{why:?}");
}

#[test]
fn an_interrupted_run_is_gone_on_with() {
    let host = host();
    host.write(
        "gate.yaml",
        "- name: first\n  params: {command: echo first >> trace}\n- name: gate\n  depends: [first]\n  params: {command: \"echo begun >> trace; while [ ! -e open ]; do sleep 0.05; done\"}\n- name: last\n  depends: [gate]\n  params: {command: echo last >> trace}\n",
    );
    let mut run = host.spawn(&["run", "gate.yaml"]);
    until("the gate is reached", || fs::read_to_string(host.dir().join("trace")).is_ok_and(|t| t.contains("begun")));
    let done = run.end(Signal::INT).expect(130);
    assert!(done.stderr.contains("--resume"), "{done:?}");
    host.assert_nothing_left();
    let why = host.qmanager(["explain", "@last"]).success();
    assert!(why.stdout.contains("run --resume"), "{why:?}");
    host.write("open", "");
    host.qmanager(["run", "--resume"]).expect(0);
    assert_eq!(host.read("trace"), "first\nbegun\nbegun\nlast\n", "what had succeeded is not run again");
    host.qmanager(["run", "--resume"]).expect(8);
    host.assert_nothing_left();
}

#[test]
fn run_takes_what_the_shell_has_only_when_told() {
    let host = host().with_env("TOKEN", "s3cret-value").with_env("MY_FLAG", "on");
    host.write(
        "env.yaml",
        "- name: show\n  params:\n    command: echo \"flag=$MY_FLAG token=${T:+set} $T\"\n    env: {T: {secret: API}}\n- name: slow\n  params: {command: sleep 60}\n- name: bad\n  depends: [show]\n  params: {command: exit 1}\n",
    );
    host.qmanager(["run", "env.yaml"]).expect(1);
    let args = ["run", "env.yaml", "--pass-env", "MY_*", "--secret", "API=env:TOKEN", "--fail-fast"];
    let run = host.qmanager(args).expect(1);
    let logs = host.qmanager(["logs", "@last", "show"]).success();
    assert!(logs.stdout.starts_with("flag=on token=set"), "{logs:?}\n{run:?}");
    assert!(!logs.stdout.contains("s3cret-value"), "a secret's value is never in a log\n{logs:?}");
    host.qmanager(["run", "env.yaml", "--secret", "API=env:NOT_SET"]).expect(2);
    host.assert_nothing_left();
}

#[test]
fn values_reach_tasks_by_their_precedence() {
    let host = host().with_env("QMANAGER__TASKS__ENV__A", "host").with_env("QMANAGER__TASKS__ENV__B", "host");
    let show = "echo $A $B $C $D";
    host.write("job.yaml", format!("env: {{B: job, C: job}}\nworkflow:\n- name: show\n  params: {{command: {show:?}, env: {{C: task, D: task}}}}\n"));
    host.write("file.env", "# a comment\nD='file'\nexport E=x\n");
    host.qmanager(["run", "job.yaml"]).expect(0);
    assert_eq!(host.qmanager(["logs", "@last", "show"]).stdout, "host job task task\n");
    host.qmanager(["run", "job.yaml", "--env-file", "file.env", "--env", "A=line"]).expect(0);
    assert_eq!(host.qmanager(["logs", "@last", "show"]).stdout, "line job task file\n");
}

#[test]
fn a_corrected_definition_runs_only_what_it_changes() {
    let host = host();
    host.write("v1.yaml", "- name: keep\n  params: {command: echo kept >> trace}\n- name: mend\n  depends: [keep]\n  params: {command: \"false\"}\n- name: after\n  depends: [mend]\n  params: {command: echo after >> trace}\n");
    host.write("v2.yaml", "- name: new\n  params: {command: echo new >> trace}\n- name: keep\n  params: {command: echo kept >> trace}\n- name: mend\n  depends: [keep]\n  params: {command: echo mended >> trace}\n- name: after\n  depends: [mend]\n  params: {command: echo after >> trace}\n");
    host.qmanager(["run", "v1.yaml"]).expect(1);
    let plan = host.qmanager(["retry", "@last", "--with", "v2.yaml", "--dry-run", "--json"]).success().json();
    let names: Vec<&str> =
        plan[0]["tasks"].as_array().unwrap().iter().filter_map(|task| task["name"].as_str()).collect();
    assert_eq!(names, ["new", "mend", "after"]);
    host.qmanager(["retry", "@last", "--with", "v2.yaml"]).expect(0);
    let mut lines: Vec<String> = host.read("trace").lines().map(str::to_owned).collect();
    assert_eq!(lines.first().map(String::as_str), Some("kept"), "ran once, in the first round");
    lines.sort();
    assert_eq!(lines, ["after", "kept", "mended", "new"]);
    host.qmanager(["retry", "@last"]).expect(8);
    host.qmanager(["retry", "@last", "--only", "after"]).expect(0);
    assert_eq!(host.read("trace").matches("after").count(), 2);
    host.assert_nothing_left();
}

#[test]
fn run_exits_as_its_job_ends() {
    let host = host();
    host.write("good.yaml", GOOD);
    host.write("bad.yaml", BAD);
    host.qmanager(["run", "good.yaml"]).expect(0);
    let bad = host.qmanager(["run", "bad.yaml"]).expect(1);
    assert!(bad.stderr.contains("exit code 3") && bad.stderr.contains("why"), "{bad:?}");
    assert!(bad.stderr.contains("qmanager logs"), "the command to look further\n{bad:?}");
    assert_eq!(bad.stdout, "", "standard output is for data");
    host.assert_nothing_left();
}

#[test]
fn a_round_may_find_its_secrets_elsewhere() {
    let host = host().with_env("TOKEN", "s3cret-value");
    host.write(
        "secret.yaml",
        "- name: a\n  params: {command: 'test -n \"$T\" && echo set', env: {T: {secret: API}}}\n",
    );
    let run = host.qmanager(["run", "secret.yaml"]).expect(1);
    assert!(run.stderr.contains("--secret"), "{run:?}");
    host.qmanager(["retry", "@last", "--secret", "API=env:NOT_SET"]).expect(2);
    host.qmanager(["retry", "@last", "--secret", "API=env:TOKEN"]).expect(0);
    assert_eq!(host.qmanager(["logs", "@last", "a"]).stdout, "set\n");
    // It holds for the rounds after it too.
    host.qmanager(["retry", "@last", "--all"]).expect(0);
    // And for the task alone.
    let alone = ["run", "secret.yaml", "--task", "a"];
    assert!(host.task_executor(alone).expect(125).stderr.contains("give `--secret API="));
    let told = host.task_executor(alone.into_iter().chain(["--secret", "API=env:TOKEN"])).success();
    assert!(told.stdout.contains("set"), "{told:?}");
    // A queue's workers are told by their own configuration.
    host.qmanager(["submit", "secret.yaml"]).success();
    host.qmanager(["cancel", "@last"]).success();
    let refused = host.qmanager(["retry", "@last", "--secret", "API=env:TOKEN"]).expect(2);
    assert!(refused.stderr.contains("[secrets]"), "{refused:?}");
    host.assert_nothing_left();
}

#[test]
fn a_resume_takes_nothing_that_it_would_not_use() {
    let host = host();
    for flag in [&["--secret", "A=env:HOME"][..], &["--fail-fast"], &["--env", "A=1"]] {
        let line = [&["run", "--resume", "@last"], flag].concat();
        host.qmanager(&line).expect(2);
    }
}

#[test]
fn prune_takes_old_interrupted_runs_but_none_that_lives() {
    let host = host().with_env("QMANAGER__TIMES__LEASE", "3s");
    let dir = host.dir().display();
    let text = format!("- name: a\n  params: {{command: 'touch up; while [ ! -e {dir}/go ]; do sleep 0.02; done'}}\n");
    host.write("w/gate.yaml", text);
    let up = host.dir().join("w/up");
    let pruned = |age: &str| host.qmanager(["prune", "--older-than", age, "--json"]).success().json().len();
    for signal in [Signal::KILL, Signal::INT] {
        let mut run = host.spawn(&["run", "w/gate.yaml"]);
        until("the task runs", || up.exists());
        assert_eq!(pruned("0s"), 0, "it is at work");
        run.end(signal);
        if signal == Signal::KILL {
            assert_eq!(pruned("0s"), 0, "its task lives");
            host.write("go", "");
        }
        until("nothing of it lives", || host.processes().is_empty());
        assert_eq!(pruned("1h"), 0, "it is young");
        // Its lease may last a little longer.
        until("it is old", || pruned("0s") == 1);
        assert_eq!(host.qmanager(["list", "--json"]).stdout, "");
        fs::remove_file(&up).expect("the user's folder stays");
        fs::remove_file(host.dir().join("go")).unwrap_or(());
    }
    let jobs = fs::read_dir(host.state_dir().join("jobs")).expect("jobs").flatten();
    assert_eq!(jobs.filter(|entry| entry.path().is_dir()).count(), 0);
    host.assert_nothing_left();
}

#[test]
fn debugging_a_task_of_a_run_changes_nothing_in_the_users_folder() {
    let host = host();
    host.write("w/note.yaml", "- name: note\n  params: {command: 'cat in; echo x >> out; pwd; echo $QM_JOBFILES'}\n");
    host.write("w/in", "data\n");
    host.write("w/tmp/old", "");
    host.qmanager(["run", "w/note.yaml"]).success();
    let args = ["run", "--job", "@last", "--task", "note"];
    let mut command = host.command(TASK_EXECUTOR, args);
    // A copy beneath what is copied must not hold itself.
    command.env("TMPDIR", host.dir().join("w/tmp"));
    let copied = Done::from(command.output().expect("it starts")).success();
    let lines: Vec<&str> = copied.stdout.lines().collect();
    assert_eq!((lines[0], lines[1]), ("data", lines[2]));
    assert!(copied.stderr.contains(lines[1]), "it says where\n{copied:?}");
    assert_eq!(host.read("w/out"), "x\n", "the folder is as it was");
    assert_eq!(fs::read_to_string(format!("{}/out", lines[1])).expect("the copy"), "x\nx\n");
    host.task_executor(args.iter().copied().chain(["--in-place"])).success();
    assert_eq!(host.read("w/out"), "x\nx\n");
}

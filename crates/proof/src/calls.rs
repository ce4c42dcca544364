//! A job of six tasks, once for each call of the queue that its daemon and workers make: the k-th call fails before it is
//! made, or after.
//!
//! The programs must be built with the feature `failpoints`.

use std::{fs, path::PathBuf, sync::Arc};

use anyhow::Result;

use crate::{
    checker,
    clock::{self, SECOND},
    evidence::{About, Folder},
    ground::{self, Backend, Ground},
    history::{Answer, Request, What},
    host::{Host, WORK},
    nemesis::{Fault, Kind},
    plan::JobPlan,
    soak,
};

/// What came of a run.
#[derive(Debug)]
pub struct Done {
    /// Whether there was a call with this number before the job had ended.
    pub reached: bool,
    /// What did not hold; the folder is kept then.
    pub wrong: Vec<String>,
}

/// Makes a run in which call `number` fails, and is made before if `after`.
///
/// # Errors
/// The run could not be made.
pub fn run(number: u64, after: bool, ground: &Ground, backend: Backend, folder: PathBuf) -> Result<Done> {
    let form = soak::Form {
        run: format!("call-{number}-{after}"),
        programs: ground.programs.clone(),
        folder: folder.clone(),
        workers: 1,
        ..soak::Form::default()
    };
    let setting = ground.set_up(&form, backend)?;
    let mut host = Host::new(Arc::clone(&setting), 0)?;
    ground::before_the_start(&setting)?;
    let points = setting.programs.join("failpoints");
    fs::create_dir(&points)?;
    fs::write(points.join("call"), format!("{number} {}", if after { "after" } else { "before" }))?;
    let evidence = Folder(folder.clone());
    host.start()?;
    if !host.wait_ready() {
        // It could not ask the queue and has said so; a person or the service manager starts it again.
        host.start()?;
    }
    ground::serves(&mut host, &folder)?;
    ground::after_the_start(&setting)?;
    let began = clock::mono();
    submit(&setting, &evidence)?;
    clock::until(30 * SECOND, || setting.db.open_jobs().is_ok_and(|open| open == 0));
    let quiet = clock::mono();
    let reached = fs::metadata(points.join("calls")).is_ok_and(|meta| meta.len() >= number);
    let mut hosts = [host];
    soak::stop(&mut hosts);
    let about = About { phases: [began, began, quiet, quiet], ..soak::about(&setting, number, 1) };
    let fault = Fault {
        t: (began, quiet),
        kind: Kind::LoseAnswer,
        host: "h0".into(),
        effective: true,
        slot: None,
        attempt: None,
        stop: None,
        note: format!("call {number}"),
    };
    evidence.append("faults.jsonl", &fault)?;
    let verdict = checker::check(&soak::collect(&setting, &hosts, &about, &evidence)?);
    let wrong: Vec<String> =
        verdict.violations.iter().map(ToString::to_string).chain(verdict.invalid.clone()).collect();
    if wrong.is_empty() {
        fs::remove_dir_all(&folder)?;
    }
    Ok(Done { reached, wrong })
}

/// As a careful client does: under one key, until the answer is known.
fn submit(setting: &crate::host::Setting, evidence: &Folder) -> Result<()> {
    let plan = JobPlan::six("k".into(), WORK.into());
    evidence.append("plans.jsonl", &plan)?;
    let file = setting.folder.join("k.json");
    fs::write(&file, plan.workflow(&setting.task(), &setting.volumes()).to_string())?;
    let file = file.to_string_lossy().into_owned();
    for _ in 0..5 {
        let begin = clock::mono();
        let output = setting.qmanager("h0", &["submit", &file, "--qname", WORK, "--key", "k"]).output()?;
        let ok = output.status.success();
        let job = ok.then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let answer = if ok { Answer::Ok } else { Answer::Info };
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        let request = Request { t: (begin, clock::mono()), what: What::Submit, key: "k".into(), job, answer, words };
        evidence.append("history.jsonl", &request)?;
        if ok {
            break;
        }
    }
    Ok(())
}

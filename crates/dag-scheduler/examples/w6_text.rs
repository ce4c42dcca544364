//! W6 from text: a workflow of a million tasks, as JSON in memory, becomes a valid workflow, a plan, and is run to the end.
//!
//! `w6_text [TASKS]` prints one line of JSON. Built with `--release --features workflow`.
#![expect(clippy::disallowed_methods, reason = "measuring is about time")]
#![expect(clippy::print_stdout, reason = "its result")]

use std::{collections::VecDeque, env, error::Error, fmt::Write as _, fs, time::Instant};

use dag_scheduler::{Action, End, Event, Limits, Plan, Scheduler, Time};
use workflow_model::{LoadOptions, load_workflow};

const LAYER: u32 = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let tasks: u32 = env::args().nth(1).map_or(Ok(1_000_000), |n| n.parse())?;
    let text = text(tasks);
    let bytes = text.len();
    drop(fs::write("/proc/self/clear_refs", "5")); // the peak counts from here, with the text
    let start = Instant::now();
    let workflow = load_workflow(text.as_bytes(), &LoadOptions::new("w6.json")).map_err(|p| p.render(false))?.value;
    drop(text);
    let (loaded, after_load) = (Instant::now(), peak_mib());
    let plan = Plan::from(&workflow);
    let mut scheduler = Scheduler::from_plan(&plan, Limits { parallel: 64 });
    assert_eq!(run(&mut scheduler)?, tasks);
    let end = Instant::now();
    println!(
        r#"{{"what":"from text","tasks":{tasks},"edges":{},"bytes":{bytes},"load_s":{:.4},"total_s":{:.4},"load_mib":{after_load:.1},"peak_mib":{:.1}}}"#,
        workflow.edge_count(),
        (loaded - start).as_secs_f64(),
        (end - start).as_secs_f64(),
        peak_mib()
    );
    Ok(())
}

/// Every task depends on 3 tasks of the layer above it.
fn text(tasks: u32) -> String {
    let mut text = String::from("[");
    for task in 0..tasks {
        let comma = if task == 0 { "" } else { ",\n" };
        let above = (task / LAYER).checked_sub(1).map(|layer| layer * LAYER);
        write!(text, r#"{comma}{{"name":"t{task}","params":{{"command":"true"}}"#)
            .expect("BUG: a text can be written to");
        if let Some(above) = above {
            let [a, b, c] = [task % LAYER, (task + 331) % LAYER, (task + 772) % LAYER].map(|at| above + at);
            write!(text, r#","depends":["t{a}","t{b}","t{c}"]"#).expect("BUG: a text can be written to");
        }
        text.push('}');
    }
    text.push(']');
    text.shrink_to_fit();
    text
}

fn run(scheduler: &mut Scheduler) -> Result<u32, Box<dyn Error>> {
    let (mut out, mut running) = (Vec::new(), VecDeque::new());
    scheduler.apply(Event::Opened, Time::ZERO, &mut out)?;
    let mut now = 0;
    loop {
        for action in out.drain(..) {
            match action {
                Action::Start { task, attempt } => running.push_back((task, attempt)),
                Action::Finish(_) => return Ok(scheduler.counts().succeeded),
                Action::Stop { .. } | Action::Arm { .. } => return Err("not in this job".into()),
            }
        }
        let (task, attempt) = running.pop_front().ok_or("nothing runs and the job is not done")?;
        now += 1;
        scheduler.apply(Event::Reported { task, attempt, end: End::Succeeded }, Time::from_micros(now), &mut out)?;
    }
}

/// The most memory that this process had since the peak was last cleared.
fn peak_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok()).map_or(0.0, |kib: f64| kib / 1024.0)
}

//! W6 of the performance budgets: a layered graph is built and run to the end, events fed by a loop, beside two floors
//! in the same run: flat arrays with Kahn's algorithm, and plain daggy with a topological sort. Each has a process of its
//! own, so that none profits from memory that another has touched.
//!
//! `w6 [TASKS] [EDGES PER TASK] [layered|random] [scheduler|flat|daggy]` prints one line of JSON for each. Built with
//! `--release`.
#![expect(clippy::disallowed_methods, reason = "measuring is about time, in processes of its own")]
#![expect(clippy::print_stdout, reason = "its result")]

use std::{collections::VecDeque, env, error::Error, fs, hint::black_box, process::Command, time::Instant};

use dag_scheduler::{Action, End, Event, JobEnd, Limits, Plan, Policy, Scheduler, TaskIx, Time};
use daggy::{Dag, NodeIndex, petgraph::algo::toposort};

const LAYER: u32 = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let tasks: u32 = args.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let degree: u32 = args.next().map_or(Ok(3), |n| n.parse())?;
    let shape = args.next().unwrap_or_else(|| "layered".into());
    let edges = || graph(tasks, degree, shape == "layered");
    match args.next().as_deref() {
        Some("scheduler") => measure("scheduler", tasks, edges(), scheduler),
        Some("flat") => measure("flat", tasks, edges(), flat),
        Some("daggy") => measure("daggy", tasks, edges(), daggy),
        Some(other) => Err(format!("{other:?} is none of scheduler, flat, daggy").into()),
        None => ["scheduler", "flat", "daggy"].into_iter().try_for_each(|what| {
            let again = Command::new(env::current_exe()?)
                .args([&tasks.to_string(), &degree.to_string(), &shape, what])
                .status()?;
            again.success().then_some(()).ok_or_else(|| format!("{what} failed").into())
        }),
    }
}

/// Every task depends on `degree` tasks of the layer above it (or, at random, on any before it).
fn graph(tasks: u32, degree: u32, layered: bool) -> Vec<(TaskIx, TaskIx)> {
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: u32| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x % u64::from(below)) as u32
    };
    let mut edges = Vec::with_capacity((tasks as usize) * degree as usize);
    for task in LAYER..tasks {
        for _ in 0..degree {
            let from = if layered { (task / LAYER - 1) * LAYER + next(LAYER) } else { next(task) };
            edges.push((TaskIx(from), TaskIx(task)));
        }
    }
    edges
}

/// Runs a graph to the end, says when it is built, answers how many tasks were done.
type Run = fn(u32, Vec<(TaskIx, TaskIx)>, &mut dyn FnMut()) -> Result<usize, Box<dyn Error>>;

fn measure(what: &str, tasks: u32, edges: Vec<(TaskIx, TaskIx)>, run: Run) -> Result<(), Box<dyn Error>> {
    let count = edges.len();
    drop(fs::write("/proc/self/clear_refs", "5")); // the peak counts from here; older kernels: from the start
    let start = Instant::now();
    let mut built = start;
    let done = run(tasks, edges, &mut || built = Instant::now())?;
    let end = Instant::now();
    assert_eq!(done, tasks as usize, "{what} came to an end of its own");
    println!(
        r#"{{"what":"{what}","tasks":{tasks},"edges":{count},"build_s":{:.4},"run_s":{:.4},"total_s":{:.4},"peak_mib":{:.1}}}"#,
        (built - start).as_secs_f64(),
        (end - built).as_secs_f64(),
        (end - start).as_secs_f64(),
        peak_mib()
    );
    Ok(())
}

fn scheduler(tasks: u32, edges: Vec<(TaskIx, TaskIx)>, built: &mut dyn FnMut()) -> Result<usize, Box<dyn Error>> {
    let plan = Plan::from_edges((0..tasks).map(|_| Policy::default()), edges)?;
    let mut scheduler = Scheduler::from_plan(&plan, Limits { parallel: 64 });
    built();
    let (mut out, mut running) = (Vec::new(), VecDeque::new());
    scheduler.apply(Event::Opened, Time::ZERO, &mut out)?;
    let mut now = 0;
    loop {
        for action in out.drain(..) {
            match action {
                Action::Start { task, attempt } => running.push_back((task, attempt)),
                Action::Finish(JobEnd::Succeeded) => return Ok(scheduler.counts().succeeded as usize),
                Action::Stop { .. } | Action::Arm { .. } | Action::Finish(_) => return Err("not in this job".into()),
            }
        }
        let (task, attempt) = running.pop_front().ok_or("nothing runs and the job is not done")?;
        now += 1;
        let end = End::Succeeded;
        scheduler.apply(Event::Reported { task, attempt, end }, Time::from_micros(now), &mut out)?;
    }
}

fn flat(tasks: u32, edges: Vec<(TaskIx, TaskIx)>, built: &mut dyn FnMut()) -> Result<usize, Box<dyn Error>> {
    let (mut starts, mut left) = (vec![0u32; tasks as usize + 1], vec![0u32; tasks as usize]);
    for (from, to) in &edges {
        starts[from.index() + 1] += 1;
        left[to.index()] += 1;
    }
    for at in 0..tasks as usize {
        starts[at + 1] += starts[at];
    }
    let (mut fill, mut after) = (starts.clone(), vec![0u32; edges.len()]);
    for (from, to) in &edges {
        after[fill[from.index()] as usize] = to.0;
        fill[from.index()] += 1;
    }
    drop((edges, fill));
    built();
    let mut ready: VecDeque<u32> = (0..tasks).filter(|task| left[*task as usize] == 0).collect();
    let mut done = 0;
    while let Some(task) = ready.pop_front() {
        done += 1;
        for &next in &after[starts[task as usize] as usize..starts[task as usize + 1] as usize] {
            left[next as usize] -= 1;
            if left[next as usize] == 0 {
                ready.push_back(next);
            }
        }
    }
    Ok(black_box(done))
}

fn daggy(tasks: u32, edges: Vec<(TaskIx, TaskIx)>, built: &mut dyn FnMut()) -> Result<usize, Box<dyn Error>> {
    let mut dag = Dag::<(), (), u32>::with_capacity(tasks as usize, edges.len());
    for _ in 0..tasks {
        dag.add_node(());
    }
    dag.add_edges(edges.iter().map(|(from, to)| (NodeIndex::from(from.0), NodeIndex::from(to.0), ())))?;
    built();
    Ok(toposort(dag.graph(), None).map_err(|_| "a cycle")?.len())
}

/// The most memory that this process had since the peak was last cleared.
fn peak_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok()).map_or(0.0, |kib: f64| kib / 1024.0)
}

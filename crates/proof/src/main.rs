//! The `proof` program: makes a run and judges it, or judges one again. `cargo xtask soak` builds and starts it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to a person")]

mod several;

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context as _, Result, bail};
use proof::{checker, clock::SECOND, evidence::Folder, soak, task};
use signal_hook::consts::{SIGINT, SIGTERM};

/// So many violations of one invariant are shown; the others are counted.
const SHOWN: usize = 10;

pub(crate) const HELP: &str = "\
proof soak [OPTION..]     a run with random faults, judged from outside
  --minutes N             how long load and faults last [1]; Ctrl-C ends them early, and the run is judged
  --seconds N             the same in seconds
  --seed S                the seed of all choices [the time]
  --every S               seconds between two faults [5]
  --db DB                 sqlite, a postgres:// URL, or postgres: a server of the run's own [sqlite]
  --executor E            shell, or docker: in containers of an engine of the run's own (root only) [shell]
  --engine SCRIPT         what starts that engine [.ci/docker]
  --managers M            QManagers [1]
  --workers N             workers of each [3]
  --store-faults N        so many in a million calls of the queue fail (the programs must have `failpoints`)
  --fault KIND            only this kind; may be repeated
  --programs DIR          where the programs under test are [beside this one]
  --folder DIR            where the evidence goes; a short path [a new folder under the temporary one]
                          (removed after a run that held, unless PROOF_KEEP is set)
proof matrix [OPTION..]   the crash matrix; the programs must have the feature `failpoints`
  --cells N               so many, as the seed decides [all]
  --cell NAME             one, e.g. c7-worker-abort
  --db DB                 sqlite, postgres (a server for all cells) or both [sqlite]
  --seed S, --programs DIR
proof calls [OPTION..]    a job of six tasks, once for each call of the queue, which fails (`failpoints` too)
  --db DB                 as above; both = the calls in turn
  --programs DIR
proof planted [OPTION..]  bugs that are in the programs on purpose, each of which must be found (`failpoints` too)
  --count N               so many, as the seed decides [all]
  --bug NAME              one
  --seed S, --programs DIR
proof check DIR           judges the evidence of a run again
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let asks = args.iter().any(|arg| arg == "--help" || arg == "-h");
    let result = match args.first().filter(|_| !asks).map(String::as_str) {
        Some("soak") => soak(rest),
        Some("matrix") => several::matrix(rest),
        Some("calls") => several::calls(rest),
        Some("planted") => several::planted(rest),
        Some("check") => check(rest),
        Some("task") => task::run(rest),
        Some("fork") => task::fork(rest),
        Some("grandchild") => task::grandchild(rest),
        _ => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn soak(args: &[String]) -> Result<ExitCode> {
    let wanted = wanted(args)?;
    for signal in [SIGINT, SIGTERM] {
        // A second one ends it at once.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&wanted.enough))?;
        signal_hook::flag::register(signal, Arc::clone(&wanted.enough))?;
    }
    println!("seed {}, evidence in {}", wanted.seed, wanted.folder.display());
    let evidence = soak::run(&wanted)?;
    let code = judge(&evidence);
    if code == ExitCode::SUCCESS && std::env::var_os("PROOF_KEEP").is_none() {
        // A run that held is of no use to anyone any more.
        drop(std::fs::remove_dir_all(&wanted.folder));
    }
    Ok(code)
}

pub(crate) fn folder_of_this() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.parent().context("this program is in no folder")?.to_path_buf())
}

fn check(args: &[String]) -> Result<ExitCode> {
    let folder = args.first().context("which folder?")?;
    Ok(judge(&Folder(PathBuf::from(folder)).read()?))
}

fn judge(evidence: &proof::evidence::Evidence) -> ExitCode {
    let verdict = checker::check(evidence);
    println!("{}", verdict.figures);
    if let Some(why) = &verdict.invalid {
        println!("INVALID: {why}");
    }
    let mut told = BTreeMap::new();
    for violation in &verdict.violations {
        let count: &mut usize = told.entry(violation.invariant).or_default();
        *count += 1;
        if *count <= SHOWN {
            println!("{violation}");
        }
    }
    for (invariant, count) in told.into_iter().filter(|(_, count)| *count > SHOWN) {
        println!("I{invariant}: {} more", count - SHOWN);
    }
    if verdict.holds() {
        println!("all invariants held (seed {})", evidence.about.seed);
        return ExitCode::SUCCESS;
    }
    println!("{} violations (seed {})", verdict.violations.len(), evidence.about.seed);
    ExitCode::FAILURE
}

fn wanted(args: &[String]) -> Result<soak::Wanted> {
    let seed = u64::try_from(proof::clock::wall())? % 1_000_000;
    let mut wanted = soak::Wanted { seed, ..soak::Wanted::new(folder_of_this()?) };
    let mut script = None;
    let mut args = args.iter();
    while let Some(name) = args.next() {
        let value = args.next().with_context(|| format!("`{name}` wants a value"))?;
        match name.as_str() {
            "--minutes" => wanted.length = value.parse::<i64>()? * 60 * SECOND,
            "--seconds" => wanted.length = value.parse::<i64>()? * SECOND,
            "--seed" => wanted.seed = value.parse()?,
            "--every" => wanted.every = value.parse::<i64>()? * SECOND,
            "--managers" => wanted.managers = value.parse()?,
            "--db" => wanted.db = (value != "sqlite").then(|| value.clone()),
            "--executor" => {
                wanted.engine = match value.as_str() {
                    "shell" => None,
                    "docker" => Some(PathBuf::from(".ci/docker")),
                    other => bail!("`--executor {other}`: it is shell or docker"),
                }
            }
            "--engine" => script = Some(PathBuf::from(value)),
            "--workers" => wanted.workers = value.parse()?,
            "--fault" => wanted.kinds.push(serde_json::from_value(value.as_str().into()).context("a kind of fault")?),
            "--programs" => wanted.programs = value.into(),
            "--store-faults" => wanted.store_faults = value.parse()?,
            "--folder" => wanted.folder = value.into(),
            other => bail!("there is no `{other}`\n\n{HELP}"),
        }
    }
    wanted.engine = wanted.engine.map(|given| script.unwrap_or(given));
    if wanted.folder.as_os_str().is_empty() {
        wanted.folder = std::env::temp_dir().join(format!("qm-{}-{}", wanted.seed, std::process::id()));
    }
    Ok(wanted)
}

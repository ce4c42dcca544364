//! The `proof` program: makes a run and judges it, or judges one again. `cargo xtask soak` builds and starts it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to a person")]

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context as _, Result, bail};
use proof::{calls, checker, clock::SECOND, dice::Dice, evidence::Folder, matrix, soak, task};

/// So many violations of one invariant are shown; the others are counted.
const SHOWN: usize = 10;

const HELP: &str = "\
proof soak [OPTION..]     a run with random faults, judged from outside
  --minutes N             how long load and faults last [1]
  --seconds N             the same in seconds
  --seed S                the seed of all choices [the time]
  --every S               seconds between two faults [5]
  --db DB                 sqlite, a postgres:// URL, or postgres: a server of the run's own [sqlite]
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
  --seed S, --programs DIR
proof calls               a job of six tasks, once for each call of the queue, which fails (`failpoints` too)
proof check DIR           judges the evidence of a run again
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let result = match args.first().map(String::as_str) {
        Some("soak") => soak(rest),
        Some("matrix") => matrix(rest),
        Some("calls") => calls(rest),
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
    println!("seed {}, evidence in {}", wanted.seed, wanted.folder.display());
    let evidence = soak::run(&wanted)?;
    let code = judge(&evidence);
    if code == ExitCode::SUCCESS && std::env::var_os("PROOF_KEEP").is_none() {
        // A run that held is of no use to anyone any more.
        drop(std::fs::remove_dir_all(&wanted.folder));
    }
    Ok(code)
}

/// Some cells at once: most of the time of each is waiting.
const SIDE_BY_SIDE: usize = 3;

fn matrix(args: &[String]) -> Result<ExitCode> {
    let mut cells = matrix::cells();
    let (mut seed, mut count, mut programs) = (1, cells.len(), folder_of_this()?);
    let mut args = args.iter();
    while let Some(name) = args.next() {
        let value = args.next().with_context(|| format!("`{name}` wants a value"))?;
        match name.as_str() {
            "--seed" => seed = value.parse()?,
            "--cells" => count = value.parse()?,
            "--cell" => cells.retain(|cell| cell.name() == *value),
            "--programs" => programs = value.into(),
            other => bail!("there is no `{other}`\n\n{HELP}"),
        }
    }
    // The seed decides which, and in which order.
    let mut dice = Dice::new(seed);
    for last in (1..cells.len()).rev() {
        cells.swap(last, dice.below(last + 1));
    }
    cells.truncate(count);
    let next = AtomicUsize::new(0);
    let (held, applied) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let folder = std::env::temp_dir().join(format!("qm-{}-{seed}-{}", cell.name(), std::process::id()));
                    let outcome = matrix::run(*cell, seed, &programs, folder.clone());
                    let text = match outcome {
                        Ok(matrix::Outcome::Held) => {
                            held.fetch_add(1, Ordering::Relaxed);
                            applied.fetch_add(1, Ordering::Relaxed);
                            "held".into()
                        }
                        Ok(matrix::Outcome::DoesNotApply) => {
                            held.fetch_add(1, Ordering::Relaxed);
                            "does not apply".into()
                        }
                        Ok(matrix::Outcome::Failed(wrong, folder)) => {
                            format!("FAILED, evidence in {}\n  {}", folder.display(), wrong.join("\n  "))
                        }
                        Err(error) => format!("FAILED, see {}: {error:#}", folder.display()),
                    };
                    println!("{:<24} {text}", cell.name());
                }
            });
        }
    });
    let (held, applied) = (held.into_inner(), applied.into_inner());
    println!("{held} of {} cells held, {applied} of them with an effect (seed {seed})", cells.len());
    Ok(if held == cells.len() && applied > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// From the first call to the last one that a run makes.
fn calls(args: &[String]) -> Result<ExitCode> {
    let programs = match args {
        [flag, folder] if flag == "--programs" => PathBuf::from(folder),
        [] => folder_of_this()?,
        _ => bail!("only `--programs DIR`"),
    };
    let (next, last, failed) = (AtomicUsize::new(1), AtomicUsize::new(usize::MAX), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > last.load(Ordering::Relaxed) {
                        break;
                    }
                    for after in [false, true] {
                        let name = format!("qm-call-{number}-{after}-{}", std::process::id());
                        let folder = std::env::temp_dir().join(name);
                        let wrong = match calls::run(number as u64, after, &programs, folder.clone()) {
                            Ok(done) => {
                                if !done.reached {
                                    last.fetch_min(number - 1, Ordering::Relaxed);
                                }
                                done.wrong
                            }
                            Err(error) => vec![format!("{error:#}")],
                        };
                        if !wrong.is_empty() {
                            failed.fetch_add(1, Ordering::Relaxed);
                            let when = if after { "after" } else { "before" };
                            println!("call {number}, failed {when}: {}\n  {}", folder.display(), wrong.join("\n  "));
                        }
                    }
                }
            });
        }
    });
    let (last, failed) = (last.into_inner(), failed.into_inner());
    println!("{last} calls, each failed before and after: {failed} runs in which an invariant did not hold");
    Ok(if failed == 0 && last > 5 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn folder_of_this() -> Result<PathBuf> {
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
    let programs = folder_of_this()?;
    let seed = u64::try_from(proof::clock::wall())? % 1_000_000;
    let mut wanted = soak::Wanted {
        seed,
        length: 60 * SECOND,
        every: 5 * SECOND,
        managers: 1,
        workers: 3,
        store_faults: 0,
        db: None,
        kinds: Vec::new(),
        programs,
        folder: PathBuf::new(),
    };
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
            "--workers" => wanted.workers = value.parse()?,
            "--fault" => wanted.kinds.push(serde_json::from_value(value.as_str().into()).context("a kind of fault")?),
            "--programs" => wanted.programs = value.into(),
            "--store-faults" => wanted.store_faults = value.parse()?,
            "--folder" => wanted.folder = value.into(),
            other => bail!("there is no `{other}`\n\n{HELP}"),
        }
    }
    if wanted.folder.as_os_str().is_empty() {
        wanted.folder = std::env::temp_dir().join(format!("qm-{}-{}", wanted.seed, std::process::id()));
    }
    Ok(wanted)
}

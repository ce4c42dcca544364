//! The `proof` program: makes a run and judges it, or judges one again. `cargo xtask soak` builds and starts it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to a person")]

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use proof::{checker, clock::SECOND, evidence::Folder, soak, task};

/// So many violations of one invariant are shown; the others are counted.
const SHOWN: usize = 10;

const HELP: &str = "\
proof soak [OPTION..]     a run with random faults, judged from outside
  --minutes N             how long load and faults last [1]
  --seconds N             the same in seconds
  --seed S                the seed of all choices [the time]
  --every S               seconds between two faults [5]
  --managers M            QManagers [1]
  --workers N             workers of each [3]
  --fault KIND            only this kind; may be repeated
  --programs DIR          where the programs under test are [beside this one]
  --folder DIR            where the evidence goes; a short path [a new folder under the temporary one]
                          (removed after a run that held, unless PROOF_KEEP is set)
proof check DIR           judges the evidence of a run again
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let result = match args.first().map(String::as_str) {
        Some("soak") => soak(rest),
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
    let here = std::env::current_exe()?;
    let programs = here.parent().context("this program is in no folder")?.to_path_buf();
    let seed = u64::try_from(proof::clock::wall())? % 1_000_000;
    let mut wanted = soak::Wanted {
        seed,
        length: 60 * SECOND,
        every: 5 * SECOND,
        managers: 1,
        workers: 3,
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
            "--workers" => wanted.workers = value.parse()?,
            "--fault" => wanted.kinds.push(serde_json::from_value(value.as_str().into()).context("a kind of fault")?),
            "--programs" => wanted.programs = value.into(),
            "--folder" => wanted.folder = value.into(),
            other => bail!("there is no `{other}`\n\n{HELP}"),
        }
    }
    if wanted.folder.as_os_str().is_empty() {
        wanted.folder = std::env::temp_dir().join(format!("qm-{}-{}", wanted.seed, std::process::id()));
    }
    Ok(wanted)
}

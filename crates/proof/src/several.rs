//! The verbs that make many short runs, some of them side by side: most of the time of each is waiting.
#![expect(clippy::print_stdout, reason = "a program that talks to a person")]

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context as _, Result, bail};
use proof::{
    calls,
    dice::Dice,
    ground::Ground,
    matrix::{self, Cell},
    planted::{self, Planted},
};

use crate::{HELP, folder_of_this};

/// So many runs at once.
const SIDE_BY_SIDE: usize = 3;

/// What these verbs may be told.
struct Options {
    seed: u64,
    db: String,
    count: Option<usize>,
    one: Option<String>,
    programs: PathBuf,
}

impl Options {
    /// `takes`: those that this verb knows.
    fn read(args: &[String], takes: &[&str]) -> Result<Self> {
        let mut options = Self { seed: 1, db: "sqlite".into(), count: None, one: None, programs: folder_of_this()? };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            let value = args.next().with_context(|| format!("`{name}` wants a value"))?;
            match name.as_str() {
                name if !takes.contains(&name) => bail!("there is no `{name}`\n\n{HELP}"),
                "--seed" => options.seed = value.parse()?,
                "--db" => options.db.clone_from(value),
                "--cells" | "--count" => options.count = Some(value.parse()?),
                "--cell" | "--bug" => options.one = Some(value.clone()),
                _ => options.programs = value.into(),
            }
        }
        Ok(options)
    }

    /// The seed decides which, and in which order.
    fn choose<T>(&self, mut of: Vec<T>) -> Vec<T> {
        let mut dice = Dice::new(self.seed);
        for last in (1..of.len()).rev() {
            of.swap(last, dice.below(last + 1));
        }
        of.truncate(self.count.unwrap_or(usize::MAX));
        of
    }
}

/// Does this for each, some at once.
fn side_by_side<T: Sync>(of: &[T], act: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(one) = of.get(next.fetch_add(1, Ordering::Relaxed)) {
                    act(one);
                }
            });
        }
    });
}

fn folder(name: &str, seed: u64) -> PathBuf {
    std::env::temp_dir().join(format!("qm-{name}-{seed}-{}", std::process::id()))
}

/// The crash matrix.
pub(crate) fn matrix(args: &[String]) -> Result<ExitCode> {
    let options = Options::read(args, &["--seed", "--db", "--cells", "--cell", "--programs"])?;
    let ground = Ground::prepare(options.programs.clone(), &options.db)?;
    let mut cells: Vec<Cell> = ground.backends.iter().flat_map(|backend| matrix::cells(*backend)).collect();
    if let Some(name) = &options.one {
        cells.retain(|cell| cell.name() == *name);
    }
    let cells = options.choose(cells);
    // Of each kind of queue: cells, those that held, those with an effect.
    let table: Mutex<BTreeMap<&str, [usize; 3]>> = Mutex::default();
    let done = AtomicUsize::new(0);
    side_by_side(&cells, |cell| {
        let folder = folder(&cell.name(), options.seed);
        let (held, applied, text) = match matrix::run(*cell, options.seed, &ground, folder.clone()) {
            Ok(matrix::Outcome::Held) => (true, true, "held".into()),
            Ok(matrix::Outcome::DoesNotApply) => (true, false, "does not apply".into()),
            Ok(matrix::Outcome::Failed(wrong, folder)) => {
                (false, true, format!("FAILED, evidence in {}\n  {}", folder.display(), wrong.join("\n  ")))
            }
            Err(error) => (false, false, format!("FAILED, see {}: {error:#}", folder.display())),
        };
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = table.entry(cell.backend.name()).or_default();
        *counts = [counts[0] + 1, counts[1] + usize::from(held), counts[2] + usize::from(applied)];
        println!("{:>3}/{} {:<34} {text}", done.fetch_add(1, Ordering::Relaxed) + 1, cells.len(), cell.name());
    });
    let table = table.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (backend, [cells, held, applied]) in &table {
        println!("{backend}: {held} of {cells} cells held, {applied} of them with an effect (seed {})", options.seed);
    }
    let good = table.values().all(|[cells, held, applied]| held == cells && *applied > 0);
    Ok(if good && !table.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// So many calls at least are made until a job of six tasks has ended.
const FEWEST: usize = 5;
/// More are never made; the end is where a run has ended before its call came.
const MOST: usize = 60;

/// From the first call to the last one that a run makes.
pub(crate) fn calls(args: &[String]) -> Result<ExitCode> {
    let options = Options::read(args, &["--db", "--programs"])?;
    let ground = Ground::prepare(options.programs.clone(), &options.db)?;
    let all: Vec<(usize, bool)> = (1..=MOST).flat_map(|number| [(number, false), (number, true)]).collect();
    let (last, failed) = (AtomicUsize::new(MOST), AtomicUsize::new(0));
    side_by_side(&all, |&(number, after)| {
        for (turn, backend) in ground.backends.iter().copied().enumerate() {
            // Of two kinds of queue each call fails on one before it is made, and on the other after.
            let skipped = ground.backends.len() > 1 && (number + usize::from(after) + turn) % 2 == 0;
            if skipped || number > last.load(Ordering::Relaxed) {
                continue;
            }
            let folder = folder(&format!("call-{number}-{after}-{}", backend.name()), 0);
            let wrong = match calls::run(number as u64, after, &ground, backend, folder.clone()) {
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
                let (name, folder) = (backend.name(), folder.display());
                println!("call {number}, failed {when}, {name}: {folder}\n  {}", wrong.join("\n  "));
            }
        }
    });
    let (last, failed) = (last.into_inner(), failed.into_inner());
    println!(
        "{last} calls, each failed before and after ({}): {failed} runs in which an invariant did not hold",
        options.db
    );
    Ok(if failed == 0 && last > FEWEST { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Bugs in the programs, each of which must be found.
pub(crate) fn planted(args: &[String]) -> Result<ExitCode> {
    let options = Options::read(args, &["--seed", "--count", "--bug", "--programs"])?;
    let mut bugs: Vec<&Planted> = planted::ALL.iter().collect();
    if let Some(name) = &options.one {
        bugs.retain(|bug| bug.name == name);
    }
    let bugs = options.choose(bugs);
    let found = AtomicUsize::new(0);
    side_by_side(&bugs, |bug| {
        let folder = folder(bug.name, options.seed);
        let text = match planted::run(bug, options.seed, &options.programs, folder.clone()) {
            Ok(caught) if caught.right => {
                found.fetch_add(1, Ordering::Relaxed);
                format!("found by {}: {}", caught.by, caught.example)
            }
            Ok(caught) => {
                format!(
                    "MISSED, evidence in {}; {:?} were to find it, there is {}",
                    folder.display(),
                    bug.by,
                    caught.by
                )
            }
            Err(error) => format!("MISSED, see {}: {error:#}", folder.display()),
        };
        println!("{:<24} {text}", bug.name);
    });
    let found = found.into_inner();
    println!("{found} of {} planted bugs found (seed {})", bugs.len(), options.seed);
    Ok(if found == bugs.len() && found > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

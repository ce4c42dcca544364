//! The only automation of this repository: `cargo xtask VERB`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "xtask is a program that talks to a person")]

mod bench;
mod command;
mod dist;
mod generate;
mod layers;
mod links;
mod run;
mod soak;
mod suite;
mod testrun;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;

const HELP: &str = "\
cargo xtask VERB

  run [--release] FILE [ARG..]  build the programs, then `qmanager run FILE ARG..`
  test                          everything: fmt, clippy, layers, tidy, deny, docs, all tests, the examples
  ci                            the same with CI=true: nothing may be skipped
  bench [..]                    speed against the budgets of docs/performance.md (`bench --help`)
  soak [--minutes N] [--seed S] [--release] [..] | --matrix | --calls | --planted | --full |
       check DIR
                                random jobs and faults, judged from outside (docs/reliability.md)
  gen                           docs/cli-reference.md and docs/schema/, from the programs
  dist                          a release archive in dist/
  layers                        which crate may use which (ARCHITECTURE.md)
  tidy                          house rules that no compiler checks, links of the documentation
  deny                          licences, bans, sources (cargo-deny)
";

fn main() -> ExitCode {
    match dispatch() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch() -> Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let verb = args.next().unwrap_or_else(|| "help".into());
    let rest: Vec<String> = args.collect();
    let workspace = Workspace::find()?;
    match verb.as_str() {
        "run" => run::run(&workspace, &rest),
        "test" => no_args(&rest).and_then(|()| suite::test(&workspace, suite::in_ci())),
        "ci" => no_args(&rest).and_then(|()| suite::test(&workspace, true)),
        "gen" => no_args(&rest).and_then(|()| generate::generate(&workspace)).map(|()| ExitCode::SUCCESS),
        "dist" => no_args(&rest).and_then(|()| dist::dist(&workspace)).map(|()| ExitCode::SUCCESS),
        "bench" => bench::bench(&workspace, &rest),
        "soak" => soak::soak(&workspace, &rest),
        "layers" => Ok(report("layers", &layers::check(&workspace)?)),
        "tidy" => Ok(report("tidy", &tidy::check(&workspace)?)),
        "deny" => suite::deny_only(&workspace),
        "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("there is no verb `{other}`\n\n{HELP}"),
    }
}

fn no_args(rest: &[String]) -> Result<()> {
    match rest.first() {
        None => Ok(()),
        Some(extra) => Err(anyhow::anyhow!("unexpected argument `{extra}`")).context("this verb takes no arguments"),
    }
}

fn report(name: &str, problems: &[String]) -> ExitCode {
    for problem in problems {
        eprintln!("{problem}");
    }
    if problems.is_empty() {
        println!("{name}: ok");
        ExitCode::SUCCESS
    } else {
        eprintln!("{name}: {} problem(s)", problems.len());
        ExitCode::FAILURE
    }
}

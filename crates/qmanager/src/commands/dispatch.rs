//! From the words of the command line to a verb, and from its result to an exit code.

use std::{ffi::OsString, path::PathBuf};

use clap::{Parser, error::ErrorKind};

use super::{
    cancel, check, completions, config, context::Context, doctor, explain, files, graph, list, logs, man, prune, queue,
    request, retry, run, schema, start, status, stop, submit, wait,
};
use crate::{
    cli::{Cli, Verb},
    config::Environment,
    exit::{Error, Exit},
    telemetry,
    worker::Registry,
};

/// The whole of `qmanager`: what a program's `main` calls. `args` begins with the program's name.
pub fn main(args: impl IntoIterator<Item = OsString>, environment: Environment, registry: Registry) -> Exit {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // A reader that is gone needs no help.
            error.print().unwrap_or(());
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { Exit::Done } else { Exit::Usage };
        }
    };
    telemetry::init(telemetry::level(cli.global.quiet, cli.global.verbose), environment.stderr_is_terminal);
    let Cli { global, verb } = cli;
    let (folder, problem) = match directory(global.directory.as_deref()) {
        Ok(folder) => (folder, None),
        Err(error) => (PathBuf::new(), Some(error)),
    };
    let context = Context::new(environment, global, folder, registry);
    let result = problem.map_or_else(|| drive(&context, verb), Err);
    let result = result.and_then(|exit| context.out.flush().map(|()| exit));
    match result {
        Ok(exit) => exit,
        Err(error) if error.is_broken_pipe() => Exit::Done,
        Err(error) => {
            // What was printed before the error stays.
            context.out.flush().unwrap_or(());
            context.out.error(&error);
            error.exit
        }
    }
}

/// Goes to the folder of `-C`, as its users' relative paths and tasks expect; answers where we are.
fn directory(wanted: Option<&std::path::Path>) -> Result<PathBuf, Error> {
    if let Some(wanted) = wanted {
        std::env::set_current_dir(wanted).map_err(|e| Error::io(format!("cannot go to {}", wanted.display()), e))?;
    }
    std::env::current_dir()
        .map_err(|e| Error::io("the current folder is gone", e).hint("cd to one that exists, or use -C"))
}

fn drive(context: &Context, verb: Verb) -> Result<Exit, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::internal("cannot start the runtime").because(e))?;
    runtime.block_on(perform(context, verb))
}

async fn perform(context: &Context, verb: Verb) -> Result<Exit, Error> {
    match verb {
        Verb::Run(args) => run::run(context, &args).await,
        Verb::Submit(args) => submit::run(context, &args).await,
        Verb::Start(args) => start::run(context, &args).await,
        Verb::Stop(args) => stop::run(context, &args).await,
        Verb::List(args) => list::run(context, &args).await,
        Verb::Status(args) => status::run(context, &args).await,
        Verb::Logs(args) => logs::run(context, &args).await,
        Verb::Explain(args) => explain::run(context, &args).await,
        Verb::Graph(args) => graph::run(context, &args).await,
        Verb::Wait(args) => wait::run(context, &args).await,
        Verb::Files(args) => files::run(context, &args).await,
        Verb::Cancel(args) => cancel::run(context, &args).await,
        Verb::Retry(args) => retry::run(context, &args).await,
        Verb::Queue(args) => queue::run(context, &args).await,
        Verb::Prune(args) => prune::run(context, &args).await,
        Verb::Check(args) => check::run(context, &args),
        Verb::Doctor(args) => doctor::run(context, &args).await,
        Verb::Config(args) => config::run(context, &args),
        Verb::Schema(args) => schema::run(context, &args),
        Verb::Completions(args) => completions::run(context, &args),
        Verb::Man(args) => man::run(context, &args),
        Verb::Request(args) => request::run(context, &args).await,
    }
}

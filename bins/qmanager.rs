//! The `qmanager` program: the command line.

use std::{process::ExitCode, sync::Arc};

use executor_shell::ShellExecutor;
use qmanager::{config::Environment, worker::Registry};

fn main() -> ExitCode {
    let ignored = executor::inherited::shed(std::env::args_os());
    let registry = Registry::new(vec![Arc::new(ShellExecutor::new())]);
    qmanager::main(std::env::args_os(), Environment::capture(ignored), registry).into()
}

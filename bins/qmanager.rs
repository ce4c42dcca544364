//! The `qmanager` program: the command line.

use std::{process::ExitCode, sync::Arc};

use executor_shell::ShellExecutor;
use qmanager::{config::Environment, worker::Registry};
use workflow_model::ExecutorKind;

fn main() -> ExitCode {
    let ignored = executor::inherited::shed(std::env::args_os());
    let registry = Registry::new(vec![Arc::new(ShellExecutor::new())], vec![ExecutorKind::Docker]);
    qmanager::main(std::env::args_os(), Environment::capture(ignored), registry).into()
}

//! QWorker: started by `qmanager`, takes jobs from the queue and drives them.

use std::{process::ExitCode, sync::Arc};

use executor_shell::ShellExecutor;
use qmanager::worker::{self, Registry};
use workflow_model::ExecutorKind;

fn main() -> ExitCode {
    // Spares, and so tasks, inherit from here.
    executor::inherited::shed([]);
    worker::run(&Registry::new(vec![Arc::new(ShellExecutor::new())], vec![ExecutorKind::Docker]))
}

//! QWorker: started by `qmanager`, takes jobs from the queue and drives them.

use std::{process::ExitCode, sync::Arc};

use executor_shell::ShellExecutor;
use qmanager::worker::{self, Registry};

fn main() -> ExitCode {
    worker::run(&Registry::new(vec![Arc::new(ShellExecutor::new())]))
}

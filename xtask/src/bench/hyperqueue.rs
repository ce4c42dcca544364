//! HyperQueue as a peer, by its Python package (`pip install hyperqueue`), where `python3` has it. Its client looks for the
//! end of a job once a second, so that much is in its figures.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::ground::Ground;
use crate::command::Cmd;

pub(crate) const NAME: &str = "HyperQueue (Python client, polls each 1 s)";

/// Whether it can be measured here.
pub(crate) fn is_there() -> bool {
    Cmd::new("python3").args(["-c", "import hyperqueue"]).answers()
}

/// Milliseconds of one job, from its submit to the end of the last task.
pub(crate) fn run(ground: &Ground, workflow: &Path, cores: usize) -> Result<f64> {
    let script = ground.write("hq_peer.py", include_str!("hq_peer.py"))?;
    let cmd = Cmd::new("python3").arg(script).arg(workflow).arg(cores.to_string());
    ground.read(cmd)?.trim().parse().context("HyperQueue's time is a number")
}

//! A container's standard input: what is given, and how it gets there.

use std::pin::Pin;

use executor::{Outcome, Stdin, TaskSpec, beneath};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::message;

/// What fits into the connection's own buffer: it is written before the container is started, so that a container that
/// runs has all of it, whatever becomes of us.
const AHEAD: usize = 64 << 10;

/// What is to be written.
#[derive(Debug)]
pub(crate) enum Input {
    None,
    Text(Vec<u8>),
    File(tokio::fs::File),
}

impl Input {
    /// Opens what the task names.
    pub(crate) fn open(spec: &TaskSpec) -> Result<Self, Outcome> {
        match &spec.stdin {
            Stdin::Null => Ok(Self::None),
            Stdin::Text(text) => Ok(Self::Text(text.clone().into_bytes())),
            Stdin::File(path) => {
                let wrong = |why: &str| message::invalid(format!("`stdin: {{file: {path:?}}}` {why}"));
                let file = beneath::open_file(&spec.job_files, path).map_err(|why| wrong(&why))?;
                Ok(Self::File(tokio::fs::File::from_std(file)))
            }
        }
    }

    /// Whether it is whole in the container once the container runs, also if its writer died.
    pub(crate) fn is_ahead(spec: &TaskSpec) -> bool {
        match &spec.stdin {
            Stdin::Null => true,
            Stdin::Text(text) => text.len() <= AHEAD,
            Stdin::File(_) => false,
        }
    }

    /// Writes it all, and says that this was all. A task that reads no further is no error.
    pub(crate) async fn write(self, mut to: Pin<Box<dyn AsyncWrite + Send>>) {
        let written = match self {
            Self::None => return,
            Self::Text(text) => to.write_all(&text).await,
            Self::File(mut file) => tokio::io::copy(&mut file, &mut to).await.map(drop),
        };
        if written.is_ok() {
            to.shutdown().await.ok();
        }
    }
}

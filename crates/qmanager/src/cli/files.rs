//! `qmanager files`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Look at and change the files of a job.
#[derive(Debug, Clone, Args)]
pub struct FilesArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: FilesVerb,
}

/// What to do with a job's files.
#[derive(Debug, Clone, Subcommand)]
pub enum FilesVerb {
    /// List them
    Ls {
        /// The job
        #[arg(value_name = "JOB")]
        job: String,
        /// Only these
        #[arg(value_name = "GLOB")]
        globs: Vec<String>,
    },
    /// Copy them out
    Get {
        /// The job
        #[arg(value_name = "JOB")]
        job: String,
        /// Which, and as the last of several the folder to put them in; one alone is a GLOB, to the current folder
        #[arg(value_name = "GLOB.. DEST")]
        what: Vec<String>,
    },
    /// Copy files or folders in
    Put {
        /// The job
        #[arg(value_name = "JOB")]
        job: String,
        /// What, and where to in the job files
        #[arg(value_name = "SRC[:DST]", required = true)]
        what: Vec<String>,
    },
    /// Remove them
    Rm {
        /// The job
        #[arg(value_name = "JOB")]
        job: String,
        /// Which
        #[arg(value_name = "GLOB", required = true)]
        globs: Vec<String>,
    },
    /// Compare them with a folder
    Diff {
        /// The job
        #[arg(value_name = "JOB")]
        job: String,
        /// The folder
        #[arg(value_name = "DEST", default_value = ".")]
        dest: PathBuf,
        /// Only these
        #[arg(value_name = "GLOB")]
        globs: Vec<String>,
    },
}

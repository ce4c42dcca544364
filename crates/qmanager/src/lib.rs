//! QManager, QWorker, the verbs of the command line, configuration.

pub mod text;

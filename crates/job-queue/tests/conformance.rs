//! The conformance suite on SQLite.

use std::sync::Arc;

use job_queue::{JobQueue, OpenOptions, Sqlite, conformance::Store};

struct File(tempfile::TempDir);

impl Store for File {
    fn open(&self) -> Arc<dyn JobQueue> {
        Arc::new(Sqlite::open(&self.0.path().join("queue.db"), &OpenOptions::default()).expect("a queue"))
    }
}

job_queue::conformance!(|| Some(File(tempfile::tempdir().unwrap())));

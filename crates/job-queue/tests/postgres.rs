//! The conformance suite on a real PostgreSQL.

use std::sync::Arc;

use job_queue::{
    JobQueue, OpenOptions, Postgres,
    conformance::{
        Store,
        server::{Database, Server},
    },
};

struct Fresh(Database);

impl Store for Fresh {
    fn open(&self) -> Arc<dyn JobQueue> {
        let options = OpenOptions { migrate: true, ..OpenOptions::default() };
        Arc::new(Postgres::open(&self.0.url(), &options).expect("a queue"))
    }
}

job_queue::conformance!(|| Server::shared().map(|server| Fresh(server.database())));

//! Checks that need the sum of the layers.

use job_queue::OpenOptions;

use super::{Error, Loaded};

impl Loaded {
    /// Checks what no layer alone can show.
    pub(super) fn validate(&self) -> Result<(), Error> {
        self.check_db()?;
        self.check_store()?;
        self.check_times()?;
        self.check_workers()
    }

    fn wrong(&self, key: &str, what: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Invalid {
            place: self.origin(key).to_string(),
            what: format!("{key}: {}", what.into()),
            hint: Some(hint.into()),
        }
    }

    fn check_db(&self) -> Result<(), Error> {
        let url = self.config.db_url();
        match url.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(()),
            Some(("postgres" | "postgresql", _)) => match job_queue::Postgres::open(url, &OpenOptions::default()) {
                Ok(_) => Ok(()),
                Err(error) => Err(self.wrong("db.url", error.to_string(), "docs/postgres.md shows examples")),
            },
            other => {
                let scheme = other.map_or(url, |(scheme, _)| scheme);
                let what = format!("{scheme:?} is not how the URL of a queue begins");
                Err(self.wrong("db.url", what, "write sqlite:PATH, or postgres://USER@HOST[:PORT]/DATABASE"))
            }
        }
    }

    fn check_store(&self) -> Result<(), Error> {
        let url = self.config.store();
        match url.split_once(':') {
            Some(("fs", path)) if path.starts_with('/') => Ok(()),
            Some(("s3" | "azure", _)) => {
                Err(self.wrong("jobfiles.url", "this build knows no object storage", "use fs:PATH"))
            }
            _ => Err(self.wrong("jobfiles.url", format!("{url:?} is not a store"), "write fs:PATH")),
        }
    }

    fn check_times(&self) -> Result<(), Error> {
        let millis = |duration: Option<super::Duration>| duration.map_or(0, |d| d.0.as_millis());
        let times = self.config.times;
        if millis(times.lease) < 300 {
            return Err(self.wrong("times.lease", "is too short to be renewed in time", "write at least 300ms"));
        }
        if millis(times.poll) < 10 {
            return Err(self.wrong("times.poll", "would keep the database busy", "write at least 10ms"));
        }
        if millis(times.backoff) < 1 || times.backoff > times.backoff_max {
            return Err(self.wrong("times.backoff", "must lie between 1ms and times.backoff_max", "write 100ms"));
        }
        Ok(())
    }

    fn check_workers(&self) -> Result<(), Error> {
        for (i, pool) in self.config.workers.iter().enumerate() {
            let name = pool.qname.as_str();
            if name.starts_with("run-") {
                return Err(self.wrong(
                    "workers",
                    format!("{name:?} is reserved for `qmanager run`"),
                    "choose another qname",
                ));
            }
            if self.config.workers[..i].iter().any(|other| other.qname == pool.qname) {
                return Err(self.wrong(
                    "workers",
                    format!("the queue {name:?} has two pools"),
                    "a queue has one executor: give each pool a qname of its own",
                ));
            }
            for (what, value) in [("count", pool.count), ("parallel", pool.parallel)] {
                if value == Some(0) {
                    return Err(self.wrong("workers", format!("{what} of {name:?} is 0"), "write 1 or more"));
                }
            }
        }
        Ok(())
    }
}

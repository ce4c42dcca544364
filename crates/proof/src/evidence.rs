//! Everything that a run leaves for the checker: files in one folder, so that a run can be judged again, and a test can
//! forge one.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    audit::{Change, Health, JobEnd},
    history::Request,
    nemesis::Fault,
    plan::JobPlan,
    snapshot::Snapshot,
    witness::{self, Line},
};

/// What a run was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct About {
    /// The run's id.
    pub run: String,
    /// The seed of all choices.
    pub seed: u64,
    /// `sqlite` or `postgres`.
    pub db: String,
    /// Whether tasks run in containers.
    #[serde(default)]
    pub docker: bool,
    /// QManagers.
    pub managers: u32,
    /// Workers of queue `work` on each host.
    pub workers: u32,
    /// Tasks at once on each host, in queue `work`.
    pub parallel: u32,
    /// The lease, in microseconds.
    pub lease: i64,
    /// Between TERM and KILL, in microseconds.
    pub grace: i64,
    /// How often a host asks the queue, in microseconds.
    pub poll: i64,
    /// Wall clock minus monotonic clock.
    pub offset: i64,
    /// Load began, faults began, faults ended, all was quiet; on the monotonic clock.
    pub phases: [i64; 4],
    /// How long a loaded machine may take for what takes no time, in microseconds: added to every limit.
    pub slack: i64,
    /// Whether faults are a condition of the run (a run without effective faults is invalid).
    pub faults: bool,
}

/// All that is known of a run.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// What the run was.
    pub about: About,
    /// What was submitted, by key.
    pub plans: Vec<JobPlan>,
    /// W.
    pub witness: Vec<Line>,
    /// H.
    pub history: Vec<Request>,
    /// A.
    pub audit: Vec<Change>,
    /// The jobs at the end.
    pub jobs: Vec<JobEnd>,
    /// S, and what was found in files.
    pub snapshot: Snapshot,
    /// What the nemesis did.
    pub faults: Vec<Fault>,
    /// The database's health at the end.
    pub health: Health,
}

/// Where the parts of the evidence are.
#[derive(Debug, Clone)]
pub struct Folder(pub PathBuf);

impl Folder {
    /// Appends a line to one of the parts that grow during a run.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&self, part: &str, value: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_string(value)?;
        line.push('\n');
        let path = self.0.join(part);
        let file = fs::OpenOptions::new().append(true).create(true).open(&path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).with_context(|| path.display().to_string())
    }

    /// Writes one of the parts that are known at the end.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put(&self, part: &str, value: &impl Serialize) -> Result<()> {
        let path = self.0.join(part);
        fs::write(&path, serde_json::to_vec_pretty(value)?).with_context(|| path.display().to_string())
    }

    /// Reads it all.
    ///
    /// # Errors
    /// A part is missing or not of its form.
    pub fn read(&self) -> Result<Evidence> {
        let about: About = self.get("about.json")?;
        Ok(Evidence {
            plans: self.lines("plans.jsonl")?,
            witness: witness::read(&witness::path(&self.0), &about.run)?,
            history: self.lines("history.jsonl")?,
            audit: self.get("audit.json")?,
            jobs: self.get("jobs.json")?,
            snapshot: self.get("snapshot.json")?,
            faults: self.lines("faults.jsonl")?,
            health: self.get("health.json")?,
            about,
        })
    }

    fn get<T: DeserializeOwned>(&self, part: &str) -> Result<T> {
        let path = self.0.join(part);
        let text = fs::read(&path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    }

    fn lines<T: DeserializeOwned>(&self, part: &str) -> Result<Vec<T>> {
        let path: &Path = &self.0.join(part);
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).with_context(|| path.display().to_string())).collect()
    }
}

//! A job's folder: where logs, reports and handles of each attempt are, and reading them.

use std::{
    mem::MaybeUninit,
    path::{Path, PathBuf},
};

use executor::Handle;
use rustix::fs::{Mode, OFlags, RawDir};
use workflow_model::{Attempt, Epoch, Nonce, TaskIx, TaskName};

use crate::{
    Error,
    codec::{self, MAX_REPORT},
    file,
    message::{Paths, TaskReport},
};

/// With more tasks than this, logs and reports go to folders of this many tasks each.
const SHARD: usize = 1000;

/// `<state-dir>/jobs/<job-id>`: `files/`, `logs/`, `reports/`, `tmp/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobDir {
    root: PathBuf,
    tasks: usize,
}

impl JobDir {
    /// The folder of a job of so many tasks. Touches nothing.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, tasks: usize) -> Self {
        Self { root: root.into(), tasks }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The job files, unless the job uses a folder of the user's.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.root.join("files")
    }

    /// Makes the folders (all but `files/`, which belongs to the job-file store), 0700. Repeating it is well.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn create(&self) -> Result<(), Error> {
        file::create_dirs(&self.root.join("tmp"))?;
        for kind in ["logs", "reports"] {
            let folder = self.root.join(kind);
            file::create_dirs(&folder)?;
            if self.is_sharded() {
                for shard in 0..self.tasks.div_ceil(SHARD) {
                    file::create_dirs(&folder.join(shard.to_string()))?;
                }
            }
        }
        Ok(())
    }

    /// The files of one attempt; `lease` is [`crate::Lease::path`].
    #[must_use]
    pub fn paths(&self, task: TaskIx, name: &TaskName, attempt: Attempt, lease: PathBuf) -> Paths {
        let (out, err) = self.logs(task, name, attempt);
        let reports = self.folder("reports", task);
        Paths {
            out,
            err,
            report: reports.join(format!("{task}.{attempt}.json")),
            handle: reports.join(format!("{task}.{attempt}.handle")),
            lease,
            tmp: self.root.join("tmp").join(format!("{task}.{attempt}")),
            recycle: false,
        }
    }

    /// The logs of one attempt: standard output, standard error.
    #[must_use]
    pub fn logs(&self, task: TaskIx, name: &TaskName, attempt: Attempt) -> (PathBuf, PathBuf) {
        let folder = self.folder("logs", task);
        let stem = format!("{task}-{}.{attempt}", name.slug());
        (folder.join(format!("{stem}.out")), folder.join(format!("{stem}.err")))
    }

    /// Removes what only running attempts need (`tmp/`, `reports/`), after the job's end is committed.
    ///
    /// # Errors
    /// A folder cannot be removed.
    pub fn finish(&self) -> Result<(), Error> {
        let tmp = remove_tmp(&self.root.join("tmp"));
        remove_tmp(&self.root.join("reports")).and(tmp)
    }

    fn folder(&self, kind: &str, task: TaskIx) -> PathBuf {
        let folder = self.root.join(kind);
        if self.is_sharded() { folder.join((task.index() / SHARD).to_string()) } else { folder }
    }

    fn is_sharded(&self) -> bool {
        self.tasks > SHARD
    }
}

/// TMPDIRs and report files that go from attempt to attempt within one claim of a job, so that a task creates and
/// removes no inode (see `Record`). An attempt that was lost does not give its place back: use [`remove`].
#[derive(Debug)]
pub struct Places {
    tmp: PathBuf,
    prefix: String,
    free: Vec<u32>,
    next: u32,
}

impl Places {
    /// For the attempts started under this epoch; nobody else's are touched.
    #[must_use]
    pub fn new(job_dir: &JobDir, epoch: Epoch) -> Self {
        Self { tmp: job_dir.root.join("tmp"), prefix: format!("place-{epoch}-"), free: Vec::new(), next: 0 }
    }

    /// Gives an attempt that is about to start a place.
    pub fn lend(&mut self, paths: &mut Paths) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        paths.tmp = self.tmp.join(format!("{}{place}", self.prefix));
        paths.recycle = true;
    }

    /// Instead of [`remove`], after the end of an attempt that reported is committed.
    ///
    /// # Errors
    /// As for [`remove`].
    pub fn take_back(&mut self, paths: &Paths) -> Result<(), Error> {
        let Some(place) = self.place(paths) else { return remove(paths) };
        if file::rename(&paths.report, &blank(&paths.tmp)).is_err() {
            // Its task was never launched, or the disk was full.
            file::remove(&paths.report)?;
        }
        file::remove(&paths.handle)?;
        self.free.push(place);
        Ok(())
    }

    fn place(&self, paths: &Paths) -> Option<u32> {
        let name = paths.tmp.file_name()?.to_str()?;
        name.strip_prefix(&self.prefix)?.parse().ok()
    }
}

/// The report of an attempt, if it is there, whole, and carries this nonce. Anything else is absent (F46).
#[must_use]
pub fn read_report(paths: &Paths, nonce: Nonce) -> Option<TaskReport> {
    let body = file::read(&paths.report, MAX_REPORT).ok()?;
    codec::decode_report(&body).ok().filter(|report| report.nonce == nonce)
}

/// The handle of an attempt, if its task was launched.
#[must_use]
pub fn read_handle(paths: &Paths) -> Option<Handle> {
    serde_json::from_slice(&file::read(&paths.handle, MAX_REPORT).ok()?).ok()
}

/// Removes report, handle and TMPDIR of an attempt whose end is committed.
///
/// # Errors
/// One of them is there and cannot be removed; the others are tried all the same.
pub fn remove(paths: &Paths) -> Result<(), Error> {
    let report = file::remove(&paths.report);
    let handle = file::remove(&paths.handle);
    report.and(handle).and(remove_tmp(&paths.tmp))
}

/// The old file beside a recycled TMPDIR.
pub(crate) fn blank(tmp: &Path) -> PathBuf {
    let mut blank = tmp.as_os_str().to_owned();
    blank.push(".blank");
    blank.into()
}

/// Whether a folder is there and empty.
pub(crate) fn is_empty(folder: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let Ok(fd) = rustix::fs::open(folder, flags, Mode::empty()) else { return false };
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(fd, &mut buffer);
    while let Some(entry) = entries.next() {
        if !entry.is_ok_and(|entry| matches!(entry.file_name().to_bytes(), b"." | b"..")) {
            return false;
        }
    }
    true
}

pub(crate) fn remove_tmp(tmp: &Path) -> Result<(), Error> {
    use rustix::io::Errno;
    match rustix::fs::rmdir(tmp) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(_) => match std::fs::remove_dir_all(tmp) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", tmp, e)),
            _ => Ok(()),
        },
    }
}

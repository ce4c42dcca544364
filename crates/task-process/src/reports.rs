//! A job's folder: where logs, reports and handles of each attempt are, and reading them.

use std::{
    mem::MaybeUninit,
    path::{Path, PathBuf},
};

use executor::Handle;
use rustix::fs::{CWD, Mode, OFlags, RawDir, RenameFlags};
use workflow_model::{Attempt, Epoch, Nonce, TaskIx, TaskName};

use crate::{
    Error,
    codec::{self, MAX_REPORT},
    file,
    message::{Paths, TaskReport},
};

/// With more tasks than this, logs and reports go to folders of this many tasks each.
const SHARD: usize = 1000;

const REPORTS: &str = "reports";

/// `<state-dir>/jobs/<job-id>`: `files/`, `logs/`, `reports/`.
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

    /// Handles, reports and TMPDIRs of attempts under way.
    #[must_use]
    pub fn reports(&self) -> PathBuf {
        self.root.join(REPORTS)
    }

    /// Makes the folder and `reports/`, 0700; `logs/` comes with the first output, and `files/` belongs to the job-file
    /// store. Repeating it is well. A job that has no folder yet gets what an ended one left, if that can be moved: the
    /// answer is its places.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn create(&self, leftover: Option<Leftover>) -> Result<Option<Places>, Error> {
        let mut leftover = leftover.filter(|_| !self.is_sharded());
        if let Some(places) = leftover.as_mut().and_then(|leftover| leftover.become_folder(self)) {
            return Ok(Some(places));
        }
        let is_new = match rustix::fs::mkdir(&self.root, Mode::RWXU) {
            Ok(()) => true,
            Err(_) => {
                file::create_dirs(&self.root)?;
                false
            }
        };
        if is_new && let Some(places) = leftover.as_mut().and_then(|leftover| leftover.give_reports(self)) {
            return Ok(Some(places));
        }
        let reports = self.reports();
        file::create_dirs(&reports)?;
        if self.is_sharded() {
            for shard in 0..self.tasks.div_ceil(SHARD) {
                file::create_dirs(&reports.join(shard.to_string()))?;
            }
        }
        Ok(None)
    }

    /// The files of one attempt; `lease` is [`crate::Lease::path`].
    #[must_use]
    pub fn paths(&self, task: TaskIx, name: &TaskName, attempt: Attempt, lease: PathBuf) -> Paths {
        let (out, err) = self.logs(task, name, attempt);
        let reports = self.folder(REPORTS, task);
        Paths {
            out,
            err,
            report: reports.join(format!("{task}.{attempt}.json")),
            handle: reports.join(format!("{task}.{attempt}.handle")),
            lease,
            tmp: reports.join(format!("{task}.{attempt}.tmp")),
            recycle: false,
            blank: None,
        }
    }

    /// The logs of one attempt: standard output, standard error.
    #[must_use]
    pub fn logs(&self, task: TaskIx, name: &TaskName, attempt: Attempt) -> (PathBuf, PathBuf) {
        let folder = self.folder("logs", task);
        let stem = format!("{task}-{}.{attempt}", name.slug());
        (folder.join(format!("{stem}.out")), folder.join(format!("{stem}.err")))
    }

    /// After the job's end is committed: nothing that only running attempts need is left, `reports/` above all.
    ///
    /// # Errors
    /// A folder cannot be removed.
    pub fn finish(&self) -> Result<(), Error> {
        remove_tmp(&self.reports())
    }

    /// Instead of [`finish`](Self::finish), where another job may follow: `reports/` is kept for that one, if all of these
    /// places came back, and with it the whole folder of a job that left nothing there.
    ///
    /// # Errors
    /// A folder cannot be removed.
    pub fn leave(&self, places: Places) -> Result<Option<Leftover>, Error> {
        if self.is_sharded() || !places.all_came_back() {
            return self.finish().map(|()| None);
        }
        let is_bare = is_empty(&self.root, &["files", REPORTS]) && is_bare_or_none(&self.files());
        Ok(Some(Leftover { root: Some(self.root.clone()), is_bare, is_kept: false, places: Some(places) }))
    }

    fn folder(&self, kind: &str, task: TaskIx) -> PathBuf {
        let folder = self.root.join(kind);
        if self.is_sharded() { folder.join((task.index() / SHARD).to_string()) } else { folder }
    }

    fn is_sharded(&self) -> bool {
        self.tasks > SHARD
    }
}

/// The folder of a job that ended and left nothing there, or only its `reports/`; with places for attempts: for the next
/// job. A folder is dear to make, dearer to remove, and cheap to move (see `Record` for files). Dropping this removes
/// `reports/`.
#[derive(Debug)]
pub struct Leftover {
    /// The job's folder; `None` once everything was moved.
    root: Option<PathBuf>,
    /// Whether there is nothing else in it, so that it can be another job's as it is.
    is_bare: bool,
    /// Whether it is in a place of its own, and nobody's any more.
    is_kept: bool,
    places: Option<Places>,
}

impl Leftover {
    /// Takes the whole folder away from its job, until there is a next one. `None`: it cannot be moved there, or is that
    /// job's own.
    #[must_use]
    pub fn keep(mut self, at: &Path) -> Option<Self> {
        let root = self.root.as_deref().filter(|_| self.is_bare)?;
        move_new(root, at).ok()?;
        (self.root, self.is_kept) = (Some(at.to_path_buf()), true);
        Some(self)
    }

    fn become_folder(&mut self, dir: &JobDir) -> Option<Places> {
        move_new(self.root.as_deref().filter(|_| self.is_bare)?, &dir.root).ok()?;
        self.root = None;
        self.moved_to(dir)
    }

    fn give_reports(&mut self, dir: &JobDir) -> Option<Places> {
        file::rename(&self.root.as_deref()?.join(REPORTS), &dir.reports()).ok()?;
        // One that is kept has the rest of its folder to be removed.
        self.root = self.root.take().filter(|_| self.is_kept);
        self.moved_to(dir)
    }

    fn moved_to(&mut self, dir: &JobDir) -> Option<Places> {
        let mut places = self.places.take()?;
        places.move_to(&dir.reports());
        Some(places)
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        if let Some(root) = &self.root {
            // Of a job that has ended: what is left of it goes with its folder.
            remove_tmp(&if self.is_kept { root.clone() } else { root.join(REPORTS) }).ok();
        }
    }
}

/// Moves a folder to a name that nothing has. Where the file system knows no such move, it fails.
fn move_new(from: &Path, to: &Path) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
}

/// Removes what a dead worker kept for its next job ([`Leftover::keep`]).
pub fn remove_kept(at: &Path) {
    // Nothing of anybody's: the next one tries again.
    remove_tmp(at).ok();
}

/// TMPDIRs and report files that go from attempt to attempt, and with [`Leftover`] from job to job, so that a task creates
/// and removes no inode (see `Record`). An attempt that was lost does not give its place back: use [`remove`].
#[derive(Debug)]
pub struct Places {
    folder: PathBuf,
    prefix: String,
    /// Numbers, and the last report of each.
    free: Vec<(u32, PathBuf)>,
    next: u32,
}

impl Places {
    /// For the attempts started under this epoch; nobody else's are touched.
    #[must_use]
    pub fn new(job_dir: &JobDir, epoch: Epoch) -> Self {
        // Places go to other jobs' folders: the names are this claim's alone. Short, since tasks have sockets in there.
        let job = job_dir.root.file_name().unwrap_or_default().to_string_lossy();
        let short = job.char_indices().rev().nth(7).map_or(&*job, |(at, _)| &job[at..]);
        let prefix = format!("{short}-{epoch}-");
        Self { folder: job_dir.reports(), prefix, free: Vec::new(), next: 0 }
    }

    /// Gives an attempt that is about to start a place.
    pub fn lend(&mut self, paths: &mut Paths) {
        let (place, blank) = match self.free.pop() {
            Some((place, report)) => (place, Some(report)),
            None => (self.next, None),
        };
        self.next += u32::from(blank.is_none());
        paths.tmp = self.folder.join(format!("{}{place}", self.prefix));
        paths.recycle = true;
        paths.blank = blank;
    }

    /// Instead of [`remove`], after the end of an attempt that reported is committed. Its report has done its work: the
    /// next attempt in this place writes over it, or it goes with the job.
    ///
    /// # Errors
    /// As for [`remove`].
    pub fn take_back(&mut self, paths: &Paths) -> Result<(), Error> {
        let Some(place) = self.place(paths) else { return remove(paths) };
        self.free.push((place, paths.report.clone()));
        Ok(())
    }

    /// The old reports get names that no report of another job has.
    fn move_to(&mut self, folder: &Path) {
        for (place, old) in &mut self.free {
            let blank = folder.join(format!("{}{place}.blank", self.prefix));
            if let Some(name) = old.file_name() {
                // Otherwise there is none: its task was not launched, or the disk was full.
                file::rename(&folder.join(name), &blank).ok();
            }
            *old = blank;
        }
        self.folder = folder.to_path_buf();
    }

    fn all_came_back(&self) -> bool {
        self.free.len() == self.next as usize
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

/// Whether a folder is there, has nothing but entries of these names, and the rights that it was made with: good for
/// another attempt, or job.
pub(crate) fn is_empty(folder: &Path, but: &[&str]) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let Ok(fd) = rustix::fs::open(folder, flags, Mode::empty()) else { return false };
    if !rustix::fs::fstat(&fd).is_ok_and(|stat| Mode::from_raw_mode(stat.st_mode) == Mode::RWXU) {
        return false;
    }
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(fd, &mut buffer);
    while let Some(entry) = entries.next() {
        let is_expected = |name: &[u8]| name == b"." || name == b".." || but.iter().any(|but| but.as_bytes() == name);
        if !entry.is_ok_and(|entry| is_expected(entry.file_name().to_bytes())) {
            return false;
        }
    }
    true
}

/// A job with a folder of the user's has none.
fn is_bare_or_none(files: &Path) -> bool {
    is_empty(files, &[]) || matches!(rustix::fs::lstat(files), Err(rustix::io::Errno::NOENT))
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

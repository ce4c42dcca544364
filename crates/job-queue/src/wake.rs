//! Sleeping managers are woken: by a file (`submit`, `retry` and `cancel` touch `<db>.wake`, a manager watches it), or by
//! a server's NOTIFY.
//!
//! A hint only: whoever relies on it polls as well, if seldom. Watching the database itself would wake on every commit.

use std::{
    fs, io,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, inotify};
use tokio::{io::unix::AsyncFd, sync::Notify};

use crate::Error;

/// What wakes a manager.
#[derive(Debug)]
pub struct Wake(Kind);

#[derive(Debug)]
enum Kind {
    File(FileWatch),
    Notified(Arc<Notify>),
}

/// A watch on a wake file.
#[derive(Debug)]
struct FileWatch {
    inotify: AsyncFd<OwnedFd>,
    path: PathBuf,
}

impl Wake {
    /// Watches a wake file ([`crate::Sqlite::wake_path`]); makes it if it is not there. Within a tokio runtime.
    ///
    /// # Errors
    /// The file cannot be made, or the host's limit of inotify instances is reached.
    pub fn watch(path: PathBuf) -> Result<Self, Error> {
        FileWatch::new(path).map(Kind::File).map(Self)
    }

    /// Woken by a signal within this process.
    pub(crate) fn notified(signal: Arc<Notify>) -> Self {
        Self(Kind::Notified(signal))
    }

    /// Whether whoever is woken should poll first: it is told to all hosts, and most of them have nothing to do.
    #[must_use]
    pub fn is_for_all(&self) -> bool {
        matches!(self.0, Kind::Notified(_))
    }

    /// Waits until there was a wake-up since the last call (or since the watch began). A file that was removed or
    /// replaced is made and watched again, and counts as touched. Safe to drop and call again.
    ///
    /// # Errors
    /// The file cannot be made again (its folder is gone): poll, and call again later.
    pub async fn woken(&mut self) -> Result<(), Error> {
        match &mut self.0 {
            Kind::File(file) => file.touched().await,
            Kind::Notified(signal) => {
                signal.notified().await;
                Ok(())
            }
        }
    }
}

impl FileWatch {
    #[expect(
        deprecated,
        reason = "the sound `AsyncFd::register` is an unsafe fn; an OwnedFd always answers the same fd"
    )]
    fn new(path: PathBuf) -> Result<Self, Error> {
        let fd = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)
            .map_err(|e| Error::io("make an inotify instance", e))?;
        let inotify = AsyncFd::new(fd).map_err(|e| Error::io("wait for inotify", e))?;
        let wake = Self { inotify, path };
        wake.arm()?;
        Ok(wake)
    }

    async fn touched(&mut self) -> Result<(), Error> {
        loop {
            let mut ready = self.inotify.readable().await.map_err(|e| Error::io("wait for inotify", e))?;
            let seen = drain(ready.get_inner());
            ready.clear_ready();
            if seen.map_err(|e| Error::io("read from inotify", e))? {
                // The touched file may be another by now. Watching again before the caller looks loses nothing.
                self.arm()?;
                return Ok(());
            }
        }
    }

    fn arm(&self) -> Result<(), Error> {
        open(&self.path).map_err(|e| Error::io(format!("make {}", self.path.display()), e))?;
        // ATTRIB comes with a touch, and also when a name of the file goes away.
        let events = inotify::WatchFlags::ATTRIB | inotify::WatchFlags::DELETE_SELF | inotify::WatchFlags::MOVE_SELF;
        inotify::add_watch(self.inotify.get_ref(), &self.path, events)
            .map_err(|e| Error::io(format!("watch {}", self.path.display()), e))?;
        Ok(())
    }
}

/// Wakes whoever watches the file.
pub(crate) fn touch(path: &Path) -> Result<(), Error> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let touched = open(path)
        .and_then(|file| Ok(rustix::fs::futimens(&file, &Timestamps { last_access: now, last_modification: now })?));
    touched.map_err(|e| Error::io(format!("touch {}", path.display()), e))
}

fn open(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Takes all events there are; whether there were any.
fn drain(fd: &OwnedFd) -> io::Result<bool> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(fd, &mut buffer);
    let mut any = false;
    loop {
        match events.next() {
            Ok(_) => any = true,
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(any),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

//! Waiting for changes in the queue without asking it all the time.
//!
//! Every commit to an embedded database writes to `<db>-wal`: a watch on its folder tells of it at once. That is a hint
//! only, and it comes early: readers see the commit once it is synced and in the index, which no watch tells of. So a
//! few more looks follow, and a poll stays on. Short waits react at once, long ones ask at most five times a second.
//!
//! To close a watch takes the kernel some 20 ms, so that there is none for the first moments: who waits for a job of a
//! few milliseconds looks several times in each, then ever more seldom.

use std::{
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::inotify;
use tokio::{io::unix::AsyncFd, time::Instant};

/// So long without a watch.
const WITHOUT: Duration = Duration::from_millis(60);
/// The shortest time between two looks.
const STEP: Duration = Duration::from_micros(200);
/// The same where each look is a question to a server.
const STEP_OF_SERVER: Duration = Duration::from_micros(500);
/// A timer of tokio's counts in milliseconds. For less than a few of them this thread, which has nothing else to do, sleeps.
const TIMER: Duration = Duration::from_millis(3);
/// The longest time between two looks.
const POLL: Duration = Duration::from_secs(1);
/// The longest time between a change and a look.
const LAG: Duration = Duration::from_millis(200);
/// After a write: the first further look, and when the looks have become so rare that the poll does.
const AFTER: Duration = Duration::from_micros(500);
const AFTER_LAST: Duration = Duration::from_millis(300);

/// Tells when to look again.
#[derive(Debug)]
pub(super) struct Pulse {
    /// To be watched, once that pays.
    folder: Option<PathBuf>,
    watch: Option<AsyncFd<OwnedFd>>,
    name: Vec<u8>,
    began: Instant,
    looked: Instant,
    /// After a write: how long until the next look.
    after: Option<Duration>,
}

impl Pulse {
    /// A pulse for the database of a path; without a watch (no such folder, no inotify left) it polls.
    pub(super) fn of(database: Option<&Path>) -> Self {
        let name = database.and_then(Path::file_name).map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
        let folder = database.and_then(Path::parent).map(Path::to_path_buf);
        let now = now();
        Self { folder, watch: None, name, began: now, looked: now, after: None }
    }

    /// Answers when something may have changed, or at `until`, or after a second.
    pub(super) async fn next(&mut self, until: Option<Instant>) {
        let spent = self.looked - self.began;
        // A server has no file to be watched: there it goes on so, ever more seldom.
        let of_server = self.name.is_empty();
        if spent < WITHOUT || of_server {
            let step = (spent / 8).clamp(if of_server { STEP_OF_SERVER } else { STEP }, POLL);
            if step < TIMER {
                std::thread::sleep(step);
            } else {
                let next = self.looked + step;
                tokio::time::sleep_until(until.map_or(next, |until| until.min(next))).await;
            }
            self.looked = now();
            return;
        }
        if let Some(folder) = self.folder.take() {
            self.watch = watch(&folder).ok();
            // What came before the watch stood was missed: look at once.
            self.looked = now();
            return;
        }
        let end = self.looked + self.after.unwrap_or(POLL);
        let end = until.map_or(end, |until| until.min(end));
        // The longer it took so far, the less a few milliseconds matter.
        let lag = (self.looked - self.began) / 50;
        let not_before = self.looked + lag.min(LAG);
        tokio::select! {
            () = async { tokio::time::sleep_until(not_before.min(end)).await; self.changed().await } => {
                self.after = Some(AFTER.max(lag.min(LAG)));
            }
            () = tokio::time::sleep_until(end) => {
                self.after = self.after.map(|after| after * 3 / 2).filter(|after| *after < AFTER_LAST);
            }
        }
        self.looked = now();
    }

    async fn changed(&self) {
        let Some(watch) = &self.watch else { return std::future::pending().await };
        loop {
            let Ok(mut ready) = watch.readable().await else { return std::future::pending().await };
            let found = self.drain(ready.get_inner());
            ready.clear_ready();
            if found {
                return;
            }
        }
    }

    /// Takes all events there are; whether one was the database's.
    fn drain(&self, fd: &OwnedFd) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(fd, &mut buffer);
        let mut found = false;
        while let Ok(event) = events.next() {
            found |= event.file_name().is_none_or(|name| name.to_bytes().starts_with(&self.name));
        }
        found
    }
}

fn watch(folder: &Path) -> std::io::Result<AsyncFd<OwnedFd>> {
    let fd = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
    let events = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE;
    inotify::add_watch(&fd, folder, events)?;
    #[expect(deprecated, reason = "the sound form is an unsafe fn; an OwnedFd always answers the same descriptor")]
    let watch = AsyncFd::new(fd)?;
    Ok(watch)
}

fn now() -> Instant {
    Instant::now()
}

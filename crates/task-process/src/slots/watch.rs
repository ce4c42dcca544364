//! Waiting for a slot: an inotify watch on the folder, and the lock that tells others that somebody waits.

use std::{mem::MaybeUninit, path::Path};

use rustix::{
    fd::OwnedFd,
    fs::{FlockOperation, inotify},
    io::Errno,
};
use tokio::io::{Interest, unix::AsyncFd};

use super::file::{lock_shared, open};
use crate::{Error, readiness};

pub(super) struct Watch {
    events: AsyncFd<OwnedFd>,
    /// Says to others that somebody waits, as long as it is locked.
    pub(super) wants: OwnedFd,
}

impl Watch {
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let failed = |e: Errno| Error::file("watch", folder, e);
        let wanted = folder.join("wanted");
        let wants = open(&wanted).map_err(|e| Error::file("open", &wanted, e))?;
        let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).map_err(failed)?;
        let events = readiness::register(events, Interest::READABLE)
            .map_err(|e| Error::system("registering the watch on the slots", e))?;
        Ok(Self { events, wants })
    }

    /// Tells others that somebody waits, and watches the folder.
    pub(super) fn begin(&self, folder: &Path) -> Result<i32, Error> {
        let failed = |e: Errno| Error::file("watch", folder, e);
        lock_shared(&self.wants).map_err(failed)?;
        let mask = inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::ATTRIB | inotify::WatchFlags::ONLYDIR;
        inotify::add_watch(self.events.get_ref(), folder, mask).map_err(failed)
    }

    pub(super) fn end(&self, number: i32) {
        inotify::remove_watch(self.events.get_ref(), number).ok();
        rustix::fs::flock(&self.wants, FlockOperation::Unlock).ok();
    }

    /// Waits for a change and takes all there are; whether one of them was a close.
    pub(super) async fn changed(&self) -> Result<bool, Error> {
        loop {
            let mut guard =
                self.events.readable().await.map_err(|e| Error::system("waiting for the watch on the slots", e))?;
            guard.clear_ready();
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut reader = inotify::Reader::new(self.events.get_ref(), &mut buffer);
            let (mut any, mut closed) = (false, false);
            while let Ok(event) = reader.next() {
                any = true;
                closed |= event.events().contains(inotify::ReadFlags::CLOSE_WRITE);
            }
            if any {
                return Ok(closed);
            }
        }
    }
}

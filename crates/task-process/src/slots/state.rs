//! What one worker has of the slots: the files, which of them are held, and whether it waits.

use std::{path::Path, sync::Arc, time::Instant};

use rustix::{fd::OwnedFd, fs::FlockOperation, io::Errno};

use super::{
    file::{Gate, is_fresh, lock_shared, open, slot_name, touch},
    watch::Watch,
};
use crate::{Error, file};

pub(super) struct State {
    /// One description each, not locked; `None` while a guard of ours has it.
    files: Vec<Option<OwnedFd>>,
    /// Which of them a guard of ours has.
    held: Vec<bool>,
    /// For those that were held when the folder was removed: the new file of the same name, locked as long.
    stand_ins: Vec<(usize, OwnedFd)>,
    /// Makes taking several slots one step, so that nobody sees a slot that is taken only for a moment.
    gate: OwnedFd,
    /// Locked (shared) by each worker that waits.
    wanted: OwnedFd,
    /// Locked by a worker that waits for several slots.
    turn: OwnedFd,
    has_turn: bool,
    /// Made with the first wait and kept: to close an inotify instance takes the kernel some 20 ms.
    pub(super) watch: Option<Arc<Watch>>,
    /// The number of the watch on the folder, while we wait.
    pub(super) waiting: Option<i32>,
    pub(super) tries: usize,
    /// When a slot was let go for others.
    pub(super) yielded: Option<Instant>,
}

impl State {
    pub(super) fn open(folder: &Path, count: usize) -> Result<Self, Error> {
        file::create_dirs(folder)?;
        let at = |name: &str| {
            let path = folder.join(name);
            open(&path).map_err(|e| Error::file("open", path, e))
        };
        let files = (0..count).map(|slot| at(&slot_name(slot)).map(Some)).collect::<Result<_, _>>()?;
        let (gate, wanted, turn) = (at("gate")?, at("wanted")?, at("turn")?);
        Ok(Self {
            files,
            held: vec![false; count],
            stand_ins: Vec::new(),
            gate,
            wanted,
            turn,
            has_turn: false,
            watch: None,
            waiting: None,
            tries: 0,
            yielded: None,
        })
    }

    /// How many slots there are.
    pub(super) fn count(&self) -> usize {
        self.files.len()
    }

    /// Locks `weight` of the files and takes them out, or none.
    pub(super) fn take(&mut self, weight: usize) -> rustix::io::Result<Vec<(usize, OwnedFd)>> {
        let _gate = Gate::enter(&self.gate);
        let taken = take(&mut self.files, weight)?;
        taken.iter().for_each(|(slot, _)| self.held[*slot] = true);
        Ok(taken)
    }

    /// A guard of ours has closed its descriptor of this slot. A new one is opened instead of unlocking: a task executor
    /// that still lives keeps its slot.
    pub(super) fn give_back(&mut self, folder: &Path, slot: usize) {
        self.stand_ins.retain(|(held, _)| *held != slot);
        let fresh = open(&folder.join(slot_name(slot))).ok();
        if let Some(fresh) = &fresh {
            touch(fresh);
        }
        (self.files[slot], self.held[slot]) = (fresh, false);
    }

    /// Whether the folder was removed, whoever may have made it again.
    pub(super) fn is_lost(&self) -> bool {
        rustix::fs::fstat(&self.gate).is_ok_and(|stat| stat.st_nlink == 0)
    }

    /// Begins again with new files. Slots that are held stay with whoever holds them, and their new files are locked with
    /// them; one that another worker was faster to take counts twice until both have ended.
    pub(super) fn reopen(&mut self, folder: &Path) -> Result<(), Error> {
        let mut fresh = Self::open(folder, self.count())?;
        for slot in (0..self.count()).filter(|slot| self.held[*slot]) {
            fresh.held[slot] = true;
            if let Some(file) = fresh.files[slot].take()
                && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
            {
                fresh.stand_ins.push((slot, file));
            }
        }
        *self = fresh;
        Ok(())
    }

    /// Whether nobody else has the turn.
    pub(super) fn may_take(&mut self) -> bool {
        if self.has_turn {
            return true;
        }
        match rustix::fs::flock(&self.turn, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => !is_fresh(&self.turn),
            _ => {
                rustix::fs::flock(&self.turn, FlockOperation::Unlock).ok();
                true
            }
        }
    }

    /// Takes the turn if it can be had, and says that its holder is alive.
    pub(super) fn take_turn(&mut self) {
        self.has_turn =
            self.has_turn || rustix::fs::flock(&self.turn, FlockOperation::NonBlockingLockExclusive).is_ok();
        if self.has_turn {
            touch(&self.turn);
        }
    }

    pub(super) fn stop_waiting(&mut self) {
        if let (Some(watch), Some(number)) = (&self.watch, self.waiting.take()) {
            watch.end(number);
        }
        self.tries = 0;
        if std::mem::take(&mut self.has_turn) {
            rustix::fs::flock(&self.turn, FlockOperation::Unlock).ok();
            touch(&self.turn);
        }
    }

    pub(super) fn is_wanted_by_others(&self) -> bool {
        // Our own wish would look like another's.
        let ours = self.watch.as_ref().filter(|_| self.waiting.is_some());
        if let Some(watch) = ours {
            rustix::fs::flock(&watch.wants, FlockOperation::Unlock).ok();
        }
        let wanted = match rustix::fs::flock(&self.wanted, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                rustix::fs::flock(&self.wanted, FlockOperation::Unlock).ok();
                false
            }
            Err(e) => e == Errno::WOULDBLOCK,
        };
        if let Some(watch) = ours {
            lock_shared(&watch.wants).ok();
        }
        wanted
    }
}

/// Locks `weight` of the files and takes them out, or none.
fn take(files: &mut [Option<OwnedFd>], weight: usize) -> rustix::io::Result<Vec<(usize, OwnedFd)>> {
    let mut got = Vec::with_capacity(weight);
    for (slot, file) in files.iter().enumerate() {
        let Some(file) = file else { continue };
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => got.push(slot),
            Err(Errno::WOULDBLOCK) => {}
            Err(e) => {
                unlock(files, &got);
                return Err(e);
            }
        }
        if got.len() == weight {
            return Ok(got.into_iter().filter_map(|slot| Some((slot, files[slot].take()?))).collect());
        }
    }
    unlock(files, &got);
    Ok(Vec::new())
}

/// Only for descriptors that were never handed out.
fn unlock(files: &[Option<OwnedFd>], slots: &[usize]) {
    for file in slots.iter().filter_map(|&slot| files[slot].as_ref()) {
        rustix::fs::flock(file, FlockOperation::Unlock).ok();
    }
}

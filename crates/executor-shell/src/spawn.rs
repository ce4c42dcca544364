//! Starting the task's first process: `posix_spawn`, that is vfork, with an empty signal mask and every signal's default.
//!
//! std's `Command` does neither for signals, and is only used where `run_as` needs it: taken on ourselves another user
//! would take away our own files, so std sets it between fork and exec.

use std::{
    collections::BTreeMap,
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::Path,
    process::{Command, Stdio},
};

use executor::TaskSpec;
use nix::{
    spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn},
    sys::signal::SigSet,
    unistd::Pid,
};

use crate::mask;

/// What is to be started, with the child's ends of its streams.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) program: &'a Path,
    pub(crate) argv: &'a [String],
    pub(crate) spec: &'a TaskSpec,
    pub(crate) stdin: OwnedFd,
    pub(crate) out: OwnedFd,
    pub(crate) err: OwnedFd,
}

impl Start<'_> {
    /// Starts it, in a process group of its own, and answers its number. It is a child of ours: whoever calls this waits
    /// for it.
    pub(crate) fn spawn(&self) -> io::Result<i32> {
        match self.spec.run_as {
            None => self.as_ourselves(),
            Some((uid, gid)) => self.as_another(uid, gid),
        }
    }

    fn as_ourselves(&self) -> io::Result<i32> {
        let mut files = PosixSpawnFileActions::init()?;
        for (ours, theirs) in [(&self.stdin, 0), (&self.out, 1), (&self.err, 2)] {
            files.add_dup2(ours.as_raw_fd(), theirs)?;
        }
        let mut attributes = PosixSpawnAttr::init()?;
        let group = PosixSpawnFlags::POSIX_SPAWN_SETPGROUP;
        let signals = PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
        attributes.set_flags(group | signals)?;
        attributes.set_pgroup(Pid::from_raw(0))?;
        attributes.set_sigdefault(&SigSet::all())?;
        attributes.set_sigmask(&SigSet::empty())?;
        let text = |text: &str| CString::new(text).map_err(io::Error::from);
        let argv = self.argv.iter().map(|word| text(word)).collect::<io::Result<Vec<_>>>()?;
        let environment = self.environment();
        let environment = environment.iter().map(|(name, value)| text(&[name, "=", value].concat()));
        let environment = environment.collect::<io::Result<Vec<_>>>()?;
        let program = CString::new(self.program.as_os_str().as_bytes())?;
        Ok(posix_spawn(program.as_c_str(), &files, &attributes, &argv, &environment)?.as_raw())
    }

    #[expect(clippy::disallowed_methods, reason = "the module that starts tasks")]
    fn as_another(&self, uid: u32, gid: u32) -> io::Result<i32> {
        let mut command = Command::new(self.program);
        command.arg0(&self.argv[0]).args(&self.argv[1..]).env_clear().envs(self.environment()).process_group(0);
        let stream = |fd: &OwnedFd| fd.try_clone().map(Stdio::from);
        command.stdin(stream(&self.stdin)?).stdout(stream(&self.out)?).stderr(stream(&self.err)?);
        // std also drops the supplementary groups then.
        command.uid(uid).gid(gid);
        let child = mask::lifted(|| command.spawn())?;
        i32::try_from(child.id()).map_err(io::Error::other)
    }

    /// The last of equal names counts.
    fn environment(&self) -> BTreeMap<&str, &str> {
        let marker = self.spec.marker.split_once('=');
        self.spec.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(marker).collect()
    }
}

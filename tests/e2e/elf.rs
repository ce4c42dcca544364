//! The task executor is exec'ed once per task, and relocation is what such an exec costs: 431 page faults against 80
//! (docs/performance.md). So it must be static and non-PIE; a build without the flags of `.cargo/config.toml` is not.

use std::{
    fs,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Command, Stdio},
};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::harness::TASK_EXECUTOR;

/// Of an optimised program: the budget of docs/performance.md.
const FAULTS: u64 = 45;
/// Of one that is not: it is larger. 62 when this was written, 64 without the order of `bins/build.rs`.
const FAULTS_UNOPTIMISED: u64 = 66;

const ET_EXEC: u64 = 2;
const PT_INTERP: u64 = 3;
const SHT_RELA: u64 = 4;
const SHT_RELR: u64 = 19;
/// R_X86_64_RELATIVE, R_AARCH64_RELATIVE.
const RELATIVE: [u64; 2] = [8, 1027];

/// A 64-bit little-endian ELF file.
struct Elf(Vec<u8>);

impl Elf {
    fn number(&self, at: u64, bytes: usize) -> u64 {
        let at = usize::try_from(at).expect("a small file");
        self.0[at..at + bytes].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    /// The offsets of the entries of a table of headers.
    fn table(&self, offset_at: u64, size_at: u64, count_at: u64) -> Vec<u64> {
        let (offset, size, count) = (self.number(offset_at, 8), self.number(size_at, 2), self.number(count_at, 2));
        (0..count).map(|n| offset + n * size).collect()
    }

    fn relative_relocations(&self) -> usize {
        let mut found = 0;
        for section in self.table(0x28, 0x3a, 0x3c) {
            let (kind, offset, size) =
                (self.number(section + 4, 4), self.number(section + 0x18, 8), self.number(section + 0x20, 8));
            match kind {
                SHT_RELR => found += usize::try_from(size).expect("a small file"),
                SHT_RELA => {
                    let kinds = (offset..offset + size).step_by(24).map(|entry| self.number(entry + 8, 4));
                    found += kinds.filter(|kind| RELATIVE.contains(kind)).count();
                }
                _ => {}
            }
        }
        found
    }
}

#[test]
fn task_executor_is_static_and_not_position_independent() {
    let elf = Elf(fs::read(TASK_EXECUTOR).expect("the program is built"));
    assert_eq!(&elf.0[..6], b"\x7fELF\x02\x01", "a 64-bit little-endian ELF file");
    assert_eq!(elf.number(0x10, 2), ET_EXEC, "type EXEC: built without `relocation-model=static`?");
    let interpreter = elf.table(0x20, 0x36, 0x38).into_iter().any(|header| elf.number(header, 4) == PT_INTERP);
    assert!(!interpreter, "no dynamic linker: built without `+crt-static`?");
    assert_eq!(elf.relative_relocations(), 0, "relative relocations");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "nothing but the program itself is measured")]
fn task_executor_touches_few_pages() {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    drop(ours);
    let mut child = Command::new(TASK_EXECUTOR)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program is built");
    // Of this child alone, and still there: it has ended, but is not reaped.
    let pid = Pid::from_child(&child);
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).expect("it ends");
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("it is not reaped");
    child.wait().expect("it is ours");
    let after_name = stat.rsplit_once(')').expect("a name in brackets").1;
    let faults: u64 = after_name.split_whitespace().nth(7).and_then(|field| field.parse().ok()).expect("field 10");
    let most = if cfg!(debug_assertions) { FAULTS_UNOPTIMISED } else { FAULTS };
    assert!(faults <= most, "{faults} page faults of a task executor that is told nothing, at most {most}");
}

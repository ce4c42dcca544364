//! How a program is linked: what its exec costs depends on it.

use std::{fs::File, io::Read, path::Path};

/// How a program is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Linkage {
    /// No interpreter, at a fixed address: nothing is done before `main`.
    Static,
    /// No interpreter, moved about: relocations at each start.
    StaticPie,
    /// Loaded by ld.so with its libraries.
    Dynamic,
}

const INTERPRETER: u32 = 3;

/// Reads the header of a 64-bit ELF file of this machine's byte order; `None` for anything else.
pub(super) fn linkage(path: &Path) -> Option<Linkage> {
    let mut head = [0; 4096];
    let mut file = File::open(path).ok()?;
    let count = file.read(&mut head).ok()?;
    of_header(head.get(..count)?)
}

fn of_header(head: &[u8]) -> Option<Linkage> {
    let number = |at: usize, width: usize| -> Option<u64> {
        let bytes = head.get(at..at + width)?;
        let mut all = [0; 8];
        all[..width].copy_from_slice(bytes);
        Some(u64::from_le_bytes(all))
    };
    // Magic, 64 bit, little endian.
    if head.get(..6)? != [0x7f, b'E', b'L', b'F', 2, 1] {
        return None;
    }
    let kind = number(16, 2)?;
    let (offset, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for i in 0..count {
        let at = usize::try_from(offset.checked_add(i.checked_mul(size)?)?).ok()?;
        if number(at, 4)? == u64::from(INTERPRETER) {
            return Some(Linkage::Dynamic);
        }
    }
    // ET_EXEC = 2, ET_DYN = 3.
    Some(if kind == 2 { Linkage::Static } else { Linkage::StaticPie })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linkage_is_read_from_the_header() {
        let mut head = vec![0; 200];
        head[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        head[16] = 2;
        head[32] = 64;
        head[54] = 56;
        head[56] = 1;
        head[64] = 1;
        assert_eq!(of_header(&head), Some(Linkage::Static));
        head[16] = 3;
        assert_eq!(of_header(&head), Some(Linkage::StaticPie));
        head[64] = 3;
        assert_eq!(of_header(&head), Some(Linkage::Dynamic));
        assert_eq!(of_header(b"#!/bin/sh"), None);
        assert_eq!(of_header(&head[..40]), None);
    }
}

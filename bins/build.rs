//! Puts the functions that a task executor runs through at its start beside each other in the file: it is exec'ed once per
//! task, and each page it touches first is a page fault (`docs/performance.md`, row `faults`).

use std::{
    env,
    path::{Path, PathBuf},
};

/// Functions of the C library, as `callgrind` lists them for a task executor that is told nothing, and their forms for
/// other processors; and of the standard library, by the names that this toolchain gives them. Those of our own crates
/// change with each build and are not among them.
const ORDER: &str = "task-executor.order";

fn main() {
    println!("cargo::rerun-if-changed={ORDER}");
    let Some(folder) = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) else { return };
    if !is_lld() {
        return;
    }
    for program in ["task-executor", "task-executor-sdk"] {
        for word in ordering(&folder) {
            // Not by `-Wl,`, for which a comma in the path would end it.
            println!("cargo::rustc-link-arg-bin={program}=-Xlinker");
            println!("cargo::rustc-link-arg-bin={program}={word}");
        }
    }
}

fn ordering(folder: &Path) -> [String; 2] {
    let file = folder.join(ORDER);
    // Another version of the C library has others.
    [format!("--symbol-ordering-file={}", file.display()), "--no-warn-symbol-ordering".into()]
}

/// Whether it is the toolchain's own `rust-lld` that links, as is the default for this target since Rust 1.90. Other
/// linkers do not know the flag; the programs work without it, and start a little slower.
fn is_lld() -> bool {
    let says = |name: &str, what: &str| env::var(name).is_ok_and(|value| value.contains(what));
    says("TARGET", "x86_64-unknown-linux-gnu")
        && env::var_os("RUSTC_LINKER").is_none()
        && !says("CARGO_ENCODED_RUSTFLAGS", "link")
}

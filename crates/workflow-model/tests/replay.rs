//! The properties of the fuzz targets, with every input that is kept: seeds, corpora, and what once broke one of them. No
//! nightly compiler is needed for that.

use std::{fs, path::Path};

#[path = "../fuzz/properties/fast_and_slow.rs"]
mod fast_and_slow;
#[path = "../fuzz/properties/load.rs"]
mod load;
#[path = "../fuzz/properties/two_passes.rs"]
mod two_passes;
#[path = "../fuzz/properties/units.rs"]
mod units;

/// Each file of these folders of `fuzz/`, whatever target it was found by.
const KEPT: [&str; 3] = ["seeds", "corpus", "crashes"];

#[test]
fn what_was_found_by_fuzzing_holds() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut folders: Vec<_> = KEPT.iter().map(|name| fuzz.join(name)).filter(|folder| folder.exists()).collect();
    let mut inputs = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).expect("a file");
            let held = std::panic::catch_unwind(|| all(&bytes));
            assert!(held.is_ok(), "{} breaks a property (see above)", path.display());
            inputs += 1;
        }
    }
    assert!(inputs >= 100, "the kept inputs are gone: {inputs}");
}

fn all(bytes: &[u8]) {
    load::holds(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        two_passes::holds(text);
        fast_and_slow::holds(text);
        units::holds(text);
    }
}

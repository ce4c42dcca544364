//! Nothing in this folder is forgotten: a file without its `mod` line would silently never be compiled.

use std::{collections::BTreeSet, fs};

use crate::harness;

#[test]
fn every_file_of_this_folder_is_a_module() {
    let folder = harness::repository("tests/e2e");
    let main = fs::read_to_string(folder.join("main.rs")).expect("main.rs");
    let lines: Vec<&str> = main.lines().collect();
    // A module with a path of its own is shared with other tests, and is not in this folder.
    let named: BTreeSet<String> = lines
        .windows(2)
        .filter(|pair| !pair[0].starts_with("#[path"))
        .filter_map(|pair| Some(pair[1].strip_prefix("mod ")?.strip_suffix(';')?.to_owned()))
        .collect();
    let files = fs::read_dir(&folder).expect("tests/e2e").map(|entry| entry.expect("an entry").path());
    let there: BTreeSet<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .filter(|name| name != "main")
        .collect();
    assert_eq!(named, there, "mod lines of tests/e2e/main.rs (left), files (right)");
}

#[test]
fn a_hosts_processes_are_found_and_ended() {
    let host = harness::Host::new();
    let mut sleeper = host.command("/bin/sh", ["-c", "sleep 600"]).spawn().expect("sh starts");
    harness::until("the process is seen", || !host.processes().is_empty());
    drop(host);
    assert!(!sleeper.wait().expect("it ends").success());
}

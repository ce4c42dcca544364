//! Files that are wrong: each verb that takes one refuses it with code 3 and a place, and makes nothing.

use std::{fs, path::PathBuf};

use crate::harness::{Host, now, repository};

/// The fixtures, and what is too large to be one.
fn files(host: &Host) -> Vec<PathBuf> {
    let fixtures = fs::read_dir(repository("tests/workflows/invalid")).expect("fixtures");
    let fixtures = fixtures.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> =
        fixtures.filter(|path| path.extension().is_some_and(|extension| extension != "expect")).collect();
    files.sort();
    assert!(files.len() > 30, "{files:?}");
    let deep = |open: &str| open.repeat(100_000);
    files.push(host.write("deep-flow.yaml", deep("[")));
    files.push(host.write("deep-block.yaml", deep("- ")));
    files.push(host.write("deep-map.json", deep("{\"a\":")));
    files.push(host.write("deep-list.json", deep("[")));
    files.push(host.write("huge.yaml", format!("- name: {}\n", "x".repeat(20 << 20))));
    files.push(host.write("binary.yaml", [0_u8, 159, 146, 150]));
    files
}

#[test]
fn each_verb_refuses_a_wrong_file_with_its_place_and_makes_nothing() {
    let host = Host::new();
    for file in files(&host) {
        let path = file.to_str().expect("text");
        let name = file.file_name().expect("a name").to_str().expect("text");
        for verb in ["check", "run", "submit"] {
            let began = now();
            let refused = host.qmanager([verb, path]);
            assert_eq!(refused.code(), 3, "{verb} {name}\n{refused:?}");
            let text = &refused.stderr;
            assert!(!text.contains("panicked") && !text.is_empty(), "{verb} {name}\n{refused:?}");
            let place = text.split(&format!("{name}:")).nth(1).and_then(|rest| rest.chars().next());
            assert!(place.is_some_and(|c| c.is_ascii_digit()), "{verb} {name}: no place\n{refused:?}");
            assert!(began.elapsed().as_secs() < 20, "{verb} {name}: {:?}", began.elapsed());
            assert!(text.len() < 64 << 10, "{verb} {name}: {} bytes of text", text.len());
        }
        let json = host.qmanager(["check", "--json", path]).expect(3);
        let error: serde_json::Value = serde_json::from_str(&json.stderr).expect("one object");
        let problems = error["error"]["data"]["problems"].as_array().expect("problems");
        assert!(problems.iter().any(|problem| problem["place"]["line"].is_u64()), "{name}\n{json:?}");
        assert!(!host.state_dir().exists(), "{name}: something was made");
    }
}

#[test]
fn a_wrong_file_on_standard_input_is_refused_too() {
    let host = Host::new();
    for verb in ["check", "run", "submit"] {
        let refused = host.qmanager_with_stdin(&[verb, "-"], b"- name: a\n  comand: x\n").expect(3);
        assert!(refused.stderr.contains(":2:3"), "{refused:?}");
        assert!(!host.state_dir().exists());
    }
    for (file, code) in [("missing.yaml", 4), (".", 2)] {
        for verb in ["check", "run", "submit"] {
            let refused = host.qmanager([verb, file]);
            assert!(refused.code() != 0 && refused.code() != 10, "{verb} {file} ({code})\n{refused:?}");
            assert!(refused.stderr.contains(file), "{refused:?}");
        }
    }
}

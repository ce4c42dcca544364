//! Job files: in, out, by standard output, and in a working directory that must be the right one.

use std::{fs, os::unix::fs::symlink};

use libtest_mimic::Failed;

use super::{Bench, Case};
use crate::Ending;

pub(super) const CASES: &[(&str, Case)] = &[
    ("job_files_go_in_and_come_out", in_and_out),
    ("job_files_keep_odd_names", odd_names),
    ("workdir_is_below_the_job_files", workdir),
    ("f47_a_missing_folder_is_an_error_and_never_another_folder", missing_folder),
    ("stdout_is_published_on_success_only", published),
    ("stdout_that_cannot_be_published_is_no_success", unpublishable),
    ("a_failed_attempts_files", partial),
];

fn in_and_out(bench: &Bench) -> Result<(), Failed> {
    fs::write(bench.files().join("in.txt"), "b\na\n")?;
    let ended = bench.run(&bench.script("mkdir -p out && sort in.txt > out/sorted.txt && rm in.txt && pwd"))?;
    assert!(ended.outcome.is_success(), "{:?} {:?}", ended.outcome, ended.err.tail);
    assert_eq!(fs::read_to_string(bench.files().join("out/sorted.txt"))?, "a\nb\n");
    assert!(!bench.files().join("in.txt").exists());
    Ok(())
}

fn odd_names(bench: &Bench) -> Result<(), Failed> {
    let name = "a b/-rf 'x' \"y\"\n\u{1f980}";
    fs::create_dir(bench.files().join("a b"))?;
    let mut spec = bench.script("printf 1 > \"$NAME\"");
    spec.env.push(("NAME".into(), name.into()));
    assert!(bench.run(&spec)?.outcome.is_success());
    assert_eq!(fs::read_to_string(bench.files().join(name))?, "1");
    Ok(())
}

fn workdir(bench: &Bench) -> Result<(), Failed> {
    fs::create_dir_all(bench.files().join("sub/dir"))?;
    let mut spec = bench.script("printf here > file");
    spec.workdir = "sub/dir".into();
    assert!(bench.run(&spec)?.outcome.is_success());
    assert_eq!(fs::read_to_string(bench.files().join("sub/dir/file"))?, "here");
    Ok(())
}

fn missing_folder(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.script("pwd; printf x > witness");
    symlink("/tmp", bench.files().join("outside"))?;
    for workdir in ["no-such", "outside", "../files", "/tmp"] {
        spec.workdir = workdir.into();
        let ended = bench.run(&spec)?;
        assert_eq!(ended.outcome.ending, Ending::Invalid, "{workdir}: {:?}", ended.outcome);
        assert!(ended.outcome.message.contains("workdir"), "{:?}", ended.outcome);
        assert_eq!(ended.out.bytes, 0, "nothing ran");
    }
    spec.workdir = String::new();
    spec.job_files = bench.files().join("removed");
    let ended = bench.run(&spec)?;
    assert_eq!(ended.outcome.ending, Ending::Lost, "{:?}", ended.outcome);
    assert!(ended.outcome.message.contains("job files"), "{:?}", ended.outcome);
    assert_eq!(ended.out.bytes, 0, "nothing ran");
    Ok(())
}

fn published(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.script("printf 'a\\377'; printf b; exit $CODE");
    spec.stdout = Some("made/here.bin".into());
    spec.env.push(("CODE".into(), "1".into()));
    assert!(!bench.run(&spec)?.outcome.is_success());
    assert_eq!(fs::read_dir(bench.files().join("made"))?.count(), 0, "neither the file nor its beginnings");
    spec.env.push(("CODE".into(), "0".into()));
    assert!(bench.run(&spec)?.outcome.is_success());
    assert_eq!(fs::read(bench.files().join("made/here.bin"))?, b"a\xffb");
    let mut spec = bench.script("true");
    spec.stdout = Some("made/here.bin".into());
    assert!(bench.run(&spec)?.outcome.is_success());
    assert_eq!(fs::read(bench.files().join("made/here.bin"))?, b"", "nothing written is an empty file");
    Ok(())
}

fn unpublishable(bench: &Bench) -> Result<(), Failed> {
    symlink("/tmp", bench.files().join("outside"))?;
    fs::create_dir(bench.files().join("folder"))?;
    for path in ["outside/x", "../x", "folder"] {
        let mut spec = bench.script("echo x");
        spec.stdout = Some(path.into());
        let problem = bench.run(&spec)?.out.publish_problem;
        assert!(problem.as_ref().is_some_and(|problem| problem.contains(path)), "{path}: {problem:?}");
    }
    Ok(())
}

fn partial(bench: &Bench) -> Result<(), Failed> {
    let ended = bench.run(&bench.script("printf half > result; exit 1"))?;
    assert_eq!(ended.outcome.ending, Ending::Exited { code: 1 });
    assert_eq!(bench.files().join("result").exists(), bench.abilities().keeps_partial_files);
    Ok(())
}

//! The folder backend: what it lists, copies, writes and removes, and that no link leads it astray (F90).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    ffi::OsStr,
    fs,
    io::Read,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    pin::pin,
    task::{Context, Poll, Waker},
    thread,
};

use jobfiles::{Area, Difference, Error, Fs, JobFiles, JobPath, Kind, diff, export, matches};
use tempfile::TempDir;
use workflow_model::JobId;

/// The folder backend never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the folder backend waited"),
    }
}

struct Job {
    tmp: TempDir,
    store: Fs,
    area: Area,
    files: PathBuf,
}

fn job() -> Job {
    // In memory where that can be had: some disks take milliseconds to remove a folder.
    let tmp = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let store = Fs::open(tmp.path().join("jobs")).unwrap();
    let area = Area::own(JobId::generate());
    now(store.create(&area)).unwrap();
    now(store.create(&area)).unwrap();
    let files = store.folder(&area).unwrap();
    Job { tmp, store, area, files }
}

fn path(text: &str) -> JobPath {
    JobPath::new(text).unwrap()
}

impl Job {
    fn put(&self, to: &str, text: &str) -> Result<u64, Error> {
        now(self.store.put(&self.area, &path(to), &mut text.as_bytes()))
    }

    fn read(&self, from: &str) -> Result<String, Error> {
        let mut text = String::new();
        now(self.store.open(&self.area, &path(from)))?.read_to_string(&mut text).unwrap();
        Ok(text)
    }

    fn list(&self, patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<_> = patterns.iter().map(|p| (*p).to_owned()).collect();
        now(self.store.list(&self.area, &patterns)).unwrap().iter().map(|entry| entry.path.to_string()).collect()
    }

    fn import(&self, from: &Path, to: Option<&str>) -> Result<(), Error> {
        now(self.store.import(&self.area, from, to.map(path).as_ref()))
    }

    fn outside(&self, name: &str) -> PathBuf {
        self.tmp.path().join(name)
    }
}

#[test]
fn f90_paths_that_lead_out_are_no_job_paths() {
    for wrong in ["../x", "a/../../x", "/etc/passwd", "a/..", "..", "a\0b", &"x".repeat(256)] {
        assert!(JobPath::new(wrong).is_err(), "{wrong:?}");
    }
    for (text, clean) in
        [("./a//b/", "a/b"), (".", "."), ("", "."), ("...", "..."), ("%2e%2e/x", "%2e%2e/x"), ("-rf", "-rf")]
    {
        assert_eq!(path(text).to_string(), clean);
    }
    assert_eq!(path("a/b").parent(), Some(path("a")));
    assert_eq!(path("a").parent(), Some(JobPath::root()));
    assert_eq!(JobPath::root().parent(), None);
    assert!(path("a/b").is_in(&path("a")) && !path("ab").is_in(&path("a")));
}

#[test]
fn odd_names_are_names() {
    let job = job();
    let odd: [&[u8]; 7] =
        [b"with space", b"-rf", "\u{1f980} crab".as_bytes(), b"quote'\"$(x)", b"new\nline", b"not\xff\xfeutf8", b"*"];
    for name in odd {
        let to = JobPath::new(OsStr::from_bytes(name)).unwrap();
        now(job.store.put(&job.area, &to, &mut &name[..])).unwrap();
        assert_eq!(fs::read(job.files.join(OsStr::from_bytes(name))).unwrap(), name);
    }
    let listed = now(job.store.list(&job.area, &[])).unwrap();
    assert_eq!(listed.len(), odd.len());
    assert!(listed.iter().all(|entry| entry.kind == Kind::File && odd.contains(&entry.path.as_bytes())));
    let shown: Vec<_> = listed.iter().map(|entry| entry.path.to_string()).collect();
    assert!(shown.contains(&"new\\nline".to_owned()) && shown.contains(&"not\u{fffd}\u{fffd}utf8".to_owned()));
    for entry in listed {
        now(job.store.remove(&job.area, &entry.path)).unwrap();
    }
    assert_eq!(job.list(&[]), [""; 0]);
}

#[test]
fn patterns_mean_files_and_what_is_in_folders() {
    let job = job();
    for file in ["a.csv", "out/b.csv", "out/deep/c.csv", "notes.txt"] {
        job.put(file, "x").unwrap();
    }
    assert_eq!(job.list(&["*.csv"]), ["a.csv"]);
    assert_eq!(job.list(&["**/*.csv"]), ["a.csv", "out/b.csv", "out/deep/c.csv"]);
    assert_eq!(job.list(&["out"]), ["out", "out/b.csv", "out/deep", "out/deep/c.csv"]);
    assert_eq!(job.list(&["./out/*/", "n*"]), ["notes.txt", "out/b.csv", "out/deep", "out/deep/c.csv"]);
    assert_eq!(job.list(&["nothing"]), [""; 0]);
    assert!(matches(&[".".into()], &path("any/thing")));
}

#[test]
fn put_replaces_whole_files_and_leaves_nothing_else() {
    let job = job();
    assert_eq!(job.put("a/b/c", "one").unwrap(), 3);
    assert_eq!(job.put("a/b/c", "three").unwrap(), 5);
    assert_eq!(job.read("a/b/c").unwrap(), "three");
    assert!(matches!(job.put("a/b", "x"), Err(Error::WrongKind { is: "a folder", .. })));
    assert!(matches!(job.put("a/b/c/d", "x"), Err(Error::WrongKind { is: "a file", .. })));
    assert!(matches!(job.put(".", "x"), Err(Error::Path(_))));
    assert!(matches!(job.read("a"), Err(Error::WrongKind { is: "a folder", wanted: "a file", .. })));
    assert!(matches!(job.read("none"), Err(Error::NotFound(_))));
    assert_eq!(job.list(&[]), ["a", "a/b", "a/b/c"]);
}

#[test]
fn f90_links_out_are_refused_and_links_inside_work() {
    let job = job();
    let secret = job.outside("secret");
    fs::write(&secret, "secret").unwrap();
    job.put("in", "inside").unwrap();
    symlink("in", job.files.join("good")).unwrap();
    symlink(&secret, job.files.join("absolute")).unwrap();
    symlink("../../../secret", job.files.join("relative")).unwrap();
    symlink(job.tmp.path(), job.files.join("folder")).unwrap();
    symlink("nowhere", job.files.join("broken")).unwrap();
    assert_eq!(job.read("good").unwrap(), "inside");
    for out in ["absolute", "relative", "folder/secret"] {
        assert!(matches!(job.read(out), Err(Error::Escapes(_))), "{out}: {:?}", job.read(out));
    }
    assert!(matches!(job.put("folder/planted", "x"), Err(Error::Escapes(_))));
    assert!(matches!(job.put("folder/sub/planted", "x"), Err(Error::Escapes(_))));
    assert!(now(job.store.remove(&job.area, &path("folder/secret"))).is_err());
    assert_eq!(job.list(&[]), ["absolute", "broken", "folder", "good", "in", "relative"]); // not what is behind them
    // Writing to a link replaces the link, not what it leads to.
    job.put("absolute", "mine").unwrap();
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
    now(job.store.remove(&job.area, &path("folder"))).unwrap();
    assert!(secret.exists() && !job.outside("planted").exists());
}

#[test]
fn f90_forgetting_a_job_follows_no_link_and_needs_no_depth() {
    let job = job();
    let precious = job.outside("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "x").unwrap();
    symlink(&precious, job.files.join("link")).unwrap();
    job.put("logs-like/x", "x").unwrap();
    fs::create_dir_all(job.files.join(".qm-rm-1/full")).unwrap(); // a name that the removal would like to use
    let locked = job.files.join("locked");
    fs::create_dir_all(locked.join("in")).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    // 5,000 folders in each other: deeper than any path, any stack of descriptors or any recursion.
    let flags = rustix::fs::OFlags::DIRECTORY;
    let mut folder = rustix::fs::open(&job.files, flags, rustix::fs::Mode::empty()).unwrap();
    for _ in 0..5_000 {
        rustix::fs::mkdirat(&folder, "d", rustix::fs::Mode::RWXU).unwrap();
        folder = rustix::fs::openat(&folder, "d", flags, rustix::fs::Mode::empty()).unwrap();
    }
    now(job.store.forget(&job.area)).unwrap();
    assert!(!job.store.job_folder(job.area.job).exists());
    assert!(precious.join("file").exists());
    now(job.store.forget(&job.area)).unwrap();
}

#[test]
fn f90_a_folder_swapped_for_a_link_during_cleanup() {
    for _ in 0..20 {
        let job = job();
        let precious = job.outside("precious");
        fs::create_dir(&precious).unwrap();
        for n in 0..50 {
            fs::write(precious.join(n.to_string()), "x").unwrap();
        }
        for n in 0..100 {
            job.put(&format!("{n}/file"), "x").unwrap();
        }
        let files = job.files.clone();
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..100 {
                    let name = files.join(n.to_string());
                    if fs::rename(&name, files.join("away")).is_ok() {
                        drop(symlink(&precious, &name));
                        drop(fs::remove_dir_all(files.join("away")));
                    }
                }
            });
            // It may give up (somebody fills what it empties); it may not be led astray.
            drop(now(job.store.forget(&job.area)));
        });
        assert_eq!(fs::read_dir(&precious).unwrap().count(), 50);
        now(job.store.forget(&job.area)).unwrap();
        assert!(!job.store.job_folder(job.area.job).exists());
    }
}

#[test]
fn a_folder_of_the_users_is_used_and_never_removed() {
    let job = job();
    let folder = job.outside("project");
    let area = Area::in_folder(job.area.job, &folder);
    assert!(matches!(now(job.store.create(&area)), Err(Error::NoFolder(_))));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("main.c"), "int main;").unwrap();
    now(job.store.create(&area)).unwrap();
    assert_eq!(job.store.folder(&area), Some(folder.clone()));
    assert_eq!(now(job.store.list(&area, &[])).unwrap().len(), 1);
    now(job.store.forget(&area)).unwrap();
    assert!(folder.join("main.c").exists() && !job.store.job_folder(job.area.job).exists());
}

#[test]
fn import_copies_files_and_folders_with_their_modes() {
    let job = job();
    let source = job.outside("my data");
    fs::create_dir_all(source.join("sub/empty")).unwrap();
    fs::write(source.join("run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(source.join("run.sh"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(source.join("sub/data"), "1").unwrap();
    symlink("sub/data", source.join("latest")).unwrap();
    symlink("../run.sh", source.join("sub/up")).unwrap();
    job.import(&source, None).unwrap();
    job.import(&source, None).unwrap(); // again: replaced
    let all = [
        "my data",
        "my data/latest",
        "my data/run.sh",
        "my data/sub",
        "my data/sub/data",
        "my data/sub/empty",
        "my data/sub/up",
    ];
    assert_eq!(job.list(&[]), all);
    assert_eq!(job.read("my data/latest").unwrap(), "1");
    assert_eq!(fs::metadata(job.files.join("my data/run.sh")).unwrap().permissions().mode() & 0o777, 0o700);
    job.import(&source, Some(".")).unwrap();
    job.import(&source.join("run.sh"), Some("bin/go")).unwrap();
    job.import(&source.join("latest"), None).unwrap(); // named by the user: what it leads to
    assert_eq!(job.read("sub/data").unwrap(), "1");
    assert_eq!(job.read("bin/go").unwrap(), "#!/bin/sh\n");
    assert_eq!(job.read("data").unwrap(), "1");
}

#[test]
fn f90_import_refuses_links_out_pipes_and_itself() {
    let job = job();
    let source = job.outside("source");
    fs::create_dir(&source).unwrap();
    assert!(matches!(job.import(&job.outside("none"), None), Err(Error::Host { .. })));
    for out in ["/etc/passwd", "../secret", "sub/../../secret"] {
        symlink(out, source.join("link")).unwrap();
        let error = job.import(&source, None).unwrap_err().to_string();
        assert!(error.contains("a link that leads out"), "{error}");
        fs::remove_file(source.join("link")).unwrap();
    }
    rustix::fs::mknodat(rustix::fs::CWD, source.join("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    assert!(job.import(&source, None).unwrap_err().to_string().contains("pipe"));
    assert!(job.import(job.tmp.path(), None).unwrap_err().to_string().contains("holds the job files"));
    assert!(job.import(&job.files, Some("copy")).unwrap_err().to_string().contains("holds the job files"));
}

#[test]
fn a_pipe_holds_nobody() {
    let job = job();
    let pipe = job.files.join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    assert!(matches!(job.read("pipe"), Err(Error::WrongKind { is: "a socket, pipe or device", .. })));
    let exported = now(export(&job.store, &job.area, &[], &job.outside("to"))).unwrap();
    assert_eq!((exported.files, exported.skipped.len()), (0, 1));
}

#[test]
fn export_copies_out_and_says_what_it_left() {
    let job = job();
    job.put("out/result.csv", "1,2").unwrap();
    symlink("out/result.csv", job.files.join("latest")).unwrap();
    symlink("/etc/passwd", job.files.join("evil")).unwrap();
    let to = job.outside("to");
    fs::create_dir(&to).unwrap();
    fs::write(job.outside("victim"), "v").unwrap();
    symlink(job.outside("victim"), to.join("latest")).unwrap();
    let exported = now(export(&job.store, &job.area, &[], &to)).unwrap();
    assert_eq!((exported.files, exported.bytes), (2, 6));
    assert_eq!(exported.skipped, [(path("evil"), "leads out of the job files")]);
    assert_eq!(fs::read_to_string(to.join("latest")).unwrap(), "1,2");
    assert_eq!(fs::read_to_string(job.outside("victim")).unwrap(), "v");
    assert!(!to.join("evil").exists());
}

#[test]
fn diff_says_what_differs() {
    let job = job();
    for (file, text) in [("same", "x"), ("changed", "a"), ("longer", "ab"), ("mine", "x"), ("kind/file", "x")] {
        job.put(file, text).unwrap();
    }
    let folder = job.outside("folder");
    fs::create_dir(&folder).unwrap();
    for (file, text) in [("same", "x"), ("changed", "b"), ("longer", "a"), ("theirs", "x"), ("kind", "a file")] {
        fs::write(folder.join(file), text).unwrap();
    }
    let differences = now(diff(&job.store, &job.area, &[], &folder)).unwrap();
    let shown: Vec<_> = differences.iter().map(|(path, how)| (path.to_string(), *how)).collect();
    let expected = [
        ("changed", Difference::Content),
        ("kind", Difference::Kind),
        ("kind/file", Difference::OnlyInJob),
        ("longer", Difference::Content),
        ("mine", Difference::OnlyInJob),
        ("theirs", Difference::OnlyInFolder),
    ];
    assert_eq!(shown, expected.map(|(path, how)| (path.to_owned(), how)));
}

#[test]
fn a_store_keeps_its_id_and_two_first_openers_agree() {
    let tmp = tempfile::tempdir().unwrap();
    let root = tmp.path().join("jobs");
    let ids: Vec<_> = thread::scope(|scope| {
        let openers: Vec<_> = (0..8).map(|_| scope.spawn(|| Fs::open(&root).unwrap().id().clone())).collect();
        openers.into_iter().map(|opener| opener.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0] && !id.shared), "{ids:?}");
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1); // nothing but the id
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
    assert_ne!(Fs::open(tmp.path().join("other")).unwrap().id(), &ids[0]);
    fs::write(root.join(".store-id"), "something else").unwrap();
    assert!(matches!(Fs::open(&root), Err(Error::NotAStore(_))));
}

#[test]
fn the_folder_backend_works_in_place() {
    let job = job();
    let capabilities = job.store.capabilities();
    assert!(capabilities.failed_attempts_leave_files && capabilities.shared_folder);
    let (task, attempt) = (workflow_model::TaskIx(0), workflow_model::Attempt(1));
    assert_eq!(now(job.store.stage_in(&job.area, task, attempt)).unwrap(), job.files);
    assert_eq!(now(job.store.stage_out(&job.area, task, attempt)).unwrap().manifest, None);
}

//! Whatever comes, in whatever pieces: what the log holds and what it says is missing add up.

use std::{fs, io::Read, path::Path};

use proptest::prelude::*;

use super::*;

/// The number in a line such as `[qmanager: 17 bytes left out here, …]`, and the line's place with its newlines.
fn marker(log: &[u8]) -> Option<(u64, std::ops::Range<usize>)> {
    let text = log.windows(12).position(|window| window == b"\n[qmanager: ")?;
    let end = text + 1 + log[text + 1..].iter().position(|&byte| byte == b'\n')? + 1;
    let digits: String =
        log[text + 12..end].iter().take_while(|byte| byte.is_ascii_digit()).map(|&b| b as char).collect();
    Some((digits.parse().ok()?, text..end))
}

fn write_all(capture: &mut Capture, bytes: &[u8], mut chunk: usize) {
    chunk = chunk.max(1);
    for piece in bytes.chunks(chunk) {
        capture.write(piece);
    }
}

/// Numbers, so that each place of the stream is known by its bytes.
fn stream(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    for number in 0.. {
        if bytes.len() >= length {
            break;
        }
        bytes.extend_from_slice(format!("{number:06};").as_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn nothing_written_makes_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let captured = Capture::new(path.clone(), 1 << 20).finish(true);
    assert_eq!(captured, Captured::default());
    assert!(!path.exists());
}

#[test]
fn the_log_can_be_followed_and_is_ours_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let mut capture = Capture::new(path.clone(), 1 << 20);
    capture.write(b"one");
    assert_eq!(fs::read(&path).unwrap(), b"one");
    capture.write(b"\ntwo");
    assert_eq!(fs::read(&path).unwrap(), b"one\ntwo");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn beginning_and_end_are_kept_and_the_rest_is_counted(
        length in 0_usize..60_000, chunk in 1_usize..9_000, limit in 2_000_u64..20_000,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let bytes = stream(length);
        let mut capture = Capture::new(path.clone(), limit);
        write_all(&mut capture, &bytes, chunk);
        let captured = capture.finish(true);
        let log = fs::read(&path).unwrap_or_default();
        prop_assert_eq!(captured.bytes, length as u64);
        prop_assert_eq!(captured.log_problem, None);
        prop_assert!(log.len() as u64 <= limit + 96);
        if length as u64 <= limit {
            prop_assert_eq!(captured.lost, 0);
            prop_assert!(log == bytes);
        } else {
            let (lost, place) = marker(&log).expect("a marker");
            prop_assert_eq!(lost, captured.lost);
            let (head, tail) = (&log[..place.start], &log[place.end..]);
            prop_assert_eq!(head.len() as u64, limit / 2);
            prop_assert!(tail.len() as u64 >= limit / 4);
            prop_assert!(bytes.starts_with(head) && bytes.ends_with(tail));
            prop_assert_eq!(head.len() + tail.len() + usize::try_from(lost).unwrap(), length);
        }
    }
}

#[test]
fn the_tail_is_whole_lines_of_at_most_2_kb() {
    let tail = |bytes: &[u8]| {
        let mut capture = Capture::nowhere();
        write_all(&mut capture, bytes, 700);
        capture.finish(true).tail
    };
    assert_eq!(tail(b""), "");
    assert_eq!(tail(b"a\nb"), "a\nb");
    let lines: String = (0..1000).map(|number| format!("line {number}\n")).collect();
    let end = tail(lines.as_bytes());
    assert!(end.len() <= 2048 && end.len() > 1900, "{}", end.len());
    assert!(end.starts_with("line ") && end.ends_with("line 999\n"), "{end}");
    assert_eq!(tail("x".repeat(5000).as_bytes()).len(), 2048);
    let replaced = tail(&[0xff; 5000]);
    assert!(replaced.len() <= 2048 && replaced.chars().all(|c| c == char::REPLACEMENT_CHARACTER));
}

#[test]
fn f45_a_full_disk_is_counted_and_fails_nobody() {
    let mut capture = Capture::new("/dev/full".into(), 1 << 20);
    write_all(&mut capture, &stream(1000), 100);
    let captured = capture.finish(true);
    assert_eq!((captured.bytes, captured.lost), (1000, 1000));
    assert!(captured.log_problem.unwrap().contains("no space left on device"));
    assert_eq!(captured.tail.len(), 1000, "the tail is known all the same");
}

#[test]
fn f45_a_folder_that_cannot_be_made_is_counted_and_fails_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut capture = Capture::new(dir.path().join("logs/out"), 1 << 20);
    fs::write(dir.path().join("logs"), "in the way").unwrap();
    capture.write(b"lost");
    fs::remove_file(dir.path().join("logs")).unwrap();
    capture.write(b"kept");
    let captured = capture.finish(true);
    assert_eq!((captured.bytes, captured.lost), (8, 4));
    let log = fs::read_to_string(dir.path().join("logs/out")).unwrap();
    assert_eq!(log, "\n[qmanager: 4 bytes lost here: the log could not be written]\nkept");
}

#[test]
fn f45_a_disk_that_fills_up_and_is_freed() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mounted) = Tmpfs::mount(dir.path(), "size=64k") else {
        eprintln!("skipped: no tmpfs can be mounted here");
        return;
    };
    fs::write(dir.path().join("filler"), vec![0; 40 << 10]).unwrap();
    let mut capture = Capture::new(dir.path().join("out"), 1 << 20);
    let bytes = stream(60 << 10);
    write_all(&mut capture, &bytes, 1000);
    fs::remove_file(dir.path().join("filler")).unwrap();
    capture.write(b"space again");
    let captured = capture.finish(true);
    let log = fs::read(dir.path().join("out")).unwrap();
    let (lost, place) = marker(&log).expect("a marker");
    assert_eq!(lost, captured.lost);
    assert_eq!(captured.bytes, (60 << 10) + 11);
    assert!(bytes.starts_with(&log[..place.start]));
    assert_eq!(&log[place.end..], b"space again");
    assert_eq!(place.start + usize::try_from(lost).unwrap(), 60 << 10, "exact counts");
}

#[test]
fn f45_inodes_run_out() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mounted) = Tmpfs::mount(dir.path(), "nr_inodes=2") else {
        eprintln!("skipped: no tmpfs can be mounted here");
        return;
    };
    fs::write(dir.path().join("the last one"), "").unwrap();
    let mut capture = Capture::new(dir.path().join("out"), 1 << 20).publish(dir.path().into(), "published");
    capture.write(b"lost");
    let captured = capture.finish(true);
    assert_eq!(captured.lost, 4);
    assert!(captured.publish_problem.unwrap().contains("no space left on device"));
}

#[test]
fn a_published_file_looks_as_if_the_task_had_made_it() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let dir = tempfile::tempdir().unwrap();
    let owner = rustix::process::geteuid().is_root().then_some((65534, 65533));
    let mut capture = Capture::nowhere().publish(dir.path().into(), "a/b").publish_as(Some(0o022), owner);
    capture.write(b"x");
    assert_eq!(capture.finish(true).publish_problem, None);
    let facts = |path: &str| {
        let facts = fs::metadata(dir.path().join(path)).unwrap();
        (facts.permissions().mode() & 0o777, owner.map(|_| (facts.uid(), facts.gid())))
    };
    assert_eq!((facts("a"), facts("a/b")), ((0o755, owner), (0o644, owner)));
}

#[test]
fn what_is_echoed_is_masked_and_a_closed_terminal_harms_nobody() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut capture = Capture::nowhere().redact(&["hunter22"]).echo(writer.into());
    capture.write(b"a hunt");
    capture.write(b"er22 b");
    let mut seen = [0; 7];
    reader.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"a *** b");
    drop(reader);
    capture.write(b"more");
    assert_eq!(capture.finish(true).bytes, 16);
}

#[test]
fn a_secret_that_is_cut_off_by_the_end_is_shown_as_it_is() {
    let mut capture = Capture::nowhere().redact(&["hunter22"]);
    capture.write(b"x hunter2");
    assert_eq!(capture.finish(true).tail, "x hunter2");
}

/// A file system of a size of our choice; unmounted at the end.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn mount(at: &'a Path, options: &str) -> Option<Self> {
        run("mount", &["-t", "tmpfs", "-o", options, "tmpfs", at.to_str()?]).then_some(Self(at))
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

#[expect(clippy::disallowed_methods, reason = "mount has no safe call")]
fn run(program: &str, arguments: &[&str]) -> bool {
    let quiet = || File::options().write(true).open("/dev/null").unwrap();
    let status = std::process::Command::new(program).args(arguments).stdout(quiet()).stderr(quiet()).status();
    status.is_ok_and(|status| status.success())
}

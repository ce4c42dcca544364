//! What goes in by standard input, environment and arguments, and what comes out by the two streams: byte for byte.

use std::fmt::Write;

use libtest_mimic::Failed;

use super::{Bench, Case};
use crate::{Ending, Stdin};

pub(super) const CASES: &[(&str, Case)] = &[
    ("stdin_is_empty_unless_given", stdin_null),
    ("stdin_text", stdin_text),
    ("stdin_larger_than_a_pipe", stdin_large),
    ("stdin_that_nobody_reads", stdin_unread),
    ("stdin_from_a_job_file", stdin_file),
    ("env_is_what_was_given_and_nothing_else", env),
    ("argv_with_blanks_quotes_and_newlines", argv),
    ("stdout_and_stderr_are_apart", apart),
    ("output_without_newline", without_newline),
    ("f48_output_that_is_not_utf8", not_utf8),
    ("output_of_100_mb_is_counted_and_capped", large),
    ("output_as_it_comes", live),
    ("secrets_are_masked_in_logs_and_tails", secrets),
    ("a_silent_task_makes_no_log", silent),
];

fn stdin_null(bench: &Bench) -> Result<(), Failed> {
    let ended = bench.run(&bench.script("wc -c | tr -d ' '"))?;
    assert_eq!(ended.text(), "0\n");
    Ok(())
}

fn stdin_text(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.task(&["cat"]);
    spec.stdin = Stdin::Text("epochs=3\n\u{e9}\"$X\"".into());
    assert_eq!(bench.run(&spec)?.text(), "epochs=3\n\u{e9}\"$X\"");
    Ok(())
}

fn stdin_large(bench: &Bench) -> Result<(), Failed> {
    // Comes back the same way: whoever writes all before reading anything hangs here.
    let mut text = String::new();
    for number in 0..400_000 {
        writeln!(text, "{number}")?;
    }
    let mut spec = bench.task(&["cat"]);
    spec.stdin = Stdin::Text(text.clone());
    let ended = bench.run(&spec)?;
    assert!(ended.outcome.is_success(), "{:?}", ended.outcome);
    assert!(ended.out_log == text.as_bytes(), "{} bytes came back of {}", ended.out_log.len(), text.len());
    Ok(())
}

fn stdin_unread(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.script("exec <&-; exit 0");
    spec.stdin = Stdin::Text("x".repeat(1 << 20));
    assert!(bench.run(&spec)?.outcome.is_success());
    let mut spec = bench.script("head -c 3");
    spec.stdin = Stdin::Text("abc".repeat(1 << 20));
    assert_eq!(bench.run(&spec)?.text(), "abc");
    Ok(())
}

fn stdin_file(bench: &Bench) -> Result<(), Failed> {
    std::fs::create_dir(bench.files().join("in"))?;
    std::fs::write(bench.files().join("in/data"), b"from a file\0\xff")?;
    let mut spec = bench.task(&["cat"]);
    spec.stdin = Stdin::File("in/data".into());
    assert_eq!(bench.run(&spec)?.out_log, b"from a file\0\xff");
    std::os::unix::fs::symlink("/etc/passwd", bench.files().join("out"))?;
    for (path, why) in [("missing", "no such file"), ("in", "folder"), ("../x", ".."), ("out", "leads out")] {
        spec.stdin = Stdin::File(path.into());
        let outcome = bench.run(&spec)?.outcome;
        assert_eq!(outcome.ending, Ending::Invalid, "{path}");
        assert!(outcome.message.contains("`stdin") && outcome.message.contains(why), "{path}: {}", outcome.message);
    }
    Ok(())
}

fn env(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.task(&["env", "-0"]);
    let given =
        [("A", "1"), ("B", ""), ("C", "a b \"c\" 'd' $E"), ("D", "two\nlines"), ("\u{e9}", "\u{1f980}"), ("A", "2")];
    spec.env.extend(given.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let ended = bench.run(&spec)?;
    let added = |entry: &str| {
        let name = entry.split('=').next().unwrap_or_default();
        bench.abilities().adds_variables.contains(&name)
    };
    let text = std::str::from_utf8(&ended.out_log)?;
    let mut seen: Vec<&str> = text.split_terminator('\0').filter(|entry| !added(entry)).collect();
    seen.sort_unstable();
    let mut expected = vec!["A=2", "B=", "C=a b \"c\" 'd' $E", "D=two\nlines", "\u{e9}=\u{1f980}"];
    expected.extend(["PATH=/usr/local/bin:/usr/bin:/bin", &spec.marker]);
    expected.sort_unstable();
    assert_eq!(seen, expected);
    Ok(())
}

fn argv(bench: &Bench) -> Result<(), Failed> {
    let arguments = ["a b", "", "\"c\"", "'d'", "$HOME", "*", "-rf", "two\nlines", "\u{1f980}", "\\"];
    let mut argv = vec!["printf", "[%s]\n"];
    argv.extend(arguments);
    let expected: String = arguments.iter().map(|argument| format!("[{argument}]\n")).collect();
    assert_eq!(bench.run(&bench.task(&argv))?.text(), expected);
    Ok(())
}

fn apart(bench: &Bench) -> Result<(), Failed> {
    let ended = bench.run(&bench.script("echo out; echo err >&2; echo out again"))?;
    assert_eq!(ended.text(), "out\nout again\n");
    assert_eq!(ended.err_log, b"err\n");
    assert_eq!((ended.out.bytes, ended.err.bytes), (14, 4));
    assert_eq!((ended.out.tail.as_str(), ended.err.tail.as_str()), ("out\nout again\n", "err\n"));
    Ok(())
}

fn without_newline(bench: &Bench) -> Result<(), Failed> {
    let ended = bench.run(&bench.task(&["printf", "no newline"]))?;
    assert_eq!(ended.text(), "no newline");
    assert_eq!(ended.out.tail, "no newline");
    Ok(())
}

fn not_utf8(bench: &Bench) -> Result<(), Failed> {
    let ended = bench.run(&bench.script(r"printf 'a\377\376\0b\rc\n'"))?;
    assert!(ended.outcome.is_success());
    assert_eq!(ended.out_log, b"a\xff\xfe\0b\rc\n");
    assert_eq!(ended.out.tail, "a\u{fffd}\u{fffd}\0b\rc\n");
    let ended = bench.run(&bench.script("head -c 10000000 /dev/zero | tr '\\0' x"))?;
    assert_eq!((ended.out_log.len(), ended.out.lost), (10_000_000, 0));
    assert!(ended.out.tail.len() <= 2048 && ended.out.tail.ends_with('x'));
    Ok(())
}

fn large(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.script("echo first; head -c 100000000 /dev/zero | tr '\\0' x; echo; echo last");
    spec.log_limit = 4 << 20;
    let ended = bench.run(&spec)?;
    assert!(ended.outcome.is_success(), "{:?}", ended.outcome);
    let written = 100_000_000 + "first\n\nlast\n".len();
    assert_eq!(ended.out.bytes, written as u64);
    let log = ended.text();
    assert!(log.len() <= (4 << 20) + 200, "{}", log.len());
    assert!(log.starts_with("first\nxxx") && log.ends_with("xxx\nlast\n"));
    assert_eq!(log.matches("bytes left out here").count(), 1);
    assert!(log.contains(&format!("[qmanager: {} bytes left out here", ended.out.lost)));
    let marker = log.lines().find(|line| line.contains("left out")).map_or(0, |line| line.len() + 2);
    assert_eq!(log.len() - marker + usize::try_from(ended.out.lost)?, written, "what is kept and lost is all");
    Ok(())
}

fn live(bench: &Bench) -> Result<(), Failed> {
    let running = bench.launch(&bench.script("printf begun; while [ ! -e go ]; do sleep 0.01; done; echo ' done'"))?;
    running.says("begun")?;
    std::fs::write(bench.files().join("go"), "")?;
    assert_eq!(running.end()?.text(), "begun done\n");
    Ok(())
}

fn secrets(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.script("printf 'key=hunt'; sleep 0.05; echo 'er22!'; echo hunter22 >&2; echo secretline1");
    spec.redact = vec!["hunter22".into(), "-----\nsecretline1\n-----\n".into()];
    spec.stdout = Some("public".into());
    let ended = bench.run(&spec)?;
    assert_eq!(ended.text(), "key=***!\n***\n");
    assert_eq!((ended.out.tail.as_str(), ended.err.tail.as_str()), ("key=***!\n***\n", "***\n"));
    assert_eq!(std::fs::read_to_string(bench.files().join("public"))?, "key=hunter22!\nsecretline1\n");
    let mut spec = bench.task(&["hunter22"]);
    spec.redact = vec!["hunter22".into()];
    assert!(!bench.run(&spec)?.outcome.message.contains("hunter22"));
    Ok(())
}

fn silent(bench: &Bench) -> Result<(), Failed> {
    let running = bench.launch(&bench.script("true"))?;
    let folder = running.folder().to_path_buf();
    running.end()?;
    assert!(!folder.join("out").exists() && !folder.join("err").exists());
    Ok(())
}

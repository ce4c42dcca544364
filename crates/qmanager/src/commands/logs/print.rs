//! Lines of tasks on standard output: with their names before them, safe on a terminal, byte for byte elsewhere.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use serde::Serialize;
use workflow_model::{Attempt, TaskIx};

use super::{Stream, choose::Choice};
use crate::{
    commands::context::Context,
    exit::Error,
    output::{JSON_VERSION, Output},
    text::{self, Tone, paint, safe, safe_output},
};

/// The longest piece of a line without end that is shown at once.
const LINE: u64 = 1 << 20;

#[derive(Serialize)]
struct View<'a> {
    v: u16,
    task: TaskIx,
    name: &'a str,
    attempt: Attempt,
    stream: &'static str,
    line: &'a str,
    /// The line goes on in the next object: it is longer than what is shown at once.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    continues: bool,
}

/// Whose a line is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) task: TaskIx,
    pub(super) name: &'a str,
    pub(super) attempt: Attempt,
    pub(super) stream: Stream,
}

/// Prints lines.
pub(super) struct Printer<'a> {
    out: &'a Output,
    prefix: bool,
    tail: Option<usize>,
    widest: usize,
}

impl<'a> Printer<'a> {
    pub(super) fn new(context: &'a Context, choice: &Choice) -> Self {
        let Choice { prefix, tail, widest, .. } = *choice;
        Self { out: &context.out, prefix, tail, widest }
    }

    /// A whole file; false if there is nothing in it.
    pub(super) fn file(
        &mut self,
        path: &Path,
        task: TaskIx,
        name: &str,
        attempt: Attempt,
        stream: Stream,
    ) -> Result<bool, Error> {
        let failed = |e| Error::io(format!("cannot read {}", path.display()), e);
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        if let Some(lines) = self.tail {
            let start = last_lines(&mut file, lines).map_err(failed)?;
            file.seek(SeekFrom::Start(start)).map_err(failed)?;
        }
        let writer = Writer { task, name, attempt, stream };
        let mut reader = BufReader::with_capacity(64 * 1024, file);
        let mut line = Vec::new();
        let mut any = false;
        loop {
            line.clear();
            if reader.by_ref().take(LINE).read_until(b'\n', &mut line).map_err(failed)? == 0 {
                return Ok(any);
            }
            any = true;
            self.line(writer, &line)?;
        }
    }

    /// One line, with or without its end.
    pub(super) fn line(&mut self, writer: Writer<'_>, line: &[u8]) -> Result<(), Error> {
        let Writer { task, name, attempt, stream } = writer;
        if self.out.json {
            let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
            // A line without an end is the last one, which may still grow, or a piece.
            let continues = line.len() as u64 == LINE && !line.ends_with(b"\n");
            let view = View { v: JSON_VERSION, task, name, attempt, stream: stream.as_str(), line: &text, continues };
            return self.out.object(&view);
        }
        if self.prefix {
            self.out.raw(self.prefix(name, stream).as_bytes())?;
        }
        if self.out.terminal {
            return self.out.line(safe_output(&String::from_utf8_lossy(line)));
        }
        self.out.raw(line)?;
        // Without an end the next prefix would stand in the middle of the line.
        if self.prefix && !line.ends_with(b"\n") { self.out.raw(b"\n") } else { Ok(()) }
    }

    fn prefix(&self, name: &str, stream: Stream) -> String {
        let name = safe(name);
        let name = text::pad(&name, if self.out.terminal { self.widest } else { 0 });
        let tone = if stream == Stream::Err { Tone::Warn } else { Tone::Dim };
        format!("{} ", paint(&format!("{name}|"), tone, self.out.color))
    }

    /// Hands over what was printed.
    pub(super) fn flush(&self) -> Result<(), Error> {
        self.out.flush()
    }
}

/// Where the last so many lines of a file begin.
pub(super) fn last_lines(file: &mut File, lines: usize) -> io::Result<u64> {
    const STEP: u64 = 64 * 1024;
    let size = file.seek(SeekFrom::End(0))?;
    let mut end = size;
    let mut found = 0;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        block.clear();
        file.seek(SeekFrom::Start(start))?;
        file.by_ref().take(end - start).read_to_end(&mut block)?;
        for (at, byte) in block.iter().enumerate().rev() {
            let place = start + at as u64;
            // The end of the last line begins no further one.
            if *byte == b'\n' && place + 1 < size {
                found += 1;
                if found == lines {
                    return Ok(place + 1);
                }
            }
        }
        end = start;
    }
    Ok(if lines == 0 { size } else { 0 })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_last_lines_are_found_from_the_end() {
        let mut file = tempfile::tempfile().unwrap();
        for number in 0..50_000 {
            writeln!(file, "line {number}").unwrap();
        }
        for (lines, first) in
            [(1, "line 49999\n"), (20_000, "line 30000\n"), (50_000, "line 0\n"), (60_000, "line 0\n")]
        {
            let start = last_lines(&mut file, lines).unwrap();
            file.seek(SeekFrom::Start(start)).unwrap();
            let mut text = String::new();
            BufReader::new(&file).read_line(&mut text).unwrap();
            assert_eq!(text, first, "{lines}");
        }
        let mut open_end = tempfile::tempfile().unwrap();
        write!(open_end, "a\nb\nc").unwrap();
        assert_eq!(last_lines(&mut open_end, 1).unwrap(), 4);
        assert_eq!(last_lines(&mut open_end, 2).unwrap(), 2);
        assert_eq!(last_lines(&mut open_end, 0).unwrap(), 5);
    }
}

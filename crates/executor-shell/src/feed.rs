//! A task's standard input: nothing, a job file, or a text that may be larger than a pipe holds.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
};

use executor::{Stdin, TaskSpec, beneath};
use rustix::{
    fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl},
    pipe::{PipeFlags, pipe_with},
};

/// What is still to be written to a task's standard input.
#[derive(Debug)]
pub(crate) struct Feed {
    text: Vec<u8>,
    written: usize,
    pub(crate) pipe: File,
}

impl Feed {
    /// What the task gets as standard input, and what remains to be fed once it runs.
    pub(crate) fn open(spec: &TaskSpec) -> Result<(OwnedFd, Option<Self>), String> {
        match &spec.stdin {
            Stdin::Null => {
                nothing().map(|null| (null, None)).map_err(|error| format!("cannot open /dev/null: {error}"))
            }
            Stdin::File(path) => beneath::open_file(&spec.job_files, path)
                .map(|file| (OwnedFd::from(file), None))
                .map_err(|why| format!("`stdin: {{file: {path:?}}}`: {why}")),
            Stdin::Text(text) => Self::pipe(text).map_err(|error| format!("cannot make a pipe: {error}")),
        }
    }

    fn pipe(text: &str) -> io::Result<(OwnedFd, Option<Self>)> {
        let (reader, writer): (OwnedFd, OwnedFd) = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setfl(&writer, fcntl_getfl(&writer)? | OFlags::NONBLOCK)?;
        let mut feed = Self { text: text.as_bytes().to_vec(), written: 0, pipe: File::from(writer) };
        // Most texts fit into the pipe at once: then there is nothing left to do while the task runs.
        let open = feed.push();
        Ok((reader, open.then_some(feed)))
    }

    /// Writes what the pipe takes; whether more is to come.
    pub(crate) fn push(&mut self) -> bool {
        while self.written < self.text.len() {
            match self.pipe.write(&self.text[self.written..]) {
                Ok(n) => self.written += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The task does not want to read on: its right.
                Err(_) => return false,
            }
        }
        false
    }
}

fn nothing() -> rustix::io::Result<OwnedFd> {
    rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Reads what a pipe holds, at most the buffer's capacity, into `buffer`. `Ok(0)` = its end.
pub(crate) fn read_chunk(pipe: &OwnedFd, buffer: &mut Vec<u8>) -> io::Result<usize> {
    buffer.clear();
    loop {
        match rustix::io::read(pipe, rustix::buffer::spare_capacity(buffer)) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(n) => return Ok(n),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_short_text_is_in_the_pipe_before_the_task_runs() {
        let (_reader, rest) = Feed::pipe("epochs=3\n").unwrap();
        assert!(rest.is_none());
        let (_reader, rest) = Feed::pipe(&"x".repeat(1 << 20)).unwrap();
        assert!(rest.is_some());
    }

    #[test]
    fn nobody_reads() {
        let (reader, rest) = Feed::pipe(&"x".repeat(1 << 20)).unwrap();
        drop(reader);
        assert!(!rest.unwrap().push());
    }

    #[test]
    fn reads_into_capacity_only() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        File::from(writer).write_all(b"hello").unwrap();
        let mut buffer = Vec::with_capacity(16);
        assert_eq!(read_chunk(&reader, &mut buffer).unwrap(), 5);
        assert_eq!(buffer, b"hello");
        assert_eq!(read_chunk(&reader, &mut buffer).unwrap(), 0);
        let mut nothing = Vec::new();
        File::from(reader).read_to_end(&mut nothing).unwrap();
        assert!(nothing.is_empty());
    }
}

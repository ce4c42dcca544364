//! What a container writes: live from the attached connection, or once more from the engine's log when nobody was
//! attached from the beginning to the end.

use bollard::container::LogOutput;
use executor::{Io, Sink};

use crate::create::ENGINE_LOG;

/// The engine cuts lines into pieces of this size.
const PIECE: usize = 16 << 10;

/// What an entry of the engine's log needs besides its text, at most.
const ENTRY: u64 = 200;

/// Only so much of the beginning of standard error is remembered.
const BEGINNING: usize = 1 << 10;

/// What has reached the sinks.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    out: u64,
    err: u64,
    beginning: Vec<u8>,
}

impl Heard {
    /// Takes what came over an attached connection: the very bytes.
    pub(crate) fn take(&mut self, frame: &LogOutput, io: &mut Io<'_>) {
        match frame {
            LogOutput::StdErr { message } => self.err(message, io.err),
            LogOutput::StdOut { message } | LogOutput::Console { message } => self.out(message, io.out),
            LogOutput::StdIn { .. } => {}
        }
    }

    /// The first bytes of standard error.
    pub(crate) fn beginning_of_err(&self) -> String {
        String::from_utf8_lossy(&self.beginning).into_owned()
    }

    fn out(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        self.out += bytes.len() as u64;
        sink.write(bytes);
    }

    fn err(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        self.err += bytes.len() as u64;
        let room = BEGINNING.saturating_sub(self.beginning.len()).min(bytes.len());
        self.beginning.extend_from_slice(&bytes[..room]);
        sink.write(bytes);
    }
}

/// The engine's log, read from its beginning; what was heard already is passed over.
#[derive(Debug)]
pub(crate) struct Replay {
    out: Lines,
    err: Lines,
    /// Bytes and entries in the log.
    size: u64,
    driver_is_exact: bool,
}

impl Replay {
    pub(crate) fn new(heard: &Heard, log_driver: &str) -> Self {
        let lines = |skip| Lines { skip, ..Lines::default() };
        Self { out: lines(heard.out), err: lines(heard.err), size: 0, driver_is_exact: log_driver == "local" }
    }

    /// Takes one entry of the log.
    pub(crate) fn take(&mut self, frame: &LogOutput, heard: &mut Heard, io: &mut Io<'_>) {
        self.size += frame.as_ref().len() as u64 + ENTRY;
        match frame {
            LogOutput::StdErr { message } => self.err.take(message, &mut |bytes| heard.err(bytes, io.err)),
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                self.out.take(message, &mut |bytes| heard.out(bytes, io.out));
            }
            LogOutput::StdIn { .. } => {}
        }
    }

    /// Whether standard output came back as the very bytes that were written.
    pub(crate) fn is_exact(&self) -> bool {
        // Above that the engine may have thrown the beginning away.
        self.driver_is_exact && self.size < ENGINE_LOG && !self.out.end_is_unclear()
    }
}

/// A stream in pieces of lines. The `local` driver of Docker 20.10 forgets the newline of lines longer than a piece.
#[derive(Debug, Default)]
struct Lines {
    /// Bytes that were heard already.
    skip: u64,
    /// The last piece, if it had no newline: whether it was a full one.
    open: Option<Piece>,
    /// Whether the line goes on from a full piece.
    continued: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// More of the line follows.
    Full,
    /// The line's end, or the stream's.
    Last,
}

impl Lines {
    fn take(&mut self, piece: &[u8], give: &mut dyn FnMut(&[u8])) {
        // Shorter than a full piece and not the stream's end: its newline was forgotten.
        if self.open == Some(Piece::Last) {
            self.give(b"\n", give);
            self.continued = false;
        }
        self.give(piece, give);
        self.open = match piece.last() {
            Some(b'\n') => None,
            _ if piece.len() == PIECE => Some(Piece::Full),
            _ => Some(Piece::Last),
        };
        self.continued = match self.open {
            None => false,
            Some(Piece::Full) => true,
            Some(Piece::Last) => self.continued,
        };
    }

    /// A short last piece of a long line: whether a newline was written after it is forgotten.
    fn end_is_unclear(&self) -> bool {
        self.open == Some(Piece::Last) && self.continued
    }

    fn give(&mut self, bytes: &[u8], give: &mut dyn FnMut(&[u8])) {
        let known = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= known as u64;
        if known < bytes.len() {
            give(&bytes[known..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(pieces: &[&[u8]], skip: u64) -> (Vec<u8>, bool) {
        let mut lines = Lines { skip, ..Lines::default() };
        let mut all = Vec::new();
        for piece in pieces {
            lines.take(piece, &mut |bytes| all.extend_from_slice(bytes));
        }
        (all, lines.end_is_unclear())
    }

    #[test]
    fn f55_pieces_of_long_lines_are_joined_and_their_newlines_restored() {
        let full = vec![b'z'; PIECE];
        let (all, unclear) = joined(&[&full, &full, b"end", b"next\n"], 0);
        assert_eq!((all.len(), unclear), (2 * PIECE + "end\nnext\n".len(), false));
        assert!(all.ends_with(b"zend\nnext\n"));
        // A line of exactly one piece: what follows it is an empty end.
        let (all, unclear) = joined(&[&full, b"", b"next\n"], 0);
        assert!(all.ends_with(b"z\nnext\n") && !unclear);
    }

    #[test]
    fn f55_a_last_line_without_newline_stays_without() {
        assert_eq!(joined(&[b"a\n", b"x"], 0), (b"a\nx".to_vec(), false));
        let full = vec![b'z'; PIECE];
        assert!(joined(&[&full, b"end"], 0).1, "the newline of a long last line is not known");
        assert!(!joined(&[&full, b"end\n"], 0).1);
    }

    #[test]
    fn f55_what_was_heard_is_not_heard_again() {
        assert_eq!(joined(&[b"one\n", b"two\n", b"three"], 6).0, b"o\nthree");
        assert_eq!(joined(&[b"one\n"], 9).0, b"");
    }
}

//! How things are written for people: safe text, widths on the terminal, durations, shell words, marks and colours.
//!
//! Knows no terminal and no environment: whether to colour, and how wide a line may be, is told by the caller.

use std::{borrow::Cow, fmt::Write as _, time::Duration};

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr;
use workflow_model::{JobStatus, TaskStatus};

/// Makes a text safe to print: control characters, and those that turn or hide text, become visible escapes
/// (`\n`, `\x1b`, `\u{202e}`).
#[must_use]
pub fn safe(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) { escape_into(&mut out, c) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Makes one line of a program's output safe to print: colour and cursor sequences are dropped, of a line redrawn with
/// carriage returns the last state stays, tabs become blanks, what else controls becomes visible as in [`safe`].
#[must_use]
pub fn safe_output(line: &str) -> String {
    let line = line.trim_end_matches(['\r', '\n']);
    let line = line.rsplit('\r').next().unwrap_or(line);
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\t' => out.push_str("    "),
            '\x1b' => skip_sequence(&mut chars, &mut out),
            c if is_unsafe(c) => escape_into(&mut out, c),
            c => out.push(c),
        }
    }
    out
}

/// Like [`safe`], and every character beyond ASCII becomes an escape: for terminals that show nothing else.
#[must_use]
pub fn safe_ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return safe(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if c.is_ascii() && !is_unsafe(c) { out.push(c) } else { escape_into(&mut out, c) }
    }
    Cow::Owned(out)
}

/// How many columns a text takes on a terminal: the sum over what a reader sees as one character (East Asian wide
/// characters and emoji take two). The text is expected to be [`safe`].
#[must_use]
pub fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.graphemes(true).map(UnicodeWidthStr::width).sum() }
}

/// Cuts a text at its end to at most `max` columns; `…` stands for what was cut.
#[must_use]
pub fn cut(text: &str, max: usize) -> Cow<'_, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    if max == 0 {
        return Cow::Borrowed("");
    }
    Cow::Owned(format!("{}…", head(text, max - 1)))
}

/// Cuts a text in its middle to at most `max` columns, since names of one family differ at their ends; `…` (`~` if
/// `ascii`) stands for what was cut.
#[must_use]
pub fn cut_middle(text: &str, max: usize, ascii: bool) -> Cow<'_, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    if max == 0 {
        return Cow::Borrowed("");
    }
    let tail_width = (max - 1) / 2;
    let dots = if ascii { '~' } else { '…' };
    Cow::Owned(format!("{}{dots}{}", head(text, max - 1 - tail_width), tail(text, tail_width)))
}

/// Appends blanks up to `columns`; a text that is wider stays as it is.
#[must_use]
pub fn pad(text: &str, columns: usize) -> String {
    let missing = columns.saturating_sub(width(text));
    format!("{text}{:missing$}", "")
}

/// A duration for people: `40 ms`, `1.2 s`, `12.3 s`, `3 min 04 s`, `2 h 05 min`, `3 d 04 h`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let tenths = (ms + 50) / 100;
    let s = (ms + 500) / 1000;
    if ms == 0 {
        "0 s".into()
    } else if ms < 100 {
        format!("{ms} ms")
    } else if tenths < 600 {
        format!("{}.{} s", tenths / 10, tenths % 10)
    } else if s < 3600 {
        format!("{} min {:02} s", s / 60, s % 60)
    } else if s < 86_400 {
        format!("{} h {:02} min", s / 3600, s % 3600 / 60)
    } else {
        format!("{} d {:02} h", s / 86_400, s % 86_400 / 3600)
    }
}

/// The time between two moments in microseconds; zero if they are the wrong way round.
#[must_use]
pub fn between(from: i64, to: i64) -> Duration {
    Duration::from_micros(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
}

/// A number with its thousands set apart: `10,000`.
#[must_use]
pub fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.char_indices() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count with its noun: `1 task`, `7 tasks`.
#[must_use]
pub fn counted(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A text as one word of a POSIX shell, ready to be pasted. Control characters take bash's and zsh's `$'…'` form, so
/// that nothing raw is printed.
#[must_use]
pub fn shell_quote(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && !text.starts_with('=') && text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    if !text.chars().any(is_unsafe) {
        return Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")));
    }
    let mut out = String::from("$'");
    for c in text.chars() {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_unsafe(c) => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('\'');
    Cow::Owned(out)
}

/// The sign of a task's status, one column wide, so that colour is never the only difference.
#[must_use]
pub fn mark(status: TaskStatus, ascii: bool) -> &'static str {
    let (sign, plain) = match status {
        TaskStatus::Waiting => ("○", "o"),
        TaskStatus::Running => ("●", "*"),
        TaskStatus::Retrying => ("↻", "~"),
        TaskStatus::Succeeded => ("✓", "+"),
        TaskStatus::Skipped => ("⊘", "-"),
        TaskStatus::Cancelled => ("◌", "c"),
        TaskStatus::Failed => ("✗", "x"),
    };
    if ascii { plain } else { sign }
}

/// How a text is set off on a terminal that shows colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// Heavy.
    Bold,
    /// Faint: of less interest.
    Dim,
    /// It went well.
    Good,
    /// It went badly.
    Bad,
    /// It needs a look.
    Warn,
    /// It is under way.
    Live,
}

impl Tone {
    /// The tone of a task's status.
    #[must_use]
    pub fn of_task(status: TaskStatus) -> Self {
        match status {
            TaskStatus::Waiting | TaskStatus::Skipped => Self::Dim,
            TaskStatus::Running => Self::Live,
            TaskStatus::Retrying | TaskStatus::Cancelled => Self::Warn,
            TaskStatus::Succeeded => Self::Good,
            TaskStatus::Failed => Self::Bad,
        }
    }

    /// The tone of a job's status.
    #[must_use]
    pub fn of_job(status: JobStatus) -> Self {
        match status {
            JobStatus::Queued => Self::Dim,
            JobStatus::Running => Self::Live,
            JobStatus::Cancelling | JobStatus::Cancelled => Self::Warn,
            JobStatus::Succeeded => Self::Good,
            JobStatus::Failed => Self::Bad,
        }
    }

    /// The escape sequence that turns the tone on; empty for plain.
    #[must_use]
    pub fn sequence(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[1;31m",
            Self::Warn => "\x1b[33m",
            Self::Live => "\x1b[36m",
        }
    }
}

/// Sets a text off, if `color`.
#[must_use]
pub fn paint(text: &str, tone: Tone, color: bool) -> Cow<'_, str> {
    if !color || tone == Tone::Plain || text.is_empty() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}{text}\x1b[0m", tone.sequence()))
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn escape_into(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        '\r' => out.push_str("\\r"),
        c if u32::from(c) < 0x100 => _ = write!(out, "\\x{:02x}", u32::from(c)),
        c => _ = write!(out, "\\u{{{:x}}}", u32::from(c)),
    }
}

/// After an escape character: drops a control sequence (CSI) or a command to the terminal (OSC and kin); a lone escape
/// becomes visible.
fn skip_sequence(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            // Parameters and intermediates are 0x20..=0x3f, one final byte ends it (ECMA-48 §5.4).
            while chars.next_if(|c| (' '..='?').contains(c)).is_some() {}
            chars.next_if(|c| ('@'..='~').contains(c));
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            while let Some(c) = chars.next() {
                if c == '\x07' || c == '\u{9c}' || (c == '\x1b' && chars.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        Some('(' | ')') => {
            chars.next();
            chars.next();
        }
        _ => escape_into(out, '\x1b'),
    }
}

fn head(text: &str, max: usize) -> &str {
    let mut used = 0;
    let end = text.grapheme_indices(true).find_map(|(at, g)| {
        used += g.width();
        (used > max).then_some(at)
    });
    &text[..end.unwrap_or(text.len())]
}

fn tail(text: &str, max: usize) -> &str {
    let mut used = 0;
    let mut start = text.len();
    for (at, g) in text.grapheme_indices(true).rev() {
        used += g.width();
        if used > max {
            break;
        }
        start = at;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_become_visible() {
        assert_eq!(safe("a\x1b[31mb\nc\u{202e}d"), "a\\x1b[31mb\\nc\\u{202e}d");
        assert_eq!(safe("étape 1 👩‍🔬"), "étape 1 👩‍🔬");
        assert_eq!(safe_ascii("étape"), "\\xe9tape");
    }

    #[test]
    fn output_lines_lose_colours_and_redraws() {
        assert_eq!(safe_output("\x1b[1;31merror\x1b[0m:\tno\x07"), "error:    no\\x07");
        assert_eq!(safe_output("10 %\r 50 %\r100 %\r\n"), "100 %");
        assert_eq!(safe_output("\x1b]0;title\x07ok \x1b]8;;http://x\x1b\\link"), "ok link");
        assert_eq!(safe_output("end \x1b"), "end \\x1b");
        assert_eq!(safe_output("\x1b[31"), "");
    }

    #[test]
    fn widths_are_those_of_a_terminal() {
        assert_eq!(width("日本語"), 6);
        assert_eq!(width("👩‍🔬"), 2);
        assert_eq!(width("e\u{301}"), 1);
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut_middle("compile-everything-017", 12, false), "compil…g-017");
        assert_eq!(pad("日本", 6), "日本  ");
    }

    #[test]
    fn durations_read_well() {
        let of = |ms| duration(Duration::from_millis(ms));
        let texts = [0, 40, 99, 100, 1249, 12_340, 59_949, 59_950, 184_000, 3_599_600, 7_500_000, 273_600_000].map(of);
        assert_eq!(
            texts.join(" | "),
            "0 s | 40 ms | 99 ms | 0.1 s | 1.2 s | 12.3 s | 59.9 s | 1 min 00 s | 3 min 04 s | 1 h 00 min | 2 h 05 min | 3 d 04 h"
        );
    }

    #[test]
    fn shell_words_can_be_pasted() {
        assert_eq!(shell_quote("lib/x.o"), "lib/x.o");
        assert_eq!(shell_quote(""), "''");
        assert_eq!(shell_quote("it's"), r"'it'\''s'");
        assert_eq!(shell_quote("#1 $HOME"), "'#1 $HOME'");
        assert_eq!(shell_quote("a\x1b'b"), r"$'a\u001b\'b'");
    }

    #[test]
    fn counts_have_thousands() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count).join(" "), "0 999 1,000 1,234,567");
    }

    proptest! {
        #[test]
        fn nothing_raw_gets_through(text in any::<String>()) {
            for out in [safe(&text).into_owned(), safe_output(&text), shell_quote(&text).into_owned()] {
                prop_assert!(!out.chars().any(char::is_control), "{out:?}");
            }
            prop_assert!(safe_ascii(&text).is_ascii());
        }

        #[test]
        fn cuts_keep_their_width(text in any::<String>(), max in 0usize..30) {
            prop_assert!(width(&cut(&safe(&text), max)) <= max);
            prop_assert!(width(&cut_middle(&safe(&text), max, false)) <= max);
        }
    }
}

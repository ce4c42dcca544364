//! Text from outside, made safe to show: on a terminal nothing in it moves the cursor, changes colours or turns lines round.

use std::borrow::Cow;

use unicode_width::UnicodeWidthChar;

/// A value in double quotes, escaped and cut to 60 characters.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(60) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// A key in backticks, escaped and cut to 60 characters.
pub(crate) fn key(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("`{}{more}`", safe(&cut))
}

/// At most 256 characters of a name: what is longer is no name, but may be told about a thousand times.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(256).collect()
}

/// One line without control characters; a tab becomes `→`.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| push_shown(&mut shown, c));
    Cow::Owned(shown)
}

/// How many columns of a terminal a safe text takes.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Appends a character in its safe form.
pub(crate) fn push_shown(shown: &mut String, c: char) {
    match c {
        '\t' => shown.push('→'),
        '\0'..='\x1f' => shown.push(char::from_u32(0x2400 + c as u32).expect("BUG: control pictures are characters")),
        '\x7f' => shown.push('␡'),
        _ if is_plain(c) => shown.push(c),
        _ => shown.extend(c.escape_unicode()),
    }
}

/// Whether a character neither controls a terminal nor changes the direction or place of its neighbours.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_dangerous_is_left() {
        assert_eq!(safe("a\tb\x1b[31m\x7f\u{202e}x"), "a→b␛[31m␡\\u{202e}x");
        assert_eq!(safe("étape 1 🚀"), "étape 1 🚀");
        assert_eq!(key("a\nb"), "`a␊b`");
        assert_eq!(quoted("a\u{202e}b"), "\"a\\u{202e}b\"");
        assert_eq!(quoted(&"x".repeat(100)).chars().count(), 63);
    }
}

//! Durations and sizes as people write them: always with a unit (design §3). Configuration and command line use these too.

use std::{fmt, time::Duration};

/// Why a text is not a duration or a size. The text of the error says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {reason}")]
pub struct InvalidUnit {
    /// The text as given, cut to 80 characters.
    pub text: String,
    /// What is wrong, as the end of a sentence, with the remedy.
    pub reason: String,
}

/// The units of durations, longest first, in milliseconds.
const DURATIONS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The units of sizes in bytes; each may be followed by `B`.
const SIZES: [(&str, u64); 11] = [
    ("Pi", 1 << 50),
    ("P", 1_000_000_000_000_000),
    ("Ti", 1 << 40),
    ("T", 1_000_000_000_000),
    ("Gi", 1 << 30),
    ("G", 1_000_000_000),
    ("Mi", 1 << 20),
    ("M", 1_000_000),
    ("Ki", 1 << 10),
    ("K", 1_000),
    ("k", 1_000),
];

/// The longest duration, in milliseconds: 10,000 years, so that sums with a clock's value cannot overflow.
const LONGEST: u64 = 10_000 * 366 * 86_400_000;

/// Reads a duration: numbers with units, largest unit first (`30s`, `1h30m`, `1.5h`, `250ms`, `2d`). Resolution: 1 ms.
///
/// # Errors
/// A bare number, an unknown unit, units out of order, or a value out of range.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidUnit> {
    let wrong = |reason: String| InvalidUnit { text: text.chars().take(80).collect(), reason };
    if is_bare_number(text) {
        return Err(wrong(format!("has no unit: write {text}s, {text}m or {text}h")));
    }
    let form =
        || wrong("is not a duration: write a number with its unit, like 30s, 5m, 1h30m (units: ms, s, m, h, d)".into());
    let (mut rest, mut total, mut below) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() || below == u64::MAX {
        let (number, after) = split_number(rest).ok_or_else(form)?;
        let unit_len = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let &(_, scale) = DURATIONS.iter().find(|(name, _)| *name == unit).ok_or_else(form)?;
        if scale >= below {
            return Err(wrong("has its units out of order: write the largest first, like 1h30m".into()));
        }
        let part = scaled(number, scale).ok_or_else(|| wrong("is finer than 1 ms or too large".into()))?;
        total = total.checked_add(part).filter(|t| *t <= LONGEST).ok_or_else(|| wrong("is too long".into()))?;
        (rest, below) = (after, scale);
    }
    Ok(Duration::from_millis(total))
}

/// Reads a size in bytes: `4Gi`, `500M`, `64MiB`, `100B`, `1.5Gi`.
///
/// # Errors
/// A bare number, an unknown unit, parts of a byte, or a value over 2^63.
pub fn parse_size(text: &str) -> Result<u64, InvalidUnit> {
    let wrong = |reason: String| InvalidUnit { text: text.chars().take(80).collect(), reason };
    if is_bare_number(text) {
        return Err(wrong(format!("has no unit: write {text}Mi, {text}Gi or {text}B")));
    }
    let form =
        || wrong("is not a size: write a number with its unit, like 500M or 4Gi (B, k, M, G, T, P; Ki, Mi, …)".into());
    let (number, unit) = split_number(text).ok_or_else(form)?;
    let scale = match unit {
        "B" => 1,
        _ => {
            let unit = unit.strip_suffix('B').unwrap_or(unit);
            SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(form)?.1
        }
    };
    scaled(number, scale)
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| wrong("is not a whole number of bytes, or too large".into()))
}

/// A duration in the shortest form that [`parse_duration`] reads back: `1h30m`, `1s500ms`, `0s`. Parts below 1 ms are cut.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, scale) in DURATIONS {
        if rest >= scale {
            push(&mut text, format_args!("{}{unit}", rest / scale));
            rest %= scale;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// A size in the shortest exact form that [`parse_size`] reads back: `4Gi`, `500M`, `123B`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    let fits = |&&(_, scale): &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(scale);
    match SIZES.iter().filter(fits).max_by_key(|(_, scale)| *scale) {
        Some((unit, scale)) => format!("{}{unit}", bytes / scale),
        None => format!("{bytes}B"),
    }
}

fn push(text: &mut String, part: fmt::Arguments<'_>) {
    fmt::Write::write_fmt(text, part).expect("BUG: a String takes everything");
}

fn is_bare_number(text: &str) -> bool {
    split_number(text).is_some_and(|(_, rest)| rest.is_empty())
}

/// Splits `1.5h` into `1.5` and `h`; `None` if it does not begin with a number.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    (!whole.is_empty() && !part.is_empty() && !part.contains('.')).then_some((number, rest))
}

/// `number * scale` if that is a whole number that fits.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let part = part.trim_end_matches('0');
    if part.len() > 15 {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    if part.is_empty() {
        return Some(whole);
    }
    let (numerator, denominator) = (part.parse::<u128>().ok()? * u128::from(scale), 10_u128.pow(part.len() as u32));
    let part = numerator.is_multiple_of(denominator).then_some(numerator / denominator)?;
    whole.checked_add(u64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis, canonical) in [
            ("30s", 30_000, "30s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("90m", 5_400_000, "1h30m"),
            ("1.5h", 5_400_000, "1h30m"),
            ("250ms", 250, "250ms"),
            ("0.5s", 500, "500ms"),
            ("2d", 172_800_000, "2d"),
            ("0s", 0, "0s"),
        ] {
            let read = parse_duration(text).unwrap();
            assert_eq!(read, Duration::from_millis(millis), "{text}");
            assert_eq!(format_duration(read), canonical);
        }
    }

    #[test]
    fn wrong_durations_say_what_to_write() {
        for (text, part) in [
            ("30", "write 30s"),
            ("1.5", "write 1.5s"),
            ("", "with its unit"),
            ("s", "with its unit"),
            ("5 m", "with its unit"),
            ("-5m", "with its unit"),
            ("5min", "with its unit"),
            ("1m1h", "largest first"),
            ("1m1m", "largest first"),
            ("0.1ms", "finer than 1 ms"),
            ("99999999999999999999s", "too large"),
            ("99999999999h", "too long"),
        ] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, canonical) in [
            ("4Gi", 4 << 30, "4Gi"),
            ("500M", 500_000_000, "500M"),
            ("64MiB", 64 << 20, "64Mi"),
            ("1k", 1000, "1k"),
            ("1.5Ki", 1536, "1536B"),
            ("100B", 100, "100B"),
            ("0B", 0, "0B"),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
            assert_eq!(format_size(bytes), canonical);
            assert_eq!(parse_size(&format_size(bytes)).unwrap(), bytes);
        }
        for text in ["", "4", "Gi", "4 Gi", "4gi", "-4Gi", "1.5B", "99999999P", "4BB", "4i"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert!(parse_size("512").unwrap_err().to_string().contains("write 512Mi"));
    }
}

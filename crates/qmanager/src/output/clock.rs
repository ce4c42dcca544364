//! Moments for people and for programs. The queue counts microseconds since 1970.

use jiff::{Timestamp, ZonedDateTime, civil, tz::TimeZone};
use job_queue::Micros;

/// Now, by this host's clock: for people and for `--at`, never for correctness.
#[must_use]
pub fn now() -> Micros {
    #[expect(clippy::disallowed_methods, reason = "the one wall clock of the command line")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}

/// For programs: RFC 3339 in UTC, microseconds.
#[must_use]
pub fn rfc3339(moment: Micros) -> String {
    timestamp(moment).to_string()
}

/// For people: local time, seconds.
#[must_use]
pub fn local(moment: Micros) -> String {
    timestamp(moment).to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// How long ago a moment was, or how soon it comes: `12 s ago`, `in 5 min`.
#[must_use]
pub fn ago(moment: Micros, now: Micros) -> String {
    let distance = crate::text::duration(crate::text::between(moment.min(now), moment.max(now)));
    if moment > now { format!("in {distance}") } else { format!("{distance} ago") }
}

/// Reads a moment as people write it: RFC 3339 with an offset, a local date and time, a local date, a time of day (the
/// next one that comes), or a duration from now.
///
/// # Errors
/// A sentence that says what to write.
pub fn parse_moment(text: &str, now: Micros) -> Result<Micros, String> {
    if let Ok(distance) = workflow_model::parse_duration(text) {
        let micros = i64::try_from(distance.as_micros()).unwrap_or(i64::MAX);
        return Ok(now.saturating_add(micros));
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment.as_microsecond());
    }
    if let Ok(moment) = text.parse::<ZonedDateTime>() {
        return Ok(moment.timestamp().as_microsecond());
    }
    let zone = TimeZone::system();
    let today = timestamp(now).to_zoned_datetime(zone.clone());
    let local = if let Ok(time) = text.parse::<civil::Time>() {
        let then = today.date().to_datetime(time);
        if then <= today.datetime() { then.tomorrow().map_err(|e| e.to_string())? } else { then }
    } else {
        text.parse::<civil::DateTime>().map_err(|_| {
            format!("{text:?} is not a time: write 2026-01-31T08:00, 08:00, 2026-01-31T08:00:00Z or a duration like 2h")
        })?
    };
    let moment = local.to_zoned_datetime(zone).map_err(|e| e.to_string())?;
    Ok(moment.timestamp().as_microsecond())
}

fn timestamp(moment: Micros) -> Timestamp {
    Timestamp::from_microsecond(moment).unwrap_or(if moment < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Micros = 1_774_958_400_000_000; // 2026-03-31T12:00:00Z

    #[test]
    fn moments_are_read_as_people_write_them() {
        assert_eq!(parse_moment("2h", NOON), Ok(NOON + 7_200_000_000));
        assert_eq!(parse_moment("2026-03-31T12:00:00Z", NOON), Ok(NOON));
        assert_eq!(parse_moment("2026-03-31T14:00:00+02:00", NOON), Ok(NOON));
        assert!(parse_moment("2026-04-01", NOON).is_ok());
        assert!(parse_moment("08:00", NOON).is_ok_and(|then| then > NOON && then <= NOON + 86_400_000_000));
        for wrong in ["soon", "", "30", "25:00"] {
            let error = parse_moment(wrong, NOON).unwrap_err();
            assert!(error.contains("write"), "{wrong}: {error}");
        }
    }

    #[test]
    fn moments_are_written_for_programs_in_utc() {
        assert_eq!(rfc3339(NOON), "2026-03-31T12:00:00Z");
        assert_eq!(rfc3339(NOON + 5), "2026-03-31T12:00:00.000005Z");
        assert_eq!(ago(NOON - 12_300_000, NOON), "12.3 s ago");
        assert_eq!(ago(NOON + 300_000_000, NOON), "in 5 min 00 s");
    }
}

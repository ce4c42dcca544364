//! Repeated measurements: taken in turns, so that a disturbance hits all subjects alike; medians, never means.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde::Serialize;

/// What one subject measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Sample {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// Something that is measured: its name and one measurement.
pub(crate) type Subject<'a> = (&'a str, Box<dyn FnMut() -> Result<f64> + 'a>);

impl Sample {
    /// At least one value.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len() - 1;
        Self { median: f64::midpoint(sorted[last / 2], sorted[sorted.len() / 2]), min: sorted[0], max: sorted[last] }
    }

    /// The same in another unit.
    pub(crate) fn scaled(self, scale: impl Fn(f64) -> f64) -> Self {
        Self { median: scale(self.median), min: scale(self.min), max: scale(self.max) }
    }
}

/// Measures all subjects in turns, `runs` times, after one unmeasured turn.
pub(crate) fn in_turns<'a>(runs: usize, mut subjects: Vec<Subject<'a>>) -> Result<BTreeMap<&'a str, Sample>> {
    let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for turn in 0..=runs {
        for (name, measure) in &mut subjects {
            let value = measure().with_context(|| format!("cannot measure `{name}`"))?;
            if turn > 0 {
                values.entry(name).or_default().push(value);
            }
        }
    }
    Ok(values.into_iter().map(|(name, values)| (name, Sample::of(&values))).collect())
}

/// How long something takes.
pub(crate) fn timed<T>(what: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let start = now();
    let value = what()?;
    Ok((value, start.elapsed()))
}

/// Milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[expect(clippy::disallowed_methods, reason = "this is the clock of the measurements")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let odd = Sample::of(&[3.0, 1.0, 2.0]);
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 3.0));
        assert_eq!(Sample::of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Sample::of(&[7.0]).median, 7.0);
    }

    #[test]
    fn the_first_turn_is_not_counted() {
        let mut calls = 0.0;
        let subject: Subject<'_> = (
            "x",
            Box::new(move || {
                calls += 1.0;
                Ok(calls)
            }),
        );
        let sample = in_turns(3, vec![subject]).expect("nothing fails")["x"];
        assert_eq!((sample.min, sample.max), (2.0, 4.0));
    }
}

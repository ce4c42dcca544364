//! Our own log: lines on standard error, as loud as `-q` and `-v` say.

use tracing::level_filters::LevelFilter;

/// How loud: `-q` errors only, else warnings, `-v` what happens, `-vv` how, `-vvv` everything.
#[must_use]
pub fn level(quiet: bool, verbose: u8) -> LevelFilter {
    match (quiet, verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    }
}

/// Sets the process's log up. A second call changes nothing.
pub fn init(level: LevelFilter, color: bool) {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(color)
        .with_target(level >= LevelFilter::DEBUG)
        .with_writer(std::io::stderr)
        .finish();
    // An embedding program may have its own already: that one stays.
    tracing::subscriber::set_global_default(subscriber).unwrap_or(());
}

//! From a URL to what is to be connected to, and how.

use std::{path::PathBuf, time::Duration};

use tokio_postgres::config::{Config, SslMode, TargetSessionAttrs};

use super::tls::Trust;
use crate::{Error, OpenOptions};

/// A connection that is not made within this time is not made.
const CONNECT: Duration = Duration::from_secs(5);
/// A server that acknowledges nothing for so long is gone (cut cable, dropped packets).
const SILENCE: Duration = Duration::from_secs(15);
/// What every session of ours is started with. A pooler that does not hand this through is found by `qmanager.client`.
/// Sequential scans are off since every statement has its index, and a plan that was made while a table was empty must
/// not stay when it holds a million rows.
const SESSION: &str = "-c qmanager.client=1 -c lock_timeout=5000 -c statement_timeout=30000 \
     -c idle_in_transaction_session_timeout=10000 -c enable_seqscan=off -c jit=off -c client_min_messages=warning";

/// What to connect to.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) config: Config,
    pub(super) trust: Trust,
    pub(super) password_file: Option<PathBuf>,
    /// For people: without user and password.
    pub(super) shown: String,
    /// Whether an unmigrated database is migrated rather than refused.
    pub(super) migrate: bool,
    /// How long a call goes on trying to reach the server.
    pub(super) patience: Duration,
}

/// Whether a URL names a PostgreSQL database.
pub(crate) fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// A URL as it may be printed: without user, password and parameters (I22).
pub(crate) fn shown(url: &str) -> String {
    if !is_postgres(url) {
        return url.into();
    }
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let bare = rest.split(['?', '#']).next().unwrap_or_default();
    // A password may hold any character that its user forgot to escape.
    let bare = bare.rsplit_once('@').map_or(bare, |(_, after)| after);
    let host = rest.split_once('?').and_then(|(_, query)| query.split('&').find_map(|p| p.strip_prefix("host=")));
    match host.filter(|_| bare.starts_with('/') || bare.is_empty()) {
        Some(host) => format!("{scheme}://{bare}?host={host}"),
        None => format!("{scheme}://{bare}"),
    }
}

impl Target {
    pub(super) fn new(url: &str, options: &OpenOptions) -> Result<Self, Error> {
        let shown = shown(url);
        let (plain, trust) = take_trust(url)?;
        // The parser's own words may quote the password.
        let mut config: Config = plain.parse().map_err(|_| {
            Error::Url(format!(
                "{shown} is not the URL of a PostgreSQL database; write postgres://USER@HOST[:PORT]/DATABASE (special \
                 characters of a password as %XX, or better: db.password_file; after a `?` only what docs/postgres.md names)"
            ))
        })?;
        if config.get_hosts().is_empty() {
            return Err(Error::Url(format!("{shown} names no host; write postgres://USER@HOST[:PORT]/DATABASE")));
        }
        if trust.is_required() {
            config.ssl_mode(SslMode::Require);
        }
        let own = config.get_options().map(|own| format!("{own} ")).unwrap_or_default();
        config.options(format!("{own}{SESSION}"));
        if config.get_application_name().is_none() {
            config.application_name("qmanager");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        config
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(2);
        // After a failover the old address may answer, as a standby.
        config.tcp_user_timeout(SILENCE).target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(Self {
            config,
            trust,
            password_file: options.password_file.clone(),
            shown,
            migrate: options.migrate,
            patience: options.busy_timeout,
        })
    }

    /// The configuration with the password as it is in its file now: it may be changed while we run.
    pub(super) fn config(&self) -> Result<Config, Error> {
        let mut config = self.config.clone();
        if let Some(path) = &self.password_file {
            let password = std::fs::read_to_string(path)
                .map_err(|e| Error::io(format!("read the password file {}", path.display()), e))?;
            config.password(password.trim_end_matches(['\r', '\n']));
        }
        Ok(config)
    }
}

/// The parameters that the client library does not know: `sslmode=verify-ca|verify-full`, `sslrootcert`.
fn take_trust(url: &str) -> Result<(String, Trust), Error> {
    let Some((base, query)) = url.split_once('?') else { return Ok((url.into(), Trust::default())) };
    let mut trust = Trust::default();
    let mut rest = Vec::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("sslmode", "verify-full" | "verify-ca")) => trust.verify = true,
            Some(("sslmode", "allow")) => rest.push("sslmode=prefer"),
            Some(("sslmode", mode)) if !["disable", "prefer", "require"].contains(&mode) => {
                return Err(Error::Url(format!(
                    "sslmode={mode} is not known; write disable, prefer, require, verify-ca or verify-full"
                )));
            }
            Some(("sslrootcert", path)) => {
                trust.verify = true;
                trust.roots = Some(PathBuf::from(path.replace("%2F", "/")));
            }
            _ => rest.push(parameter),
        }
    }
    let url = if rest.is_empty() { base.into() } else { format!("{base}?{}", rest.join("&")) };
    Ok((url, trust))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i22_a_url_is_shown_without_user_and_password() {
        for (url, expected) in [
            ("postgres://qm:s3cret@db.internal:5432/qm?sslmode=require", "postgres://db.internal:5432/qm"),
            ("postgresql://u:p@ss@w@h/d", "postgresql://h/d"),
            ("postgres://h1,h2:5433/d?password=s3cret", "postgres://h1,h2:5433/d"),
            ("postgres:///qm?host=/run/postgresql&password=s3cret", "postgres:///qm?host=/run/postgresql"),
            ("sqlite:/var/q@x.db", "sqlite:/var/q@x.db"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn i22_no_error_about_a_url_quotes_its_password() {
        for url in [
            "postgres://u:s3cret@h:notaport/d",
            "postgres://u:s3cret@/",
            "postgres://u@h/d?password=s3cret&sslmode=never",
            "postgres://u@h/d?password=s3cret&nonsense=1",
        ] {
            let error = Target::new(url, &OpenOptions::default()).expect_err(url).to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn what_the_client_library_does_not_know_is_taken_out() {
        let target = Target::new("postgres://u@h/d?sslmode=verify-full&options=-c%20x.y=1", &OpenOptions::default());
        let target = target.unwrap();
        assert!(target.trust.verify && target.config.get_ssl_mode() == SslMode::Require);
        let options = target.config.get_options().unwrap();
        assert!(options.starts_with("-c x.y=1 -c qmanager.client=1"), "{options}");
    }
}

//! What a failed statement means: try again, look what happened, or give up.

use tokio_postgres::error::SqlState;

use crate::Error;

/// A statement, or what we made of it, failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server, or the way to it.
    Db(tokio_postgres::Error),
    /// The server did not answer in time.
    Silent,
    /// A refusal of ours.
    Ours(Error),
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: the answer stands.
    Stands,
    /// The transaction was rolled back since another was in its way: once more (F42).
    Conflict,
    /// The connection is of no use any more, and whether the statement was done is unknown (F37, F38, F41).
    Broken,
}

impl Failure {
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Ours(_) => Verdict::Stands,
            Self::Silent => Verdict::Broken,
            Self::Db(error) => match error.code() {
                Some(code)
                    if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED =>
                {
                    Verdict::Conflict
                }
                Some(code) if is_lost(code) => Verdict::Broken,
                Some(_) => Verdict::Stands,
                // Without a word from the server: the connection failed, or the words were not understood.
                None if is_ours(error) || distrust(error).is_some() => Verdict::Stands,
                None => Verdict::Broken,
            },
        }
    }

    pub(super) fn is(&self, wanted: &SqlState) -> bool {
        matches!(self, Self::Db(error) if error.code() == Some(wanted))
    }
}

/// The server is going away, coming up, full, or a standby now.
fn is_lost(code: &SqlState) -> bool {
    [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::IDLE_SESSION_TIMEOUT,
    ]
    .contains(code)
        || code.code().starts_with("08") && *code != SqlState::PROTOCOL_VIOLATION
}

/// A value that could not be encoded or decoded: no other connection makes it better.
fn is_ours(error: &tokio_postgres::Error) -> bool {
    let text = error.to_string();
    text.starts_with("error serializing") || text.starts_with("error deserializing") || text.starts_with("invalid c")
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let error = match failure {
            Failure::Ours(error) => return error,
            Failure::Silent => return Self::Unreachable("it does not answer".into()),
            Failure::Db(error) => error,
        };
        let Some(db) = error.as_db_error() else {
            if let Some(why) = distrust(&error) {
                return Self::Unusable(why);
            }
            // `target_session_attrs`: the text says so, the type does not.
            if chain(&error).contains("does not allow writes") {
                return Self::Unreachable(STANDBY.into());
            }
            return if is_ours(&error) { Self::Database(error.into()) } else { Self::Unreachable(chain(&error)) };
        };
        let (code, said) = (db.code(), db.message().to_owned());
        if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
            return Self::Unreachable(STANDBY.into());
        }
        if is_lost(code) {
            return Self::Unreachable(said);
        }
        match code.code() {
            // lock_timeout, statement_timeout, and conflicts that did not go away.
            "55P03" | "57014" | "40001" | "40P01" => Self::Busy(error.into()),
            "53100" => Self::Full(error.into()),
            "58030" => Self::Disk(error.into()),
            "28P01" | "28000" => Self::Unusable(format!("{said}; check the user in db.url and db.password_file")),
            "3D000" => Self::Unusable(format!("{said}; make it with `createdb`, then `qmanager queue migrate`")),
            "42501" => Self::Unusable(format!("{said}; the docs on PostgreSQL say which rights qmanager's user needs")),
            "42P01" | "3F000" | "42703" | "42883" => Self::Unusable(format!("{said}; run `qmanager queue migrate`")),
            // A zero character in a text.
            "22021" | "22P05" => Self::Refused(format!("a text cannot be stored: {said}")),
            _ => Self::Database(error.into()),
        }
    }
}

/// What is wrong with the server's certificate, or that it has none: it does not get better by trying again.
fn distrust(error: &tokio_postgres::Error) -> Option<String> {
    let text = chain(error);
    if let Some((_, why)) = text.split_once("invalid peer certificate: ") {
        return Some(format!(
            "the server's certificate is not accepted ({why}); sslrootcert=FILE in db.url names the certificate of the CA              that signed it, and the host in db.url must be one that it was made for"
        ));
    }
    text.contains("server does not support TLS").then(|| {
        "the server has no encryption (its setting `ssl` is off), but sslmode in db.url asks for it".to_owned()
    })
}

const STANDBY: &str = "it is read-only: a standby, or a failover is under way";

/// An error with its causes, since the outer one says no more than that connecting failed.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
    })
}

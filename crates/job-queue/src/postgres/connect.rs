//! Making a session: connect, see who answers, and whether the database has our form.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Connection, NoTls, error::SqlState};

use super::{failure::Failure, schema, session::Session, target::Target};
use crate::Error;

/// The oldest server that the statements are written for.
const OLDEST_SERVER: i32 = 130_000;
/// Whoever listens hears of its connection's end after this: a server that turns everybody away is not asked in a loop.
const HANG_UP: Duration = Duration::from_millis(500);
/// The channel of NOTIFY.
pub(super) const CHANNEL: &str = "qmanager";

/// What a session is for.
#[derive(Debug, Clone)]
pub(super) enum Purpose {
    /// Calls.
    Calls,
    /// Calls, and waking somebody when the server says so, or is gone.
    Listen(Arc<Notify>),
    /// Making the schema: a database without it is welcome.
    Migrate,
}

/// Connects, checks, and begins to listen where that is wanted.
pub(super) async fn connect(target: &Target, purpose: &Purpose) -> Result<Session, Failure> {
    let config = target.config()?;
    let ears = if let Purpose::Listen(wake) = purpose { Some(Arc::clone(wake)) } else { None };
    let client = if config.get_ssl_mode() == tokio_postgres::config::SslMode::Disable {
        let (client, connection) = config.connect(NoTls).await.map_err(pooler)?;
        tokio::spawn(carry(connection, ears));
        client
    } else {
        let (client, connection) = config.connect(target.trust.connector()?).await.map_err(pooler)?;
        tokio::spawn(carry(connection, ears));
        client
    };
    let session = Session::new(client);
    check(&session, target, purpose).await?;
    if matches!(purpose, Purpose::Listen(_)) {
        session.batch(&format!("LISTEN {CHANNEL}")).await?;
    }
    Ok(session)
}

async fn check(session: &Session, target: &Target, purpose: &Purpose) -> Result<(), Failure> {
    const WHO: &str = "SELECT coalesce(current_setting('qmanager.client', true), ''), \
         current_setting('server_version_num')::integer";
    let incarnation = async {
        if matches!(purpose, Purpose::Calls) {
            session.ask_incarnation().await;
        }
    };
    let (who, version, ()) = tokio::join!(session.rows_once(WHO, &[]), schema::version(session), incarnation);
    let version = if matches!(purpose, Purpose::Migrate) { 0 } else { version? };
    let row = who?.pop().ok_or_else(|| Error::Damaged("an answer without a row".into()))?;
    if row.try_get::<_, &str>(0)? != "1" {
        return Err(Error::Unusable(POOLER.into()).into());
    }
    let server: i32 = row.try_get(1)?;
    if server < OLDEST_SERVER {
        return Err(
            Error::Unusable(format!("the server is PostgreSQL {}; 13 or newer is needed", server / 10_000)).into()
        );
    }
    match purpose {
        Purpose::Migrate => Ok(()),
        _ if target.migrate && version < schema::VERSION => schema::migrate(session).await.map(|_| ()),
        _ => Ok(schema::check(version, &target.shown)?),
    }
}

const POOLER: &str = "a connection pooler (pgbouncer) answers, which does not keep what a session is given: LISTEN and time \
     limits would not work; give the address of the server itself";

/// pgbouncer refuses what our sessions are started with, unless it was told to drop it.
fn pooler(error: tokio_postgres::Error) -> Failure {
    let refused = error.code() == Some(&SqlState::PROTOCOL_VIOLATION)
        && error.as_db_error().is_some_and(|db| db.message().contains("startup parameter"));
    if refused { Error::Unusable(POOLER.into()).into() } else { error.into() }
}

/// Moves bytes until the connection ends; wakes whoever listens.
async fn carry<S, T>(mut connection: Connection<S, T>, ears: Option<Arc<Notify>>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
        if let (AsyncMessage::Notification(_), Some(wake)) = (message, &ears) {
            wake.notify_one();
        }
    }
    if let Some(wake) = ears {
        // What was said meanwhile is lost: whoever listens looks, and so connects again (F39).
        tokio::time::sleep(HANG_UP).await;
        wake.notify_one();
    }
}

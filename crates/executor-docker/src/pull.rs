//! Pulling images: when it is due, how long it may take, and once for all task executors of a host that want the same.

use std::{
    fs::{self, File, OpenOptions},
    hash::{DefaultHasher, Hash, Hasher},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use bollard::query_parameters::CreateImageOptionsBuilder;
use executor::{Container, Ending, Outcome, Pull};
use futures_util::StreamExt;
use rustix::fs::{FlockOperation, flock};
use tokio::time::timeout;

use crate::{
    credentials,
    engine::{Engine, Trouble},
};

/// Whether the image is pulled before every task.
pub(crate) fn is_due(container: &Container) -> bool {
    container.pull == Pull::Always
}

/// Pulls an image that the engine has not, if that is allowed; an outcome if it cannot be had.
pub(crate) async fn missing(engine: &Engine, image: &str, container: &Container) -> Option<Outcome> {
    if container.pull == Pull::Never {
        let text =
            format!("the engine has no image {image:?}, and `pull = \"never\"` of [executors.docker] forbids pulls");
        return Some(failed(false, text));
    }
    pull(engine, image, container).await
}

/// Pulls an image; an outcome if it cannot be had in time.
pub(crate) async fn pull(engine: &Engine, image: &str, container: &Container) -> Option<Outcome> {
    match timeout(container.pull_timeout, turn(engine, image, container)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let limit = container.pull_timeout;
            let help = "raise `pull_timeout` of [executors.docker], or look at the registry";
            Some(failed(true, format!("image {image:?} was not pulled within {limit:?}: {help}")))
        }
    }
}

/// Pulls when it is this process's turn. One that had to wait finds the image there.
async fn turn(engine: &Engine, image: &str, container: &Container) -> Option<Outcome> {
    let key = format!("{} {image}", container.host);
    let lock = match &container.pulls {
        None => None,
        Some(folder) => {
            let folder = folder.clone();
            match tokio::task::spawn_blocking(move || Lock::acquire(&folder, &key)).await {
                Ok(Ok(lock)) => Some(lock),
                // Without a place to wait for each other everybody pulls: slower, not wrong.
                _ => None,
            }
        }
    };
    let others_did = lock.as_ref().is_some_and(|lock| lock.waited);
    if others_did && engine.call(engine.docker().inspect_image(image)).await.is_ok() {
        return None;
    }
    let outcome = fetch(engine, image, container).await;
    drop(lock);
    outcome
}

async fn fetch(engine: &Engine, image: &str, container: &Container) -> Option<Outcome> {
    let path = container.credentials.as_deref();
    let found = credentials::of(path, image);
    let given = found.credentials.is_some();
    let mut options = CreateImageOptionsBuilder::default().from_image(image);
    let name = image.rsplit('/').next().unwrap_or(image);
    if !name.contains([':', '@']) {
        // Without a tag an engine pulls them all.
        options = options.tag("latest");
    }
    let mut progress = engine.docker().create_image(Some(options.build()), None, found.credentials);
    while let Some(step) = progress.next().await {
        if let Err(error) = step {
            let trouble = engine.trouble(error);
            let why = match &trouble {
                Trouble::Refused { message, .. } => message.clone(),
                Trouble::Unreachable { .. } | Trouble::Barred { .. } => trouble.to_string(),
            };
            let note = found.note.or_else(|| is_refused(&why).then(|| credentials::remedy(path, image, given)));
            let note = note.map(|note| format!(" ({note})")).unwrap_or_default();
            return Some(failed(is_transient(&trouble), format!("image {image:?} cannot be pulled: {why}{note}")));
        }
    }
    None
}

/// Whether another try may help. What says for certain that there is no such image, or not for us, does not change.
fn is_transient(trouble: &Trouble) -> bool {
    const CERTAIN: &[&str] = &[
        "not found",
        "manifest unknown",
        "does not exist",
        "no matching manifest",
        "pull access denied",
        "unauthorized",
        "authentication required",
        "no basic auth credentials",
        "denied:",
        "invalid reference",
        "unsupported",
        "server gave HTTP response to HTTPS client",
        "HTTP 404 response",
    ];
    match trouble {
        Trouble::Unreachable { .. } | Trouble::Barred { .. } => true,
        Trouble::Refused { status: 400, .. } => false,
        Trouble::Refused { message, .. } => {
            message.contains("toomanyrequests") || !CERTAIN.iter().any(|certain| message.contains(certain))
        }
    }
}

/// Whether a registry wants to know who asks, or does not like the answer.
fn is_refused(why: &str) -> bool {
    ["unauthorized", "no basic auth credentials", "authentication required", "pull access denied", "denied:"]
        .iter()
        .any(|word| why.contains(word))
}

fn failed(transient: bool, text: String) -> Outcome {
    Outcome::new(Ending::ImagePull { transient }, text)
}

/// The right to pull one image. Its file is gone when nobody has it.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    /// Locked as long as it is open.
    _file: File,
    waited: bool,
}

impl Lock {
    fn acquire(folder: &Path, key: &str) -> io::Result<Self> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let path = folder.join(format!("{:016x}.lock", hasher.finish()));
        let mut waited = false;
        loop {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let file = match OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path) {
                // Its last user has just removed the folder.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                waited = true;
                flock(&file, FlockOperation::LockExclusive)?;
            }
            // Whoever had it before has removed it: then this is a lock that nobody else will find.
            if fs::metadata(&path).is_ok_and(|meta| file.metadata().is_ok_and(|own| own.ino() == meta.ino())) {
                return Ok(Self { path, _file: file, waited });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
        if let Some(folder) = self.path.parent() {
            // As long as others wait it is not empty.
            fs::remove_dir(folder).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(message: &str) -> bool {
        is_transient(&Trouble::Refused { status: 500, message: message.into() })
    }

    #[test]
    fn f56_only_what_may_change_is_tried_again() {
        assert!(!says("manifest for x:1 not found: manifest unknown: manifest unknown"));
        assert!(!says("pull access denied for x, repository does not exist or may require 'docker login'"));
        assert!(!says("no matching manifest for linux/arm64/v8 in the manifest list entries"));
        assert!(says("toomanyrequests: You have reached your pull rate limit"));
        assert!(says("Get \"https://registry/v2/\": net/http: TLS handshake timeout"));
        assert!(says("received unexpected HTTP status: 503 Service Unavailable"));
    }

    #[test]
    fn f56_who_waited_knows_it_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("pulls");
        let first = Lock::acquire(&folder, "x").unwrap();
        assert!(!first.waited);
        assert!(!Lock::acquire(&folder, "y").unwrap().waited, "another image is nobody's business");
        let other = {
            let folder = folder.clone();
            std::thread::spawn(move || Lock::acquire(&folder, "x").unwrap().waited)
        };
        let own = format!(" {} ", std::process::id());
        let waits = |line: &str| line.contains("-> FLOCK") && line.contains(&own);
        while !fs::read_to_string("/proc/locks").unwrap().lines().any(waits) {
            std::thread::yield_now();
        }
        drop(first);
        assert!(other.join().unwrap());
        assert!(!folder.exists());
    }
}

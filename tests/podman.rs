//! Podman's service for tests: one of the test program's own, started by `.ci/podman`.

use crate::script::{need, run};

/// Podman's service, of the test program's own.
#[derive(Debug)]
pub(crate) struct Podman {
    folder: tempfile::TempDir,
}

impl Podman {
    pub(crate) fn start() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can start it".into());
        }
        need(&["podman", "runc", "docker", "busybox"], "podman, runc, docker.io and busybox-static")?;
        let folder = tempfile::Builder::new().prefix("qmp").tempdir().map_err(|error| error.to_string())?;
        let podman = Self { folder };
        run("podman", &["start", &podman.path()], "")?;
        Ok(podman)
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}/podman.sock", self.path())
    }

    fn path(&self) -> String {
        self.folder.path().join("p").to_string_lossy().into_owned()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // What cannot be removed is in a temporary folder.
        run("podman", &["stop", &self.path()], "").ok();
    }
}

//! A registry of images for tests, on this host's loopback: Debian's `docker-registry`, with a log of what it was asked.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::engine::docker;

/// Whom a private registry knows: `me:hunter22`, as docker's configuration file writes it.
pub(crate) const LOGIN: &str = "bWU6aHVudGVyMjI=";

/// The same as a registry keeps it.
const HTPASSWD: &str = "me:$2b$04$E7b5U9p.S9WdNWzJeFAKW.n9WACdEHGRuifd9gGgf7CR17a4mB5cm\n";

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A registry with a folder of its own; ended when it is dropped.
#[derive(Debug)]
pub(crate) struct Registry {
    process: Option<Child>,
    folder: tempfile::TempDir,
    /// `HOST:PORT`: the beginning of its images' names.
    address: String,
}

impl Registry {
    /// One that everybody may use, or one that asks for [`LOGIN`]. `None`: there is none on this machine.
    pub(crate) fn start(private: bool) -> Result<Option<Self>, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = folder.path().display();
        let auth = format!("auth: {{htpasswd: {{realm: tests, path: \"{path}/htpasswd\"}}}}\n");
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: \"{path}/data\"}}}}\n\
             http: {{addr: \"ADDRESS\"}}\n{}",
            if private { &auth } else { "" }
        );
        fs::write(folder.path().join("htpasswd"), HTPASSWD).map_err(|error| error.to_string())?;
        fs::write(folder.path().join("template"), config).map_err(|error| error.to_string())?;
        let mut registry = Self { process: None, folder, address: "127.0.0.1:0".into() };
        Ok(registry.launch()?.then_some(registry))
    }

    /// Ends it; its images stay.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().ok();
            process.wait().ok();
        }
    }

    /// Starts it once more, at the same address.
    pub(crate) fn restart(&mut self) {
        self.stop();
        assert!(self.launch().expect("it starts again"), "it was there before");
    }

    /// How often it was asked what an image's tag means: once a pull.
    pub(crate) fn pulls(&self, image: &str) -> usize {
        let (name, tag) = image.rsplit_once(':').expect("a tag");
        let asked = format!("\"HEAD /v2/{name}/manifests/{tag} HTTP/1.1\" 200");
        self.log().matches(&asked).count()
    }

    /// Puts an image that no engine has seen before there, as `NAME:TAG`; its whole name. The engine does not keep it.
    pub(crate) fn push(&self, host: &str, image: &str) -> String {
        let full = format!("{}/{image}", self.address);
        let made = docker(host, &["create", "busybox:local", "true"]);
        docker(host, &["commit", "--change", &format!("LABEL made={made}"), &made, &full]);
        docker(host, &["rm", &made]);
        let config = self.config(Some(LOGIN));
        docker(host, &["--config", &config.to_string_lossy(), "push", "--quiet", &full]);
        self.forget(host, &full);
        full
    }

    /// Makes an engine forget an image.
    pub(crate) fn forget(&self, host: &str, full: &str) {
        docker(host, &["rmi", "--force", full]);
    }

    /// The folder of a docker configuration that has this login for this registry.
    pub(crate) fn config(&self, login: Option<&str>) -> PathBuf {
        let folder = self.folder.path().join(format!("docker-{}", login.unwrap_or_default().len()));
        fs::create_dir_all(&folder).expect("a folder");
        let entry = login.map(|login| format!("\"{}\": {{\"auth\": \"{login}\"}}", self.address));
        fs::write(folder.join("config.json"), format!("{{\"auths\": {{{}}}}}", entry.unwrap_or_default()))
            .expect("a file");
        folder
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Whether there is such a program; waits until it listens.
    fn launch(&mut self) -> Result<bool, String> {
        let text = |error: std::io::Error| error.to_string();
        let path = |name: &str| self.folder.path().join(name);
        let config = fs::read_to_string(path("template")).map_err(text)?.replace("ADDRESS", &self.address);
        fs::write(path("config.yml"), config).map_err(text)?;
        let log = File::options().create(true).append(true).open(path("log")).map_err(text)?;
        let heard = self.log().len();
        #[expect(clippy::disallowed_methods, reason = "tests start their registry themselves")]
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(path("config.yml")).stdin(Stdio::null());
        command.stdout(log.try_clone().map_err(text)?).stderr(log);
        let mut process = match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            spawned => spawned.map_err(text)?,
        };
        let deadline = now() + PATIENCE;
        let address = loop {
            let log = self.log();
            let said = log[heard..].split_once("listening on ").and_then(|(_, rest)| rest.split('"').next());
            if let Some(address) = said.filter(|address| address.parse::<std::net::SocketAddr>().is_ok()) {
                break address.to_owned();
            }
            if now() > deadline || process.try_wait().map_err(text)?.is_some() {
                process.kill().ok();
                return Err(format!("the registry does not start: {}", &log[heard..]));
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        (self.address, self.process) = (address, Some(process));
        Ok(true)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

#[expect(clippy::disallowed_methods, reason = "a deadline of tests")]
fn now() -> Instant {
    Instant::now()
}

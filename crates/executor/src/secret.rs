//! Secrets: a workflow names them, the configuration says where they are, a launch reads them. Their values are in no
//! log, no message and no `Debug` text.

use std::{collections::BTreeMap, fs, path::PathBuf, str::FromStr};

use workflow_model::QueueName;

use crate::{capture::describe, settings::SecretSettings};

/// More than this is a file, not a secret.
const LARGEST: u64 = 1 << 20;

/// Where `run --secret NAME=…` finds a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A variable of the caller's environment.
    Env(String),
    /// A file.
    File(PathBuf),
}

impl FromStr for SecretSource {
    type Err = String;

    /// Reads `env:VAR` or `file:PATH`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err(format!("{text:?} is not a source of a secret: write env:VAR or file:PATH")),
        }
    }
}

/// The secrets that the tasks of one job may have.
#[derive(Debug, Clone)]
pub struct Secrets<'a> {
    settings: &'a SecretSettings,
    given: &'a BTreeMap<String, SecretSource>,
    ambient: &'a BTreeMap<String, String>,
    queue: &'a QueueName,
    /// Whether names that no `allow` mentions may be had: under `run`, where caller and owner are one.
    all_allowed: bool,
}

impl<'a> Secrets<'a> {
    /// `given` are those of the command line, `ambient` the environment they may come from.
    #[must_use]
    pub fn new(
        settings: &'a SecretSettings,
        given: &'a BTreeMap<String, SecretSource>,
        ambient: &'a BTreeMap<String, String>,
        queue: &'a QueueName,
        all_allowed: bool,
    ) -> Self {
        Self { settings, given, ambient, queue, all_allowed }
    }

    /// Whether the secret exists and may be had, without reading it.
    ///
    /// # Errors
    /// What is wrong, and the setting that would mend it.
    pub fn check(&self, name: &str) -> Result<(), String> {
        match self.source(name)? {
            SecretSource::Env(variable) if !self.ambient.contains_key(&variable) => {
                Err(format!("secret {name:?}: the variable {variable:?} is not set"))
            }
            SecretSource::File(path) if !path.is_file() => {
                Err(format!("secret {name:?}: there is no file {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// The value, without a newline at its end.
    ///
    /// # Errors
    /// As [`Secrets::check`], or it cannot be read, is larger than 1 MiB, or is no text.
    pub fn read(&self, name: &str) -> Result<String, String> {
        let value = match self.source(name)? {
            SecretSource::Env(variable) => self
                .ambient
                .get(&variable)
                .cloned()
                .ok_or_else(|| format!("secret {name:?}: the variable {variable:?} is not set"))?,
            SecretSource::File(path) => {
                let wrong = |why: &str| format!("secret {name:?}: {}: {why}", path.display());
                let size = fs::metadata(&path).map_err(|error| wrong(&describe(&error)))?.len();
                if size > LARGEST {
                    return Err(wrong("is larger than 1 MiB"));
                }
                let bytes = fs::read(&path).map_err(|error| wrong(&describe(&error)))?;
                String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8 text"))?
            }
        };
        let value = value.strip_suffix('\n').map_or(value.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        if value.contains('\0') {
            return Err(format!("secret {name:?}: has a NUL character"));
        }
        Ok(value.to_owned())
    }

    fn source(&self, name: &str) -> Result<SecretSource, String> {
        if let Some(source) = self.given.get(name) {
            return Ok(source.clone());
        }
        let queue = self.queue.as_str();
        let allowed = self.settings.allow.get(queue).into_iter().flatten();
        if !self.all_allowed && !allowed.into_iter().any(|pattern| fast_glob::glob_match(pattern, name)) {
            return Err(format!(
                "secret {name:?} is not allowed in queue {queue:?}: add it to `allow` of [secrets], as {queue} = [{name:?}]"
            ));
        }
        // The model has checked the name; checked again, since it becomes a file's name.
        if name.starts_with('.') || name.contains(['/', '\0']) || name.is_empty() {
            return Err(format!("{name:?} is not a secret's name"));
        }
        match &self.settings.dir {
            Some(dir) => Ok(SecretSource::File(dir.join(name))),
            None => Err(format!(
                "secret {name:?} has no source: set `dir` of [secrets] in qmanager.toml, or give `--secret {name}=env:VAR`"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Given {
        settings: SecretSettings,
        sources: BTreeMap<String, SecretSource>,
        ambient: BTreeMap<String, String>,
        queue: QueueName,
    }

    impl Given {
        fn new(dir: Option<PathBuf>, sources: &[(&str, &str)]) -> Self {
            let allow = BTreeMap::from([("etl".to_owned(), vec!["S3_*".to_owned()])]);
            Self {
                settings: SecretSettings { dir, allow },
                sources: sources.iter().map(|(name, source)| ((*name).to_owned(), source.parse().unwrap())).collect(),
                ambient: BTreeMap::from([("TOKEN".to_owned(), "hunter22\n".to_owned())]),
                queue: QueueName::new("etl").unwrap(),
            }
        }

        fn secrets(&self, all_allowed: bool) -> Secrets<'_> {
            Secrets::new(&self.settings, &self.sources, &self.ambient, &self.queue, all_allowed)
        }
    }

    #[test]
    fn reads_files_and_variables_without_the_last_newline() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("S3_KEY"), "two\nlines\r\n").unwrap();
        let given = Given::new(Some(dir.path().into()), &[("T", "env:TOKEN"), ("NONE", "env:NONE")]);
        let secrets = given.secrets(false);
        assert_eq!(secrets.read("S3_KEY").unwrap(), "two\nlines");
        assert_eq!(secrets.read("T").unwrap(), "hunter22");
        assert_eq!(secrets.check("T"), Ok(()));
        assert!(secrets.check("NONE").unwrap_err().contains("is not set"));
        assert!(secrets.check("S3_OTHER").unwrap_err().contains("there is no file"));
    }

    #[test]
    fn a_refusal_names_the_setting() {
        let given = Given::new(None, &[]);
        assert!(given.secrets(false).check("DB").unwrap_err().contains("`allow` of [secrets], as etl = [\"DB\"]"));
        let why = given.secrets(true).check("DB").unwrap_err();
        assert!(why.contains("`dir` of [secrets]") && why.contains("`--secret DB=env:VAR`"), "{why}");
    }

    #[test]
    fn f79_a_name_is_no_path() {
        let given = Given::new(Some("/etc".into()), &[]);
        for name in ["../etc/passwd", "/etc/passwd", ".hidden", ""] {
            assert!(given.secrets(true).read(name).unwrap_err().contains("is not a secret's name"), "{name:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_text() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("BIN"), [0xff, 0xfe]).unwrap();
        fs::write(dir.path().join("NUL"), "a\0b").unwrap();
        let given = Given::new(Some(dir.path().into()), &[]);
        assert!(given.secrets(true).read("BIN").unwrap_err().contains("UTF-8"));
        assert!(given.secrets(true).read("NUL").unwrap_err().contains("NUL"));
    }
}

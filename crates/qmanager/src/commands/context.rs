//! What every verb has at hand: flags, environment, configuration, output, and the queue once it asks for it.

use std::{
    cell::OnceCell,
    path::{Path, PathBuf},
    sync::Arc,
};

use job_queue::{JobQueue, JobRow, OpenOptions};
use workflow_model::{Limits, QueueName, Workflow};

use crate::{
    cli::Global,
    config::{Config, Environment, Loaded, Overrides},
    exit::{Error, Exit},
    layout::Layout,
    output::Output,
    select::{JobSelector, Scope},
    settings::JobSettings,
    store,
    text::safe,
    unchecked,
    worker::Registry,
};

/// What every verb has at hand.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) environment: Environment,
    pub(crate) global: Global,
    pub(crate) out: Output,
    /// Where relative paths of the command line are meant from.
    pub(crate) directory: PathBuf,
    /// The executors of this program.
    pub(crate) registry: Registry,
    loaded: OnceCell<Loaded>,
}

impl Context {
    pub(crate) fn new(environment: Environment, global: Global, directory: PathBuf, registry: Registry) -> Self {
        let out = Output::standard(&global, &environment);
        Self { environment, global, out, directory, registry, loaded: OnceCell::new() }
    }

    /// The configuration in force, with its origins; read at the first call.
    pub(crate) fn loaded(&self) -> Result<&Loaded, Error> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let overrides = Overrides {
            config: self.global.config.clone(),
            db: self.global.db.clone(),
            state_dir: self.global.state_dir.clone(),
            directory: self.directory.clone(),
        };
        let loaded = Loaded::read(&self.environment, &overrides)?;
        Ok(self.loaded.get_or_init(|| loaded))
    }

    pub(crate) fn config(&self) -> Result<&Config, Error> {
        Ok(&self.loaded()?.config)
    }

    pub(crate) fn layout(&self) -> Result<Layout, Error> {
        let config = self.config()?;
        Ok(Layout::new(config.state_dir(), &self.environment.temp).with_store(config.store()))
    }

    /// The queue that was named.
    pub(crate) fn qname(&self) -> Result<Option<QueueName>, Error> {
        self.global.qname.as_deref().map(queue_name).transpose()
    }

    /// The queue that was named, else `default`.
    pub(crate) fn qname_or_default(&self) -> Result<QueueName, Error> {
        Ok(self.qname()?.unwrap_or_default())
    }

    /// Who submits, and whose `@last` it is: the user, and the state-dir.
    pub(crate) fn submitter(&self) -> Result<String, Error> {
        Ok(format!("{}@{}", self.environment.uid, self.layout()?.run_dir_id()))
    }

    pub(crate) fn limits(&self) -> Result<Limits, Error> {
        let limits = self.config()?.limits;
        let mut all = Limits::default();
        if let Some(tasks) = limits.tasks {
            all.tasks = tasks as usize;
        }
        if let Some(text) = limits.text {
            all.text = usize::try_from(text.0).unwrap_or(usize::MAX);
        }
        Ok(all)
    }

    /// Where a foreground run keeps its job: this state-dir's own file, whatever the configuration says; `--db` names
    /// another.
    pub(crate) fn run_db(&self) -> Result<String, Error> {
        match &self.global.db {
            Some(_) => Ok(self.config()?.db_url().to_owned()),
            None => Ok(format!("sqlite:{}", self.layout()?.database().display())),
        }
    }

    /// The queue's database; made if there is none.
    pub(crate) fn queue(&self) -> Result<Arc<dyn JobQueue>, Error> {
        self.layout()?.create_state_dir()?;
        self.open(true)
    }

    /// The queue's database, or `None` when nothing was ever submitted here: looking makes no files.
    pub(crate) fn queue_if_any(&self) -> Result<Option<Arc<dyn JobQueue>>, Error> {
        match self.database_file()? {
            // What may not be looked at is not nothing: to open it says what is wrong.
            Some(path) if matches!(path.try_exists(), Ok(false)) => Ok(None),
            _ => self.open(false).map(Some),
        }
    }

    /// The queue's database for a verb that needs these jobs of it. A selector that can name nothing is told first.
    pub(crate) fn queue_with<S: AsRef<str>>(&self, selectors: &[S]) -> Result<Arc<dyn JobQueue>, Error> {
        for selector in selectors {
            selector.as_ref().parse::<JobSelector>()?;
        }
        let url = job_queue::shown_url(self.config()?.db_url());
        self.queue_if_any()?.ok_or_else(|| {
            Error::not_found(format!("there is no job: {} does not exist", safe(&url)))
                .hint("nothing was submitted here yet; --state-dir and --db name another place")
        })
    }

    /// The file of an embedded queue.
    pub(crate) fn database_file(&self) -> Result<Option<PathBuf>, Error> {
        Ok(self.config()?.db_url().strip_prefix("sqlite:").map(PathBuf::from))
    }

    fn open(&self, create: bool) -> Result<Arc<dyn JobQueue>, Error> {
        // A verb lives for a few calls: writing the WAL back is left to the daemon, which stays.
        let options = OpenOptions { create, checkpoint_on_close: false, on_caller: true, ..self.open_options()? };
        Ok(job_queue::open(self.config()?.db_url(), &options)?)
    }

    /// What the configuration says of opening the database.
    pub(crate) fn open_options(&self) -> Result<OpenOptions, Error> {
        let db = &self.config()?.db;
        Ok(OpenOptions {
            password_file: db.password_file.clone(),
            migrate: db.migrate.unwrap_or(false),
            ..OpenOptions::default()
        })
    }

    /// Whether other hosts use the database too.
    pub(crate) fn is_shared(&self) -> Result<bool, Error> {
        Ok(job_queue::is_shared(self.config()?.db_url()))
    }

    /// Which store this host has, where other hosts may have one at the same path.
    pub(crate) fn place(&self) -> Result<Option<String>, Error> {
        if !self.is_shared()? {
            return Ok(None);
        }
        let jobs = self.layout()?.jobs();
        let id = store::id(&jobs).map_err(|e| Error::io(format!("cannot use {} for job files", jobs.display()), e))?;
        Ok(Some(format!("fs:{id}")))
    }

    /// The host of a folder that a job's files and logs are in, and its id, if this host does not see it.
    pub(crate) fn elsewhere(&self, job: &JobRow) -> Result<Option<(String, String)>, Error> {
        let (Some(place), true) = (&job.store, self.is_shared()?) else { return Ok(None) };
        if self.place()?.as_ref() == Some(place) {
            return Ok(None);
        }
        Ok(Some((safe(store::host_of(place)).into_owned(), safe(place).into_owned())))
    }

    /// Refuses to look for files and logs that are on another host.
    pub(crate) fn see_files_of(&self, job: &JobRow) -> Result<(), Error> {
        let Some((host, place)) = self.elsewhere(job)? else { return Ok(()) };
        let what = format!("the files and logs of job {} are in a folder of host {host} ({place})", job.id);
        Err(Error::not_found(what).hint("ask there, with its --state-dir; a store that all hosts see is jobfiles.url"))
    }

    /// The database of foreground runs.
    pub(crate) fn run_queue(&self) -> Result<Arc<dyn JobQueue>, Error> {
        let options =
            OpenOptions { create: false, checkpoint_on_close: false, on_caller: true, ..self.open_options()? };
        Ok(job_queue::open(&self.run_db()?, &options)?)
    }

    /// The one job that a selector means.
    pub(crate) async fn job(&self, queue: &dyn JobQueue, selector: &str) -> Result<JobRow, Error> {
        let scope = Scope { queue: self.qname()?, submitter: self.submitter()? };
        selector.parse::<JobSelector>()?.resolve(queue, &scope).await
    }

    /// A job's workflow and settings.
    pub(crate) async fn definition(
        &self,
        queue: &dyn JobQueue,
        job: &JobRow,
    ) -> Result<(Workflow, JobSettings), Error> {
        let (definition, settings) = queue.definition(job.id).await?;
        let damaged =
            |what: &str| Error::new(Exit::QueueUnavailable, format!("the {what} of job {} is damaged", job.id));
        if job.is_unchecked() {
            // One that is wrong has no tasks to show; the job's message says what is wrong with it.
            let empty = || {
                Ok((
                    Workflow::from_canonical_json("[]").map_err(|e| damaged("definition").because(e))?,
                    JobSettings::default(),
                ))
            };
            return unchecked::read(&definition).or_else(|_| empty());
        }
        let workflow = Workflow::from_canonical_json(&definition).map_err(|e| damaged("definition").because(e))?;
        let settings = serde_json::from_str(&settings).map_err(|e| damaged("settings").because(e))?;
        Ok((workflow, settings))
    }

    /// The width of standard output.
    pub(crate) fn width(&self) -> usize {
        /// A terminal's width when it does not say.
        const WIDTH: usize = 80;
        match rustix::termios::tcgetwinsize(std::io::stdout()) {
            Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
            _ => WIDTH,
        }
    }

    /// Columns and rows of standard error.
    pub(crate) fn error_size(&self) -> (usize, usize) {
        match rustix::termios::tcgetwinsize(std::io::stderr()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (usize::from(size.ws_col), usize::from(size.ws_row)),
            _ => (80, 24),
        }
    }

    /// A locale that is not UTF-8 shows boxes and marks as rubbish.
    pub(crate) fn is_ascii(&self) -> bool {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| self.environment.var(name));
        // Without any locale most of today's terminals show UTF-8; `C` and `POSIX` say that nothing more is wanted.
        locale.is_some_and(|locale| matches!(locale, "C" | "POSIX")) || self.environment.var("TERM") == Some("dumb")
    }

    /// A path of the command line.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }
}

/// A queue's name as typed.
pub(crate) fn queue_name(text: &str) -> Result<QueueName, Error> {
    QueueName::new(text).map_err(|e| Error::usage("wrong queue").because(e).hint("write a name like etl or ml-gpu"))
}

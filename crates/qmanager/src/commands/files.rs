//! `qmanager files`: look at and change the files of a job.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use job_queue::{JobQueue, JobRow};
use jobfiles::{Area, Difference, Entry, Fs, JobFiles, JobPath, Kind};
use serde::Serialize;

use super::{context::Context, pairs};
use crate::{
    cli::{FilesArgs, FilesVerb},
    exit::{Error, Exit},
    output::{JSON_VERSION, Table, local, rfc3339},
    settings::JobSettings,
    text::{counted, safe},
};

#[derive(Serialize)]
struct View {
    v: u16,
    path: String,
    kind: &'static str,
    size: u64,
    modified: String,
    mode: u32,
}

#[derive(Serialize)]
struct DifferenceView {
    v: u16,
    path: String,
    difference: &'static str,
}

pub(super) async fn run(context: &Context, args: &FilesArgs) -> Result<Exit, Error> {
    let selector = match &args.verb {
        FilesVerb::Ls { job, .. }
        | FilesVerb::Get { job, .. }
        | FilesVerb::Put { job, .. }
        | FilesVerb::Rm { job, .. }
        | FilesVerb::Diff { job, .. } => job,
    };
    let queue = context.queue_with(&[selector])?;
    let job = context.job(&*queue, selector).await?;
    context.see_files_of(&job)?;
    let store = store(context)?;
    let area = area(&*queue, &job).await?;
    match &args.verb {
        FilesVerb::Ls { globs, .. } => list(context, &store, &area, globs).await,
        FilesVerb::Get { what, .. } => get(context, &store, &area, what).await,
        FilesVerb::Put { what, .. } => put(context, &store, &area, what).await,
        FilesVerb::Rm { globs, .. } => remove(context, &store, &area, globs).await,
        FilesVerb::Diff { dest, globs, .. } => diff(context, &store, &area, globs, &context.path(dest)).await,
    }
}

/// The configured store.
pub(super) fn store(context: &Context) -> Result<Fs, Error> {
    let url = context.config()?.store();
    let root = url.strip_prefix("fs:").ok_or_else(|| Error::usage(format!("{url:?} is not a store of this build")))?;
    Fs::open(root).map_err(failed)
}

/// Where a job's files are: its own folder, or one of the user's.
pub(super) async fn area(queue: &dyn JobQueue, job: &JobRow) -> Result<Area, Error> {
    let (_, settings) = queue.definition(job.id).await?;
    let settings: JobSettings = serde_json::from_str(&settings).map_err(|e| {
        Error::new(Exit::QueueUnavailable, format!("the settings of job {} are damaged", job.id)).because(e)
    })?;
    Ok(Area { job: job.id, folder: settings.job_files })
}

/// Puts files into the job files of a job that is about to be submitted.
pub(super) async fn put_first(
    context: &Context,
    area: &Area,
    files: &[(PathBuf, Option<String>)],
) -> Result<(), Error> {
    let store = store(context)?;
    store.create(area).await.map_err(failed)?;
    for (source, target) in files {
        if let Err(error) = import(&store, area, source, target.as_deref()).await {
            if area.folder.is_none() {
                store.forget(area).await.map_err(failed)?;
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Two sources for one place: the second would silently take the place of the first.
///
/// # Errors
/// Code 2, with both sources.
pub(super) fn refuse_one_place_for_two(files: &[(PathBuf, Option<String>)]) -> Result<(), Error> {
    let mut taken: BTreeMap<JobPath, &Path> = BTreeMap::new();
    for (source, target) in files {
        // A source without a name of its own (`..`) gets that of the folder it leads to.
        let own = || source.canonicalize().ok()?.file_name().map(ToOwned::to_owned);
        let place = match place(source, target.as_deref())? {
            Some(place) => place,
            None => match own() {
                Some(name) => JobPath::new(name).map_err(|e| Error::usage(e.to_string()))?,
                None => continue,
            },
        };
        if let Some(first) = taken.insert(place.clone(), source) {
            let [first, second] = [first, source].map(|path| safe(&path.to_string_lossy()).into_owned());
            let place = if place.is_root() { ".".into() } else { shown(&place) };
            return Err(Error::usage(format!("two sources for one job file {:?}: {first} and {second}", safe(&place)))
                .hint("give one of them another place: SRC:DST"));
        }
    }
    Ok(())
}

/// `--get GLOB:DIR`, after the end.
pub(super) async fn get_all(
    context: &Context,
    queue: &dyn JobQueue,
    job: &JobRow,
    wanted: &[String],
) -> Result<(), Error> {
    if wanted.is_empty() {
        return Ok(());
    }
    let store = store(context)?;
    let area = area(queue, job).await?;
    for text in wanted {
        let (glob, folder) = pairs::get(context, text);
        export(context, &store, &area, &[glob], &folder).await?;
    }
    Ok(())
}

/// A store's error as the command line tells it.
pub(super) fn failed(error: jobfiles::Error) -> Error {
    use jobfiles::Error as E;
    let exit = match &error {
        E::NotFound(_) | E::NoFolder(_) => Exit::NotFound,
        E::Host { source, .. } if source.kind() == io::ErrorKind::NotFound => Exit::NotFound,
        _ => Exit::Usage,
    };
    let what = error.to_string();
    let made = Error::new(exit, what);
    match std::error::Error::source(&error) {
        Some(source) => made.because(source.to_string()),
        None => made,
    }
}

async fn list(context: &Context, store: &Fs, area: &Area, globs: &[String]) -> Result<Exit, Error> {
    let entries = entries(store, area, globs).await?;
    let out = &context.out;
    if out.json {
        for entry in &entries {
            out.object(&View {
                v: JSON_VERSION,
                path: shown(&entry.path),
                kind: kind(entry.kind),
                size: entry.size,
                modified: rfc3339(entry.modified),
                mode: entry.mode,
            })?;
        }
        return Ok(Exit::Done);
    }
    let mut table = Table::plain();
    for entry in entries.iter().filter(|entry| entry.kind != Kind::Folder) {
        table.row(vec![entry.size.to_string(), local(entry.modified), safe(&shown(&entry.path)).into_owned()]);
    }
    table.lines().iter().try_for_each(|line| out.line(line))?;
    if entries.is_empty() {
        out.note("no job files");
    }
    Ok(Exit::Done)
}

/// The entries that the patterns mean. A pattern that means nothing is an error, so that a slip is seen.
async fn entries(store: &Fs, area: &Area, globs: &[String]) -> Result<Vec<Entry>, Error> {
    let entries = match store.list(area, globs).await {
        // A job that has not begun has no folder yet.
        Err(jobfiles::Error::NoFolder(_)) if area.folder.is_none() => Vec::new(),
        other => other.map_err(failed)?,
    };
    if entries.is_empty() && !globs.is_empty() {
        return Err(Error::not_found(format!("no job file matches {}", safe(&globs.join(" "))))
            .hint("`qmanager files ls JOB` lists them all"));
    }
    Ok(entries)
}

async fn get(context: &Context, store: &Fs, area: &Area, what: &[String]) -> Result<Exit, Error> {
    // `[GLOB..] [DEST]`: the last of several is where to.
    let (globs, dest) = match what {
        [] => (&[][..], context.directory.clone()),
        [glob] => (std::slice::from_ref(glob), context.directory.clone()),
        [globs @ .., dest] => (globs, context.path(Path::new(dest))),
    };
    export(context, store, area, globs, &dest).await?;
    Ok(Exit::Done)
}

async fn export(context: &Context, store: &Fs, area: &Area, globs: &[String], folder: &Path) -> Result<(), Error> {
    entries(store, area, globs).await?;
    let exported = jobfiles::export(store, area, globs, folder).await.map_err(failed)?;
    let out = &context.out;
    let to = safe(&folder.display().to_string()).into_owned();
    if out.json {
        out.object(&serde_json::json!({
            "v": JSON_VERSION, "to": to, "files": exported.files, "bytes": exported.bytes,
            "skipped": exported.skipped.iter().map(|(path, why)| serde_json::json!({ "path": shown(path), "why": why })).collect::<Vec<_>>(),
        }))?;
    }
    for (path, why) in &exported.skipped {
        out.warn(format_args!("{} {why}: left out", safe(&shown(path))));
    }
    let files = usize::try_from(exported.files).unwrap_or(usize::MAX);
    out.note(format_args!("{} to {to}", counted(files, "file")));
    Ok(())
}

async fn put(context: &Context, store: &Fs, area: &Area, what: &[String]) -> Result<Exit, Error> {
    store.create(area).await.map_err(failed)?;
    for text in what {
        let (source, target) = pairs::source(context, text)?;
        import(store, area, &source, target.as_deref()).await?;
        context.out.note(format_args!("put {}", safe(&source.display().to_string())));
    }
    Ok(Exit::Done)
}

async fn import(store: &Fs, area: &Area, source: &Path, target: Option<&str>) -> Result<(), Error> {
    store.import(area, source, place(source, target)?.as_ref()).await.map_err(failed)
}

/// Where a source goes, as far as it is said; else the store gives it its own name.
fn place(source: &Path, target: Option<&str>) -> Result<Option<JobPath>, Error> {
    match target {
        None => Ok(None),
        // A target that ends in a slash is a folder to put it in, as with cp.
        Some(folder) if folder.ends_with('/') => {
            let name = source.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            path(&format!("{folder}{name}")).map(Some)
        }
        Some(name) => path(name).map(Some),
    }
}

async fn remove(context: &Context, store: &Fs, area: &Area, globs: &[String]) -> Result<Exit, Error> {
    let mut removed: Vec<JobPath> = Vec::new();
    for entry in entries(store, area, globs).await? {
        // What was in a folder went with it.
        if removed.iter().any(|folder| entry.path.is_in(folder)) {
            continue;
        }
        store.remove(area, &entry.path).await.map_err(failed)?;
        if context.out.json {
            context.out.object(&serde_json::json!({ "v": JSON_VERSION, "removed": shown(&entry.path) }))?;
        } else {
            context.out.line(safe(&shown(&entry.path)))?;
        }
        removed.push(entry.path);
    }
    Ok(Exit::Done)
}

async fn diff(context: &Context, store: &Fs, area: &Area, globs: &[String], folder: &Path) -> Result<Exit, Error> {
    let differences = jobfiles::diff(store, area, globs, folder).await.map_err(failed)?;
    let out = &context.out;
    for (path, difference) in &differences {
        let (sign, word) = match difference {
            Difference::OnlyInJob => ("+", "only_in_job"),
            Difference::OnlyInFolder => ("-", "only_in_folder"),
            Difference::Kind => ("!", "kind"),
            Difference::Content => ("~", "content"),
        };
        if out.json {
            out.object(&DifferenceView { v: JSON_VERSION, path: shown(path), difference: word })?;
        } else {
            out.line(format_args!("{sign} {}", safe(&shown(path))))?;
        }
    }
    let dest = safe(&folder.display().to_string()).into_owned();
    if differences.is_empty() {
        out.note(format_args!("no difference to {dest}"));
    } else {
        out.note(format_args!("+ only in the job, - only in {dest}, ~ content differs, ! another kind"));
    }
    Ok(Exit::Done)
}

fn path(text: &str) -> Result<JobPath, Error> {
    JobPath::new(text).map_err(|e| Error::usage(e.to_string()))
}

fn shown(path: &JobPath) -> String {
    String::from_utf8_lossy(path.as_bytes()).into_owned()
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Folder => "folder",
        Kind::Link => "link",
        Kind::Special => "special",
    }
}

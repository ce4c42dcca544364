//! The meeting at a point, by files in the folder `failpoints` beside the program:
//!
//! - `C7` arms a point; its content is how many hits are let by first;
//! - `C7.hit` is what becomes of it when a program has come there, `C7.pid` says which one;
//! - `C7.go` lets the program go on; its content `fail` lets it treat what it did as failed.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
    time::Duration,
};

use crate::{Bug, Point};

/// Between two looks for the word to go on.
const PAUSE: Duration = Duration::from_millis(2);
/// So many looks: whoever armed the point is gone then.
const LOOKS: u32 = 10_000;

/// The folder, if there was one when the program first asked.
pub fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let folder = std::env::current_exe().ok()?.parent()?.join("failpoints");
        folder.is_dir().then_some(folder)
    };
    FOLDER.get_or_init(find).as_deref()
}

pub(crate) fn at(point: Point) -> bool {
    folder().is_some_and(|folder| meet(folder, &format!("{point:?}")).unwrap_or(false))
}

/// The bug is named once for all programs of a run.
pub(crate) fn has(bug: Bug) -> bool {
    static NAME: OnceLock<Option<String>> = OnceLock::new();
    let name = NAME.get_or_init(|| fs::read_to_string(folder()?.join("bug")).ok());
    name.as_deref().is_some_and(|name| name.trim() == format!("{bug:?}"))
}

fn meet(folder: &Path, point: &str) -> std::io::Result<bool> {
    let armed = folder.join(point);
    let let_by: u64 = fs::read_to_string(&armed)?.trim().parse().unwrap_or(0);
    if hit(&folder.join(format!("{point}.hits")))? <= let_by {
        return Ok(false);
    }
    // One program only: the first that takes the arm away.
    fs::rename(&armed, folder.join(format!("{point}.hit")))?;
    let told = folder.join(format!("{point}.tmp"));
    fs::write(&told, std::process::id().to_string())?;
    fs::rename(told, folder.join(format!("{point}.pid")))?;
    let go = folder.join(format!("{point}.go"));
    for _ in 0..LOOKS {
        if let Ok(word) = fs::read_to_string(&go) {
            return Ok(word.trim() == "fail");
        }
        thread::sleep(PAUSE);
    }
    Ok(false)
}

/// Counts over all processes: each hit is one byte.
fn hit(counter: &Path) -> std::io::Result<u64> {
    let mut file = fs::OpenOptions::new().append(true).create(true).open(counter)?;
    file.write_all(b".")?;
    Ok(file.metadata()?.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_meets_one_program_after_those_that_are_let_by() {
        let folder = std::env::temp_dir().join(format!("failpoint-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        assert!(meet(&folder, "C7").is_err(), "not armed");
        fs::write(folder.join("C7"), "2").unwrap();
        fs::write(folder.join("C7.go"), "fail").unwrap();
        assert_eq!([meet(&folder, "C7").unwrap(), meet(&folder, "C7").unwrap()], [false, false]);
        assert!(meet(&folder, "C7").unwrap(), "the third");
        assert_eq!(fs::read_to_string(folder.join("C7.pid")).unwrap(), std::process::id().to_string());
        assert!(meet(&folder, "C7").is_err(), "once");
        fs::remove_dir_all(folder).unwrap();
    }
}

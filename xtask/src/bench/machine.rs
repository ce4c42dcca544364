//! What the machine is: figures without it say little.

use std::{collections::BTreeMap, fs};

use crate::{command::Cmd, workspace::Workspace};

/// Facts by name: processor, cores, memory, kernel, system, compiler, date, commit.
pub(crate) fn facts(workspace: &Workspace) -> BTreeMap<&'static str, String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once([':', '=']).map(|(_, value)| value.trim().trim_matches('"').to_owned()).unwrap_or_default()
    };
    let said = |program: &str, args: &[&str]| {
        let text = Cmd::new(program).dir(&workspace.root).args(args).read().unwrap_or_default();
        text.lines().next().unwrap_or_default().trim().to_owned()
    };
    let kib = field(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    BTreeMap::from([
        ("cores", cores.to_string()),
        ("commit", said("git", &["rev-parse", "--short", "HEAD"])),
        ("compiler", said("rustc", &["--version"])),
        ("date", said("date", &["-u", "+%Y-%m-%d"])),
        ("file system", said("stat", &["-f", "-c", "%T", std::env::temp_dir().to_str().unwrap_or("/tmp")])),
        ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("load before", read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()),
        ("memory", format!("{} GiB", kib.div_ceil(1 << 20))),
        ("processor", field(&read("/proc/cpuinfo"), "model name")),
        ("system", field(&read("/etc/os-release"), "PRETTY_NAME")),
    ])
}

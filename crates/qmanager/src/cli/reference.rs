//! `docs/cli-reference.md`, made from the clap structs. A test compares it with the file.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::Cli;
use crate::exit::Exit;

/// The whole reference as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut root = Cli::command();
    root.build();
    let mut out = String::from(
        "# Command line reference\n\nMade from the program (`cargo xtask gen`); a test compares it. \
         Selectors, exit codes and the configuration file are explained in the other pages.\n\n\
         `JOB` = id, its last 8 characters, `@last`, `@last:NAME` or `@key:KEY`. `TASK` = exact name, else `#INDEX`.\n\n",
    );
    out.push_str("## Options of every verb\n\n");
    options(&mut out, root.get_arguments().filter(|arg| arg.is_global_set()));
    for verb in root.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        command(&mut out, verb, 2);
    }
    out.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (exit, meaning) in Exit::TABLE {
        push(&mut out, format_args!("| {} | {meaning} |\n", exit.code()));
    }
    out
}

fn command(out: &mut String, command: &Command, level: usize) {
    let heading = "#".repeat(level);
    let name = command.get_bin_name().unwrap_or(command.get_name());
    push(out, format_args!("\n{heading} {name}\n\n"));
    if let Some(about) = command.get_long_about().or_else(|| command.get_about()) {
        push(out, format_args!("{about}\n\n"));
    }
    let usage = command.clone().render_usage().to_string();
    push(out, format_args!("```\n{}\n```\n\n", usage.trim_start_matches("Usage: ").trim()));
    let shown = |arg: &&Arg| !arg.is_global_set() && !matches!(arg.get_id().as_str(), "help" | "version");
    options(out, command.get_arguments().filter(shown));
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        self::command(out, inner, level + 1);
    }
}

fn options<'a>(out: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    for arg in arguments {
        let names = arg.get_value_names().unwrap_or_default();
        let value = names.first().map_or_else(String::new, |name| name.to_string());
        let takes = arg.get_action().takes_values();
        let long = arg.get_long().map(|long| format!("--{long}"));
        let short = arg.get_short().map(|short| format!("-{short}"));
        let flags: Vec<String> = short.into_iter().chain(long).collect();
        let left = match (flags.is_empty(), takes) {
            (true, _) => value,
            (false, true) if !value.is_empty() => format!("{} {value}", flags.join(", ")),
            (false, _) => flags.join(", "),
        };
        let help = arg.get_help().map_or_else(String::new, |help| help.to_string());
        push(out, format_args!("- `{left}`: {help}\n"));
    }
}

fn push(out: &mut String, part: std::fmt::Arguments<'_>) {
    out.write_fmt(part).expect("BUG: a String takes everything");
}

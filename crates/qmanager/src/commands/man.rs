//! `qmanager man`: manual pages in roff.

use clap::Command;
use clap_mangen::Man;

use super::context::Context;
use crate::{
    cli::{Cli, ManArgs},
    exit::{Error, Exit},
    text::safe,
};

pub(super) fn run(context: &Context, args: &ManArgs) -> Result<Exit, Error> {
    let mut root = Cli::command();
    root.build();
    if let Some(folder) = &args.out {
        let folder = context.path(folder);
        let failed = |e| Error::io(format!("cannot write manual pages to {}", folder.display()), e);
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let mut count = 0;
        for command in pages(&root) {
            std::fs::write(folder.join(format!("{}.1", name(command))), page(command)?).map_err(failed)?;
            count += 1;
        }
        context.out.note(format_args!("{count} pages written to {}", folder.display()));
        return Ok(Exit::Done);
    }
    let command = match &args.verb {
        None => &root,
        Some(verb) => root.find_subcommand(verb).ok_or_else(|| {
            Error::not_found(format!("there is no verb {:?}", safe(verb))).hint("`qmanager --help` lists them")
        })?,
    };
    context.out.raw(&page(command)?)?;
    Ok(Exit::Done)
}

fn pages(root: &Command) -> impl Iterator<Item = &Command> {
    let inner = root.get_subcommands().flat_map(Command::get_subcommands);
    std::iter::once(root)
        .chain(root.get_subcommands())
        .chain(inner)
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

fn name(command: &Command) -> String {
    command.get_bin_name().unwrap_or(command.get_name()).replace(' ', "-")
}

fn page(command: &Command) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    Man::new(command.clone())
        .render(&mut text)
        .map_err(|e| Error::internal("cannot render a manual page").because(e))?;
    Ok(text)
}

//! `qmanager completions SHELL`.

use super::context::Context;
use crate::{
    cli::{Cli, CompletionsArgs},
    exit::{Error, Exit},
};

pub(super) fn run(context: &Context, args: &CompletionsArgs) -> Result<Exit, Error> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "qmanager", &mut text);
    context.out.raw(&text)?;
    Ok(Exit::Done)
}

//! `qmanager schema`: the JSON Schema of workflow files, for editors.

use super::context::Context;
use crate::{
    cli::SchemaArgs,
    exit::{Error, Exit},
};

pub(super) fn run(context: &Context, _: &SchemaArgs) -> Result<Exit, Error> {
    context.out.line("TEMP")?;
    Ok(Exit::Done)
}

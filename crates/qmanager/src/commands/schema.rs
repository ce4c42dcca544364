//! `qmanager schema`: the JSON Schema of workflow files and job definitions, for editors.

use super::context::Context;
use crate::{
    cli::SchemaArgs,
    exit::{Error, Exit},
};

pub(super) fn run(context: &Context, args: &SchemaArgs) -> Result<Exit, Error> {
    let text = if args.job { workflow_model::job_schema() } else { workflow_model::workflow_schema() };
    context.out.line(text.trim_end())?;
    Ok(Exit::Done)
}

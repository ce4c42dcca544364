//! `qmanager status`: a job, or this host.

mod host;
mod job;

use super::context::Context;
use crate::{
    cli::StatusArgs,
    exit::{Error, Exit},
};

pub(super) async fn run(context: &Context, args: &StatusArgs) -> Result<Exit, Error> {
    match &args.job {
        Some(selector) => job::run(context, args, selector).await,
        None => host::run(context).await,
    }
}

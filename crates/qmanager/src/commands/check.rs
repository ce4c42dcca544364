//! `qmanager check FILE`: everything that can be known without running it.

use executor::{Findings, Secrets, SpecBuilder};
use serde::Serialize;
use serde_json::Value;
use workflow_model::{ExecutorKind, QueueName};

use super::{
    context::Context,
    engine,
    load::{self, Source},
};
use crate::{
    cli::CheckArgs,
    exit::{Error, Exit},
    output::JSON_VERSION,
    text::{self, Tone, counted, paint, safe},
};

#[derive(Serialize)]
struct View {
    v: u16,
    valid: bool,
    tasks: usize,
    dependencies: usize,
    hash: String,
    warnings: Vec<Value>,
    executor: Option<ExecutorView>,
}

#[derive(Serialize)]
struct ExecutorView {
    executor: ExecutorKind,
    errors: Vec<Value>,
    warnings: Vec<String>,
}

pub(super) fn run(context: &Context, args: &CheckArgs) -> Result<Exit, Error> {
    let source = load::read(context, &args.file)?;
    let findings = args.executor.map(|kind| findings(context, &source, kind)).transpose()?;
    let file_warnings: usize = source.warnings.iter().map(|problems| problems.list().len() + problems.more()).sum();
    let warned = file_warnings > 0 || findings.as_ref().is_some_and(|found| !found.warnings.is_empty());
    let failed = findings.as_ref().is_some_and(|found| !found.errors.is_empty());
    let exit = match (failed, warned && args.strict) {
        (true, _) => Exit::ExecutorUnusable,
        (_, true) => Exit::InvalidWorkflow,
        _ => Exit::Done,
    };
    if context.out.json {
        let executor = args.executor.zip(findings).map(|(executor, found)| ExecutorView {
            executor,
            errors: found.errors.iter().map(error_view).collect(),
            warnings: found.warnings,
        });
        context.out.object(&View {
            v: JSON_VERSION,
            valid: exit == Exit::Done,
            tasks: source.workflow.len(),
            dependencies: source.workflow.edge_count(),
            hash: source.workflow.hash(),
            warnings: source.warnings.iter().flat_map(load::views).collect(),
            executor,
        })?;
        return Ok(exit);
    }
    source.warn(context);
    show(context, findings.as_ref());
    let (tasks, edges) = (source.workflow.len(), source.workflow.edge_count());
    let dependencies = if edges == 1 { "1 dependency".into() } else { format!("{} dependencies", text::count(edges)) };
    match exit {
        Exit::Done => context.out.line(format_args!("valid: {}, {dependencies}", counted(tasks, "task")))?,
        Exit::InvalidWorkflow => context.out.say("refused by --strict: there are warnings"),
        _ => context.out.say("the workflow is valid, but cannot run under this executor here"),
    }
    Ok(exit)
}

/// What the executor and this host's configuration say about every task.
fn findings(context: &Context, source: &Source, kind: ExecutorKind) -> Result<Findings, Error> {
    engine::usable(context, kind)?;
    let settings = context.config()?.settings();
    let ambient = engine::ambient(context);
    let given = std::collections::BTreeMap::new();
    let queue: QueueName = context.qname_or_default()?;
    let secrets = Secrets::new(&settings.secrets, &given, &ambient, &queue, false);
    let builder = SpecBuilder::new(kind, &settings, &ambient, secrets)
        .map_err(|e| Error::usage("the configuration of tasks cannot be used here").because(e))?;
    let env = source.job.as_ref().map_or(&[][..], |job| &job.env);
    Ok(builder.check(&source.workflow, env))
}

fn error_view((task, why): &(Option<workflow_model::TaskName>, String)) -> Value {
    serde_json::json!({ "task": task, "message": why })
}

fn show(context: &Context, findings: Option<&Findings>) {
    let Some(findings) = findings else { return };
    let color = context.out.color_notes;
    for (task, why) in &findings.errors {
        let task = task.as_ref().map_or_else(String::new, |task| format!("task {:?}: ", safe(task.as_str())));
        context.out.say(format_args!("{} {task}{}", paint("error:", Tone::Bad, color), safe(why)));
    }
    for warning in &findings.warnings {
        context.out.warn(safe(warning));
    }
}

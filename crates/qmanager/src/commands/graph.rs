//! `qmanager graph FILE|JOB`: the graph drawn for a terminal, or as Mermaid, DOT, SVG.

use std::path::Path;

use workflow_model::Workflow;

use super::{context::Context, load};
use crate::{
    cli::GraphArgs,
    exit::{Error, Exit},
    graph::{self, Graph, Options},
    output::{JSON_VERSION, now},
};

pub(super) async fn run(context: &Context, args: &GraphArgs) -> Result<Exit, Error> {
    let (workflow, graph) = read(context, args).await?;
    let options = Options {
        width: context.width(),
        color: context.out.color,
        ascii: context.is_ascii(),
        critical_path: args.critical_path,
        ..Options::default()
    };
    let (form, text) = if args.mermaid {
        ("mermaid", graph::mermaid(&graph, &options))
    } else if args.dot {
        ("dot", graph::dot(&graph, &options))
    } else if args.svg {
        ("svg", graph::svg(&graph, &options))
    } else if context.out.json {
        return json(context, &workflow);
    } else {
        ("text", graph::draw(&graph, &options))
    };
    if context.out.json {
        context.out.object(&serde_json::json!({ "v": JSON_VERSION, "form": form, "graph": text }))?;
    } else {
        context.out.raw(text.as_bytes())?;
        if !text.ends_with('\n') {
            context.out.raw(b"\n")?;
        }
    }
    Ok(Exit::Done)
}

async fn read(context: &Context, args: &GraphArgs) -> Result<(Workflow, Graph), Error> {
    let path = Path::new(&args.what);
    // A file that exists is meant as such, whatever it is called; `@last` and ids name jobs.
    if args.what == "-" || context.path(path).is_file() || looks_like_a_file(&args.what) {
        let source = load::read(context, path)?;
        source.warn(context);
        let graph = Graph::of(&source.workflow);
        return Ok((source.workflow, graph));
    }
    let queue = context.queue_with(&[&args.what])?;
    let job = context.job(&*queue, &args.what).await?;
    let (workflow, _) = context.definition(&*queue, &job).await?;
    let rows = queue.tasks(job.id).await?;
    let graph = Graph::of(&workflow).with_rows(&rows, now());
    Ok((workflow, graph))
}

fn looks_like_a_file(text: &str) -> bool {
    !text.starts_with('@') && (text.contains('/') || [".yaml", ".yml", ".json"].iter().any(|end| text.ends_with(end)))
}

/// The graph itself: tasks and what each depends on, by index.
fn json(context: &Context, workflow: &Workflow) -> Result<Exit, Error> {
    let tasks: Vec<serde_json::Value> = workflow
        .iter()
        .map(|(task, facts)| {
            serde_json::json!({ "task": task, "name": facts.name, "group": facts.group, "depends": workflow.deps(task) })
        })
        .collect();
    context.out.object(&serde_json::json!({ "v": JSON_VERSION, "form": "json", "tasks": tasks }))?;
    Ok(Exit::Done)
}

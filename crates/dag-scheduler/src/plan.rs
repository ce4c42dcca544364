//! What there is to do: tasks by index, each with its policy, and what each depends on. Immutable once it runs.

use std::{
    error::Error,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use daggy::{Dag, NodeIndex};

use crate::{TaskIx, flat::Flat};

/// The graph, as daggy holds it.
pub(crate) type Graph = Dag<(), (), u32>;

/// Tasks and what they depend on. Cloning is cheap: clones share what they hold until one is added to.
#[derive(Clone, Default)]
pub struct Plan {
    graph: Arc<Graph>,
    policies: Arc<Policies>,
    rules: Rules,
    /// Made from `graph` when first needed.
    flat: OnceLock<Arc<Flat>>,
}

/// When a task starts and what its failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// On which outcome of its ancestors it starts.
    pub when: When,
    /// How often it is tried again.
    pub retry: Retry,
    /// How long an attempt may run, from [`Event::Started`](crate::Event::Started). The driver is to see to it; the
    /// scheduler asks for a stop when it has not, [`Rules::timeout_slack`] later.
    pub timeout: Option<Duration>,
    /// What it takes of [`Limits::parallel`](crate::Limits::parallel).
    pub weight: u32,
    /// Whether its failure counts as a success for its descendants and for the job.
    pub allow_failure: bool,
}

/// On which outcome of its ancestors a task starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum When {
    /// None failed.
    #[default]
    Success,
    /// At least one failed.
    Failure,
    /// Any; even while the job is being cancelled.
    Always,
}

/// How often a task is tried again after a failure of its own (not after a loss, which is free).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Retries after the first attempt.
    pub max: u32,
    /// Before the first retry; doubles with each, up to [`Rules::backoff_limit`], and up to 10 % are added.
    pub backoff: Duration,
}

/// What holds for all tasks of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// So many losses of one task make it fail as [`Cause::Poison`](crate::Cause::Poison).
    pub crash_limit: u32,
    /// The longest backoff.
    pub backoff_limit: Duration,
    /// How long after its timeout an attempt is asked to stop, and, after that again, killed.
    pub timeout_slack: Duration,
    /// How long a `when: always` task without a timeout may run while the job is being cancelled.
    pub cleanup_limit: Duration,
}

/// Tasks that depend on each other in a circle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle {
    /// Each depends on the one before it, and the first on the last.
    pub tasks: Vec<TaskIx>,
}

/// One policy for each task. Equal neighbours share theirs, and as long as all are equal only one is kept.
#[derive(Clone, Default)]
struct Policies {
    tasks: usize,
    distinct: Vec<Policy>,
    /// Which of them each task has; empty = the only one.
    of: Vec<u32>,
}

impl Plan {
    /// A plan without tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A plan without tasks, with room.
    #[must_use]
    pub fn with_capacity(tasks: usize, edges: usize) -> Self {
        Self { graph: Arc::new(Graph::with_capacity(tasks, edges)), ..Self::default() }
    }

    /// Adds a task that depends on those in `after`. They were added before, so that no cycle can come of it.
    ///
    /// # Panics
    /// A task in `after` is not of this plan, or the plan has 2^32 - 1 tasks.
    pub fn task(&mut self, policy: Policy, after: &[TaskIx]) -> TaskIx {
        self.flat = OnceLock::new();
        Arc::make_mut(&mut self.policies).push(policy);
        let graph = Arc::make_mut(&mut self.graph);
        let new = graph.add_node(());
        if let Some(unknown) = after.iter().find(|task| task.index() >= new.index()) {
            panic!("task {} cannot depend on task {unknown}: the plan has no such task", new.index());
        }
        // The new task has no dependents, which daggy sees at once: it searches for no cycle.
        graph
            .add_edges(after.iter().map(|task| (NodeIndex::from(task.0), new, ())))
            .expect("BUG: a task without dependents closed a cycle");
        TaskIx::at(new.index())
    }

    /// A plan of one task for each policy, with all its edges at once: `(dependency, dependent)`, in any order;
    /// doubles do no harm.
    ///
    /// # Errors
    /// The edges form a cycle; the error names one.
    ///
    /// # Panics
    /// An edge names a task that has no policy.
    pub fn from_edges(
        policies: impl IntoIterator<Item = Policy>,
        edges: impl IntoIterator<Item = (TaskIx, TaskIx)>,
    ) -> Result<Self, Cycle> {
        let policies: Policies = policies.into_iter().collect();
        let edges: Vec<_> = edges.into_iter().collect();
        let tasks = policies.tasks;
        let flat = Flat::new(tasks, edges.len(), || edges.iter().rev().copied());
        drop(edges);
        // Indexes that grow along every edge are an order themselves.
        let order = if flat.is_forward() { None } else { Some(flat.order()?) };
        let mut graph = Graph::with_capacity(tasks, flat.edges());
        for _ in 0..tasks {
            graph.add_node(());
        }
        // The one cycle check is the order. daggy's own recurses once per task of the longest chain and would overflow
        // the stack; it is not made when each edge's source has no dependencies yet: dependents come first.
        let backwards = (0..tasks).rev().map(|at| order.as_ref().map_or(TaskIx::at(at), |order| order[at]));
        let edges = backwards.flat_map(|from| {
            flat.after(from).iter().map(move |&to| (NodeIndex::from(from.0), NodeIndex::from(to.0), ()))
        });
        graph.add_edges(edges).expect("BUG: edges in topological order closed a cycle");
        Ok(Self {
            graph: Arc::new(graph),
            policies: Arc::new(policies),
            rules: Rules::default(),
            flat: OnceLock::from(Arc::new(flat)),
        })
    }

    /// The same plan under other rules.
    #[must_use]
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// The rules for all tasks.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// How many tasks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.policies.tasks
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.tasks == 0
    }

    /// All tasks, by index.
    pub fn tasks(&self) -> impl ExactSizeIterator<Item = TaskIx> + use<> {
        (0..u32::try_from(self.len()).expect("BUG: a plan has fewer than 2^32 tasks")).map(TaskIx)
    }

    /// The task's policy.
    ///
    /// # Panics
    /// The plan has no such task.
    #[must_use]
    pub fn policy(&self, task: TaskIx) -> &Policy {
        self.policies.get(task)
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    pub(crate) fn flat(&self) -> &Arc<Flat> {
        self.flat.get_or_init(|| {
            let edges = || self.graph.raw_edges().iter().rev();
            let pair = |edge: &daggy::petgraph::graph::Edge<(), u32>| {
                (TaskIx::at(edge.source().index()), TaskIx::at(edge.target().index()))
            };
            Arc::new(Flat::new(self.len(), self.graph.edge_count(), || edges().map(pair)))
        })
    }
}

impl fmt::Debug for Plan {
    /// Only its size: plans are large.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("tasks", &self.len())
            .field("edges", &self.graph.edge_count())
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl Default for Policy {
    /// Starts when no ancestor failed; no retries, no timeout, weight 1.
    fn default() -> Self {
        Self { when: When::Success, retry: Retry::default(), timeout: None, weight: 1, allow_failure: false }
    }
}

impl Default for Retry {
    /// No retries; were there some, a backoff of 1 s.
    fn default() -> Self {
        Self { max: 0, backoff: Duration::from_secs(1) }
    }
}

impl Default for Rules {
    /// 5 losses, backoff up to 1 h, 30 s of slack, 5 min for cleanup.
    fn default() -> Self {
        Self {
            crash_limit: 5,
            backoff_limit: Duration::from_secs(3600),
            timeout_slack: Duration::from_secs(30),
            cleanup_limit: Duration::from_secs(300),
        }
    }
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tasks depend on each other in a circle: ")?;
        for task in &self.tasks {
            write!(f, "{task} -> ")?;
        }
        self.tasks.first().map_or(Ok(()), |first| first.fmt(f))
    }
}

impl Error for Cycle {}

impl Policies {
    fn get(&self, task: TaskIx) -> &Policy {
        assert!(task.index() < self.tasks, "the plan has no task {task}");
        let which = if self.of.is_empty() { 0 } else { self.of[task.index()] };
        &self.distinct[which as usize]
    }

    fn push(&mut self, policy: Policy) {
        if self.distinct.last() != Some(&policy) {
            self.distinct.push(policy);
            if self.distinct.len() == 2 {
                self.of = vec![0; self.tasks];
            }
        }
        if self.distinct.len() > 1 {
            let last = self.distinct.len() - 1;
            self.of.push(u32::try_from(last).expect("BUG: a plan has fewer than 2^32 tasks"));
        }
        self.tasks += 1;
    }
}

impl FromIterator<Policy> for Policies {
    fn from_iter<I: IntoIterator<Item = Policy>>(policies: I) -> Self {
        let mut all = Self::default();
        policies.into_iter().for_each(|policy| all.push(policy));
        all
    }
}

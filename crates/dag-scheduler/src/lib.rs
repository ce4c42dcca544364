//! When a task may start and what its end means: a pure state machine for DAGs, without runtime, clock or IO.

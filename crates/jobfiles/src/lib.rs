//! The files that the tasks of a job share: trait JobFiles and the folder backend.

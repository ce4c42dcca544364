//! H, the client's history: each request with its beginning, its end, and what was answered. `Info` = not known: it may
//! or may not have happened.

use serde::{Deserialize, Serialize};

/// One request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// When it was sent, and when the answer was there.
    pub t: (i64, i64),
    /// What was asked for.
    pub what: What,
    /// The job's key in the plan.
    pub key: String,
    /// The job's id, as far as known.
    pub job: Option<String>,
    /// What came of it.
    pub answer: Answer,
    /// The exit code and what was said, where it was not well.
    pub words: String,
}

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// `submit`.
    Submit,
    /// `cancel`.
    Cancel,
    /// `cancel --now`.
    CancelNow,
    /// `retry`.
    Retry,
    /// `status`.
    Status,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It was done.
    Ok,
    /// It was not done.
    Fail,
    /// Unknown.
    Info,
    /// The job's round and status.
    Seen(u32, String),
}

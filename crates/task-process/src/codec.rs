//! Bytes <-> messages. The request is framed (magic, version, number of descriptors, length, JSON), the report is the
//! same JSON in its file and in its ZeroMQ message. Decoding never panics, whatever the bytes.

use crate::{
    Error,
    message::{TaskReport, TaskRequest, VERSION},
};

/// The largest report, as message and as file: MAXMSGSIZE of the Q socket.
pub const MAX_REPORT: usize = 64 * 1024;

/// The largest request: a task's environment and standard input come from a workflow of at most 256 MiB.
pub const MAX_REQUEST: usize = 512 * 1024 * 1024;

/// Bytes before the request's JSON.
pub(crate) const HEADER: usize = 12;

/// The most slots that one task can hold: SCM_RIGHTS takes 253 descriptors at once.
pub(crate) const MAX_SLOTS: usize = 253;

const MAGIC: [u8; 4] = *b"QMTR";

/// What the first bytes of a request say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Descriptors that come with the first byte.
    pub(crate) slots: u16,
    /// Bytes of JSON that follow.
    pub(crate) length: usize,
}

/// A request with its header, as it is written to a spare's standard input.
///
/// # Errors
/// It is larger than [`MAX_REQUEST`] or has more than 253 slots.
pub fn encode_request(request: &TaskRequest, slots: usize) -> Result<Vec<u8>, Error> {
    let mut frame = Vec::with_capacity(2048);
    frame.extend_from_slice(&[0; HEADER]);
    serde_json::to_writer(&mut frame, request).map_err(|e| malformed("request", &e))?;
    let length = frame.len() - HEADER;
    if length > MAX_REQUEST {
        return Err(Error::TooLarge { what: "request", size: length, limit: MAX_REQUEST });
    }
    if slots > MAX_SLOTS {
        return Err(Error::TooLarge { what: "number of slots", size: slots, limit: MAX_SLOTS });
    }
    frame[..4].copy_from_slice(&MAGIC);
    frame[4..6].copy_from_slice(&VERSION.to_le_bytes());
    frame[6..8].copy_from_slice(&u16::try_from(slots).expect("BUG: at most 253").to_le_bytes());
    frame[8..12].copy_from_slice(&u32::try_from(length).expect("BUG: at most 512 MiB").to_le_bytes());
    Ok(frame)
}

/// The request in a whole frame.
///
/// # Errors
/// It is not a frame of ours, of a newer version, or incomplete.
pub fn decode_request(frame: &[u8]) -> Result<TaskRequest, Error> {
    let header = frame.first_chunk().ok_or_else(|| incomplete(frame.len()))?;
    let header = decode_header(header)?;
    let body = frame.get(HEADER..HEADER + header.length).ok_or_else(|| incomplete(frame.len()))?;
    decode_body(body)
}

pub(crate) fn decode_header(bytes: &[u8; HEADER]) -> Result<Header, Error> {
    let [m0, m1, m2, m3, v0, v1, s0, s1, length @ ..] = *bytes;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(Error::Malformed { what: "request", reason: "it does not begin with QMTR".into() });
    }
    known_version("request", u16::from_le_bytes([v0, v1]))?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_REQUEST {
        return Err(Error::TooLarge { what: "request", size: length, limit: MAX_REQUEST });
    }
    Ok(Header { slots: u16::from_le_bytes([s0, s1]), length })
}

pub(crate) fn decode_body(body: &[u8]) -> Result<TaskRequest, Error> {
    let request: TaskRequest = serde_json::from_slice(body).map_err(|e| malformed("request", &e))?;
    known_version("request", request.v)?;
    Ok(request)
}

/// A report as bytes of JSON, at most [`MAX_REPORT`] of them: where escapes blow it up, the output's tails go first.
#[must_use]
pub fn encode_report(report: &TaskReport) -> Vec<u8> {
    let body = to_json(report);
    if body.len() <= MAX_REPORT {
        return body;
    }
    let mut shorter = report.clone();
    shorter.out.tail.clear();
    shorter.err.tail.clear();
    shorter.outcome.message = shorter.outcome.message.chars().take(1000).collect();
    to_json(&shorter)
}

/// The report in a message or file.
///
/// # Errors
/// It is too large, not JSON of the right form, or of a newer version.
pub fn decode_report(body: &[u8]) -> Result<TaskReport, Error> {
    if body.len() > MAX_REPORT {
        return Err(Error::TooLarge { what: "report", size: body.len(), limit: MAX_REPORT });
    }
    let report: TaskReport = serde_json::from_slice(body).map_err(|e| malformed("report", &e))?;
    known_version("report", report.v)?;
    Ok(report)
}

fn to_json(report: &TaskReport) -> Vec<u8> {
    let mut body = Vec::with_capacity(1024);
    serde_json::to_writer(&mut body, report).expect("BUG: a report has only numbers and texts");
    body
}

/// Every field that is added later has a default, so the *next* version is understood too; beyond that we do not know.
fn known_version(what: &'static str, found: u16) -> Result<(), Error> {
    let known = VERSION + 1;
    if found == 0 || found > known { Err(Error::Version { what, found, known }) } else { Ok(()) }
}

/// Only the place and kind of the mistake: the text itself may hold secrets.
fn malformed(what: &'static str, error: &serde_json::Error) -> Error {
    let reason = format!("{:?} at line {} column {}", error.classify(), error.line(), error.column());
    Error::Malformed { what, reason }
}

fn incomplete(length: usize) -> Error {
    Error::Malformed { what: "request", reason: format!("it ends after {length} bytes") }
}

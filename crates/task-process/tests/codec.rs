//! The wire: golden bytes of each version always decode, and no bytes ever make it panic (F24, F46).
#![expect(clippy::unwrap_used, reason = "a test's setup may fail the test")]

use std::{path::PathBuf, time::Duration};

use executor::{Ending, Outcome, Resources, Stdin, TaskSpec, Volume};
use proptest::prelude::*;
use task_process::{
    Error, MAX_REPORT, OutputInfo, Paths, TaskReport, TaskRequest, VERSION, decode_report, decode_request,
    encode_report, encode_request,
};
use workflow_model::{Attempt, Epoch, ExecutorKind, TaskIx, TaskName};

const REQUEST_V1: &[u8] = include_bytes!("../../../tests/fixtures/v1/task/request.bin");
const REPORT_V1: &[u8] = include_bytes!("../../../tests/fixtures/v1/task/report.json");

fn request() -> TaskRequest {
    TaskRequest {
        v: VERSION,
        job: "01a20c49-1994-759c-9388-359eda41fe5b".parse().unwrap(),
        task: TaskIx(7),
        name: TaskName::new("étape 1/x.o").unwrap(),
        attempt: Attempt(2),
        epoch: Epoch(3),
        nonce: "69b7a4f0c2d84e5b8f1a2b3c4d5e6f70".parse().unwrap(),
        executor: ExecutorKind::Shell,
        spec: TaskSpec {
            argv: Some(vec!["/bin/sh".into(), "-ec".into(), "echo \"$A\"\n".into()]),
            image: Some("python:3.12".into()),
            env: vec![("PATH".into(), "/bin".into()), ("A".into(), "ü \u{1F600}".into())],
            stdin: Stdin::Text("epochs=3\n".into()),
            stdout: Some("out/x".into()),
            volumes: vec![Volume { name: Some("d".into()), src: "/d".into(), dst: "/m".into(), read_only: true }],
            job_files: "/srv/job/files".into(),
            workdir: "sub".into(),
            resources: Resources { cpus: Some(1.5), memory: Some(1 << 30) },
            timeout: Some(Duration::from_millis(1500)),
            redact: vec!["hunter2".into()],
            run_as: Some((1000, 1000)),
            rlimits: vec![("nofile".into(), 1024)],
            no_new_privs: true,
            marker: "QM_MARK=x".into(),
            ..TaskSpec::default()
        },
        paths: Paths {
            out: "/srv/job/logs/7.out".into(),
            err: "/srv/job/logs/7.err".into(),
            report: "/srv/job/reports/7.2.json".into(),
            handle: "/srv/job/reports/7.2.handle".into(),
            lease: "/run/leases/x".into(),
            tmp: "/srv/job/tmp/place-3-0".into(),
            recycle: true,
            blank: None,
        },
        reply: Some(PathBuf::from("/run/default00.ipc")),
        deadline: Some(123_456_789),
        umask: Some(0o022),
        attach: false,
    }
}

fn report() -> TaskReport {
    let request = request();
    TaskReport {
        v: VERSION,
        job: request.job,
        task: request.task,
        attempt: request.attempt,
        epoch: request.epoch,
        nonce: request.nonce,
        outcome: Outcome::new(Ending::Exited { code: 3 }, "task \"étape 1/x.o\" ended with code 3"),
        started: 1_700_000_000_000_001,
        ended: 1_700_000_000_500_002,
        out: OutputInfo { bytes: 12, lost: 0, problem: None, tail: "hello\nworld\n".into() },
        err: OutputInfo::default(),
    }
}

#[test]
fn golden_request_of_version_1_decodes() {
    let decoded = decode_request(REQUEST_V1).unwrap();
    assert_eq!(serde_json::to_value(&decoded).unwrap(), serde_json::to_value(request()).unwrap());
}

#[test]
fn golden_report_of_version_1_decodes() {
    assert_eq!(decode_report(REPORT_V1).unwrap(), report());
}

/// A field that is added to a message needs a default, and new golden bytes beside the old ones.
#[test]
fn golden_bytes_are_what_this_version_writes() {
    let (request, report) = (encode_request(&request(), 2).unwrap(), encode_report(&report()));
    assert_eq!(String::from_utf8_lossy(&request), String::from_utf8_lossy(REQUEST_V1));
    assert_eq!(String::from_utf8_lossy(&report), String::from_utf8_lossy(REPORT_V1));
}

#[test]
fn the_next_version_with_unknown_fields_is_understood_and_later_ones_are_refused() {
    for (v, understood) in [(0, false), (1, true), (2, true), (3, false), (65535, false)] {
        let text = String::from_utf8(REPORT_V1.to_vec()).unwrap();
        let text = text.replacen("{\"v\":1", &format!("{{\"new\":[1],\"v\":{v}"), 1);
        let decoded = decode_report(text.as_bytes());
        assert_eq!(decoded.is_ok(), understood, "{v}");
        if !understood {
            assert!(matches!(decoded, Err(Error::Version { found, .. }) if found == v));
        }
    }
}

#[test]
fn f46_every_truncation_is_an_error() {
    for length in 0..REQUEST_V1.len() {
        assert!(decode_request(&REQUEST_V1[..length]).is_err(), "{length}");
    }
    for length in 0..REPORT_V1.len() {
        assert!(decode_report(&REPORT_V1[..length]).is_err(), "{length}");
    }
}

#[test]
fn an_error_shows_no_secret() {
    let mut frame = REQUEST_V1.to_vec();
    let at = frame.windows(7).position(|w| w == b"hunter2").unwrap();
    frame[at + 7] = b'!';
    let text = decode_request(&frame).unwrap_err().to_string();
    assert!(!text.contains("hunter"), "{text}");
}

#[test]
fn f27_the_largest_report_fits_the_socket() {
    let mut report = report();
    // Control characters are six bytes each in JSON.
    report.outcome = Outcome::new(Ending::Lost, "\u{1}".repeat(1000));
    report.out.tail = "\u{2}".repeat(2048);
    report.err.tail = "\u{3}".repeat(2048);
    assert!(encode_report(&report).len() <= MAX_REPORT);
    report.err.tail = "\u{3}".repeat(MAX_REPORT);
    let body = encode_report(&report);
    assert!(body.len() <= MAX_REPORT);
    assert_eq!(decode_report(&body).unwrap().nonce, report.nonce);
}

proptest! {
    #[test]
    fn f24_arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(decode_report(&bytes).is_err());
        prop_assert!(decode_request(&bytes).is_err());
        let mut framed = b"QMTR\x01\x00\x00\x00".to_vec();
        framed.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
        framed.extend_from_slice(&bytes);
        prop_assert!(decode_request(&framed).is_err());
    }

    #[test]
    fn f24_a_flipped_byte_never_panics(at in 0..REQUEST_V1.len(), to in any::<u8>()) {
        let mut frame = REQUEST_V1.to_vec();
        frame[at] = to;
        drop(decode_request(&frame));
        let mut body = REPORT_V1.to_vec();
        let at = at % body.len();
        body[at] = to;
        drop(decode_report(&body));
    }
}

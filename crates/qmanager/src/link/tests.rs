//! Managers and workers of neighbouring versions understand each other: the lines of version 1 (tests/fixtures).

use std::path::Path;

use serde_json::Value;
use workflow_model::{ExecutorKind, QueueName, TaskStatus};

use super::*;

const ORDERS: &str = include_str!("../../../../tests/fixtures/v1/link/orders.jsonl");
const WORDS: &str = include_str!("../../../../tests/fixtures/v1/link/words.jsonl");

fn orders() -> Vec<Order> {
    let (job, epoch) = ("01a20ced-2d28-7012-b03d-b083dfd37384".parse().unwrap(), Epoch(3));
    let mut settings = executor::Settings::default();
    settings.tasks.grace = Duration::from_secs(10);
    let pool = Pool {
        qname: QueueName::default(),
        executor: ExecutorKind::Shell,
        count: 4,
        parallel: 8,
        settings,
        store: "fs:/var/lib/qmanager/jobs".into(),
        place: None,
    };
    let setup = Setup {
        number: 2,
        pool,
        state_dir: "/var/lib/qmanager".into(),
        run_dir: "/var/lib/qmanager/run".into(),
        db: "sqlite:/var/lib/qmanager/queue.db".into(),
        password_file: None,
        jobs: "/var/lib/qmanager/jobs".into(),
        identity: None,
        times: Times::default(),
        task_executor: "/usr/bin/task-executor".into(),
        ambient: [("PATH".into(), "/bin".into())].into(),
        rows: false,
        umask: 0o22,
        log: "warn".into(),
    };
    let owner = Owner { host: "h".into(), run_dir: "0123456789abcdef".into(), slot: "default07".into() };
    vec![
        Order::Setup(Box::new(setup)),
        Order::Claim { orphans: Vec::new() },
        Order::Claim { orphans: vec![owner] },
        Order::Cancel { job, epoch, how: CancelHow::Cancel },
        Order::Cancel { job, epoch, how: CancelHow::Now },
        Order::Stop(StopHow::Release),
        Order::Stop(StopHow::Now),
        Order::Stop(StopHow::Drain),
        Order::Stop(StopHow::Handover),
    ]
}

fn words() -> Vec<Word> {
    let job = "01a20ced-2d28-7012-b03d-b083dfd37384".parse().unwrap();
    let mut row = TaskRow::waiting(workflow_model::TaskIx(7), workflow_model::Attempt(2));
    row.status = TaskStatus::Succeeded;
    vec![
        Word::Beat,
        Word::Took { job, epoch: Epoch(3), resumed: true },
        Word::Progressed,
        Word::Rows(vec![row]),
        Word::Left { job, status: Some(JobStatus::Succeeded) },
        Word::Left { job, status: None },
        Word::Idle,
        Word::Degraded(Some("the disk is full".into())),
        Word::Degraded(None),
        Word::Ready,
    ]
}

/// Each line of version 1 is understood, and says what this version's line says, except for what was added since.
fn stable<T: Message + Serialize>(file: &str, fixture: &str, now: &[T]) {
    let lines: Vec<String> = now.iter().map(|message| serde_json::to_string(message).unwrap()).collect();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/v1/link");
        return std::fs::write(folder.join(file), lines.join("\n") + "\n").unwrap();
    }
    assert_eq!(fixture.lines().count(), lines.len(), "{file}");
    for (old, new) in fixture.lines().zip(&lines) {
        let understood: T = serde_json::from_str(old).unwrap_or_else(|error| panic!("{error}: {old}"));
        let (old, new): (Value, Value) = (serde_json::from_str(old).unwrap(), serde_json::from_str(new).unwrap());
        assert_contains(&new, &old);
        assert_contains(&serde_json::to_value(&understood).unwrap(), &old);
        let name = old.as_str().or_else(|| Some(old.as_object()?.keys().next()?)).unwrap();
        assert!(T::NAMES.contains(&name), "{name} is missing in NAMES");
    }
    // Every message there is stands in the fixture.
    let seen = |name: &&str| fixture.lines().any(|line| line.contains(&format!("\"{name}\"")));
    assert!(T::NAMES.iter().all(seen), "{file}");
}

/// What version 1 says is all there, unchanged.
fn assert_contains(new: &Value, old: &Value) {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            old.iter().for_each(|(key, old)| assert_contains(new.get(key).unwrap_or(&Value::Null), old));
        }
        _ => assert_eq!(new, old, "changed since version 1 (tests/fixtures/README.md)"),
    }
}

#[test]
fn orders_of_version_1_are_understood_and_unchanged() {
    stable("orders.jsonl", ORDERS, &orders());
}

#[test]
fn words_of_version_1_are_understood_and_unchanged() {
    stable("words.jsonl", WORDS, &words());
}

#[tokio::test]
async fn f09_messages_and_fields_of_the_next_version_are_passed_over() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut ear, _mouth) = open(ours);
    let (_, other) = open(theirs);
    for line in [
        r#""resting""#,
        r#"{"resting":{"since":7}}"#,
        r#"{"left":{"job":"01a20ced-2d28-7012-b03d-b083dfd37384","status":null,"why":"new"}}"#,
    ] {
        drop(other.0.send(Outgoing::Line(format!("{line}\n"))));
    }
    assert!(matches!(ear.hear::<Word>().await, Ok(Some(Word::Left { status: None, .. }))));
    // A known message without what it needs, or what is no message at all, is not guessed at.
    for line in [r#"{"took":{"epoch":1}}"#, r#"{"stop":"softly"}"#, "7", "{"] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut ear, _mouth) = open(ours);
        let (_, other) = open(theirs);
        drop(other.0.send(Outgoing::Line(format!("{line}\n"))));
        let heard = if line.contains("stop") {
            ear.hear::<Order>().await.map(drop)
        } else {
            ear.hear::<Word>().await.map(drop)
        };
        assert!(heard.is_err(), "{line}");
    }
}

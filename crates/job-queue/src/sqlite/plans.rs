//! Tests: what runs often finds its rows by an index, and costs the same however many jobs wait.

use rusqlite::{Connection, StatementStatus, ToSql};
use workflow_model::JobStatus;

use super::{claim, keys, lease, manage, poll, read, schema};
use crate::Filter;

fn database() -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    schema::migrate(&conn, 0).unwrap();
    conn
}

/// Jobs of the default queue; every second one has a `run_at` far ahead and a higher priority.
fn fill(conn: &Connection, jobs: u32) {
    conn.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
         INSERT INTO job (id, queue, status, labels, priority, run_at, later, submitter, hash, tasks, created) \
         SELECT printf('%036d', i), 'default', 'queued', '{}', i % 2, iif(i % 2, 9e15, NULL), iif(i % 2, 9000000000000000, NULL), \
         'uid:' || (i % 7), 'h', 1, 1 FROM n",
        [jobs],
    )
    .unwrap();
}

fn plan(conn: &Connection, sql: &str) -> String {
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let lines = statement.raw_query().mapped(|row| row.get::<_, String>(3));
    lines.map(Result::unwrap).collect::<Vec<_>>().join("\n")
}

#[test]
fn f84_claims_and_polls_use_their_indexes() {
    let conn = database();
    fill(&conn, 1_000);
    conn.execute_batch("ANALYZE").unwrap();
    let expectations = [
        (claim::NEXT_READY, "INDEX job_ready (queue=?)"),
        (claim::OWNED, "INDEX job_owned (owner_slot=? AND owner_run_dir=? AND owner_host=? AND queue=?)"),
        (claim::DUE, "INDEX job_later (queue=? AND later>? AND later<?)"),
        (poll::UNDER_WAY, "job USING INDEX job_owned (owner_slot>?)"),
        (poll::READY, "INDEX job_ready (queue=?)"),
        (keys::TO_LOOK_AT, "key_look USING PRIMARY KEY (queue=?)"),
        (keys::UNDER_WAY, "INDEX job_key_under_way (queue=? AND limit_key=?)"),
        (keys::FIRST, "INDEX job_key_waits (queue=? AND limit_key=?)"),
        (lease::RENEW, "SEARCH job USING INDEX sqlite_autoindex_job_1 (id=?)"),
    ];
    for (sql, expected) in expectations {
        let plan = plan(&conn, sql);
        assert!(plan.contains(expected), "{sql}\n{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
        assert!(!plan.lines().any(|line| line.ends_with("SCAN job")), "{sql}\n{plan}");
    }
}

#[test]
fn queues_are_named_without_looking_at_each_job() {
    let conn = database();
    let steps = |jobs: u32| {
        fill(&conn, jobs);
        let mut statement = conn.prepare(manage::NAMES).unwrap();
        let names = statement.query_map((), |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(names.map(Result::unwrap).collect::<Vec<_>>(), ["default"]);
        conn.execute_batch("DELETE FROM job").unwrap();
        statement.get_status(StatementStatus::VmStep)
    };
    assert_eq!(steps(20), steps(5_000));
    for index in ["INDEX job_ready (queue=?)", "INDEX job_later (queue=?", "INDEX job_owned"] {
        assert!(plan(&conn, manage::QUEUE).contains(index), "{index}\n{}", plan(&conn, manage::QUEUE));
    }
}

#[test]
fn jobs_are_found_by_index() {
    let conn = database();
    fill(&conn, 1_000);
    conn.execute_batch("ANALYZE").unwrap();
    let none = Filter::default;
    let cases = [
        (Filter { id_suffix: Some("0123abcd".into()), ..none() }, "job_suffix"),
        (Filter { key: Some("k".into()), ..none() }, "job_key"),
        (Filter { states: vec![JobStatus::Running], ..none() }, "job_owned"),
        (Filter { limit_key: Some("k".into()), states: vec![JobStatus::Running], ..none() }, "job_"),
        (Filter { submitter: Some("uid:1".into()), ..none() }, "job_submitter (submitter=?"),
    ];
    for (filter, index) in cases {
        let (conditions, _) = read::DIALECT.conditions(&filter);
        let plan = plan(&conn, &format!("SELECT id FROM job WHERE {conditions} seq < ? ORDER BY seq DESC LIMIT ?"));
        assert!(plan.contains(index), "{filter:?}\n{plan}");
    }
}

#[test]
fn f84_a_claim_costs_the_same_whatever_waits() {
    let steps = |jobs: u32, sql: &str, params: &[&dyn ToSql]| {
        let conn = database();
        fill(&conn, jobs);
        let mut statement = conn.prepare(sql).unwrap();
        let mut rows = statement.query(params).unwrap();
        while rows.next().unwrap().is_some() {}
        drop(rows);
        statement.get_status(StatementStatus::VmStep)
    };
    let now = 1_700_000_000_000_000_i64;
    let cases: [(&str, &[&dyn ToSql]); 3] = [
        (claim::NEXT_READY, &[&"default"]),
        (claim::DUE, &[&"default", &now, &500]),
        (poll::READY, &[&"[\"default\",\"none\"]", &now]),
    ];
    for (sql, params) in cases {
        assert_eq!(steps(20, sql, params), steps(20_000, sql, params), "{sql}");
    }
}

/// Who comes next of a key does not depend on how many wait for it, and neither does the claim that passes over them.
#[test]
fn f84_a_key_costs_the_same_however_many_wait() {
    let steps = |jobs: u32| {
        let conn = database();
        conn.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
             INSERT INTO job (id, queue, status, labels, priority, submitter, hash, tasks, created, limit_key) \
             SELECT printf('%036d', i), 'default', 'queued', '{}', 5, 'u', 'h', 1, 1, iif(i = 7, 'other', 'k') FROM n",
            [jobs],
        )
        .unwrap();
        let run = |sql: &str, params: &[&dyn ToSql]| {
            let mut statement = conn.prepare(sql).unwrap();
            let mut rows = statement.query(params).unwrap();
            while rows.next().unwrap().is_some() {}
            drop(rows);
            statement.get_status(StatementStatus::VmStep)
        };
        let key: [&dyn ToSql; 3] = [&"default", &"k", &1];
        let name = [&"default" as &dyn ToSql];
        [run(keys::FIRST, &key), run(keys::OVERTAKEN, &key), run(keys::NAMES, &name), run(claim::NEXT_READY, &name)]
    };
    assert_eq!(steps(20), steps(5_000));
}

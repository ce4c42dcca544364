//! A filter as SQL, for both databases: they differ in a few expressions.

use workflow_model::JobStatus;

use crate::Filter;

/// How a database says what the filter means. Each `?` is the place of a text.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// What a column's name begins with.
    pub(crate) table: &'static str,
    /// The last 8 characters of the id, as its index has them.
    pub(crate) short: &'static str,
    /// That the id ends in a text, which is given twice.
    pub(crate) suffix: &'static str,
    /// That it is under way.
    pub(crate) under_way: &'static str,
    /// That a label, given first, has a value.
    pub(crate) label: &'static str,
}

impl Dialect {
    /// The filter's conditions, each followed by AND, and the texts that belong in them: texts are only ever values.
    pub(crate) fn conditions(&self, filter: &Filter) -> (String, Vec<String>) {
        let mut found = Conditions { sql: String::new(), texts: Vec::new() };
        if let Some(suffix) = &filter.id_suffix {
            let suffix = suffix.to_ascii_lowercase();
            if suffix.len() >= 8 && suffix.is_ascii() {
                found.add(&format!("{} = ?", self.short), &[&suffix[suffix.len() - 8..]]);
            }
            found.add(self.suffix, &[&suffix, &suffix]);
        }
        let queue = filter.queue.as_ref().map(workflow_model::QueueName::as_str);
        for (column, wanted) in [
            ("key", filter.key.as_deref()),
            ("limit_key", filter.limit_key.as_deref()),
            ("submitter", filter.submitter.as_deref()),
            ("queue", queue),
            ("name", filter.name.as_deref()),
        ] {
            if let Some(wanted) = wanted {
                found.add(&format!("{}{column} = ?", self.table), &[wanted]);
            }
        }
        for (label, value) in &filter.labels {
            found.add(self.label, &[label, value]);
        }
        if !filter.states.is_empty() {
            let marks = vec!["?"; filter.states.len()].join(", ");
            let states: Vec<&str> = filter.states.iter().copied().map(JobStatus::as_str).collect();
            found.add(&format!("{}status IN ({marks})", self.table), &states);
        }
        if filter.states.iter().all(|status| matches!(status, JobStatus::Running | JobStatus::Cancelling))
            && !filter.states.is_empty()
        {
            // It follows from the states, and has an index: no more are looked at than there are workers.
            found.add(self.under_way, &[]);
        }
        (found.sql, found.texts)
    }
}

struct Conditions {
    sql: String,
    texts: Vec<String>,
}

impl Conditions {
    fn add(&mut self, condition: &str, texts: &[&str]) {
        self.sql.push_str(condition);
        self.sql.push_str(" AND ");
        self.texts.extend(texts.iter().map(|text| (*text).to_owned()));
    }
}

//! A log that could not be written in full (a full disk): said with the task's end, since the log itself may have had no
//! room for it, and read again where logs are shown.

use task_process::TaskReport;

const BEGIN: &str = "its log is incomplete: ";

/// A task's message with what its log lacks. What the cap leaves out is no problem and stands in the log.
pub(crate) fn say(message: &str, report: &TaskReport) -> Option<String> {
    let streams = [("standard output", &report.out), ("standard error", &report.err)];
    let said = streams.into_iter().filter_map(|(stream, info)| {
        let problem = info.problem.as_deref()?;
        Some(format!("{} bytes of {stream} are lost ({problem})", info.lost))
    });
    let said: Vec<String> = said.collect();
    if said.is_empty() {
        return (!message.is_empty()).then(|| message.to_owned());
    }
    let between = if message.is_empty() { "" } else { "; " };
    let mut text = format!("{message}{between}{BEGIN}{}", said.join(", "));
    text.truncate(text.floor_char_boundary(1000));
    Some(text)
}

/// What a task's message says of its log.
pub(crate) fn of(message: Option<&str>) -> Option<&str> {
    message?.find(BEGIN).map(|at| &message.unwrap_or_default()[at..])
}

#[cfg(test)]
mod tests {
    use executor::{Ending, Outcome};
    use task_process::{OutputInfo, VERSION};
    use workflow_model::{Attempt, Epoch, JobId, Nonce, TaskIx};

    use super::*;

    fn report(problem: Option<&str>) -> TaskReport {
        let info = OutputInfo { bytes: 9, lost: 5, problem: problem.map(str::to_owned), tail: String::new() };
        TaskReport {
            v: VERSION,
            job: JobId::generate(),
            task: TaskIx(0),
            attempt: Attempt(1),
            epoch: Epoch(1),
            nonce: Nonce::generate(),
            outcome: Outcome::new(Ending::Exited { code: 0 }, ""),
            started: 1,
            ended: 2,
            out: info,
            err: OutputInfo::default(),
        }
    }

    #[test]
    fn f45_what_a_log_lacks_is_said_and_found_again() {
        let lacks = "its log is incomplete: 5 bytes of standard output are lost (no space left on device)";
        let full = report(Some("no space left on device"));
        assert_eq!(say("", &full).as_deref(), Some(lacks));
        let failed = say("exit code 3", &full).unwrap();
        assert_eq!((failed.as_str(), of(Some(&failed))), (&*format!("exit code 3; {lacks}"), Some(lacks)));
        assert!(say(&"é".repeat(2000), &full).unwrap().len() <= 1000);
    }

    #[test]
    fn what_the_cap_leaves_out_is_no_problem() {
        assert_eq!(say("", &report(None)), None);
        assert_eq!(of(say("exit code 3", &report(None)).as_deref()), None);
    }
}

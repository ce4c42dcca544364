//! Did you mean: the nearest of some words, with bounded work however many there are.

/// Work that may still be spent on suggestions for one file, in steps of the comparison.
#[derive(Debug)]
pub(crate) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(20_000_000)
    }
}

impl Budget {
    /// The nearest of the candidates if it is near enough; the first of several.
    pub(crate) fn nearest<'a>(&mut self, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        let most = match word.chars().count() {
            0..=1 => 0,
            2 => 1,
            length @ 3..=80 => length.div_ceil(4).min(4),
            _ => return None,
        };
        let mut best: Option<(usize, &str)> = None;
        for candidate in candidates {
            if self.0 == 0 {
                break;
            }
            self.0 = self.0.saturating_sub(4);
            if candidate == word || candidate.len().abs_diff(word.len()) > 4 * most {
                continue;
            }
            self.0 = self.0.saturating_sub(candidate.len() * word.len());
            let distance = if candidate.eq_ignore_ascii_case(word) { 0 } else { strsim::osa_distance(word, candidate) };
            let similar = distance <= most && distance < word.chars().count().max(2);
            if similar && best.is_none_or(|(least, _)| distance < least) {
                best = Some((distance, candidate));
            }
        }
        best.map(|(_, candidate)| candidate)
    }
}

/// What other tools call our keys, and what we call it.
const SYNONYMS: &[(&str, &[&str])] = &[
    ("depends", &["needs", "depends_on", "dependencies", "requires", "after", "deps", "upstream"]),
    ("command", &["cmd", "run", "script", "exec", "bash", "args", "entrypoint"]),
    ("env", &["environment", "envs", "variables", "vars"]),
    ("workdir", &["cwd", "dir", "working_dir", "working_directory", "workingdir"]),
    ("retry", &["retries", "attempts", "max_retries"]),
    ("volumes", &["mounts", "mount", "volume"]),
    ("when", &["if", "trigger_rule", "run_if", "condition"]),
    ("timeout", &["time_limit", "deadline", "max_time"]),
    ("allow_failure", &["continue_on_error", "ignore_errors", "ignore_failure"]),
    ("name", &["id", "title"]),
    ("image", &["container", "docker"]),
    ("cpus", &["cpu"]),
    ("memory", &["mem", "ram"]),
    ("stdin", &["input"]),
    ("stdout", &["output"]),
    ("endpoint", &["url", "uri"]),
    ("workflow", &["tasks", "steps", "jobs", "dag"]),
    ("max", &["max_retry", "count", "limit"]),
    ("backoff", &["delay", "interval", "wait"]),
];

/// What other tools' files can ask of a container engine and a workflow cannot: keys, and the setting of `[executors.docker]`
/// that decides it for all tasks of a host. Without one nothing does.
const RIGHTS: &[(&[&str], Option<&str>)] = &[
    (&["privileged"], Some("privileged = true")),
    (&["cap_add", "capadd", "cap_drop", "capabilities"], Some("cap_add = [\"NAME\"]")),
    (&["network", "network_mode", "networks", "net"], Some("network = \"NAME\"")),
    (&["pid", "pid_mode", "host_pid"], Some("host_namespaces = [\"pid\"]")),
    (&["ipc", "ipc_mode", "host_ipc"], Some("host_namespaces = [\"ipc\"]")),
    (&["uts", "uts_mode"], Some("host_namespaces = [\"uts\"]")),
    (&["userns", "userns_mode"], Some("host_namespaces = [\"user\"]")),
    (&["host_namespaces"], Some("host_namespaces = [\"NAME\"]")),
    (&["security_opt", "no_new_privs", "no_new_privileges"], Some("no_new_privs = false")),
    (&["pids_limit"], Some("pids_limit = NUMBER")),
    (&["user", "run_as", "run_as_user"], Some("user = \"NAME\"")),
    (&["init"], Some("init = false")),
    (&["pull", "pull_policy", "image_pull_policy"], Some("pull = \"always\"")),
    (&["docker_socket", "docker_sock"], Some("docker_socket = true")),
    (&["binds_allowed"], Some("binds_allowed = [\"FOLDER\"]")),
    (&["devices", "device", "device_cgroup_rules", "device_requests"], None),
    (&["sysctls", "cgroup_parent", "cgroupns", "cgroupns_mode", "runtime", "volumes_from", "extra_hosts"], None),
];

/// What decides a right that a workflow cannot ask for.
pub(crate) fn right(key: &str) -> Option<String> {
    let key: String = key.chars().take(80).collect::<String>().to_ascii_lowercase().replace('-', "_");
    let (_, setting) = RIGHTS.iter().find(|(keys, _)| keys.contains(&key.as_str()))?;
    Some(match setting {
        Some(setting) => format!(
            "a workflow cannot ask for it: `{setting}` of [executors.docker] in a host's qmanager.toml decides it for \
             all tasks there"
        ),
        None => "a workflow cannot ask for it, and no setting gives it to tasks".to_owned(),
    })
}

/// Our key for another tool's, allowing for slips of the pen.
pub(crate) fn synonym(key: &str, budget: &mut Budget) -> Option<&'static str> {
    let key: String = key.chars().take(80).collect::<String>().to_ascii_lowercase().replace('-', "_");
    let ours = |word: &str| SYNONYMS.iter().find(|(_, words)| words.contains(&word)).map(|(ours, _)| *ours);
    ours(&key).or_else(|| {
        let words = SYNONYMS.iter().flat_map(|(_, words)| words.iter().copied()).filter(|word| word.len() > 4);
        budget.nearest(&key, words).and_then(ours)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let mut budget = Budget::default();
        for (word, nearest) in [
            ("depend", Some("depends")),
            ("dpeends", Some("depends")),
            ("Name", Some("name")),
            ("tiemout", Some("timeout")),
            ("zebra", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(budget.nearest(word, ["name", "depends", "timeout"]), nearest, "{word}");
        }
    }

    #[test]
    fn other_tools_keys_are_known() {
        let mut budget = Budget::default();
        assert_eq!(synonym("needs", &mut budget), Some("depends"));
        assert_eq!(synonym("Depends-On", &mut budget), Some("depends"));
        assert_eq!(synonym("enviroment", &mut budget), Some("env"));
        assert_eq!(synonym("zebra", &mut budget), None);
    }

    #[test]
    fn rights_are_given_by_settings_and_never_by_a_workflow() {
        assert!(right("privileged").unwrap().contains("`privileged = true` of [executors.docker]"));
        assert!(right("Network-Mode").unwrap().contains("`network = "));
        assert!(right("devices").unwrap().contains("no setting"));
        assert_eq!(right("zebra"), None);
    }

    #[test]
    fn a_spent_budget_finds_nothing() {
        assert_eq!(Budget(0).nearest("depend", ["depends"]), None);
    }
}

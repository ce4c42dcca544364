//! A task's environment: what of the worker's may pass, and who overrules whom.

use std::collections::BTreeMap;

/// Variables of the worker's environment that shell tasks get; a `*` stands for any ending.
const ALLOWED: &[&str] = &[
    "PATH",
    "HOME",
    "LANG",
    "LC_*",
    "USER",
    "TZ",
    "SSL_CERT_*",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
];

/// An environment in the making: later ones win, each name stands once, in the order of its first appearance.
#[derive(Default)]
pub(crate) struct Environment {
    order: Vec<(String, String)>,
    places: BTreeMap<String, usize>,
}

impl Environment {
    pub(crate) fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.places.get(&name) {
            Some(&place) => self.order[place].1 = value,
            None => {
                self.places.insert(name.clone(), self.order.len());
                self.order.push((name, value));
            }
        }
    }

    pub(crate) fn into_vec(self) -> Vec<(String, String)> {
        self.order
    }
}

/// Whether a variable of the worker's environment reaches shell tasks.
pub(crate) fn passes(name: &str, pass_env: &[String]) -> bool {
    let allowed = |pattern: &str| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    };
    // Ours are made anew for each task, whatever `pass_env` says.
    !name.starts_with("QM_")
        && (ALLOWED.iter().any(|pattern| allowed(pattern))
            || pass_env.iter().any(|pattern| fast_glob::glob_match(pattern, name)))
}

/// Whether a name may be set by configuration or command line.
pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("is empty")
    } else if name.contains('=') || name.chars().any(char::is_control) {
        Err("has a `=` or a control character")
    } else if name.starts_with("QM_") {
        Err("begins with `QM_`, which is reserved: choose another name")
    } else {
        Ok(())
    }
}

/// The variable that tells a task where a volume is.
pub(crate) fn volume_variable(name: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("QM_VOLUME_{}", name.chars().map(upper).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes() {
        for name in ["PATH", "LC_ALL", "SSL_CERT_DIR", "https_proxy", "TZ"] {
            assert!(passes(name, &[]), "{name}");
        }
        for name in ["AWS_SECRET_ACCESS_KEY", "PATHS", "LANGUAGE", "LD_PRELOAD", "QM_TASK", "DATABASE_URL"] {
            assert!(!passes(name, &[]), "{name}");
        }
        let pass_env = ["KRB5*".to_owned(), "VAULT_ADDR".to_owned(), "*".to_owned()];
        assert!(passes("KRB5CCNAME", &pass_env[..2]) && passes("VAULT_ADDR", &pass_env[..2]));
        assert!(!passes("VAULT_TOKEN", &pass_env[..2]));
        assert!(passes("ANYTHING", &pass_env) && !passes("QM_NONCE", &pass_env));
    }

    #[test]
    fn later_ones_win_and_stand_once() {
        let mut env = Environment::default();
        env.set("A", "1");
        env.set("B", "2");
        env.set("A", "3");
        assert_eq!(env.into_vec(), [("A".into(), "3".into()), ("B".into(), "2".into())]);
        assert_eq!(volume_variable("data-sets.v2"), "QM_VOLUME_DATA_SETS_V2");
    }
}

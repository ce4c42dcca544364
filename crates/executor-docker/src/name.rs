//! The name of an attempt's container: the same whoever makes it.

/// From the attempt's marker `QM_MARK=JOB/TASK/ATTEMPT`: `qm-JOB-TASK-ATTEMPT`. That two markers could give one name is
/// no harm: the marker itself is a label, and is compared.
pub(crate) fn of(marker: &str) -> String {
    let value = marker.split_once('=').map_or(marker, |(_, value)| value);
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    format!("qm-{}", value.trim_start_matches('/').chars().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f79_a_name_has_only_what_an_engine_takes() {
        assert_eq!(of("QM_MARK=0192-ab/7/2"), "qm-0192-ab-7-2");
        assert_eq!(of("QM_MARK=/tmp/a b/\u{e9}=x"), "qm-tmp-a-b---x");
    }
}

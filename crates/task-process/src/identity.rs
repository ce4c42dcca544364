//! Who a process and a host are: identities that survive the reuse of a pid and a reboot.

use std::{io, sync::OnceLock};

use executor::ProcessId;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

/// This boot of this host. Empty where the kernel does not tell: then nothing is ever adopted.
#[must_use]
pub fn boot_id() -> &'static str {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    BOOT_ID.get_or_init(|| read_small("/proc/sys/kernel/random/boot_id").map(trimmed).unwrap_or_default())
}

/// This host: its machine-id, else its name (containers without `/etc/machine-id`).
#[must_use]
pub fn host_id() -> String {
    let id = read_small("/etc/machine-id").map(trimmed).unwrap_or_default();
    if id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return id;
    }
    format!("host-{}", rustix::system::uname().nodename().to_string_lossy())
}

/// This process.
///
/// # Errors
/// `/proc` is not mounted.
pub fn current() -> io::Result<ProcessId> {
    identify(rustix::process::getpid().as_raw_nonzero().get())
}

/// The identity of a living process or zombie.
///
/// # Errors
/// There is no such process, or `/proc` is not mounted.
pub fn identify(pid: i32) -> io::Result<ProcessId> {
    let stat = stat(pid)?;
    Ok(ProcessId { pid, start_time: stat.start_time, boot_id: boot_id().to_owned() })
}

/// Whether exactly this process lives (a zombie does not).
#[must_use]
pub fn is_alive(id: &ProcessId) -> bool {
    id.boot_id == boot_id()
        && !id.boot_id.is_empty()
        && stat(id.pid).is_ok_and(|stat| stat.start_time == id.start_time && !stat.ended)
}

/// This process in one word, for [`has_ended`]; empty where `/proc` is not mounted.
#[must_use]
pub fn badge() -> String {
    let Ok(ProcessId { pid, start_time, boot_id }) = current() else { return String::new() };
    format!("{pid}.{start_time}.{}.{boot_id}", pid_namespace())
}

/// Whether the process with this [`badge`] is gone for certain. Of processes that cannot be seen from here it is not.
#[must_use]
pub fn has_ended(badge: &str) -> bool {
    let mut parts = badge.splitn(4, '.');
    let mut part = || parts.next();
    let (Some(pid), Some(start_time), Some(namespace), Some(boot)) = (part(), part(), part(), part()) else {
        return false;
    };
    let (Ok(pid), Ok(start_time)) = (pid.parse(), start_time.parse()) else { return false };
    if boot.is_empty() || boot_id().is_empty() {
        return false;
    }
    let id = ProcessId { pid, start_time, boot_id: boot.to_owned() };
    boot != boot_id() || (namespace == pid_namespace() && !is_alive(&id))
}

/// The number of the namespace that process numbers are of.
fn pid_namespace() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
}

struct Stat {
    start_time: u64,
    ended: bool,
}

fn stat(pid: i32) -> io::Result<Stat> {
    let text = read_small(&format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unknown form of /proc/PID/stat"))
}

/// Fields 3 (state) and 22 (start time). The program's name (field 2) is free text in parentheses and may itself hold
/// blanks, parentheses and newlines, so counting begins after the *last* parenthesis.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let after_name = text.iter().rposition(|&b| b == b')')? + 1;
    let rest = std::str::from_utf8(text.get(after_name..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let start_time = fields.nth(18)?.parse().ok()?;
    Some(Stat { start_time, ended: matches!(state, "Z" | "X" | "x") })
}

fn read_small(path: &str) -> io::Result<Vec<u8>> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = [0; 1024];
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::read(&file, &mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(buffer[..filled].to_vec())
}

fn trimmed(text: Vec<u8>) -> String {
    String::from_utf8_lossy(&text).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_newlines_does_not_shift_the_fields() {
        let tail = "S 1 2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 5 6\n";
        for name in ["sh", "a) Z (b", "x\n) 1 2", ")))", ""] {
            let stat = parse_stat(format!("42 ({name}) {tail}").as_bytes()).unwrap();
            assert_eq!((stat.start_time, stat.ended), (987_654, false), "{name:?}");
        }
        assert!(parse_stat(b"42 (a) Z 1").is_none());
        assert!(parse_stat(b"").is_none());
    }

    #[test]
    fn this_process_is_alive_and_another_start_time_is_not() {
        let me = current().unwrap();
        assert!(is_alive(&me));
        assert!(!is_alive(&ProcessId { start_time: me.start_time + 1, ..me.clone() }));
        assert!(!is_alive(&ProcessId { boot_id: "another".into(), ..me }));
    }

    #[test]
    fn a_badge_tells_whether_its_process_has_ended() {
        let own = badge();
        assert!(!has_ended(&own));
        let (pid, rest) = own.split_once('.').unwrap();
        assert!(has_ended(&format!("{pid}.1{rest}")), "another process of that number");
        let (other_boot, _) = own.rsplit_once('.').unwrap();
        assert!(has_ended(&format!("{other_boot}.00000000-0000")));
        for unknown in ["", "1", "x.y.z.b", "1.2.3."] {
            assert!(!has_ended(unknown), "{unknown:?}");
        }
        let parts: Vec<&str> = own.splitn(4, '.').collect();
        assert!(!has_ended(&format!("{}.1.7.{}", parts[0], parts[3])), "another namespace's cannot be seen");
    }

    #[test]
    fn host_id_is_stable() {
        assert_eq!(host_id(), host_id());
        assert!(!host_id().is_empty());
    }
}

//! Users and groups by name, from `/etc/passwd` and `/etc/group` themselves: the C library's lookup loads modules at run
//! time, which a static program cannot. Accounts that are only in a directory service are named by number.

use std::fs;

/// Whose rights a task has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The user's name and home, if they are in `/etc/passwd`.
    pub(crate) user: Option<(String, String)>,
}

/// Reads `user`, `user:group`, `uid` or `uid:gid`.
pub(crate) fn find(text: &str) -> Result<Account, String> {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    parse(text, &users, &groups)
}

fn parse(text: &str, users: &str, groups: &str) -> Result<Account, String> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    // `name:password:uid:gid:comment:home:shell`
    let entry = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.len() >= 6 && (fields[0] == user || (is_number(user) && fields[2] == user)));
    let (uid, own_group) = match &entry {
        Some(fields) => (fields[2].parse().ok(), fields[3].parse().ok()),
        None => (user.parse().ok(), None),
    };
    let uid = uid.ok_or_else(|| format!("no user {user:?} in /etc/passwd; write the number of one from elsewhere"))?;
    let gid = match group {
        None => own_group.ok_or_else(|| format!("user {user:?} has no group in /etc/passwd: write {text}:GROUP"))?,
        Some(group) => {
            let named = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
            let gid = named.filter(|fields| fields.len() >= 3 && fields[0] == group).find_map(|f| f[2].parse().ok());
            gid.or_else(|| group.parse().ok()).ok_or_else(|| format!("no group {group:?} in /etc/group"))?
        }
    };
    Ok(Account { uid, gid, user: entry.map(|fields| (fields[0].to_owned(), fields[5].to_owned())) })
}

fn is_number(text: &str) -> bool {
    text.parse::<u32>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\ntasks:x:998:997::/srv/tasks:/bin/false\nbroken line\n";
    const GROUPS: &str = "root:x:0:\ntasks:x:997:\ndata:x:50:tasks\n";

    #[test]
    fn names_and_numbers() {
        let tasks = Some(("tasks".to_owned(), "/srv/tasks".to_owned()));
        let account = |uid, gid, user: &Option<_>| Ok(Account { uid, gid, user: user.clone() });
        assert_eq!(parse("tasks", USERS, GROUPS), account(998, 997, &tasks));
        assert_eq!(parse("tasks:data", USERS, GROUPS), account(998, 50, &tasks));
        assert_eq!(parse("998:50", USERS, GROUPS), account(998, 50, &tasks));
        assert_eq!(parse("12345:678", USERS, GROUPS), account(12345, 678, &None));
        assert!(parse("12345", USERS, GROUPS).unwrap_err().contains("12345:GROUP"));
        assert!(parse("nobody-here", USERS, GROUPS).unwrap_err().contains("no user \"nobody-here\""));
        assert!(parse("tasks:nogroup", USERS, GROUPS).unwrap_err().contains("no group"));
        assert!(parse("", USERS, GROUPS).is_err());
    }
}

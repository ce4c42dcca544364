//! The layers, as a table.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use super::{Environment, Error, Loaded, Overrides};

fn environment(home: &Path, vars: &[(&str, &str)]) -> Environment {
    let mut all = BTreeMap::from([(OsString::from("HOME"), home.as_os_str().to_owned())]);
    all.extend(vars.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))));
    Environment { vars: all, uid: 1000, temp: "/tmp".into(), cpus: 2, ..Environment::default() }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: &str) -> &Self {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn read(&self, vars: &[(&str, &str)], overrides: Overrides) -> Result<Loaded, Error> {
        Loaded::read(&environment(self.0.path(), vars), &Overrides { directory: "/cwd".into(), ..overrides })
    }
}

const USER: &str = ".config/qmanager/qmanager.toml";

#[test]
fn without_any_layer_the_built_in_values_hold() {
    let place = Place::new();
    let loaded = place.read(&[], Overrides::default()).unwrap();
    let state = place.0.path().join(".local/state/qmanager");
    assert_eq!(loaded.config.state_dir(), state);
    assert_eq!(loaded.config.db_url(), format!("sqlite:{}/queue.db", state.display()));
    assert_eq!(loaded.config.store(), format!("fs:{}/jobs", state.display()));
    assert_eq!(loaded.origin("tasks.grace").to_string(), "built-in");
    assert!(loaded.files.is_empty());
}

#[test]
fn later_layers_win_value_by_value() {
    let place = Place::new();
    place.file(USER, "state_dir = \"/file\"\n[times]\nlease = \"9s\"\npoll = \"2s\"\n");
    let vars = [("QMANAGER__TIMES__LEASE", "8s"), ("QMANAGER__STATE_DIR", "/variable"), ("QMANAGER_PORT", "tcp://1")];
    let flags = Overrides { state_dir: Some("flag".into()), ..Overrides::default() };
    let loaded = place.read(&vars, flags).unwrap();
    assert_eq!(loaded.config.state_dir(), Path::new("/cwd/flag"));
    assert_eq!(loaded.config.times.lease.unwrap().0.as_secs(), 8);
    assert_eq!(loaded.config.times.poll.unwrap().0.as_secs(), 2);
    assert_eq!(loaded.origin("state_dir").to_string(), "--state-dir");
    assert_eq!(loaded.origin("times.lease").to_string(), "QMANAGER__TIMES__LEASE");
    assert_eq!(loaded.origin("times.poll").to_string(), format!("{}:4", place.0.path().join(USER).display()));
    assert_eq!(loaded.origin("times.backoff").to_string(), "built-in");
}

#[test]
fn the_flag_config_replaces_both_files() {
    let place = Place::new();
    place.file(USER, "state_dir = \"/user\"\n").file("other/q.toml", "[db]\nurl = \"sqlite:here/q.db\"\n");
    let config = Some(place.0.path().join("other/q.toml"));
    let loaded = place.read(&[], Overrides { config, ..Overrides::default() }).unwrap();
    assert_ne!(loaded.config.state_dir(), Path::new("/user"));
    let expected = place.0.path().join("other/here/q.db");
    assert_eq!(loaded.config.db_url(), format!("sqlite:{}", expected.display()), "relative to the file's folder");
}

#[test]
fn wrong_files_say_where_and_what_to_write() {
    for (text, place_end, what, hint) in [
        ("statedir = \"x\"\n", ":1:1", "unknown key `statedir`", "did you mean `state_dir`?"),
        ("[db]\nurll = \"x\"\n", ":2:1", "unknown key `urll`", "did you mean `url`?"),
        ("[times]\nlease = 60\n", ":2:9", "has no unit", ""),
        ("[times]\nlease = \"60\"\n", ":2:9", "write 60s", ""),
        ("[limits]\ntext = \"many\"\n", ":2:8", "size", ""),
        ("[[workers]]\nqname = \"q1\"\n", ":2:9", "digit", ""),
        ("[db\n", ":1:4", "", ""),
        ("state_dir = 5\n", ":1:13", "invalid type", ""),
    ] {
        let folder = Place::new();
        folder.file(USER, text);
        let Err(Error::Invalid { place, what: found, hint: found_hint }) = folder.read(&[], Overrides::default())
        else {
            panic!("{text:?} is accepted");
        };
        assert!(place.ends_with(place_end), "{text:?}: {place}");
        assert!(found.contains(what), "{text:?}: {found}");
        assert!(found_hint.unwrap_or_default().contains(hint), "{text:?}");
    }
}

#[test]
fn wrong_sums_name_the_layer_that_is_wrong() {
    for (text, what) in [
        ("[db]\nurl = \"postgres://u:s3cret@h:port/d\"\n", "not the URL of a PostgreSQL database"),
        ("[db]\nurl = \"mysql://x\"\n", "mysql"),
        ("[jobfiles]\nurl = \"s3://b/p\"\n", "object storage"),
        ("[times]\nlease = \"1ms\"\n", "lease"),
        ("[[workers]]\nqname = \"a\"\n[[workers]]\nqname = \"a\"\n", "two pools"),
        ("[[workers]]\nqname = \"run-x\"\n", "reserved"),
        ("[[workers]]\nqname = \"a\"\ncount = 0\n", "count"),
    ] {
        let folder = Place::new();
        folder.file(USER, text);
        let error = folder.read(&[], Overrides::default()).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("qmanager.toml:"), "{text:?}: {error}");
    }
}

#[test]
fn variables_are_typed_by_what_fits() {
    let place = Place::new();
    let vars = [
        ("QMANAGER__DB__MIGRATE", "true"),
        ("QMANAGER__STATE_DIR", "rel"),
        ("QMANAGER__WORKERS", "[{qname = \"etl\", count = 3}]"),
        ("QMANAGER__TASKS__ENV__HTTPS_PROXY", "http://proxy:3128"),
    ];
    let loaded = place.read(&vars, Overrides::default()).unwrap();
    assert_eq!(loaded.config.db.migrate, Some(true));
    assert_eq!(loaded.config.state_dir(), Path::new("/cwd/rel"));
    assert_eq!(loaded.config.workers[0].count, Some(3));
    assert!(loaded.table["tasks"]["env"].get("HTTPS_PROXY").is_some());
    let error = place.read(&[("QMANAGER__DB__URLL", "x")], Overrides::default()).unwrap_err();
    assert!(error.to_string().starts_with("QMANAGER__DB__URLL: unknown key `urll`"), "{error}");
    let error = place.read(&[("QMANAGER__TIMES__LEASE", "60")], Overrides::default()).unwrap_err();
    assert!(error.to_string().contains("write 60s"), "{error}");
}

#[test]
fn the_example_of_the_manual_is_read_but_for_what_this_build_lacks() {
    let place = Place::new();
    place.file("q.toml", include_str!("example.toml"));
    let config = Some(place.0.path().join("q.toml"));
    let loaded = place.read(&[], Overrides { config, ..Overrides::default() }).unwrap();
    assert_eq!(loaded.config.workers.len(), 2);
    assert_eq!(loaded.config.workers[1].profile.as_deref(), Some("gpu"));
}

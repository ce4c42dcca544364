//! Credentials of registries, from docker's own configuration file (`docker login` writes it).

use std::{collections::HashMap, fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bollard::auth::DockerCredentials;
use serde::Deserialize;

/// The name that Docker Hub has in the file.
const HUB: &str = "https://index.docker.io/v1/";

/// What was found for an image.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Lookup {
    pub(crate) credentials: Option<DockerCredentials>,
    /// Why there are none although the file speaks of the registry.
    pub(crate) note: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigFile {
    auths: HashMap<String, Auth>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
    #[serde(rename = "credHelpers")]
    helpers: HashMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<String>,
    identitytoken: Option<String>,
}

/// Looks up the registry of an image. A file that is not there has no credentials.
pub(crate) fn of(path: Option<&Path>, image: &str) -> Lookup {
    let Some(text) = path.and_then(|path| fs::read_to_string(path).ok()) else { return Lookup::default() };
    let shown = path.map(|path| path.display().to_string()).unwrap_or_default();
    match serde_json::from_str(&text) {
        Ok(file) => search(&file, registry(image), &shown),
        // Without the text: it has secrets.
        Err(_) => Lookup { note: Some(format!("{shown} is not docker's configuration file")), ..Lookup::default() },
    }
}

/// What to do when a registry refuses, whether credentials were `given` or not.
pub(crate) fn remedy(path: Option<&Path>, image: &str, given: bool) -> String {
    let registry = registry(image);
    let Some(path) = path else {
        return format!(
            "no credentials were given: name docker's configuration file with `config` of [executors.docker], and \
             `docker login {registry}` to it"
        );
    };
    let what = if given { "credentials that are refused" } else { "no credentials for it" };
    format!("{} has {what}: `docker login {registry}`", path.display())
}

fn search(file: &ConfigFile, registry: &str, shown: &str) -> Lookup {
    let of_registry = |key: &str| host(key) == registry || (registry == "docker.io" && key == HUB);
    let auth = file.auths.iter().find(|(key, _)| of_registry(key)).map(|(key, auth)| (key.clone(), auth));
    let decoded = auth.as_ref().and_then(|(_, auth)| decode(auth.auth.as_deref()?));
    let token = auth.as_ref().and_then(|(_, auth)| auth.identitytoken.clone()).filter(|token| !token.is_empty());
    if decoded.is_some() || token.is_some() {
        let (username, password) = decoded.unzip();
        let serveraddress = auth.map(|(key, _)| key);
        let identitytoken = token;
        let credentials = DockerCredentials { username, password, identitytoken, serveraddress, ..Default::default() };
        return Lookup { credentials: Some(credentials), note: None };
    }
    let helper = file.helpers.iter().find(|(key, _)| of_registry(key)).map(|(_, helper)| helper);
    let store = file.store.as_ref().filter(|_| auth.is_some());
    let note = helper.or(store).map(|helper| {
        format!(
            "{shown} keeps the credentials of {registry} in docker-credential-{helper}, which is not asked: write them to a \
             file without `credsStore` and name it with `config` of [executors.docker]"
        )
    });
    Lookup { credentials: None, note }
}

/// The registry that an image's name begins with.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => "docker.io",
    }
}

/// Keys are hosts, or URLs with a path.
fn host(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    key.split('/').next().unwrap_or(key)
}

fn decode(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.trim_end_matches('\0').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(json: &str, image: &str) -> Lookup {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        fs::write(&path, json).unwrap();
        of(Some(&path), image)
    }

    #[test]
    fn the_registry_of_an_image() {
        assert_eq!(registry("debian:12"), "docker.io");
        assert_eq!(registry("library/debian"), "docker.io");
        assert_eq!(registry("registry.internal:5000/a/b@sha256:0"), "registry.internal:5000");
        assert_eq!(registry("localhost/a"), "localhost");
    }

    #[test]
    fn credentials_are_those_of_the_images_registry_alone() {
        let file = r#"{"auths": {"r.example": {"auth": "bWU6aHVudGVyMjI="}, "https://index.docker.io/v1/": {"auth": "aHViOng="}}}"#;
        let found = look(file, "r.example/a:1").credentials.unwrap();
        assert_eq!((found.username.as_deref(), found.password.as_deref()), (Some("me"), Some("hunter22")));
        assert_eq!(look(file, "debian:12").credentials.unwrap().username.as_deref(), Some("hub"));
        assert_eq!(look(file, "other.example/a"), Lookup::default());
        assert_eq!(of(Some(Path::new("/no/such/file")), "debian:12"), Lookup::default());
    }

    #[test]
    fn a_credential_helper_is_told_of() {
        let file = r#"{"auths": {"r.example": {}}, "credsStore": "pass"}"#;
        assert!(look(file, "r.example/a").note.unwrap().contains("docker-credential-pass"));
        assert_eq!(look(file, "other.example/a").note, None);
        let broken = look("hunter22", "r.example/a").note.unwrap();
        assert!(broken.contains("not docker's") && !broken.contains("hunter22"));
    }
}

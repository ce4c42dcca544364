//! Containers that nobody waits for any more: listed with what they say of themselves, removed by name. Whether one is
//! still wanted is decided by whoever knows the queue.

use std::collections::BTreeMap;

use executor::label;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;

/// A container of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its labels that are ours.
    pub labels: BTreeMap<String, String>,
}

/// All containers that an owner has, in whatever state.
///
/// # Errors
/// The engine cannot be asked.
pub async fn list(host: &str, owner: &str) -> Result<Vec<Found>, String> {
    let engine = Engine::open(host).await.map_err(|trouble| trouble.to_string())?;
    let found = engine.labelled(&format!("{}={owner}", label::HOST)).await;
    let found = found.map_err(|trouble| trouble.to_string())?;
    let ours = |(name, _): &(String, String)| name.starts_with(executor::LABEL);
    let found =
        found.into_iter().map(|(name, labels)| Found { name, labels: labels.into_iter().filter(ours).collect() });
    Ok(found.collect())
}

/// Kills and removes these.
///
/// # Errors
/// The first that could not be removed; the others are.
pub async fn remove(host: &str, names: &[String]) -> Result<(), String> {
    let engine = Engine::open(host).await.map_err(|trouble| trouble.to_string())?;
    let mut first = Ok(());
    for name in names {
        let removed = engine.remove(name).await.map_err(|trouble| format!("container {name}: {trouble}"));
        first = first.and(removed);
    }
    first
}

//! What the nemesis may hit, and where it writes down what it did.

use std::sync::{Arc, Mutex};

use crate::{
    evidence::Folder,
    host::{Host, Setting},
    proxy::Proxy,
    server::Server,
};

/// The run as the nemesis sees it.
#[derive(Debug)]
pub struct World {
    /// What all hosts have in common.
    pub setting: Arc<Setting>,
    /// The hosts.
    pub hosts: Vec<Host>,
    /// Where the record goes.
    pub evidence: Folder,
    /// Clients that are in the middle of a `submit`, by process number.
    pub clients: Arc<Mutex<Vec<i32>>>,
    /// The server, if it is ours.
    pub server: Option<Arc<Server>>,
    /// Of each host, the way to the server; none without a server.
    pub proxies: Vec<Proxy>,
    /// Whether each host's state-dir is a file system of its own, which can be filled.
    pub own_disk: bool,
}

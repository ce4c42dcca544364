//! Telling a service manager how we are (the sd_notify protocol: one datagram, lines of `KEY=value`).

use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::Path,
};

use std::os::unix::ffi::OsStrExt;

/// Sends e.g. `READY=1`.
pub(super) fn notify(socket: &Path, message: &str) -> io::Result<()> {
    let bytes = socket.as_os_str().as_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address).map(|_| ())
}

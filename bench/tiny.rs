//! The floor in Rust: `tiny.c` with the standard library. `tiny noop|SHELLCMD` starts `sh -c SHELLCMD`, waits, and
//! reports 300 bytes to the datagram socket `$REPORT`. Built alone, with the flags of the programs.

use std::{
    os::unix::net::UnixDatagram,
    process::{Command, ExitCode},
};

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_else(|| "noop".into());
    if command == "noop" {
        return ExitCode::SUCCESS;
    }
    let Ok(status) = Command::new("/bin/sh").args(["-c", &command]).status() else { return ExitCode::FAILURE };
    if let Some(path) = std::env::var_os("REPORT") {
        let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to(&[b'x'; 300], path));
        if !matches!(sent, Ok(300)) {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::from(u8::from(!status.success()))
}

//! The task executor's end of the Q socket: ZMTP 3.0 as PUSH, written by hand on the Unix stream.
//!
//! libzmq in a process that lives a millisecond costs as much as `sh -c true` (two threads, eventfds, linger), and loses
//! messages when the process ends right after sending (F17). This has no threads, so nothing can be lost at exit; but
//! the peer's whole READY must be read before the close: bytes left unread turn the close into a reset, and libzmq
//! then drops what we sent.

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send, socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
};

/// Everything together takes at most this long.
pub const LINGER: Duration = Duration::from_secs(2);

/// Signature, version 3.0, mechanism NULL, not a server.
const GREETING: [u8; 64] = greeting();

/// READY with `Socket-Type: PUSH`, as a short command frame.
const READY: &[u8] = b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH";

const COMMAND: u8 = 0x04;
const LONG: u8 = 0x02;

/// More than any peer says before its READY is over.
const PEER_LIMIT: usize = 4096;

/// Sends one message to a PULL socket bound at this path. `Ok` = the peer accepted the connection and speaks ZMTP, and
/// the whole message is in its hands.
///
/// # Errors
/// Nobody listens, the peer is no PULL socket, or it did not answer within `within`.
pub fn send_message(socket: &Path, body: &[u8], within: Duration) -> io::Result<()> {
    let mut peer = Peer::connect(socket, within)?;
    peer.write(&GREETING)?;
    peer.converse(body)
}

/// A connection made while the task runs: at its end the peer's greeting and READY are there already, and nothing is
/// waited for.
#[derive(Debug)]
pub(crate) struct Call(Peer);

impl Call {
    /// Connects and greets, without waiting.
    pub(crate) fn begin(socket: &Path) -> io::Result<Self> {
        let mut peer = Peer::connect(socket, Duration::ZERO)?;
        peer.write(&GREETING)?;
        Ok(Self(peer))
    }

    /// As [`send_message`]. The peer may have gone, or given up the connection, since it was made.
    #[expect(clippy::disallowed_methods, reason = "the bound on a conversation with a process that may be stuck")]
    pub(crate) fn finish(mut self, body: &[u8], within: Duration) -> io::Result<()> {
        self.0.deadline = Instant::now() + within;
        self.0.converse(body)
    }
}

#[derive(Debug)]
struct Peer {
    stream: OwnedFd,
    deadline: Instant,
    /// What was read and not yet consumed.
    buffer: [u8; 256],
    begin: usize,
    end: usize,
    total: usize,
}

impl Peer {
    /// `within` nothing: without waiting.
    #[expect(clippy::disallowed_methods, reason = "the bound on a conversation with a process that may be stuck")]
    fn connect(path: &Path, within: Duration) -> io::Result<Self> {
        let deadline = Instant::now() + within;
        let flags = if within.is_zero() { SocketFlags::NONBLOCK } else { SocketFlags::empty() };
        let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | flags, None)?;
        if !within.is_zero() {
            // The only call below that can block without `poll`: connecting while the peer's backlog is full.
            set_socket_timeout(&stream, Timeout::Send, Some(within))?;
        }
        let address = SocketAddrUnix::new(path)?;
        while let Err(e) = connect(&stream, &address) {
            if e != Errno::INTR {
                return Err(e.into());
            }
        }
        Ok(Self { stream, deadline, buffer: [0; 256], begin: 0, end: 0, total: 0 })
    }

    /// After our greeting: the message.
    fn converse(&mut self, body: &[u8]) -> io::Result<()> {
        self.read_greeting()?;
        self.write(&ready_and(body))?;
        self.read_ready()
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match send(&self.stream, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT)?,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// The whole of it, before READY goes out: libzmq drops a peer that sends READY early.
    fn read_greeting(&mut self) -> io::Result<()> {
        let greeting: [u8; 64] = self.read()?;
        let [0xff, _, _, _, _, _, _, _, _, 0x7f, major, _, mechanism @ ..] = greeting else {
            return Err(refused("the peer does not speak ZMTP"));
        };
        if major < 3 || !mechanism.starts_with(b"NULL\0") {
            return Err(refused("the peer speaks another ZMTP (version below 3, or not NULL)"));
        }
        Ok(())
    }

    fn read_ready(&mut self) -> io::Result<()> {
        loop {
            let [flags] = self.read()?;
            let length = if flags & LONG == 0 {
                let [short] = self.read()?;
                u64::from(short)
            } else {
                u64::from_be_bytes(self.read()?)
            };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length > PEER_LIMIT {
                return Err(refused("the peer says more than a PULL socket does"));
            }
            let mut name = [0; 6];
            for at in 0..length {
                let [byte] = self.read()?;
                if let Some(place) = name.get_mut(at) {
                    *place = byte;
                }
            }
            match (flags & COMMAND != 0, &name) {
                (true, b"\x05READY") => return Ok(()),
                (true, b"\x05ERROR") => return Err(refused("the peer refused the handshake")),
                // A command of a later version; messages do not come from a PULL socket.
                (true, _) => {}
                (false, _) => return Err(refused("the peer is no PULL socket")),
            }
        }
    }

    fn read<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        let mut filled = 0;
        while filled < N {
            if self.begin == self.end {
                self.fill()?;
            }
            let n = (N - filled).min(self.end - self.begin);
            bytes[filled..filled + n].copy_from_slice(&self.buffer[self.begin..self.begin + n]);
            (self.begin, filled) = (self.begin + n, filled + n);
        }
        Ok(bytes)
    }

    fn fill(&mut self) -> io::Result<()> {
        loop {
            match recv(&self.stream, &mut self.buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((_, n)) => {
                    (self.begin, self.end) = (0, n);
                    self.total += n;
                    return if self.total > PEER_LIMIT {
                        Err(refused("the peer does not come to an end"))
                    } else {
                        Ok(())
                    };
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(PollFlags::IN)?,
                Err(e) => return Err(e.into()),
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the bound on a conversation with a process that may be stuck")]
    fn wait(&self, what: PollFlags) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let left = Timespec::try_from(left).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        match poll(&mut [PollFd::new(&self.stream, what)], Some(&left)) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

fn ready_and(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(READY.len() + 9 + body.len());
    bytes.extend_from_slice(READY);
    if let Ok(short) = u8::try_from(body.len()) {
        bytes.extend_from_slice(&[0, short]);
    } else {
        bytes.push(LONG);
        bytes.extend_from_slice(&(body.len() as u64).to_be_bytes());
    }
    bytes.extend_from_slice(body);
    bytes
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

const fn greeting() -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[0] = 0xff;
    bytes[9] = 0x7f;
    bytes[10] = 3;
    (bytes[12], bytes[13], bytes[14], bytes[15]) = (b'N', b'U', b'L', b'L');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_well_formed() {
        assert_eq!(READY.len(), 2 + usize::from(READY[1]));
        assert_eq!(ready_and(&[7; 255]).len(), READY.len() + 2 + 255);
        assert_eq!(ready_and(&[7; 256]).len(), READY.len() + 9 + 256);
    }
}

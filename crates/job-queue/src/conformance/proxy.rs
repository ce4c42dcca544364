//! A network between a client and its server, to be broken by tests: dropped packets, resets, lost replies, slowness.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Way {
    /// They pass.
    #[default]
    Open,
    /// They vanish, both ways; connections stay and new ones are accepted, as behind a wall that drops packets.
    Hole,
    /// Every connection is reset.
    Closed,
}

#[derive(Debug, Default)]
struct State {
    way: Way,
    /// After so many more requests have reached the server, its reply is lost, and the connection is reset.
    lose: Option<u32>,
    lost: u32,
    delay: Duration,
    connections: Vec<TcpStream>,
}

/// A proxy in front of a server; ends with its owner.
#[derive(Debug)]
pub struct Proxy {
    /// `127.0.0.1:PORT`.
    pub address: String,
    state: Arc<Mutex<State>>,
    ended: Arc<AtomicBool>,
}

impl Proxy {
    /// A proxy for the server at an address.
    #[must_use]
    pub fn new(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state: Arc<Mutex<State>> = Arc::default();
        let ended = Arc::new(AtomicBool::new(false));
        let (server, shared, over) = (server.to_owned(), Arc::clone(&state), Arc::clone(&ended));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                if locked(&shared).way == Way::Closed {
                    continue;
                }
                let Ok(upstream) = TcpStream::connect(&server) else { continue };
                connect(&shared, &client, &upstream);
            }
        });
        Self { address, state, ended }
    }

    /// Opens or breaks the way, for connections that are there too.
    pub fn set(&self, way: Way) {
        locked(&self.state).way = way;
        if way == Way::Closed {
            self.reset();
        }
    }

    /// The reply to the request after `passing` others gets lost, though the server has done what was asked.
    pub fn lose_reply(&self, passing: u32) {
        let mut state = locked(&self.state);
        state.lose = Some(passing + 1);
        state.lost = 0;
    }

    /// How many replies were lost since [`Proxy::lose_reply`]; and no more will be.
    pub fn lost(&self) -> u32 {
        let mut state = locked(&self.state);
        state.lose = None;
        state.lost
    }

    /// Every request arrives so much later.
    pub fn delay(&self, delay: Duration) {
        locked(&self.state).delay = delay;
    }

    /// Resets all connections that there are.
    pub fn reset(&self) {
        for connection in locked(&self.state).connections.drain(..) {
            // It may have ended by itself.
            drop(connection.shutdown(Shutdown::Both));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.reset();
        // Wakes the listener, so that it sees the end.
        drop(TcpStream::connect(&self.address));
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap()
}

fn connect(state: &Arc<Mutex<State>>, client: &TcpStream, server: &TcpStream) {
    // Small packets both ways: as fast as without us.
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    locked(state).connections.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
    let doomed = Arc::new(AtomicBool::new(false));
    let ends = |a: &TcpStream, b: &TcpStream| (a.try_clone().unwrap(), b.try_clone().unwrap());
    let (mut from, mut to) = ends(client, server);
    let (shared, marked) = (Arc::clone(state), Arc::clone(&doomed));
    std::thread::spawn(move || {
        carry(&mut from, &mut to, |_| {
            let delay = locked(&shared).delay;
            std::thread::sleep(delay);
            let mut state = locked(&shared);
            if let Some(left) = &mut state.lose {
                *left -= 1;
                if *left == 0 {
                    state.lose = None;
                    state.lost += 1;
                    marked.store(true, Ordering::Relaxed);
                }
            }
            state.way == Way::Open
        });
    });
    let (mut from, mut to) = ends(server, client);
    let shared = Arc::clone(state);
    std::thread::spawn(move || {
        carry(&mut from, &mut to, |stream| {
            if doomed.load(Ordering::Relaxed) {
                // The server has answered: it has done it. Nobody will know.
                drop(stream.shutdown(Shutdown::Both));
                return false;
            }
            locked(&shared).way == Way::Open
        });
    });
}

/// Moves bytes while `pass` says so, and drops them while it does not.
fn carry(from: &mut TcpStream, to: &mut TcpStream, mut pass: impl FnMut(&TcpStream) -> bool) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(read) => {
                if pass(to) && to.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
        }
    }
    // The other half ends with this one.
    drop(to.shutdown(Shutdown::Both));
}

//! A way between a host and its database server that can be disturbed: connections are cut, nothing passes, all is slow,
//! answers are lost, or only notifications are.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// What passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Everything.
    Open,
    /// Nothing, and no side is told: as if the cable were cut.
    Closed,
    /// Everything, each piece so many milliseconds late.
    Slow(u64),
    /// What the host says, but not what the server answers.
    Mute,
    /// Everything but what belongs to a connection that listens for notifications.
    Deaf,
}

/// A proxy; it is there as long as the program.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    way: Mutex<Way>,
    changed: Condvar,
    pairs: Mutex<Vec<Arc<Pair>>>,
}

/// One connection: the host's side and the server's side.
#[derive(Debug)]
struct Pair {
    client: TcpStream,
    server: TcpStream,
    listens: AtomicBool,
    cut: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

impl Proxy {
    /// Starts one in front of a port of this host.
    ///
    /// # Errors
    /// There is no free port.
    pub fn start(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let state =
            Arc::new(State { way: Mutex::new(Way::Open), changed: Condvar::new(), pairs: Mutex::new(Vec::new()) });
        let proxy = Self { port: listener.local_addr()?.port(), state: Arc::clone(&state) };
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // The server is down: so is this connection.
                drop(serve(&state, client, to));
            }
        });
        Ok(proxy)
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Lets this pass from now on.
    pub fn set(&self, way: Way) {
        *lock(&self.state.way) = way;
        self.state.changed.notify_all();
    }

    /// Ends all connections, without a word to either side but a reset; answers how many there were.
    pub fn cut(&self) -> usize {
        let pairs = std::mem::take(&mut *lock(&self.state.pairs));
        // Before: its threads leave a connection that is cut.
        let open = pairs.iter().filter(|pair| !pair.is_over()).count();
        pairs.iter().for_each(|pair| pair.cut());
        self.state.changed.notify_all();
        open
    }

    /// How many connections there are, and how many of them listen for notifications.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        let pairs = lock(&self.state.pairs);
        let open = || pairs.iter().filter(|pair| !pair.is_over());
        (open().count(), open().filter(|pair| pair.listens.load(Ordering::Relaxed)).count())
    }
}

impl Pair {
    fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
        for side in [&self.client, &self.server] {
            // With nothing to linger for, closing is a reset.
            rustix::net::sockopt::set_socket_linger(side, Some(Duration::ZERO)).ok();
            // Wakes who reads from it, and tells nobody else.
            side.shutdown(Shutdown::Read).ok();
        }
    }

    /// Both of its threads have left it: whoever asks is the last who knows of it.
    fn is_over(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) <= 1
    }
}

fn serve(state: &Arc<State>, client: TcpStream, to: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(to)?;
    for side in [&client, &server] {
        side.set_nodelay(true)?;
    }
    let (listens, cut) = (AtomicBool::new(false), AtomicBool::new(false));
    let pair = Arc::new(Pair { client, server, listens, cut });
    let mut pairs = lock(&state.pairs);
    pairs.retain(|pair| !pair.is_over());
    for direction in [Direction::ToServer, Direction::ToClient] {
        let (state, pair) = (Arc::clone(state), Arc::clone(&pair));
        thread::spawn(move || {
            pump(&state, &pair, direction);
        });
    }
    pairs.push(pair);
    Ok(())
}

/// Hands on what comes from one side, until one of them ends.
fn pump(state: &State, pair: &Pair, direction: Direction) {
    let (mut from, mut to) = match direction {
        Direction::ToServer => (&pair.client, &pair.server),
        Direction::ToClient => (&pair.server, &pair.client),
    };
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        if direction == Direction::ToServer && buffer[..read].windows(7).any(|window| window == b"LISTEN ") {
            pair.listens.store(true, Ordering::Relaxed);
        }
        // An end is told no sooner than a word.
        state.wait(pair, direction);
        if pair.cut.load(Ordering::Relaxed) {
            return;
        }
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    for side in [from, to] {
        side.shutdown(Shutdown::Both).ok();
    }
}

impl State {
    /// Until something may pass in this direction, or the connection is cut.
    fn wait(&self, pair: &Pair, direction: Direction) {
        let mut way = lock(&self.way);
        let stands = |way: Way| match way {
            Way::Open | Way::Slow(_) => false,
            Way::Closed => true,
            Way::Mute => direction == Direction::ToClient,
            Way::Deaf => pair.listens.load(Ordering::Relaxed),
        };
        while stands(*way) && !pair.cut.load(Ordering::Relaxed) {
            way = self.changed.wait(way).unwrap_or_else(PoisonError::into_inner);
        }
        if let Way::Slow(ms) = *way {
            drop(way);
            thread::sleep(Duration::from_millis(ms));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each byte, and a connection to it through a proxy.
    fn echo() -> (Proxy, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap().port()).unwrap();
        let client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        thread::spawn(move || {
            let (mut server, _) = listener.accept().unwrap();
            let mut buffer = [0; 64];
            while let Ok(read @ 1..) = server.read(&mut buffer) {
                server.write_all(&buffer[..read]).unwrap();
            }
        });
        (proxy, client)
    }

    fn asks(client: &mut TcpStream, patience: u64) -> io::Result<u8> {
        client.set_read_timeout(Some(Duration::from_millis(patience)))?;
        client.write_all(b"x")?;
        let mut answer = [0];
        client.read_exact(&mut answer)?;
        Ok(answer[0])
    }

    const LONG: u64 = 20_000;

    #[test]
    fn what_is_held_up_arrives_when_the_way_is_open_again() {
        for way in [Way::Closed, Way::Mute] {
            let (proxy, mut client) = echo();
            assert_eq!(asks(&mut client, LONG).unwrap(), b'x');
            assert_eq!(proxy.connections(), (1, 0));
            proxy.set(way);
            assert!(asks(&mut client, 50).is_err(), "{way:?}");
            proxy.set(Way::Open);
            let mut answer = [0];
            client.set_read_timeout(Some(Duration::from_millis(LONG))).unwrap();
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer, *b"x");
        }
    }

    #[test]
    fn a_cut_is_a_reset_and_only_listeners_are_deaf() {
        let (proxy, mut client) = echo();
        proxy.set(Way::Deaf);
        assert_eq!(asks(&mut client, LONG).unwrap(), b'x');
        client.write_all(b"LISTEN x").unwrap();
        client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(client.read(&mut [0]).is_err(), "it listens, so it hears nothing");
        assert_eq!(proxy.connections(), (1, 1));
        assert_eq!(proxy.cut(), 1);
        client.set_read_timeout(Some(Duration::from_millis(LONG))).unwrap();
        let error = client.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}

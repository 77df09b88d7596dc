//! A TCP proxy on a loopback port that can go silent, as a network does that drops every packet, or slow.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};

/// How often a held connection looks whether it may go on.
const PAUSE: Duration = Duration::from_millis(5);
const NOBODY: u32 = 0;

/// A proxy in front of one loopback port. Connections end with it.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    target: u16,
    /// Bytes per second of all that goes to clients; 0 is no limit.
    rate: AtomicU64,
    to_clients: AtomicU64,
    silent: AtomicBool,
    /// The process whose connections alone are silent, or [`NOBODY`].
    isolated: AtomicU32,
    closed: AtomicBool,
}

impl Proxy {
    /// Listens on a free port and passes everything on to `target`, a loopback port.
    ///
    /// # Errors
    /// If no port is free.
    pub fn start(target: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io("listen on a loopback port"))?;
        let port = listener.local_addr().map_err(Error::io("ask for the loopback port"))?.port();
        let state = Arc::new(State {
            target,
            rate: AtomicU64::new(0),
            to_clients: AtomicU64::new(0),
            silent: AtomicBool::new(false),
            isolated: AtomicU32::new(NOBODY),
            closed: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.closed.load(Ordering::SeqCst) {
                    return;
                }
                let state = Arc::clone(&accepting);
                thread::spawn(move || _ = serve(client, &state));
            }
        });
        Ok(Self { port, state })
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Lets only so many bytes a second go to clients, over all connections; `None` is no limit.
    pub fn limit(&self, bytes_per_second: Option<u64>) {
        self.state.rate.store(bytes_per_second.unwrap_or(0), Ordering::SeqCst);
    }

    /// Bytes that have gone to clients.
    #[must_use]
    pub fn bytes_to_clients(&self) -> u64 {
        self.state.to_clients.load(Ordering::SeqCst)
    }

    /// Passes nothing on any more: connections stay open, new ones too, and nobody hears anything.
    pub fn silence(&self) {
        self.state.silent.store(true, Ordering::SeqCst);
    }

    /// Silence for the connections of one process alone.
    pub(crate) fn silence_process(&self, id: u32) {
        self.state.isolated.store(id, Ordering::SeqCst);
    }

    /// Passes everything on again, also what has been held back.
    pub fn resume(&self) {
        self.state.silent.store(false, Ordering::SeqCst);
        self.state.isolated.store(NOBODY, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts, so that it sees the end.
        _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn serve(client: TcpStream, state: &Arc<State>) -> io::Result<()> {
    let source = client.peer_addr()?.port();
    let mut gate = Gate { state, source, checked: None };
    if !gate.wait() {
        return Ok(());
    }
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, state.target))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let upstream = Arc::clone(state);
    thread::spawn(move || pass(&from_client, &to_server, &upstream, source, false));
    pass(&server, &client, state, source, true);
    Ok(())
}

/// Copies until either side ends, then ends both.
fn pass(mut from: &TcpStream, mut to: &TcpStream, state: &State, source: u16, to_client: bool) {
    let mut gate = Gate { state, source, checked: None };
    let mut buffer = vec![0; 32 * 1024];
    while let Ok(bytes @ 1..) = from.read(&mut buffer) {
        if !gate.wait() || to.write_all(&buffer[..bytes]).is_err() {
            break;
        }
        if to_client {
            state.to_clients.fetch_add(bytes as u64, Ordering::SeqCst);
            let rate = state.rate.load(Ordering::SeqCst);
            if let Some(micros) = (bytes as u64 * 1_000_000).checked_div(rate) {
                thread::sleep(Duration::from_micros(micros));
            }
        }
    }
    // Ended already is as good.
    _ = from.shutdown(Shutdown::Both);
    _ = to.shutdown(Shutdown::Both);
}

/// Holds one connection while it is to be silent.
struct Gate<'a> {
    state: &'a State,
    source: u16,
    /// A process, and whether the connection is its own.
    checked: Option<(u32, bool)>,
}

impl Gate<'_> {
    /// Waits; false if the proxy is gone.
    fn wait(&mut self) -> bool {
        loop {
            if self.state.closed.load(Ordering::SeqCst) {
                return false;
            }
            let isolated = self.state.isolated.load(Ordering::SeqCst);
            if isolated != NOBODY && self.checked.is_none_or(|(process, _)| process != isolated) {
                self.checked = Some((isolated, owns(isolated, self.source)));
            }
            let is_isolated = isolated != NOBODY && self.checked == Some((isolated, true));
            if !is_isolated && !self.state.silent.load(Ordering::SeqCst) {
                return true;
            }
            thread::sleep(PAUSE);
        }
    }
}

/// Whether a process has the socket with this local port: its inode is in `/proc/net/tcp` (see proc_net_tcp in the
/// kernel's documentation), and the process has a descriptor of that inode.
fn owns(process: u32, port: u16) -> bool {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let local = format!(":{port:04X}");
    let inode = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find_map(|fields| {
        let is_it = fields.get(1).is_some_and(|address| address.ends_with(&local));
        fields.get(9).filter(|_| is_it)?.parse::<u64>().ok()
    });
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let mut inodes = descriptors.filter_map(|descriptor| Some(fs::metadata(descriptor.path()).ok()?.ino()));
    inode.is_some_and(|inode| inodes.any(|own| own == inode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// A server that answers each byte with 100,000.
    fn server() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut byte = [0];
                    while let Ok(1) = client.read(&mut byte) {
                        client.write_all(&[byte[0]; 100_000]).unwrap();
                    }
                });
            }
        });
        port
    }

    fn ask(client: &mut TcpStream) -> io::Result<()> {
        client.write_all(&[7])?;
        client.read_exact(&mut vec![0; 100_000])
    }

    #[test]
    fn silence_holds_back_what_is_passed_on_later() {
        let proxy = Proxy::start(server()).unwrap();
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        ask(&mut client).unwrap();
        assert_eq!(proxy.bytes_to_clients(), 100_000);
        for isolated in [false, true] {
            if isolated {
                proxy.silence_process(std::process::id());
            } else {
                proxy.silence();
            }
            client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            assert!(ask(&mut client).is_err());
            proxy.resume();
            client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            client.read_exact(&mut vec![0; 100_000]).unwrap();
        }
        // Somebody else is cut off: this connection is not.
        proxy.silence_process(1);
        ask(&mut client).unwrap();
    }

    #[test]
    fn a_limit_slows_what_goes_to_clients() {
        let proxy = Proxy::start(server()).unwrap();
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        proxy.limit(Some(200_000));
        let began = Instant::now();
        ask(&mut client).unwrap();
        ask(&mut client).unwrap();
        // The last piece is handed over before it is slept for.
        assert!(began.elapsed() > Duration::from_millis(700), "{:?}", began.elapsed());
    }
}

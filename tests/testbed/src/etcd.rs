//! etcd members as plain processes, with mutual TLS, for tests that need no Kubernetes and no root.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::pki::Authority;
use crate::process::{self, Daemon, Input, Output};
use crate::proxy::Proxy;
use crate::temporary;
use crate::tools::tool;
use crate::wait::{self, Seen};

const READY: Duration = Duration::from_secs(60);

/// What etcd is started with.
#[derive(Debug, Clone)]
pub struct EtcdOptions {
    /// Voting members.
    pub members: usize,
    /// Another etcd than the one that [`tool`] finds, for tests of other versions.
    pub binary: Option<PathBuf>,
    /// More arguments for every member, such as `--quota-backend-bytes=...`.
    pub args: Vec<String>,
}

impl Default for EtcdOptions {
    /// One member of the pinned version.
    fn default() -> Self {
        Self { members: 1, binary: None, args: Vec::new() }
    }
}

/// A running etcd cluster on loopback ports. Everything of it, the data included, is gone when this is dropped.
pub struct Etcd {
    // Before `dir`: fields are dropped in this order, and a member must be dead before its data goes.
    members: Vec<Member>,
    options: EtcdOptions,
    authority: Authority,
    dir: TempDir,
}

struct Member {
    name: String,
    client_port: u16,
    peer_port: u16,
    metrics_port: u16,
    /// In front of the peer port, where members can be cut off from each other.
    peer_proxy: Option<Proxy>,
    learner: bool,
    daemon: Option<Daemon>,
}

impl Etcd {
    /// Starts the members and waits until each of them serves.
    ///
    /// # Errors
    /// When etcd is not found, or a member does not serve within 60 s (its log's end is in the message).
    pub fn start(options: EtcdOptions) -> Result<Self> {
        Self::start_members(options, false)
    }

    /// The same, and members can be cut off from each other.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_partitionable(options: EtcdOptions) -> Result<Self> {
        Self::start_members(options, true)
    }

    fn start_members(options: EtcdOptions, partitionable: bool) -> Result<Self> {
        let dir = temporary::directory("etcd")?;
        let authority = Authority::new("etcd-ca")?;
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        fs::write(dir.path().join("ca.crt"), authority.certificate()).map_err(Error::io("write etcd's ca.crt"))?;
        authority.issue("etcd", None, &names)?.write(&dir.path().join("server"))?;
        authority.issue("etcd-backup-test", None, &[])?.write(&dir.path().join("client"))?;

        let mut members = (0..options.members).map(|index| Member::new(index, false)).collect::<Result<Vec<_>>>()?;
        for member in members.iter_mut().filter(|_| partitionable) {
            member.peer_proxy = Some(Proxy::start(member.peer_port)?);
        }
        let mut etcd = Self { members, options, authority, dir };
        let cluster = etcd.initial_cluster();
        for index in 0..etcd.members.len() {
            etcd.launch(index, &cluster, "new")?;
        }
        for index in 0..etcd.members.len() {
            etcd.wait_ready(index)?;
        }
        Ok(etcd)
    }

    /// Client URLs of all members, running or not.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(Member::client_url).collect()
    }

    /// The authority that signed the members' and the client's certificates, PEM.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    /// A client's certificate, PEM.
    #[must_use]
    pub fn cert(&self) -> PathBuf {
        self.dir.path().join("client.crt")
    }

    /// The key of [`cert`](Self::cert), PEM.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.dir.path().join("client.key")
    }

    /// A certificate of the bed's authority and its key, PEM, for a server of these names and for a client. It ends
    /// that many seconds from now, or has ended that many ago if they are negative.
    ///
    /// # Errors
    /// When they cannot be made, or not be written.
    pub fn issue(&self, name: &str, names: &[&str], ends_in_seconds: i64) -> Result<(PathBuf, PathBuf)> {
        let stem = self.dir.path().join("issued").join(name);
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.authority.issue_until(ends_in_seconds, name, &names)?.write(&stem)?;
        Ok((stem.with_added_extension("crt"), stem.with_added_extension("key")))
    }

    /// A member's data directory.
    #[must_use]
    pub fn data_dir(&self, member: usize) -> PathBuf {
        self.dir.path().join(&self.members[member].name)
    }

    /// Runs etcdctl against the members that run, for at most 30 s.
    ///
    /// # Errors
    /// [`Error::Command`] with etcdctl's message.
    pub fn etcdctl(&self, args: &[&str]) -> Result<Output> {
        let running = self.members.iter().filter(|member| member.daemon.is_some() && !member.learner);
        let endpoints = running.map(Member::client_url).collect::<Vec<_>>().join(",");
        let mut command = Command::new(tool("etcdctl")?);
        command.args(["--endpoints", &endpoints]).arg("--cacert").arg(self.ca());
        command.arg("--cert").arg(self.cert()).arg("--key").arg(self.key()).args(args);
        process::run(&mut command, Input::Nothing, Duration::from_secs(30))
    }

    /// Asks a member to end, and waits until it has.
    ///
    /// # Errors
    /// When the member does not run.
    pub fn stop(&mut self, member: usize) -> Result<()> {
        self.take(member)?.stop()
    }

    /// Ends a member at once (SIGKILL).
    ///
    /// # Errors
    /// When the member does not run.
    pub fn kill(&mut self, member: usize) -> Result<()> {
        self.take(member).map(drop)
    }

    /// Starts a member again on its data and waits until it serves.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&mut self, member: usize) -> Result<()> {
        let cluster = self.initial_cluster();
        self.members[member].daemon = None;
        self.launch(member, &cluster, "existing")?;
        self.wait_ready(member)
    }

    /// Freezes a member (SIGSTOP): its connections stay open and nothing answers.
    ///
    /// # Errors
    /// When the member does not run.
    pub fn pause(&self, member: usize) -> Result<()> {
        self.signal(member, Signal::STOP)
    }

    /// Lets a frozen member go on (SIGCONT).
    ///
    /// # Errors
    /// When the member does not run.
    pub fn resume(&self, member: usize) -> Result<()> {
        self.signal(member, Signal::CONT)
    }

    /// Cuts a member off from the others, and nobody else from it, until [`rejoin`](Self::rejoin).
    ///
    /// # Errors
    /// When the member does not run, or the members cannot be cut off from each other.
    pub fn isolate(&self, member: usize) -> Result<()> {
        let isolated = &self.members[member];
        let stopped = || Error::Invalid(format!("etcd member {} does not run", isolated.name));
        let process = isolated.daemon.as_ref().ok_or_else(stopped)?.id();
        for (index, other) in self.members.iter().enumerate() {
            let whole = || Error::Invalid("start etcd with `start_partitionable` to cut a member off".to_owned());
            let proxy = other.peer_proxy.as_ref().ok_or_else(whole)?;
            if index == member {
                proxy.silence();
            } else {
                proxy.silence_process(process);
            }
        }
        Ok(())
    }

    /// Joins again what was cut off.
    pub fn rejoin(&self) {
        self.members.iter().filter_map(|member| member.peer_proxy.as_ref()).for_each(Proxy::resume);
    }

    /// Adds a learner, which has the data and no vote, and returns its index.
    ///
    /// # Errors
    /// When the cluster refuses it or it does not serve in time.
    pub fn add_learner(&mut self) -> Result<usize> {
        let learner = Member::new(self.members.len(), true)?;
        let add = ["member", "add", &learner.name, "--learner", "--peer-urls", &learner.peer_url()];
        wait::until("etcd to take a learner", READY, || match self.etcdctl(&add) {
            Ok(_) => Ok(Seen::Ready(())),
            // Until every member has been connected to the others for five seconds.
            Err(Error::Command { stderr, .. }) if stderr.contains("unhealthy cluster") => Ok(Seen::NotYet(stderr)),
            Err(error) => Err(error),
        })?;
        self.members.push(learner);
        let (index, cluster) = (self.members.len() - 1, self.initial_cluster());
        self.launch(index, &cluster, "existing")?;
        self.wait_ready(index)?;
        Ok(index)
    }

    fn initial_cluster(&self) -> String {
        self.members.iter().map(|member| format!("{}={}", member.name, member.peer_url())).collect::<Vec<_>>().join(",")
    }

    fn launch(&mut self, index: usize, cluster: &str, state: &str) -> Result<()> {
        let binary = self.options.binary.clone().map_or_else(|| tool("etcd"), Ok)?;
        let (dir, data, member) = (self.dir.path(), self.data_dir(index), &self.members[index]);
        let (client, peer) = (member.client_url(), member.peer_url());
        let mut command = Command::new(binary);
        command.args(["--name", &member.name]).arg("--data-dir").arg(data);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        let listen = format!("https://127.0.0.1:{}", member.peer_port);
        command.args(["--listen-peer-urls", &listen, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", cluster, "--initial-cluster-state", state]);
        command.args(["--listen-metrics-urls", &format!("http://127.0.0.1:{}", member.metrics_port)]);
        for prefix in ["", "peer-"] {
            command.arg(format!("--{prefix}client-cert-auth"));
            command.arg(format!("--{prefix}trusted-ca-file={}", dir.join("ca.crt").display()));
            command.arg(format!("--{prefix}cert-file={}", dir.join("server.crt").display()));
            command.arg(format!("--{prefix}key-file={}", dir.join("server.key").display()));
        }
        command.args(&self.options.args);
        let log = dir.join(format!("{}.log", member.name));
        self.members[index].daemon =
            Some(Daemon::start(format!("etcd member {}", self.members[index].name), command, &log)?);
        Ok(())
    }

    fn wait_ready(&mut self, index: usize) -> Result<()> {
        let log = self.dir.path().join(format!("{}.log", self.members[index].name));
        let member = &mut self.members[index];
        wait::until(&format!("etcd member {} to serve", member.name), READY, || {
            if let Some(daemon) = &mut member.daemon {
                daemon.check()?;
            }
            Ok(if member.healthy() { Seen::Ready(()) } else { Seen::NotYet(process::tail(&log)) })
        })
    }

    fn take(&mut self, index: usize) -> Result<Daemon> {
        let member = &mut self.members[index];
        member.daemon.take().ok_or_else(|| Error::Invalid(format!("etcd member {} does not run", member.name)))
    }

    fn signal(&self, index: usize, signal: Signal) -> Result<()> {
        let member = &self.members[index];
        let stopped = || Error::Invalid(format!("etcd member {} does not run", member.name));
        member.daemon.as_ref().ok_or_else(stopped)?.signal(signal)
    }
}

impl Member {
    fn new(index: usize, learner: bool) -> Result<Self> {
        let [client_port, peer_port, metrics_port] = free_ports()?;
        let name = format!("member-{index}");
        Ok(Self { name, client_port, peer_port, metrics_port, peer_proxy: None, learner, daemon: None })
    }

    fn client_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.client_port)
    }

    fn peer_url(&self) -> String {
        let port = self.peer_proxy.as_ref().map_or(self.peer_port, Proxy::port);
        format!("https://127.0.0.1:{port}")
    }

    /// etcd's own health check, which reads through the leader; a learner answers only the serializable kind.
    fn healthy(&self) -> bool {
        let path = if self.learner { "/health?serializable=true" } else { "/health" };
        http_get(self.metrics_port, path).is_ok_and(|answer| answer.contains(r#""health":"true""#))
    }
}

/// An HTTP/1.0 request to a loopback port; the answer with its headers.
fn http_get(port: u16, path: &str) -> io::Result<String> {
    const LIMIT: Option<Duration> = Some(Duration::from_secs(3));
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(LIMIT)?;
    stream.set_write_timeout(LIMIT)?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Loopback ports that nothing listens on now.
///
/// # Errors
/// When the system has none left.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let reserve = || {
        // All are open at once, or the kernel might give one port twice.
        let listeners = (0..N).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<io::Result<Vec<_>>>()?;
        let mut ports = [0; N];
        for (port, listener) in ports.iter_mut().zip(&listeners) {
            *port = listener.local_addr()?.port();
        }
        Ok(ports)
    };
    reserve().map_err(Error::io("find free loopback ports"))
}

/// The arguments that make a client of etcd present itself, as kube-apiserver spells them.
pub(crate) fn api_server_args(etcd: &Etcd) -> [String; 4] {
    let file = |path: &Path| path.display().to_string();
    [
        format!("--etcd-servers={}", etcd.endpoints().join(",")),
        format!("--etcd-cafile={}", file(&etcd.ca())),
        format!("--etcd-certfile={}", file(&etcd.cert())),
        format!("--etcd-keyfile={}", file(&etcd.key())),
    ]
}

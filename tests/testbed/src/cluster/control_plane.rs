//! What an administrator does to a control plane: stops and starts its pods, and restores it from a snapshot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Signal, kill_process};

use super::bed::remove_tree;
use super::{Cluster, node};
use crate::error::{Error, Result};
use crate::process::{self, Input, Output};
use crate::tools::tool;
use crate::wait::{self, Seen};

/// A component gets up to 30 s to end, and the kubelet takes its time before and after.
const STOPPED: Duration = Duration::from_secs(90);

/// How a cluster is restored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Restore<'a> {
    /// The token that the new etcd cluster's id is made of. With the default, and the same members, it is the id
    /// that the cluster had before, as kubeadm's users get it.
    pub token: Option<&'a str>,
    /// Go on far above all revisions that clients may know, so that they notice; without it revisions go back.
    pub bump_revision: bool,
}

impl Cluster {
    /// Stops static pods of a node by moving their manifests away, and returns when their processes have ended.
    ///
    /// # Errors
    /// When a component has no manifest there or does not end in time.
    pub fn stop_components(&self, node: usize, components: &[&str]) -> Result<()> {
        let parked = self.parked(node);
        fs::create_dir_all(&parked).map_err(Error::io(format!("make {}", parked.display())))?;
        for component in components {
            move_file(&self.manifest(node, component), &parked.join(format!("{component}.yaml")))?;
        }
        wait::until(&format!("{} to end", components.join(", ")), STOPPED, || {
            let running: Vec<&str> =
                components.iter().copied().filter(|component| self.is_running(node, component)).collect();
            Ok(if running.is_empty() { Seen::Ready(()) } else { Seen::NotYet(format!("running: {running:?}")) })
        })
    }

    /// Moves the manifests of stopped components back. Returns when their processes are there, which is before they
    /// are ready: see [`wait_ready`](Self::wait_ready).
    ///
    /// # Errors
    /// When a component was not stopped or does not start in time.
    pub fn start_components(&self, node: usize, components: &[&str]) -> Result<()> {
        for component in components {
            move_file(&self.parked(node).join(format!("{component}.yaml")), &self.manifest(node, component))?;
        }
        wait::until_true(&format!("{} to start", components.join(", ")), STOPPED, || {
            Ok(components.iter().all(|component| self.is_running(node, component)))
        })
    }

    /// Runs etcdctl on the first node that is on, as its health check client, for at most two minutes; against the
    /// node's own member unless the arguments name `--endpoints`.
    ///
    /// # Errors
    /// [`Error::Command`] with etcdctl's message.
    pub fn etcdctl(&self, args: &[&str]) -> Result<Output> {
        let etcdctl = tool("kube")?.display().to_string();
        let mut argv = vec![etcdctl.as_str(), "etcdctl", "--cacert=/etc/kubernetes/pki/etcd/ca.crt"];
        argv.push("--cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt");
        argv.push("--key=/etc/kubernetes/pki/etcd/healthcheck-client.key");
        if !args.iter().any(|arg| arg.starts_with("--endpoints")) {
            argv.push("--endpoints=https://127.0.0.1:2379");
        }
        argv.extend_from_slice(args);
        self.node_exec(self.first_on()?, &argv)
    }

    /// Restores a cluster of one node in place: everything is stopped, the real `etcdutl` makes new data of the
    /// snapshot, everything is started, the kubelet too, and the cluster is ready.
    ///
    /// # Errors
    /// When etcdutl refuses the snapshot, or the cluster does not become ready; it stays as it is then.
    pub fn restore(&self, snapshot: &Path, how: Restore<'_>) -> Result<()> {
        const CLIENTS: [&str; 3] = ["kube-controller-manager", "kube-scheduler", "kube-apiserver"];
        if self.state.nodes != 1 {
            return Err(Error::Invalid("only a cluster of one node can be restored in place".to_owned()));
        }
        // Before etcd ends, the snapshot must be readable: it may lie where the pods write.
        fs::metadata(snapshot).map_err(Error::io(format!("read {}", snapshot.display())))?;
        self.stop_components(0, &CLIENTS)?;
        self.stop_components(0, &["etcd"])?;
        let data = self.node_path(0, "/var/lib/etcd")?;
        let (fresh, member) = (data.join("restored"), data.join("member"));
        process::run(&mut etcdutl_restore(snapshot, &fresh, how)?, Input::Nothing, Duration::from_secs(120))?;
        remove_tree(&member)?;
        move_file(&fresh.join("member"), &member)?;
        remove_tree(&fresh)?;
        self.start_components(0, &["etcd"])?;
        self.start_components(0, &CLIENTS)?;
        self.restart_kubelet(0)?;
        self.wait_ready()
    }

    /// Ends a node's kubelet, which the node starts again: it forgets what it has seen of the API.
    ///
    /// # Errors
    /// When no kubelet runs on the node, or it does not come back.
    pub fn restart_kubelet(&self, node: usize) -> Result<()> {
        let kubelets = || -> Result<Vec<_>> {
            let processes = self.bed.group()?.processes(&format!("n{node}/system"));
            Ok(processes.into_iter().filter(|pid| words(*pid).get(1).is_some_and(|word| word == "kubelet")).collect())
        };
        let before = kubelets()?;
        for pid in &before {
            // It may have ended since the list was read.
            _ = kill_process(*pid, Signal::KILL);
        }
        wait::until_true("the kubelet to be started again", STOPPED, || {
            Ok(kubelets()?.iter().any(|pid| !before.contains(pid)))
        })
    }

    /// Mounts a new, small ext4 file system at a path of a node, in the node's namespaces only: it goes with the
    /// node's power. Returns where it is seen from this machine.
    ///
    /// # Errors
    /// When the kernel has no loop devices, or `mkfs.ext4` (e2fsprogs) is missing.
    pub fn mount_disk(&self, node: usize, path: &str, bytes: u64) -> Result<PathBuf> {
        let name = path.trim_matches('/').replace('/', "-");
        let image = self.bed.disk(node).join(format!("{name}.img"));
        let action = || format!("make {}", image.display());
        let file = fs::File::create(&image).map_err(Error::io(action()))?;
        file.set_len(bytes).map_err(Error::io(action()))?;
        // Nothing kept back for root: what is free is what a test can count on.
        let mut mkfs = Command::new("mkfs.ext4");
        mkfs.args(["-q", "-m", "0"]).arg(&image);
        process::run(&mut mkfs, Input::Nothing, Duration::from_secs(60))?;
        let image = image.display().to_string();
        self.node_exec(node, &["mkdir", "-p", path])?;
        self.node_exec(node, &["mount", "-o", "loop", &image, path])?;
        node::seen_from_outside(&self.bed, node, Path::new(path))
    }

    fn manifest(&self, node: usize, component: &str) -> PathBuf {
        self.bed.disk(node).join(format!("etc/kubernetes/manifests/{component}.yaml"))
    }

    /// Where the manifests of stopped components wait.
    fn parked(&self, node: usize) -> PathBuf {
        self.bed.disk(node).join("stopped")
    }

    fn is_running(&self, node: usize, component: &str) -> bool {
        let processes = self.bed.group().map(|group| group.processes(&format!("n{node}"))).unwrap_or_default();
        processes.into_iter().any(|pid| words(pid).first().is_some_and(|word| word == component))
    }
}

fn etcdutl_restore(snapshot: &Path, fresh: &Path, how: Restore<'_>) -> Result<Command> {
    let (name, peer) = (node::name(0), format!("https://{}:2380", node::address(0)));
    let mut command = Command::new(tool("etcdutl")?);
    command.args(["snapshot", "restore"]).arg(snapshot).arg("--data-dir").arg(fresh);
    command.args(["--name", &name, "--initial-cluster", &format!("{name}={peer}")]);
    command.args(["--initial-advertise-peer-urls", &peer]);
    if let Some(token) = how.token {
        command.args(["--initial-cluster-token", token]);
    }
    if how.bump_revision {
        command.args(["--bump-revision", "1000000000", "--mark-compacted"]);
    }
    Ok(command)
}

/// The command line of a process; empty once it has ended.
fn words(pid: rustix::process::Pid) -> Vec<String> {
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

fn move_file(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(Error::io(format!("move {} to {}", from.display(), to.display())))
}

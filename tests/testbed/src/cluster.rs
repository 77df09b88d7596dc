//! A whole Kubernetes cluster on this machine: real kubelets, containerd and runc in nodes made of namespaces, with a
//! control plane of static pods as kubeadm lays it out. Needs root; touches nothing outside of its own namespaces but
//! kernel settings that every kubelet sets, and puts those back.

mod audit;
mod bed;
mod cgroup;
mod control_plane;
mod disk;
mod host;
mod images;
mod manifests;
mod node;

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub(crate) use bed::Bed;
use bed::State;
pub use bed::default_dir;
pub use control_plane::Restore;
pub use host::missing;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::interrupt;
use crate::kubeconfig::{self, Kubectl};
use crate::process::{self, Input, Output};
use crate::tools::tool;
use crate::wait::{self, Seen};

/// Generous: a busy machine with two cores takes a minute for three nodes.
const READY: Duration = Duration::from_secs(240);
/// One question to an API server that may not be there yet.
const ASK: Duration = Duration::from_secs(10);

/// What a cluster is brought up with.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The bed's directory, which is removed with everything in it when the bed goes down. Its last part is the bed's
    /// name. It must not lie under /etc, /var or /run. See [`default_dir`].
    pub dir: PathBuf,
    /// Control-plane nodes, each with an etcd member: 1 or 3.
    pub nodes: usize,
    /// More arguments for kube-controller-manager, such as `--node-monitor-grace-period=15s`.
    pub controller_manager_args: Vec<String>,
    /// Users whose requests the API servers log: see [`Cluster::audit_logs`]. Without any there is no such log.
    pub audited_users: Vec<String>,
}

impl ClusterOptions {
    /// One node in the bed `name` of this repository.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { dir: default_dir(name), nodes: 1, controller_manager_args: Vec::new(), audited_users: Vec::new() }
    }
}

/// A running cluster. One that was brought [`up`](Self::up) goes down when this is dropped and when the process gets
/// SIGINT or SIGTERM, unless it is [left running](Self::leave_running); after `kill -9` the next `up` of the same bed,
/// or `testbed down`, clears up.
#[derive(Debug)]
pub struct Cluster {
    bed: Bed,
    state: State,
    owned: bool,
}

impl Cluster {
    /// Brings a cluster up, after taking down what is left of an earlier one in the same directory, and waits until all
    /// nodes and control-plane pods are ready: 15 to 60 s.
    ///
    /// # Errors
    /// [`Error::Preconditions`] lists what this machine lacks. When the cluster is not ready in time its processes are
    /// ended, and its files stay for a look at the logs.
    pub fn up(options: &ClusterOptions) -> Result<Self> {
        host::check()?;
        if ![1, 3].contains(&options.nodes) {
            return Err(Error::Invalid(format!("a cluster has 1 or 3 nodes, not {}", options.nodes)));
        }
        let _guard = interrupt::guard()?;
        let bed = Bed::new(&options.dir)?;
        bed.down()?;
        let _lock = bed.lock()?;
        let state = State {
            nodes: options.nodes,
            controller_manager_args: options.controller_manager_args.clone(),
            audited_users: options.audited_users.clone(),
        };
        let mut cluster = Self { bed, state, owned: false };
        match cluster.bring_up() {
            Ok(()) => {
                interrupt::own(&cluster.bed);
                cluster.owned = true;
                Ok(cluster)
            }
            Err(error) => {
                let cleared = match error {
                    Error::Interrupted => cluster.bed.clear(),
                    _ => cluster.bed.power_off(),
                };
                if let Err(error) = cleared {
                    tracing::error!(%error, bed = cluster.bed.name(), "cannot clear up after a failure");
                }
                Err(error)
            }
        }
    }

    /// A cluster that somebody has brought up and left running.
    ///
    /// # Errors
    /// [`Error::NotUp`].
    pub fn attach(dir: &Path) -> Result<Self> {
        let bed = Bed::new(dir)?;
        let state = bed.state()?;
        if bed.group()?.exists() {
            Ok(Self { bed, state, owned: false })
        } else {
            Err(Error::NotUp { name: bed.name().to_owned() })
        }
    }

    /// Takes the bed in `dir` down, in whatever state it is, and removes its directory.
    ///
    /// # Errors
    /// [`Error::Leftover`] if something of it is still there afterwards, [`Error::Busy`] while another process works on
    /// it.
    pub fn down(dir: &Path) -> Result<()> {
        Bed::new(dir)?.down()
    }

    /// Leaves the cluster up when this and the process end.
    pub fn leave_running(&mut self) {
        self.owned = false;
        interrupt::disown(&self.bed);
    }

    /// The bed's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.bed.dir()
    }

    /// Names of the nodes, `master-0` first.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        (0..self.state.nodes).map(node::name).collect()
    }

    /// The address of a node in the bed's network.
    #[must_use]
    pub fn address(&self, node: usize) -> String {
        node::address(node)
    }

    /// Where a directory of a node is on this machine. The node's own directories are /etc/kubernetes, /var/lib/etcd,
    /// /var/lib/kubelet, /var/lib/containerd, /var/lib/etcd-backup, /var/log, /run and /mnt.
    ///
    /// # Errors
    /// When it is not below one of these.
    pub fn node_path(&self, node: usize, path: impl AsRef<Path>) -> Result<PathBuf> {
        node::path(&self.bed, node, path.as_ref())
    }

    /// Runs a program of this machine in a node's namespaces, for at most two minutes.
    ///
    /// # Errors
    /// [`Error::Command`] with its message; [`Error::Invalid`] when the node is off.
    pub fn node_exec(&self, node: usize, argv: &[&str]) -> Result<Output> {
        let (program, args) = argv.split_first().ok_or_else(|| Error::Invalid("no program to run".to_owned()))?;
        process::run(node::command(&self.bed, node, program)?.args(args), Input::Nothing, Duration::from_secs(120))
    }

    /// The same as a command to run in the caller's way, such as with a terminal.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the node is off.
    pub fn node_command(&self, node: usize, program: impl AsRef<OsStr>) -> Result<Command> {
        node::command(&self.bed, node, program)
    }

    /// Imports an image archive, as `Image` or `docker save` writes it, on every node that is on.
    ///
    /// # Errors
    /// When the archive cannot be read or containerd refuses it.
    pub fn import_image(&self, archive: &Path) -> Result<()> {
        for index in 0..self.state.nodes {
            if !node::is_on(&self.bed, index)? {
                continue;
            }
            let file = File::open(archive).map_err(Error::io(format!("open image {}", archive.display())))?;
            let mut command = node::command(&self.bed, index, "ctr")?;
            command.args(["--namespace", "k8s.io", "images", "import", "-"]);
            process::run(&mut command, Input::File(file), Duration::from_secs(120))?;
        }
        Ok(())
    }

    /// Cuts the power of a node: whatever runs there is gone at once, and its disk stays as it is.
    ///
    /// # Errors
    /// When its processes or groups do not go away in time.
    pub fn stop_node(&self, node: usize) -> Result<()> {
        self.check_node(node)?;
        node::power_off(&self.bed, node)
    }

    /// Powers a node on again. Returns when it has booted, which is before it is Ready.
    ///
    /// # Errors
    /// When it is on already or does not start.
    pub fn start_node(&self, node: usize) -> Result<()> {
        self.check_node(node)?;
        if node::is_on(&self.bed, node)? {
            return Err(Error::Invalid(format!("node {} is on", node::name(node))));
        }
        node::power_on(&self.bed, node, self.state.nodes, &[])
    }

    /// Waits until every node that is on is Ready and runs its control-plane pods, as the API has it. The API believes
    /// in a node without power for up to 50 s.
    ///
    /// # Errors
    /// [`Error::Timeout`] after four minutes, with what was not ready and the end of the nodes' logs.
    pub fn wait_ready(&self) -> Result<()> {
        let on = self.on()?;
        let result = wait::until("the cluster to be ready", READY, || {
            Ok(match self.not_ready(&on) {
                Ok(None) => Seen::Ready(()),
                Ok(Some(reason)) => Seen::NotYet(reason),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        });
        result.map_err(|error| match error {
            Error::Timeout { what, limit, last } => {
                Error::Timeout { what, limit, last: format!("{last}\n{}", self.logs()) }
            }
            other => other,
        })
    }

    fn bring_up(&self) -> Result<()> {
        let bed = &self.bed;
        fs::create_dir_all(bed.dir()).map_err(Error::io(format!("make {}", bed.dir().display())))?;
        bed.write_state(&self.state)?;
        disk::write_all(bed, &self.state)?;
        let images = images::archives()?;
        if bed.group()?.is_v2_only() {
            tracing::warn!("cgroup v1 is not mounted here: test clusters are tried on v1 and hybrid machines only");
        }
        host::enter(|| bed.group()?.create("hub"))?;
        node::start_hub(bed)?;
        for index in 0..self.state.nodes {
            node::power_on(bed, index, self.state.nodes, &images)?;
        }
        self.write_kubectl()?;
        self.mark_control_plane()?;
        self.wait_ready()
    }

    /// What `kubeadm init phase mark-control-plane` does; a kubelet may not give itself a role.
    fn mark_control_plane(&self) -> Result<()> {
        for name in self.nodes() {
            let role = "node-role.kubernetes.io";
            let (control_plane, master) = (format!("{role}/control-plane="), format!("{role}/master="));
            let taint = format!("{role}/control-plane=:NoSchedule");
            let what = format!("node {name} to register");
            let result = wait::until(&what, READY, || {
                let labels = ["label", "--overwrite", "node", &name, &control_plane, &master];
                let taints = ["taint", "--overwrite", "node", &name, &taint];
                let done = self.kubectl_within(ASK, &labels, "").and_then(|_| self.kubectl_within(ASK, &taints, ""));
                Ok(match done {
                    Ok(_) => Seen::Ready(()),
                    Err(error) => Seen::NotYet(format!("{error}\n{}", self.logs())),
                })
            });
            result?;
        }
        Ok(())
    }

    /// What is not ready yet, if anything.
    fn not_ready(&self, on: &[usize]) -> Result<Option<String>> {
        let nodes = self.kubectl_json(&["get", "nodes"])?;
        let pods = self.kubectl_json(&["get", "pods", "--namespace=kube-system", "--selector=tier=control-plane"])?;
        let (nodes, pods) = (ready_items(&nodes), ready_items(&pods));
        for node in on.iter().map(|index| node::name(*index)) {
            if !nodes.contains(&node) {
                return Ok(Some(format!("node {node} is not Ready")));
            }
            for component in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
                let pod = format!("{component}-{node}");
                if !pods.contains(&pod) {
                    return Ok(Some(format!("pod kube-system/{pod} is not Ready")));
                }
            }
        }
        // Without it no pod is accepted.
        self.kubectl(&["get", "serviceaccount", "default", "--namespace=default"])?;
        Ok(None)
    }

    fn check_node(&self, node: usize) -> Result<()> {
        let problem = || format!("bed {} has nodes 0 to {}, not {node}", self.bed.name(), self.state.nodes - 1);
        if node < self.state.nodes { Ok(()) } else { Err(Error::Invalid(problem())) }
    }

    fn on(&self) -> Result<Vec<usize>> {
        let mut on = Vec::new();
        for index in 0..self.state.nodes {
            if node::is_on(&self.bed, index)? {
                on.push(index);
            }
        }
        Ok(on)
    }

    fn first_on(&self) -> Result<usize> {
        self.on()?.first().copied().ok_or_else(|| Error::NotUp { name: self.bed.name().to_owned() })
    }

    /// The end of every node's own logs.
    fn logs(&self) -> String {
        let logs = (0..self.state.nodes)
            .flat_map(|index| ["init", "containerd", "kubelet"].map(|name| self.bed.log(index, name)));
        logs.map(|log| format!("--- {}\n{}\n", log.display(), process::tail(&log))).collect()
    }

    /// Writes `kubectl` into the bed's directory: a script that works from any place as long as the bed is up.
    fn write_kubectl(&self) -> Result<()> {
        let command = node::hub_command(&self.bed, tool("kubectl")?)?;
        let line: Vec<_> = command.get_args().map(|arg| quote(&arg.to_string_lossy())).collect();
        // No flags: kubectl takes none before the name of a plugin.
        let [config, cache] = [disk::ADMIN, kubeconfig::CACHE].map(|name| self.bed.dir().join(name));
        let script = format!(
            "#!/bin/sh\n# kubectl as administrator of the test cluster {}, while it is up.\nexport KUBECONFIG={} KUBECACHEDIR={}\nexec sh {} \"$@\"\n",
            self.bed.name(),
            quote(&config.to_string_lossy()),
            quote(&cache.to_string_lossy()),
            line.join(" ")
        );
        let path = self.bed.dir().join("kubectl");
        let wrap = || Error::io(format!("write {}", path.display()));
        fs::write(&path, script).map_err(wrap())?;
        fs::set_permissions(&path, Permissions::from_mode(0o755)).map_err(wrap())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.owned {
            return;
        }
        interrupt::disown(&self.bed);
        if let Err(error) = self.bed.down() {
            tracing::error!(%error, bed = self.bed.name(), "the bed did not go down: run `testbed down`");
        }
    }
}

impl Kubectl for Cluster {
    fn kubectl_command(&self) -> Result<Command> {
        let mut command = node::hub_command(&self.bed, tool("kube")?)?;
        command.arg("kubectl");
        command.args(kubeconfig::arguments(&self.bed.dir().join(disk::ADMIN), self.bed.dir()));
        // The kubeconfig names node 0; any other node that is on does as well.
        match self.first_on()? {
            0 => {}
            other => _ = command.arg(format!("--server=https://{}:6443", node::address(other))),
        }
        Ok(command)
    }
}

/// Names of the objects of a list that have the condition Ready.
fn ready_items(list: &Value) -> Vec<String> {
    let ready = |item: &&Value| {
        let conditions = item["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    let name = |item: &Value| item["metadata"]["name"].as_str().map(str::to_owned);
    list["items"].as_array().into_iter().flatten().filter(ready).filter_map(name).collect()
}

fn quote(argument: &str) -> String {
    format!("'{}'", argument.replace('\'', r"'\''"))
}

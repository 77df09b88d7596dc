//! A cluster with our operator in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use etcd_backup_testbed::{Cluster, ClusterOptions, Kubectl as _, repository};
use serde_json::Value;

use crate::manifests;
use crate::permissions;

/// Where the claims and the backups' Jobs are: OpenShift's name, because the documentation's manifests say so.
pub const NAMESPACE: &str = "openshift-etcd";
/// Where the operator is.
pub const OPERATOR_NAMESPACE: &str = "etcd-backup-operator";
/// How many operators there are, as shipped.
pub const OPERATORS: u32 = 2;
/// The image that `make image` builds.
pub const IMAGE: &str = "localhost/etcd-backup:dev";

/// A cluster of the test bed, with our CRDs and operator installed.
pub struct Bed {
    /// The cluster itself.
    pub cluster: Cluster,
}

impl Bed {
    /// Starts a cluster and installs the product in it as the README says.
    ///
    /// # Errors
    /// If the cluster does not come up or the operator does not become ready.
    pub fn up(name: &str, nodes: usize) -> Result<Self> {
        let bed = Self::bare(name, nodes)?;
        bed.install()?;
        Ok(bed)
    }

    /// Starts a cluster that has our image and nothing else of ours.
    ///
    /// # Errors
    /// If the cluster does not come up.
    pub fn bare(name: &str, nodes: usize) -> Result<Self> {
        // A dead node is noticed sooner than by default (50 s), so that the tests of that are shorter.
        let controller_manager_args = vec!["--node-monitor-grace-period=20s".to_owned()];
        let audited_users = permissions::users();
        let options = ClusterOptions { nodes, controller_manager_args, audited_users, ..ClusterOptions::new(name) };
        let cluster = Cluster::up(&options)?;
        cluster.import_image(&repository().join("target/image.tar"))?;
        Ok(Self { cluster })
    }

    /// Installs CRDs, permissions and operator, and waits until the operator is ready.
    fn install(&self) -> Result<()> {
        let overlay = repository().join("config/overlays/kubernetes");
        let overlay = overlay.to_str().context("the repository's path is not UTF-8")?;
        self.kubectl(&["apply", "--server-side", "-k", overlay])?;
        self.operator_ready()
    }

    /// Runs kubectl and returns what it prints.
    ///
    /// # Errors
    /// If kubectl fails.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        // A little more than the longest --timeout that anybody gives to kubectl itself.
        Ok(self.cluster.kubectl_within(Duration::from_secs(120), args, "")?.stdout)
    }

    /// Applies manifests given as text.
    ///
    /// # Errors
    /// If the API server refuses them.
    pub fn apply(&self, manifests: &str) -> Result<String> {
        Ok(self.cluster.kubectl_stdin(&["apply", "-f", "-"], manifests)?.stdout)
    }

    /// Applies a manifest of the documentation as it is.
    ///
    /// # Errors
    /// If the API server refuses it.
    pub fn apply_documentation(&self, file: &str) -> Result<String> {
        self.apply(&manifests::documentation(file, "master-0")?)
    }

    /// Makes a local volume on a node and a claim for it, both named `name`; returns the volume's
    /// directory as seen from outside the cluster.
    ///
    /// # Errors
    /// If the directory or the objects cannot be made.
    pub fn volume(&self, name: &str, node: usize) -> Result<PathBuf> {
        let inside = format!("/var/lib/etcd-backup/{name}");
        let outside = self.directory(name, node)?;
        self.apply(&manifests::list(&[
            manifests::storage_class("e2e-immediate", "Immediate"),
            manifests::local_volume(name, "e2e-immediate", &format!("master-{node}"), &inside),
            manifests::claim(name, "e2e-immediate", Some(name)),
        ]))?;
        Ok(outside)
    }

    /// Makes a directory for backups on a node; returns it as seen from outside the cluster.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn directory(&self, name: &str, node: usize) -> Result<PathBuf> {
        let outside = self.cluster.node_path(node, format!("/var/lib/etcd-backup/{name}"))?;
        fs::create_dir_all(&outside)?;
        Ok(outside)
    }

    /// Applies an EtcdBackup.
    ///
    /// # Errors
    /// If the API server refuses it.
    pub fn backup(&self, name: &str, claim: &str) -> Result<()> {
        self.apply(&manifests::etcd_backup(name, claim).to_string()).map(drop)
    }

    /// An object as JSON; `None` if it does not exist.
    ///
    /// # Errors
    /// If kubectl fails for another reason.
    pub fn get(&self, kind: &str, name: &str) -> Result<Option<Value>> {
        let text = self.kubectl(&["-n", NAMESPACE, "get", kind, name, "-o", "json", "--ignore-not-found"])?;
        if text.trim().is_empty() { Ok(None) } else { Ok(Some(serde_json::from_str(&text)?)) }
    }

    /// The objects of a kind in the backup namespace that carry a label.
    ///
    /// # Errors
    /// If kubectl fails.
    pub fn labelled(&self, kind: &str, label: &str) -> Result<Vec<Value>> {
        let text = self.kubectl(&["-n", NAMESPACE, "get", kind, "-l", label, "-o", "json"])?;
        let mut list: Value = serde_json::from_str(&text)?;
        Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    /// Waits until an EtcdBackup has a phase, and a reason if one is given; returns the object.
    ///
    /// # Errors
    /// If that does not happen in time; the message shows the last status seen.
    pub fn wait_for(&self, name: &str, phase: &str, reason: Option<&str>, limit: Duration) -> Result<Value> {
        let mut last = Value::Null;
        let wanted = format!("EtcdBackup {name} to be {phase} {}", reason.unwrap_or_default());
        let found = until(&wanted, limit, || {
            last = self.get("etcdbackup", name)?.unwrap_or_default();
            let status = &last["status"];
            Ok(status["phase"] == phase && reason.is_none_or(|reason| status["reason"] == reason))
        });
        found.with_context(|| format!("last status: {:#}", last["status"]))?;
        Ok(last)
    }

    /// Ends every operator's process with SIGKILL and has new pods started at once. Their Lease goes with them, so that
    /// nobody waits for its end; that is what the scenario `takeover` is about.
    ///
    /// # Errors
    /// If the operator does not come back.
    pub fn kill_operator(&self) -> Result<()> {
        for process in self.operator() {
            process.kill()?;
        }
        // A container that died is restarted with a growing delay; a deleted pod is replaced at once.
        self.kubectl(&["-n", OPERATOR_NAMESPACE, "delete", "pod", "--all", "--force", "--grace-period=0"])?;
        self.kubectl(&["-n", OPERATOR_NAMESPACE, "delete", "lease", "--all"])?;
        self.operator_ready()
    }

    /// Ends the operator that works with SIGKILL, and its pod, as if its node had died; the others wait for the end of
    /// its Lease.
    ///
    /// # Errors
    /// If none works.
    pub fn kill_leader(&self) -> Result<()> {
        let leader = self.leader()?.context("no operator works")?;
        self.process_of(&leader)?.kill()?;
        self.kubectl(&["-n", OPERATOR_NAMESPACE, "delete", "pod", &leader, "--force", "--grace-period=0"]).map(drop)
    }

    /// The pod of the operator that works: the one that is there and holds the Lease.
    ///
    /// # Errors
    /// If kubectl fails.
    pub fn leader(&self) -> Result<Option<String>> {
        let lease =
            ["get", "lease", "etcd-backup-operator", "--ignore-not-found", "-o", "jsonpath={.spec.holderIdentity}"];
        let holder = self.kubectl(&[&["-n", OPERATOR_NAMESPACE], &lease[..]].concat())?;
        let pods = ["get", "pods", "-o", r"jsonpath={range .items[*]}{.metadata.name}{'\n'}{end}"];
        let pods = self.kubectl(&[&["-n", OPERATOR_NAMESPACE], &pods[..]].concat())?;
        Ok(pods.lines().any(|pod| pod == holder).then_some(holder))
    }

    /// The pod of a backup's Job, once it runs.
    ///
    /// # Errors
    /// If it does not run in time.
    pub fn running_pod(&self, backup: &str) -> Result<Value> {
        let uid = self.uid(backup)?;
        let mut found = None;
        until(&format!("a pod of EtcdBackup {backup} to run"), Duration::from_secs(60), || {
            let pods = self.labelled("pod", &format!("etcd-backup.io/uid={uid}"))?;
            found = pods.into_iter().find(|pod| pod["status"]["phase"] == "Running");
            Ok(found.is_some())
        })?;
        found.context("no pod")
    }

    /// The uid of an EtcdBackup: its run id.
    ///
    /// # Errors
    /// If there is no such object.
    pub fn uid(&self, backup: &str) -> Result<String> {
        let object = self.get("etcdbackup", backup)?.with_context(|| format!("EtcdBackup {backup} does not exist"))?;
        object["metadata"]["uid"].as_str().map(str::to_owned).context("an object without uid")
    }

    /// What an administrator would look at when something went wrong.
    #[must_use]
    pub fn diagnosis(&self) -> String {
        let commands: [&[&str]; 4] = [
            &["get", "etcdbackup", "-o", "wide"],
            &["-n", NAMESPACE, "get", "pvc,job,pod", "-o", "wide"],
            &["get", "events", "-A", "--sort-by=.lastTimestamp"],
            &["-n", OPERATOR_NAMESPACE, "logs", "deployment/etcd-backup-operator", "--tail=40"],
        ];
        let shown = commands.map(|args| {
            let output = self.kubectl(args).unwrap_or_else(|error| format!("{error:#}"));
            let lines: Vec<&str> = output.lines().collect();
            format!("$ kubectl {}\n{}\n", args.join(" "), lines[lines.len().saturating_sub(40)..].join("\n"))
        });
        shown.concat()
    }
}

/// The sets that a person sees on a volume: directories with a set's name.
///
/// # Errors
/// If the volume cannot be read.
pub fn sets(volume: &Path) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(volume)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    found.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("backup-")));
    found.sort();
    Ok(found)
}

/// The names of the sets on a volume, sorted.
///
/// # Errors
/// If the volume cannot be read.
pub fn set_names(volume: &Path) -> Result<Vec<String>> {
    let names = sets(volume)?.into_iter().filter_map(|set| Some(set.file_name()?.to_string_lossy().into_owned()));
    Ok(names.collect())
}

/// The names of the sets of an owner of that name, oldest first.
///
/// # Errors
/// If the volume or a set's manifest cannot be read.
pub fn sets_of_owner(volume: &Path, name: &str) -> Result<Vec<String>> {
    let prefix = format!("backup-{name}-2");
    let names = set_names(volume)?.into_iter().filter(|set| set.starts_with(&prefix));
    let order = |set: String| Ok((manifest(&volume.join(&set))?["sequence"].as_u64(), set));
    let mut sets = names.map(order).collect::<Result<Vec<_>>>()?;
    sets.sort();
    Ok(sets.into_iter().map(|(_, set)| set).collect())
}

/// The manifest of a set.
///
/// # Errors
/// If it cannot be read or is not JSON.
pub fn manifest(set: &Path) -> Result<Value> {
    let path = set.join("backup.json");
    let text = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("parse {}", path.display()))
}

/// The sets on a volume that one run made. Every set must have a manifest, or it is a partial one.
///
/// # Errors
/// If a set is partial.
pub fn sets_of(volume: &Path, run_id: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for set in sets(volume)? {
        if manifest(&set)?["runId"] == run_id {
            found.push(set);
        }
    }
    Ok(found)
}

/// The only set of several.
///
/// # Errors
/// If there are more or fewer.
pub fn only(mut sets: Vec<PathBuf>) -> Result<PathBuf> {
    ensure!(sets.len() == 1, "exactly one set was expected: {sets:?}");
    Ok(sets.remove(0))
}

/// `etcd-backup`, the very program that is in the image.
#[must_use]
pub fn agent_program() -> PathBuf {
    let machine = std::env::consts::ARCH;
    repository().join(format!("target/{machine}-unknown-linux-gnu/release/etcd-backup"))
}

/// Runs the agent on the host.
///
/// # Errors
/// If it cannot be started.
pub fn agent(args: &[&str]) -> Result<std::process::Output> {
    let program = agent_program();
    let output = std::process::Command::new(&program).args(args).stdin(std::process::Stdio::null()).output();
    output.with_context(|| format!("run {}", program.display()))
}

/// Verifies a set, a volume or a snapshot with our agent.
///
/// # Errors
/// If it is not sound.
pub fn verify(path: &Path) -> Result<String> {
    let output = agent(&["verify", path.to_str().context("path is not UTF-8")?])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "verify {}: {text}{}", path.display(), String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

/// Waits until something is true, looking every 100 ms.
///
/// # Errors
/// If it is not true in time, or looking fails.
pub fn until(what: &str, limit: Duration, mut check: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    loop {
        if check()? {
            return Ok(());
        }
        if began.elapsed() > limit {
            bail!("waited {} s for {what}", limit.as_secs());
        }
        sleep(Duration::from_millis(100));
    }
}

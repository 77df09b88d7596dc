//! Ways to install. Each is lived through from its first version to its removal: a backup of before stays, one that runs
//! is finished, and only what the documentation names is left behind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{SOON, held_volume};
use crate::bed::{self, Bed, IMAGE, NAMESPACE, OPERATOR_NAMESPACE, until};

/// The same programs under another name: what a way installs first.
pub(super) const PREVIOUS: &str = "localhost/etcd-backup:previous";

/// How long Kubernetes may take to clear up what a deleted object owned.
const CLEARED: Duration = Duration::from_secs(90);

/// One way to install, as the documentation gives it.
pub(super) struct Way {
    /// Its name, and that of the volume and the backups that live through it.
    pub(super) name: &'static str,
    /// Installs the version with the image [`PREVIOUS`].
    pub(super) install: fn(&Bed) -> Result<()>,
    /// Installs the version with the image [`IMAGE`] over it.
    pub(super) upgrade: fn(&Bed) -> Result<()>,
    /// Takes the product away, and leaves backups and what describes them.
    pub(super) uninstall: fn(&Bed) -> Result<()>,
}

impl Way {
    /// Installs, upgrades with a backup under way, and uninstalls.
    pub(super) fn live_through(&self, bed: &Bed) -> Result<()> {
        let tag = ["ctr", "--namespace", "k8s.io", "images", "tag", "--force", IMAGE, PREVIOUS];
        bed.cluster.node_exec(0, &tag)?;
        let before = everything(bed)?;
        (self.install)(bed)?;
        operator_is(bed, PREVIOUS)?;
        let volume = self.upgrade_while_a_backup_runs(bed)?;
        let files = contents(&volume)?;
        (self.uninstall)(bed)?;
        ensure!(contents(&volume)? == files, "uninstalling changed files on the volume");
        left_behind(bed, &before)?;
        self.remove_the_rest(bed, &before)?;
        ensure!(contents(&volume)? == files, "removing the rest changed files on the volume");
        Ok(())
    }

    fn upgrade_while_a_backup_runs(&self, bed: &Bed) -> Result<PathBuf> {
        let (volume, lock) = held_volume(bed, self.name)?;
        let first = bed::only(bed::sets(&volume)?)?;
        let kept = contents(&first)?;
        bed.backup(self.name, self.name)?;
        bed.running_pod(self.name)?;
        bed.wait_for(self.name, "Running", None, SOON)?;
        let upgraded = (self.upgrade)(bed).and_then(|()| operator_is(bed, IMAGE));
        lock.release()?;
        upgraded?;
        let status = bed.wait_for(self.name, "Completed", None, SOON)?["status"].clone();
        let job = status["jobName"].as_str().context("a completed backup without Job")?;
        let job = bed.get("job", job)?.context("the Job of the backup is gone")?;
        let image = &job["spec"]["template"]["spec"]["containers"][0]["image"];
        ensure!(*image == PREVIOUS, "the Job that ran was made again, with {image}");
        bed::only(bed::sets_of(&volume, &bed.uid(self.name)?)?)?;
        ensure!(contents(&first)? == kept, "the backup of before has changed");
        bed::verify(&volume)?;
        Ok(volume)
    }

    /// Deletes what uninstalling keeps, and what the scenario itself has made: then nothing is left.
    fn remove_the_rest(&self, bed: &Bed, before: &BTreeSet<String>) -> Result<()> {
        bed.kubectl(&["delete", "crd", "etcdbackups.operator.openshift.io", "backups.config.openshift.io"])?;
        bed.kubectl(&["delete", "namespace", NAMESPACE])?;
        bed.kubectl(&["delete", "pv", self.name])?;
        bed.kubectl(&["delete", "storageclass", "e2e-immediate"])?;
        let mut left = Vec::new();
        let gone = until("everything to be gone", CLEARED, || {
            left = everything(bed)?.difference(before).cloned().collect();
            Ok(left.is_empty())
        });
        gone.with_context(|| format!("left behind: {left:?}"))
    }
}

/// After uninstalling: backups, claims and CRDs are there, and nothing else but what belongs to them.
fn left_behind(bed: &Bed, before: &BTreeSet<String>) -> Result<()> {
    const KEPT: [&str; 5] = [
        "CustomResourceDefinition//etcdbackups.operator.openshift.io",
        "CustomResourceDefinition//backups.config.openshift.io",
        "Namespace//openshift-etcd",
        // What the operator wrote for the Jobs; it goes with the namespace.
        "ConfigMap/openshift-etcd/etcd-backup-endpoints",
        // Kubernetes' own, in every namespace.
        "ConfigMap/openshift-etcd/kube-root-ca.crt",
    ];
    const OF_THE_USER: [&str; 5] =
        ["EtcdBackup//", "PersistentVolume//", "StorageClass//", "Job/openshift-etcd/", "Pod/openshift-etcd/"];
    let belongs = |name: &String| {
        KEPT.contains(&name.as_str())
            || OF_THE_USER.iter().any(|prefix| name.starts_with(prefix))
            || name.starts_with("PersistentVolumeClaim/openshift-etcd/")
            || name == "ServiceAccount/openshift-etcd/default"
            // Kubernetes' own, one for each group of a CRD.
            || name.starts_with("APIService//")
    };
    let mut left = BTreeSet::new();
    let cleared = until("what is owned to be gone", CLEARED, || {
        left = everything(bed)?.difference(before).cloned().collect();
        Ok(left.iter().all(belongs))
    });
    cleared
        .with_context(|| format!("left behind: {:?}", left.iter().filter(|name| !belongs(name)).collect::<Vec<_>>()))?;
    println!("  kept: {}", left.iter().cloned().collect::<Vec<_>>().join(" "));
    for kept in &KEPT[..3] {
        ensure!(left.contains(*kept), "{kept} is gone");
    }
    for kind in ["EtcdBackup//", "PersistentVolumeClaim/openshift-etcd/"] {
        ensure!(left.iter().any(|name| name.starts_with(kind)), "no {kind} is left");
    }
    Ok(())
}

/// Every object of the cluster that stays without anybody doing anything, as `Kind/namespace/name`.
fn everything(bed: &Bed) -> Result<BTreeSet<String>> {
    let kinds = bed.kubectl(&["api-resources", "--verbs=list", "--output=name"])?;
    let coming_and_going = ["events", "events.events.k8s.io", "componentstatuses", "leases.coordination.k8s.io"];
    let kinds: Vec<&str> = kinds.split_whitespace().filter(|kind| !coming_and_going.contains(kind)).collect();
    let columns = "--output=custom-columns=K:.kind,S:.metadata.namespace,N:.metadata.name";
    let lines = bed.kubectl(&["get", &kinds.join(","), "--all-namespaces", "--no-headers", columns])?;
    let names = lines.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join("/"));
    Ok(names.map(|name| name.replace("/<none>/", "//")).collect())
}

/// Every file of a directory, with the digest of its content.
fn contents(directory: &Path) -> io::Result<BTreeSet<(PathBuf, Vec<u8>)>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(contents(&path)?);
        } else {
            let digest = Sha256::digest(fs::read(&path)?).to_vec();
            found.insert((path, digest));
        }
    }
    Ok(found)
}

/// The operator is ready and runs with this image, and so will its Jobs.
fn operator_is(bed: &Bed, image: &str) -> Result<()> {
    bed.operator_ready()?;
    let text = bed.kubectl(&["-n", OPERATOR_NAMESPACE, "get", "deployment", "etcd-backup-operator", "-o", "json"])?;
    let deployment: Value = serde_json::from_str(&text)?;
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let env = container["env"].as_array().into_iter().flatten();
    let agent = env.filter(|variable| variable["name"] == "AGENT_IMAGE").map(|variable| &variable["value"]).next();
    ensure!(container["image"] == image && agent == Some(&container["image"]), "not {image}: {container:#}");
    Ok(())
}

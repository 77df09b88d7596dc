//! What must hold in a real cluster, one function each.

mod blocked;
mod disaster;
mod figures;
mod fires;
mod gitops;
mod happy;
mod install;
mod install_helm;
mod install_kustomize;
mod interrupted;
mod killed;
mod monitoring;
mod node_lost;
mod openshift;
mod plugin;
mod pod_security;
mod records;
mod restored;
mod retention;
mod schedule;
mod takeover;

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::Bed;

/// One thing that must hold.
pub struct Scenario {
    /// Its name, for choosing it and in the summary.
    pub name: &'static str,
    /// How many control-plane nodes it needs.
    pub nodes: usize,
    /// The test itself.
    pub run: fn(&Bed) -> Result<()>,
}

/// Every scenario, in the order in which they run.
pub const ALL: &[Scenario] = &[
    Scenario { name: "documentation", nodes: 1, run: happy::documentation },
    Scenario { name: "two-at-once", nodes: 1, run: happy::two_at_once },
    Scenario { name: "late-binding", nodes: 1, run: happy::wait_for_first_consumer },
    Scenario { name: "figures", nodes: 1, run: figures::one_shot },
    Scenario { name: "damage", nodes: 1, run: happy::damage_is_named },
    Scenario { name: "claim-missing", nodes: 1, run: blocked::claim_missing },
    Scenario { name: "claim-unbound", nodes: 1, run: blocked::claim_unbound },
    Scenario { name: "volume-elsewhere", nodes: 1, run: blocked::volume_elsewhere },
    Scenario { name: "cordoned", nodes: 1, run: blocked::no_schedulable_node },
    Scenario { name: "start-limit", nodes: 1, run: blocked::start_limit },
    Scenario { name: "image", nodes: 1, run: blocked::image_cannot_be_pulled },
    Scenario { name: "evicted", nodes: 1, run: interrupted::evicted },
    Scenario { name: "deleted", nodes: 1, run: interrupted::deleted_while_running },
    Scenario { name: "job-deleted", nodes: 1, run: interrupted::job_deleted },
    Scenario { name: "job-deleted-late", nodes: 1, run: interrupted::job_deleted_after_publishing },
    Scenario { name: "pod-gone", nodes: 1, run: interrupted::pod_gone_before_its_report_was_read },
    Scenario { name: "lock-timeout", nodes: 1, run: interrupted::lock_never_free },
    Scenario { name: "deadline", nodes: 1, run: interrupted::deadline_passed },
    Scenario { name: "upgrade", nodes: 1, run: interrupted::operator_upgraded },
    Scenario { name: "recurring", nodes: 1, run: schedule::recurring },
    Scenario { name: "every-minute", nodes: 1, run: fires::every_minute },
    Scenario { name: "retention-number", nodes: 1, run: retention::number },
    Scenario { name: "retention-alone", nodes: 1, run: retention::one_set_alone },
    Scenario { name: "retention-disk", nodes: 1, run: retention::full_disk },
    Scenario { name: "by-hand", nodes: 1, run: records::by_hand },
    Scenario { name: "monitoring", nodes: 1, run: monitoring::queries },
    Scenario { name: "gitops", nodes: 1, run: gitops::gitops },
    Scenario { name: "plugin", nodes: 1, run: plugin::plugin },
    Scenario { name: "volume-changed", nodes: 1, run: records::volume_changed },
    Scenario { name: "shared-volume", nodes: 1, run: records::shared_volume },
    Scenario { name: "pod-security", nodes: 1, run: pod_security::pod_security },
    Scenario { name: "kill-operator", nodes: 1, run: killed::operator },
    Scenario { name: "takeover", nodes: 1, run: takeover::takeover },
    Scenario { name: "memory", nodes: 1, run: figures::agent_memory },
    Scenario { name: "kill-agent", nodes: 1, run: killed::agent },
    Scenario { name: "retention-size", nodes: 1, run: retention::size },
    Scenario { name: "restored", nodes: 1, run: restored::restored },
    // The last with one node: it changes how the node is laid out.
    Scenario { name: "openshift", nodes: 1, run: openshift::live_revisions },
    Scenario { name: "node-lost", nodes: 3, run: node_lost::node_lost },
    Scenario { name: "member-lost", nodes: 3, run: disaster::member_lost },
    Scenario { name: "restore", nodes: 3, run: disaster::restore },
];

/// Every way to install, each in a cluster without the product.
pub const INSTALLATIONS: &[Scenario] = &[
    Scenario { name: "helm", nodes: 1, run: install_helm::helm },
    Scenario { name: "kustomize", nodes: 1, run: install_kustomize::kustomize },
    Scenario { name: "one-file", nodes: 1, run: install_kustomize::one_file },
];

/// How long a backup of a small cluster may take from apply to Completed, retries not counted.
const SOON: Duration = Duration::from_secs(180);
/// Enough for two retries of a Job (10 s and 20 s of back-off) as well.
const RETRIED: Duration = Duration::from_secs(300);

/// Holds a volume's lock from outside the cluster, so that an agent waits at a known place.
struct HeldLock(File);

impl HeldLock {
    /// Takes the lock of a volume that a run has used before.
    fn take(volume: &Path) -> Result<Self> {
        let path = volume.join(".etcd-backup/lock");
        let file =
            File::options().read(true).write(true).open(&path).with_context(|| format!("open {}", path.display()))?;
        file.lock()?;
        Ok(Self(file))
    }

    /// Lets go of it.
    fn release(self) -> Result<()> {
        Ok(self.0.unlock()?)
    }
}

/// A volume that has been used once, with its lock held.
fn held_volume(bed: &Bed, name: &str) -> Result<(std::path::PathBuf, HeldLock)> {
    let volume = bed.volume(name, 0)?;
    bed.backup(&format!("{name}-first"), name)?;
    bed.wait_for(&format!("{name}-first"), "Completed", None, SOON)?;
    let lock = HeldLock::take(&volume)?;
    Ok((volume, lock))
}

/// Does what a condition's message tells to do: runs exactly the command that it names.
fn accept(bed: &Bed, message: &str) -> Result<()> {
    const END: &str = "--overwrite";
    let command = message.split_once("kubectl ").and_then(|(_, rest)| Some(&rest[..rest.find(END)? + END.len()]));
    let command = command.with_context(|| format!("no command to run in: {message}"))?;
    println!("  $ kubectl {command}");
    bed.kubectl(&command.split_whitespace().collect::<Vec<_>>()).map(drop)
}

//! A cluster that is restored in place from one of the sets while a schedule is active.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use etcd_backup_testbed::Restore;

use super::happy::snapshot_of;
use super::{HeldLock, SOON, accept, held_volume};
use crate::bed::{self, Bed, until};
use crate::manifests::keep;
use crate::schedules::Run;

const NAME: &str = "restored";

/// Twice: to the same cluster id with revisions that go back, as kubeadm's users do it; and to another cluster id with
/// revisions far above.
pub(super) fn restored(bed: &Bed) -> Result<()> {
    let volume = bed.volume(NAME, 0)?;
    let (_, lock) = held_volume(bed, "caught")?;
    bed.schedule(NAME, NAME, keep(2))?;
    bed.run(NAME, "restored-1")?;
    let second = with_one_in_flight(bed, lock)?;
    let third = bed.run(NAME, "restored-3")?;

    restore(bed, &volume.join(second.set()?), Restore::default())?;
    // What watches must be started anew where revisions go back; the bed has done so with all but the operator.
    bed.kill_operator()?;
    let fourth = holds_until_accepted(bed, &volume, "restored-4")?;
    let kept = [third.set()?.to_owned(), fourth.set()?.to_owned()];
    ensure!(bed::set_names(&volume)? == kept, "kept are {:?}, not {kept:?}", bed::set_names(&volume)?);
    bed.records_match(NAME, &kept)?;
    caught(bed)?;

    restore(bed, &volume.join(fourth.set()?), Restore { token: Some("rebuilt"), bump_revision: true })?;
    let fifth = holds_until_accepted(bed, &volume, "restored-5")?;
    bed.records_match(NAME, &[fourth.set()?.to_owned(), fifth.set()?.to_owned()])?;
    bed::verify(&volume)?;
    bed.kubectl(&["delete", "backup", NAME]).map(drop)
}

/// A run whose snapshot has an EtcdBackup in it that was running, and that was deleted before its set was made.
fn with_one_in_flight(bed: &Bed, lock: HeldLock) -> Result<Run> {
    bed.backup("caught", "caught")?;
    bed.running_pod("caught")?;
    bed.wait_for("caught", "Running", None, SOON)?;
    let run = bed.run(NAME, "restored-2")?;
    let label = format!("etcd-backup.io/uid={}", bed.uid("caught")?);
    bed.kubectl(&["delete", "etcdbackup", "caught"])?;
    until("the agent that waits to be gone", SOON, || Ok(bed.labelled("pod", &label)?.is_empty()))?;
    lock.release()?;
    Ok(run)
}

fn restore(bed: &Bed, set: &Path, how: Restore<'_>) -> Result<()> {
    println!("  restoring {}", set.display());
    bed.cluster.restore(&snapshot_of(set)?, how)?;
    bed.scale_operator(bed::OPERATORS)
}

/// The next run makes a backup and deletes nothing, and the condition says why and what to do; done, pruning goes on.
fn holds_until_accepted(bed: &Bed, volume: &Path, job: &str) -> Result<Run> {
    let before = bed::set_names(volume)?;
    let run = bed.run(NAME, job)?;
    let message = bed.says(NAME, "RetentionSatisfied", "False", "LineageChanged", SOON)?;
    println!("  LineageChanged: {message}");
    let held = bed::set_names(volume)?;
    ensure!(
        before.iter().all(|set| held.contains(set)) && held.len() == before.len() + 1,
        "{before:?} became {held:?}"
    );
    accept(bed, &message)?;
    bed.says(NAME, "RetentionSatisfied", "True", "Satisfied", SOON)?;
    until("pruning to go on", SOON, || Ok(bed::sets(volume)?.len() == 2))?;
    Ok(run)
}

/// What the snapshot caught in flight ends: well only with a set on the volume.
fn caught(bed: &Bed) -> Result<()> {
    let volume = bed.cluster.node_path(0, "/var/lib/etcd-backup/caught")?;
    let mut status = serde_json::Value::Null;
    until("what was caught in flight to end", Duration::from_secs(180), || {
        status = bed.get("etcdbackup", "caught")?.unwrap_or_default()["status"].clone();
        Ok(status["phase"] == "Completed" || status["phase"] == "Failed")
    })?;
    println!("  caught in flight: {} {}", status["phase"], status["reason"]);
    let sets = bed::sets_of(&volume, &bed.uid("caught")?)?.len();
    let right = if sets == 1 { status["phase"] == "Completed" } else { status["reason"] == "Interrupted" };
    ensure!(right, "with {sets} sets of its run: {status:#}");
    Ok(())
}

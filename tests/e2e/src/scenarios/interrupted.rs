//! Backups to which something happens while they run. Where it matters at which moment, the test
//! holds the volume's lock, so that the agent waits at a known place.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use etcd_backup_testbed::Kubectl as _;
use serde_json::{Value, json};

use super::{RETRIED, SOON, held_volume};
use crate::bed::{self, Bed, NAMESPACE, until};

fn name(object: &Value) -> Result<&str> {
    object["metadata"]["name"].as_str().context("an object without name")
}

/// The Job of a backup.
fn job(bed: &Bed, backup: &str) -> Result<Value> {
    let object = bed.get("etcdbackup", backup)?.context("no EtcdBackup")?;
    let job = object["status"]["jobName"].as_str().context("status names no Job")?;
    bed.get("job", job)?.with_context(|| format!("Job {job} does not exist"))
}

/// Nothing of a run that did not finish is visible, nor left in the working directories once another has run.
fn leftovers_are_swept(bed: &Bed, volume: &Path, claim: &str) -> Result<()> {
    bed.backup(&format!("{claim}-after"), claim)?;
    bed.wait_for(&format!("{claim}-after"), "Completed", None, SOON)?;
    for directory in ["staging", "trash"] {
        let left = std::fs::read_dir(volume.join(".etcd-backup").join(directory))?.count();
        ensure!(left == 0, "{left} things are left in {directory}");
    }
    bed::verify(volume).map(drop)
}

/// An evicted pod is replaced, and the backup completes, once.
pub(super) fn evicted(bed: &Bed) -> Result<()> {
    let (volume, lock) = held_volume(bed, "evicted")?;
    bed.backup("evicted", "evicted")?;
    let pod = bed.running_pod("evicted")?;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name(&pod)?, "namespace": NAMESPACE}}).to_string();
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{}/eviction", name(&pod)?);
    bed.cluster.kubectl_stdin(&["create", "--raw", &path, "-f", "-"], &eviction)?;
    lock.release()?;
    bed.wait_for("evicted", "Completed", None, RETRIED)?;
    bed::only(bed::sets_of(&volume, &bed.uid("evicted")?)?).map(drop)
}

/// Deleting the EtcdBackup ends the run and leaves nothing behind.
pub(super) fn deleted_while_running(bed: &Bed) -> Result<()> {
    let (volume, lock) = held_volume(bed, "deleted")?;
    bed.backup("deleted", "deleted")?;
    bed.running_pod("deleted")?;
    let uid = bed.uid("deleted")?;
    bed.kubectl(&["delete", "etcdbackup", "deleted"])?;
    until("the Job and its pod to be gone", Duration::from_secs(60), || {
        let label = format!("etcd-backup.io/uid={uid}");
        Ok(bed.labelled("job", &label)?.is_empty() && bed.labelled("pod", &label)?.is_empty())
    })?;
    lock.release()?;
    ensure!(bed::sets_of(&volume, &uid)?.is_empty(), "a set of the deleted run is there");
    leftovers_are_swept(bed, &volume, "deleted")
}

/// A Job deleted by hand is not made again: the volume is asked, and the answer told.
pub(super) fn job_deleted(bed: &Bed) -> Result<()> {
    let (volume, lock) = held_volume(bed, "orphan")?;
    bed.backup("orphan", "orphan")?;
    bed.running_pod("orphan")?;
    bed.wait_for("orphan", "Running", None, SOON)?;
    let job = job(bed, "orphan")?;
    bed.kubectl(&["-n", NAMESPACE, "delete", "job", name(&job)?])?;
    // The pod ends after its Job is gone: an agent that got the lock before that would still make a good backup.
    until("the agent to end with its Job", SOON, || Ok(bed.savers().is_empty()))?;
    lock.release()?;
    let object = bed.wait_for("orphan", "Failed", None, RETRIED)?;
    println!("  {}: {}", object["status"]["reason"], object["status"]["conditions"]);
    ensure!(bed::sets_of(&volume, &bed.uid("orphan")?)?.is_empty(), "Failed, but there is a set");
    Ok(())
}

/// The Job is deleted after the set was published, while no operator looks: the set is found.
pub(super) fn job_deleted_after_publishing(bed: &Bed) -> Result<()> {
    let (volume, lock) = held_volume(bed, "late-orphan")?;
    bed.backup("late-orphan", "late-orphan")?;
    bed.running_pod("late-orphan")?;
    bed.wait_for("late-orphan", "Running", None, SOON)?;
    bed.scale_operator(0)?;
    lock.release()?;
    let uid = bed.uid("late-orphan")?;
    let published = until("the set to be published", SOON, || Ok(!bed::sets_of(&volume, &uid)?.is_empty()));
    let deleted =
        published.and_then(|()| bed.kubectl(&["-n", NAMESPACE, "delete", "job", name(&job(bed, "late-orphan")?)?]));
    bed.scale_operator(bed::OPERATORS)?;
    deleted?;
    bed.wait_for("late-orphan", "Completed", None, RETRIED)?;
    bed::only(bed::sets_of(&volume, &uid)?).map(drop)
}

/// The pod object is gone before anybody read its report: the volume is asked.
pub(super) fn pod_gone_before_its_report_was_read(bed: &Bed) -> Result<()> {
    let (volume, lock) = held_volume(bed, "unread")?;
    bed.backup("unread", "unread")?;
    let pod = bed.running_pod("unread")?;
    bed.wait_for("unread", "Running", None, SOON)?;
    bed.scale_operator(0)?;
    lock.release()?;
    let done = until("the Job to complete", SOON, || Ok(job(bed, "unread")?["status"]["succeeded"] == 1));
    let deleted = done.and_then(|()| bed.kubectl(&["-n", NAMESPACE, "delete", "pod", name(&pod)?]));
    bed.scale_operator(bed::OPERATORS)?;
    deleted?;
    let object = bed.wait_for("unread", "Completed", None, RETRIED)?;
    ensure!(
        object["status"]["snapshot"]["revision"].as_i64().unwrap_or_default() > 0,
        "no revision: {:#}",
        object["status"]
    );
    bed::only(bed::sets_of(&volume, &bed.uid("unread")?)?).map(drop)
}

/// Somebody keeps the lock for longer than a run waits.
pub(super) fn lock_never_free(bed: &Bed) -> Result<()> {
    let (_, lock) = held_volume(bed, "locked")?;
    bed.operator_flags(&["--lock-timeout=3s"])?;
    bed.backup("locked", "locked")?;
    let failed = bed.wait_for("locked", "Failed", Some("LockTimeout"), RETRIED);
    bed.operator_flags(&["--lock-timeout=10m"])?;
    lock.release()?;
    failed.map(drop)
}

/// The Job's deadline passes while the agent waits.
pub(super) fn deadline_passed(bed: &Bed) -> Result<()> {
    let (volume, lock) = held_volume(bed, "deadline")?;
    bed.backup("deadline", "deadline")?;
    bed.running_pod("deadline")?;
    bed.wait_for("deadline", "Running", None, SOON)?;
    let job = job(bed, "deadline")?;
    bed.kubectl(&["-n", NAMESPACE, "patch", "job", name(&job)?, "-p", r#"{"spec":{"activeDeadlineSeconds":1}}"#])?;
    until("Kubernetes to end the Job", SOON, || Ok(bed.savers().is_empty()))?;
    lock.release()?;
    let object = bed.wait_for("deadline", "Failed", Some("DeadlineExceeded"), RETRIED)?;
    println!("  {}", object["status"]["reason"]);
    ensure!(bed::sets_of(&volume, &bed.uid("deadline")?)?.is_empty(), "Failed, but there is a set");
    leftovers_are_swept(bed, &volume, "deadline")
}

/// An operator with other flags takes over a running Job as it is.
pub(super) fn operator_upgraded(bed: &Bed) -> Result<()> {
    let (volume, lock) = held_volume(bed, "upgraded")?;
    bed.backup("upgraded", "upgraded")?;
    bed.running_pod("upgraded")?;
    let before = job(bed, "upgraded")?;
    bed.operator_flags(&["--image=localhost/etcd-backup:next", "--reserve-percent=5"])?;
    lock.release()?;
    let completed = bed.wait_for("upgraded", "Completed", None, SOON);
    bed.operator_flags(&[&format!("--image={}", bed::IMAGE), "--reserve-percent=0"])?;
    completed?;
    let after = job(bed, "upgraded")?;
    ensure!(before["metadata"]["uid"] == after["metadata"]["uid"], "the Job was made again");
    ensure!(before["spec"] == after["spec"], "the running Job was changed");
    bed::only(bed::sets_of(&volume, &bed.uid("upgraded")?)?).map(drop)
}

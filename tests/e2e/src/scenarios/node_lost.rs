//! A node that dies while backups run on it: one that was asked for, and one of a schedule.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{HeldLock, SOON};
use crate::bed::{Bed, NAMESPACE, until};
use crate::manifests::keep;

/// How long until a lost node has been noticed and everything on it has been given up.
const LOST: Duration = Duration::from_secs(180);

/// With the node the volume is gone: said while it lasts, and ended at the deadline. Others go on, later runs of the
/// schedule among them. Where the operator itself was on that node, it moves first.
pub(super) fn node_lost(bed: &Bed) -> Result<()> {
    let volume = bed.volume("third", 2)?;
    bed.backup("third-first", "third")?;
    bed.wait_for("third-first", "Completed", None, SOON)?;
    let lock = HeldLock::take(&volume)?;
    bed.backup("third", "third")?;
    bed.running_pod("third")?;
    bed.wait_for("third", "Running", None, SOON)?;
    let scheduled = fires_and_waits(bed)?;
    bed.cluster.stop_node(2)?;
    drop(lock);
    let object = bed.wait_for("third", "Running", Some("NodeLost"), LOST)?;
    println!("  {:#}", object["status"]["conditions"]);
    deadline_passes(bed, object["status"]["jobName"].as_str().unwrap_or_default())?;
    deadline_passes(bed, scheduled["metadata"]["name"].as_str().unwrap_or_default())?;
    let failed = bed.wait_for("third", "Failed", Some("NodeLost"), LOST)?;
    println!("  {:#}", failed["status"]["conditions"]);
    goes_on_elsewhere(bed, &scheduled)?;

    bed.volume("first", 0)?;
    bed.backup("elsewhere-works", "first")?;
    bed.wait_for("elsewhere-works", "Completed", None, SOON)?;
    bed.cluster.start_node(2)?;
    bed.kubectl(&["wait", "--for=condition=Ready", "node/master-2", "--timeout=90s"])?;
    ensure!(bed.savers().is_empty(), "an agent runs again although its request has ended");
    Ok(())
}

/// A schedule of every minute on the same claim fires and waits for the lock; its Job.
fn fires_and_waits(bed: &Bed) -> Result<Value> {
    bed.schedule("each-minute", "third", keep(3))?;
    bed.edit("each-minute", &json!({"schedule": "* * * * *"}))?;
    let mut job = None;
    until("a run of the schedule to wait", Duration::from_secs(150), || {
        let running = "etcd-backup.io/backup=each-minute,app.kubernetes.io/component=scheduled-save";
        job = bed.labelled("job", running)?.into_iter().find(|job| job["status"]["active"] == 1);
        Ok(job.is_some() && bed.savers().len() == 2)
    })?;
    job.context("no Job")
}

fn deadline_passes(bed: &Bed, job: &str) -> Result<()> {
    bed.kubectl(&["-n", NAMESPACE, "patch", "job", job, "-p", r#"{"spec":{"activeDeadlineSeconds":1}}"#]).map(drop)
}

/// The lost run is recorded as such, and does not keep the next one from starting.
fn goes_on_elsewhere(bed: &Bed, lost: &Value) -> Result<()> {
    bed.volume("zeroth", 0)?;
    bed.edit("each-minute", &json!({"pvcName": "zeroth"}))?;
    let lost = lost["metadata"]["uid"].as_str().context("a Job without uid")?;
    let record = bed.recorded("each-minute", lost, "Failed")?.record;
    ensure!(record["status"]["reason"] == "NodeLost", "the lost run is recorded as {:#}", record["status"]);
    until("a later run of the schedule", Duration::from_secs(180), || {
        Ok(bed.records("each-minute")?.iter().any(|record| record["status"]["phase"] == "Completed"))
    })?;
    bed.kubectl(&["delete", "backup", "each-minute"]).map(drop)
}

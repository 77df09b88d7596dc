//! A node that dies while a backup runs on it.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{HeldLock, SOON};
use crate::bed::{Bed, NAMESPACE};

/// With the node the volume is gone: said while it lasts, and ended at the deadline. Others go on.
/// Where the operator itself was on that node, it moves first.
pub(super) fn node_lost(bed: &Bed) -> Result<()> {
    let volume = bed.volume("third", 2)?;
    bed.backup("third-first", "third")?;
    bed.wait_for("third-first", "Completed", None, SOON)?;
    let lock = HeldLock::take(&volume)?;
    bed.backup("third", "third")?;
    bed.running_pod("third")?;
    bed.wait_for("third", "Running", None, SOON)?;
    bed.cluster.stop_node(2)?;
    drop(lock);
    let object = bed.wait_for("third", "Running", Some("NodeLost"), Duration::from_secs(180))?;
    println!("  {:#}", object["status"]["conditions"]);
    let job = object["status"]["jobName"].as_str().unwrap_or_default();
    bed.kubectl(&["-n", NAMESPACE, "patch", "job", job, "-p", r#"{"spec":{"activeDeadlineSeconds":1}}"#])?;
    let failed = bed.wait_for("third", "Failed", Some("NodeLost"), Duration::from_secs(180))?;
    println!("  {:#}", failed["status"]["conditions"]);

    bed.volume("first", 0)?;
    bed.backup("elsewhere-works", "first")?;
    bed.wait_for("elsewhere-works", "Completed", None, SOON)?;
    bed.cluster.start_node(2)?;
    bed.kubectl(&["wait", "--for=condition=Ready", "node/master-2", "--timeout=90s"])?;
    ensure!(bed.savers().is_empty(), "an agent runs again although its request has ended");
    Ok(())
}

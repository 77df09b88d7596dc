//! Backups that cannot start: a condition says why and what to do, and the cause removed they run.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::SOON;
use crate::bed::Bed;
use crate::manifests;

/// The message of the Pending or Failed condition, which must say something to act on.
fn message(object: &Value, condition: &str) -> Result<String> {
    let conditions = object["status"]["conditions"].as_array().context("no conditions")?;
    let found = conditions.iter().find(|c| c["type"] == condition && c["status"] == "True");
    let message = found.and_then(|c| c["message"].as_str()).unwrap_or_default();
    ensure!(message.len() > 20, "{condition} says {message:?}, which helps nobody: {:#}", object["status"]);
    println!("  {}: {message}", object["status"]["reason"].as_str().unwrap_or_default());
    Ok(message.to_owned())
}

pub(super) fn claim_missing(bed: &Bed) -> Result<()> {
    bed.backup("no-claim", "comes-later")?;
    let object = bed.wait_for("no-claim", "Pending", Some("PVCNotFound"), SOON)?;
    ensure!(message(&object, "Pending")?.contains("comes-later"), "the message does not name the claim");
    bed.volume("comes-later", 0)?;
    bed.wait_for("no-claim", "Completed", None, SOON).map(drop)
}

/// Unbound with Immediate binding: nothing will bind it by itself. A blocked request yields its place.
pub(super) fn claim_unbound(bed: &Bed) -> Result<()> {
    bed.apply(&manifests::list(&[
        manifests::storage_class("e2e-empty", "Immediate"),
        manifests::claim("unbound", "e2e-empty", None),
        manifests::etcd_backup("unbound", "unbound"),
    ]))?;
    let object = bed.wait_for("unbound", "Pending", Some("PVCNotBound"), SOON)?;
    ensure!(message(&object, "Pending")?.contains("unbound"), "the message does not name the claim");
    fs::create_dir_all(bed.cluster.node_path(0, "/var/lib/etcd-backup/unbound")?)?;
    bed.apply(
        &manifests::local_volume("unbound", "e2e-empty", "master-0", "/var/lib/etcd-backup/unbound").to_string(),
    )?;
    bed.wait_for("unbound", "Completed", None, SOON).map(drop)
}

pub(super) fn volume_elsewhere(bed: &Bed) -> Result<()> {
    bed.apply(&manifests::list(&[
        manifests::storage_class("e2e-immediate", "Immediate"),
        manifests::local_volume("elsewhere", "e2e-immediate", "worker-9", "/var/lib/etcd-backup/elsewhere"),
        manifests::claim("elsewhere", "e2e-immediate", Some("elsewhere")),
        manifests::etcd_backup("elsewhere", "elsewhere"),
    ]))?;
    let object = bed.wait_for("elsewhere", "Pending", Some("VolumeNotOnControlPlane"), SOON)?;
    let message = message(&object, "Pending")?;
    ensure!(message.contains("elsewhere"), "the message does not name the volume");
    bed.kubectl(&["delete", "etcdbackup", "elsewhere"]).map(drop)
}

pub(super) fn no_schedulable_node(bed: &Bed) -> Result<()> {
    bed.volume("cordoned", 0)?;
    bed.kubectl(&["cordon", "master-0"])?;
    bed.backup("cordoned", "cordoned")?;
    let object = bed.wait_for("cordoned", "Pending", Some("NoControlPlaneNode"), SOON);
    bed.kubectl(&["uncordon", "master-0"])?;
    message(&object?, "Pending")?;
    bed.wait_for("cordoned", "Completed", None, SOON).map(drop)
}

/// What cannot start does not wait for ever.
pub(super) fn start_limit(bed: &Bed) -> Result<()> {
    bed.operator_flags(&["--start-limit=10s"])?;
    bed.backup("limited", "never-comes")?;
    let failed = bed.wait_for("limited", "Failed", Some("PVCNotFound"), SOON);
    bed.operator_flags(&["--start-limit=1h"])?;
    message(&failed?, "Failed").map(drop)
}

pub(super) fn image_cannot_be_pulled(bed: &Bed) -> Result<()> {
    bed.volume("image", 0)?;
    bed.operator_flags(&["--image=localhost/not-there:1", "--start-limit=25s"])?;
    bed.backup("image", "image")?;
    let pending = bed.wait_for("image", "Pending", Some("ImagePullFailed"), SOON);
    let failed = pending.and_then(|pending| {
        message(&pending, "Pending")?;
        bed.wait_for("image", "Failed", Some("ImagePullFailed"), Duration::from_secs(90))
    });
    bed.operator_flags(&[&format!("--image={}", crate::bed::IMAGE), "--start-limit=1h"])?;
    message(&failed?, "Failed").map(drop)
}

//! The Helm chart in a real cluster.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use etcd_backup_testbed::{repository, tool};

use super::SOON;
use super::install::Way;
use crate::bed::{Bed, NAMESPACE, OPERATOR_NAMESPACE, until};

const RELEASE: &str = "etcd-backup-operator";
/// What stands in the CRD of the version before in place of the description that there is now.
const OLD_DESCRIPTION: &str = "A schedule, as an older version described it.";
const DESCRIPTION: &str = "A schedule of etcd backups and what to keep of them.";

/// Installed, upgraded while a backup runs, tested, uninstalled.
pub(super) fn helm(bed: &Bed) -> Result<()> {
    Way { name: "by-helm", install, upgrade, uninstall }.live_through(bed)
}

fn chart() -> String {
    repository().join("charts/etcd-backup-operator").display().to_string()
}

/// An older version of the chart, with an older image and an older CRD.
fn install(bed: &Bed) -> Result<()> {
    let early =
        run(bed, &["install", RELEASE, &chart(), "--create-namespace", "--set=schedules.nightly.schedule=@daily"]);
    let early = early.err().context("schedules were accepted before the CRDs were there")?;
    ensure!(format!("{early:#}").contains("install without schedules first"), "refused without remedy: {early:#}");

    let directory = tempfile::tempdir()?;
    let older = older_chart(directory.path())?;
    let printed = run(bed, &["install", RELEASE, &older, "--create-namespace", "--wait", "--set=image.tag=previous"])?;
    ensure!(printed.contains("helm test etcd-backup-operator"), "the notes do not say how to go on: {printed}");
    ensure!(description(bed)?.contains(OLD_DESCRIPTION), "the older CRD is not installed");
    Ok(())
}

fn upgrade(bed: &Bed) -> Result<()> {
    run(
        bed,
        &[
            "upgrade",
            RELEASE,
            &chart(),
            "--wait",
            "--set=schedules.nightly.schedule=0 0 1 1 *,schedules.nightly.pvcName=by-helm",
        ],
    )?;
    ensure!(description(bed)?.contains(DESCRIPTION), "the CRD has not been upgraded");
    until("the CronJob of the chart's schedule", SOON, || Ok(bed.get("cronjob", "nightly")?.is_some()))?;
    let tested = run(bed, &["test", RELEASE])?;
    ensure!(tested.contains("Phase:          Succeeded"), "helm test: {tested}");
    let pods =
        bed.kubectl(&["-n", NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/component=test", "-o", "name"])?;
    ensure!(pods.is_empty(), "helm test left {pods}");
    Ok(())
}

fn uninstall(bed: &Bed) -> Result<()> {
    remove(bed)?;
    // Another installation takes up what was kept.
    run(bed, &["install", RELEASE, &chart(), "--create-namespace", "--wait"])?;
    bed.operator_ready()?;
    remove(bed)
}

fn remove(bed: &Bed) -> Result<()> {
    run(bed, &["uninstall", RELEASE, "--wait"])?;
    bed.kubectl(&["delete", "namespace", OPERATOR_NAMESPACE]).map(drop)
}

/// A copy of the chart as it may have been before.
fn older_chart(directory: &Path) -> Result<String> {
    let status = Command::new("cp").arg("-r").arg(chart()).arg(directory).status()?;
    ensure!(status.success(), "cp: {status}");
    let older = directory.join("etcd-backup-operator");
    let replace = |file: &str, old: &str, new: &str| -> Result<()> {
        let file = older.join(file);
        let text = fs::read_to_string(&file)?;
        ensure!(text.contains(old), "{} has no {old}", file.display());
        Ok(fs::write(&file, text.replace(old, new))?)
    };
    replace("Chart.yaml", &format!("version: {}", env!("CARGO_PKG_VERSION")), "version: 0.0.1")?;
    replace("files/crd/backups.config.openshift.io.yaml", DESCRIPTION, OLD_DESCRIPTION)?;
    Ok(older.display().to_string())
}

/// The description of the kind Backup in the cluster.
fn description(bed: &Bed) -> Result<String> {
    let path = "-o=jsonpath={.spec.versions[0].schema.openAPIV3Schema.description}";
    bed.kubectl(&["get", "crd", "backups.config.openshift.io", path])
}

/// Runs helm as the cluster's administrator.
fn run(bed: &Bed, args: &[&str]) -> Result<String> {
    let helm = tool("helm")?.display().to_string();
    // What it caches goes by address, and the addresses of clusters come back: the cache is the cluster's own.
    let common =
        ["env", "HOME=/run/helm", &helm, "--kubeconfig=/etc/kubernetes/admin.conf", "--namespace", OPERATOR_NAMESPACE];
    Ok(bed.cluster.node_exec(0, &[&common, args].concat())?.stdout)
}

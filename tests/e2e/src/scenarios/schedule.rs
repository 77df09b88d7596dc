//! Schedules: the CronJob of a Backup, edits, and what others do to it.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::SOON;
use crate::bed::{self, Bed, NAMESPACE, until};
use crate::manifests;

const NAME: &str = "etcd-recurring-backup";

/// The documentation's three manifests, which are three versions of one Backup, applied unchanged one after the
/// other; then what else may happen to a schedule.
pub(super) fn recurring(bed: &Bed) -> Result<()> {
    for file in ["etcd-backup-local-storage.yaml", "etcd-backup-pv-fs.yaml", "etcd-backup-pvc-local.yaml"] {
        bed.apply_documentation(file)?;
    }
    for (file, retention) in [
        ("etcd-recurring-backup.yaml", json!({"type": "number", "maxSets": 15})),
        ("etcd-recurring-backup-size.yaml", json!({"type": "size", "maxBytes": 20_u64 << 30})),
        ("etcd-recurring-backup-number.yaml", json!({"type": "number", "maxSets": 5})),
    ] {
        bed.apply_documentation(file)?;
        until(&format!("the policy of {file}"), SOON, || Ok(policy(bed)?["retention"] == retention))?;
    }
    let cron_jobs = show(bed, &["get", "cronjob", "-n", NAMESPACE])?;
    ensure!(
        cron_jobs.contains(NAME) && cron_jobs.contains("20 4 * * *"),
        "not what the documentation shows:\n{cron_jobs}"
    );
    bed.run(NAME, "recurring-1")?;
    bed.retains(NAME, 1)?;
    bed.says(NAME, "Ready", "True", "Ready", SOON)?;
    show(bed, &["get", "backup"])?;
    show(bed, &["get", "etcdbackup"])?;
    edits(bed)?;
    drift(bed)?;
    foreign(bed)?;
    emptied(bed)?;
    deleted_and_made_again(bed)
}

/// What is edited is taken up in place.
fn edits(bed: &Bed) -> Result<()> {
    let uid = cron_job(bed)?["metadata"]["uid"].clone();
    bed.edit(NAME, &json!({"suspend": true}))?;
    bed.says(NAME, "Scheduled", "False", "Suspended", SOON)?;
    ensure!(cron_job(bed)?["spec"]["suspend"] == true, "the CronJob is not suspended");
    bed.edit(NAME, &json!({"suspend": false, "schedule": "30 5 * * *", "timeZone": "Europe/Berlin"}))?;
    bed.says(NAME, "Scheduled", "True", "Scheduled", SOON)?;
    let cron_job = cron_job(bed)?;
    let spec = &cron_job["spec"];
    ensure!(
        (&spec["schedule"], &spec["timeZone"], &spec["suspend"])
            == (&json!("30 5 * * *"), &json!("Europe/Berlin"), &json!(false)),
        "the edits are not in the CronJob: {spec:#}"
    );
    ensure!(cron_job["metadata"]["uid"] == uid, "the CronJob was made anew");
    Ok(())
}

/// What others change or delete is put back.
fn drift(bed: &Bed) -> Result<()> {
    let patch = r#"{"spec":{"schedule":"1 1 1 1 *","concurrencyPolicy":"Allow"}}"#;
    bed.kubectl(&["-n", NAMESPACE, "patch", "cronjob", NAME, "-p", patch])?;
    until("the CronJob's drift to be corrected", SOON, || {
        let spec = cron_job(bed)?["spec"].clone();
        Ok(spec["schedule"] == "30 5 * * *" && spec["concurrencyPolicy"] == "Forbid")
    })?;
    let uid = cron_job(bed)?["metadata"]["uid"].clone();
    bed.kubectl(&["-n", NAMESPACE, "delete", "cronjob", NAME])?;
    until("the CronJob to be made again", SOON, || {
        Ok(bed.get("cronjob", NAME)?.is_some_and(|found| found["metadata"]["uid"] != uid))
    })?;
    bed.kubectl(&["-n", NAMESPACE, "delete", "configmap", &format!("{NAME}-policy")])?;
    until("the policy to be made again", SOON, || Ok(bed.get("configmap", &format!("{NAME}-policy"))?.is_some()))
}

/// Somebody else's CronJob of that name is left as it is, and said.
fn foreign(bed: &Bed) -> Result<()> {
    bed.apply(&manifests::cron_job("foreign", bed::IMAGE).to_string())?;
    let before = bed.get("cronjob", "foreign")?.context("no CronJob")?;
    bed.apply(&manifests::backup("foreign", "etcd-backup-pvc", "0 0 1 1 *", manifests::keep(3)).to_string())?;
    let message = bed.says("foreign", "Scheduled", "False", "CronJobForeign", SOON)?;
    println!("  CronJobForeign: {message}");
    bed.kubectl(&["delete", "backup", "foreign"])?;
    let after = bed.get("cronjob", "foreign")?.context("somebody else's CronJob was deleted")?;
    ensure!(before == after, "somebody else's CronJob was changed: {before:#} {after:#}");
    bed.kubectl(&["-n", NAMESPACE, "delete", "cronjob", "foreign"]).map(drop)
}

/// Without a schedule there is no CronJob, and with one again there is.
fn emptied(bed: &Bed) -> Result<()> {
    bed.edit(NAME, &json!({"schedule": ""}))?;
    until("the CronJob to go with the schedule", SOON, || Ok(bed.get("cronjob", NAME)?.is_none()))?;
    bed.says(NAME, "Scheduled", "False", "NoSchedule", SOON)?;
    bed.edit(NAME, &json!({"schedule": "30 5 * * *"}))?;
    until("the CronJob to be back with the schedule", SOON, || Ok(bed.get("cronjob", NAME)?.is_some()))
}

/// With the Backup goes its CronJob and no file; made again, as GitOps does, it goes on with its sets.
fn deleted_and_made_again(bed: &Bed) -> Result<()> {
    let volume = bed.cluster.node_path(0, "/mnt")?;
    let before = bed::sets(&volume)?;
    bed.kubectl(&["delete", "backup", NAME])?;
    until("the CronJob to go with its Backup", SOON, || Ok(bed.get("cronjob", NAME)?.is_none()))?;
    ensure!(bed::sets(&volume)? == before, "deleting a Backup changed the volume");
    bed.apply_documentation("etcd-recurring-backup-number.yaml")?;
    until("the CronJob of the new Backup", SOON, || Ok(bed.get("cronjob", NAME)?.is_some()))?;
    bed.run(NAME, "recurring-2")?;
    bed.retains(NAME, 2)?;
    bed.kubectl(&["delete", "backup", NAME]).map(drop)
}

fn cron_job(bed: &Bed) -> Result<Value> {
    bed.get("cronjob", NAME)?.context("there is no CronJob")
}

/// The policy that the runs are given; null if there is none yet.
fn policy(bed: &Bed) -> Result<Value> {
    let config_map = bed.get("configmap", &format!("{NAME}-policy"))?.unwrap_or_default();
    Ok(config_map["data"]["policy.json"].as_str().map(serde_json::from_str).transpose()?.unwrap_or_default())
}

/// Runs kubectl and prints what a person would see.
fn show(bed: &Bed, args: &[&str]) -> Result<String> {
    let output = bed.kubectl(args)?;
    println!("$ kubectl {}\n{output}", args.join(" "));
    Ok(output)
}

//! The plugin on a cluster where everything is real, run by the real kubectl as an administrator runs it.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use etcd_backup_testbed::{measured, repository, tool};
use serde_json::Value;

use super::SOON;
use crate::bed::{self, Bed};
use crate::manifests::keep;

/// A backup now, a schedule that keeps one of two, and what each command tells of them.
pub(super) fn plugin(bed: &Bed) -> Result<()> {
    let volume = bed.volume("plugin", 0)?;
    let began = Instant::now();
    let run = well(bed, &["run", "--pvc", "plugin", "--name", "plugin-now", "--wait", "--timeout", "3m"])?;
    let run_seconds = began.elapsed();
    println!("{run}");
    has(
        &run,
        &["etcdbackup.operator.openshift.io/plugin-now created", "Completed", "pvc://openshift-etcd/plugin/", "True: "],
    )?;
    let failed = of(bed, &["run", "--pvc", "", "--name", "plugin-nowhere", "--wait", "--timeout", "1m"])?;
    ensure!(failed.code == Some(3) && failed.text.contains("Failed/NoVolume"), "{}", failed.text);

    bed.schedule("plugin-nightly", "plugin", keep(2))?;
    let first = bed.run("plugin-nightly", "plugin-1")?;
    let second = bed.run("plugin-nightly", "plugin-2")?;
    bed.retains("plugin-nightly", 2)?;
    looks(bed, first.name()?, second.name()?)?;
    plan(bed, &volume)?;
    measured("plugin", &[("run_wait_seconds", &format_args!("{:.1}", run_seconds.as_secs_f64()))])?;
    Ok(())
}

/// What is only looked at.
fn looks(bed: &Bed, first: &str, second: &str) -> Result<()> {
    let status = of(bed, &["status"])?;
    println!("{}", status.text);
    has(&status.text, &["etcd-backup-operator ready", "plugin-nightly", "2/2", "EtcdBackup/plugin-nowhere: NoVolume"])?;
    ensure!(status.code == Some(3), "a backup that failed lately leaves status well: {}", status.text);
    bed.kubectl(&["delete", "etcdbackup", "plugin-nowhere"])?;
    let told: Value = serde_json::from_str(&of(bed, &["status", "-o", "json"])?.text)?;
    let mut schedules = told["schedules"].as_array().into_iter().flatten();
    let nightly = schedules.find(|one| one["name"] == "plugin-nightly").context("the schedule is not told of")?;
    ensure!(nightly["state"] == "Ready" && nightly["lastGoodBackup"] == second, "{nightly:#}");
    ensure!(
        told["problems"].as_array().is_some_and(|all| all.iter().all(|one| one["object"] != "Backup/plugin-nightly"))
    );

    let list = well(bed, &["list", "--backup", "plugin-nightly", "-o", "wide"])?;
    has(&list, &[first, second, "master-0", "pvc://openshift-etcd/plugin/backup-plugin-nightly-"])?;
    println!("{list}");
    ensure!(!list.contains("plugin-now "), "another's backups are listed:\n{list}");
    let uid = bed.uid("plugin-now")?;
    has(
        &well(bed, &["describe", "plugin-now"])?,
        &[&uid, "SHA-256:", "complete", "Succeeded", "Events:", "Nothing: it was proven"],
    )?;
    has(&well(bed, &["logs", "plugin-now"])?, &["snapshot"])?;
    has(&well(bed, &["logs", "-f", second])?, &["snapshot"]).map(drop)
}

/// A plan tells each set of the volume, by table and by document, and leaves neither Job nor pod, nor fewer sets.
fn plan(bed: &Bed, volume: &Path) -> Result<()> {
    let before = bed::set_names(volume)?;
    let table = well(bed, &["prune", "plugin-nightly", "--dry-run"])?;
    println!("{table}");
    for set in &before {
        ensure!(table.contains(set.as_str()), "the plan does not tell of {set}:\n{table}");
    }
    has(&table, &["KEEP", "WHY", "0 of 3 sets", "nothing was changed"])?;

    let document = well(bed, &["prune", "plugin-nightly", "--dry-run", "-o", "json"])?;
    let document: Value = serde_json::from_str(&document).with_context(|| document.clone())?;
    let told = document["sets"].as_array().map_or(0, Vec::len);
    ensure!(document["dryRun"] == true && document["deletions"] == 0 && told == before.len(), "{document:#}");
    ensure!(bed::set_names(volume)? == before, "a plan changed the volume");
    bed::until("the plan's Jobs and pods to be gone", Duration::from_secs(30), || {
        let left = |kind: &str| bed.labelled(kind, "app.kubernetes.io/component=prune-plan");
        Ok(left("job")?.is_empty() && left("pod")?.is_empty())
    })?;
    bed.says("plugin-nightly", "Ready", "True", "Ready", SOON).map(drop)
}

/// How a command ended.
struct Ended {
    code: Option<i32>,
    /// Standard output.
    text: String,
    /// Standard error.
    said: String,
}

/// Runs `kubectl etcd-backup` on a control-plane node.
fn of(bed: &Bed, args: &[&str]) -> Result<Ended> {
    let mut command: Command = bed.cluster.node_command(0, tool("kubectl")?)?;
    let usual = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([repository().join("target/debug")].into_iter().chain(env::split_paths(&usual)))?;
    command.arg("etcd-backup").args(args).env("KUBECONFIG", "/etc/kubernetes/admin.conf").env("PATH", path);
    let output = command.output().context("run kubectl etcd-backup")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ended { code: output.status.code(), text: text(&output.stdout), said: text(&output.stderr) })
}

/// The same, where exit code 0 is the only good one.
fn well(bed: &Bed, args: &[&str]) -> Result<String> {
    let ended = of(bed, args)?;
    ensure!(ended.code == Some(0), "{args:?} ended with {:?}: {}{}", ended.code, ended.text, ended.said);
    Ok(ended.text)
}

fn has(text: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    Ok(())
}

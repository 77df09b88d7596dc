//! Three control-plane nodes lose a member, and then everything, and docs/restore/kubeadm.md gets them back: what is run
//! here are that page's own commands.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use etcd_backup_testbed::measured;
use serde_json::Value;

use super::{SOON, accept};
use crate::bed::{Bed, until};
use crate::manifests::keep;
use crate::runbook::{Done, Runbook};

const PAGE: &str = "docs/restore/kubeadm.md";
/// The page's examples, which a reader replaces.
const FIRST: &str = "192.0.2.11";
const SET: &str = "/mnt/backup/backup-nightly-2026-11-21_042003-5f1c2a90";
const LOST: &str = "name-of-the-lost-node";
/// The step that is for the loss of one member alone.
const REMOVE: &str = "remove";
/// What the page raises revisions by.
const BUMP: u64 = 1_000_000_000;

/// A member without data is replaced; the cluster works throughout.
pub(super) fn member_lost(bed: &Bed) -> Result<()> {
    const NODE: usize = 2;
    let (address, names) = (bed.cluster.address(0), bed.cluster.nodes());
    let page = Runbook::open(PAGE, &bed.cluster, 0, &[NODE], &[(FIRST, &address), (LOST, &names[NODE])])?;
    let began = Instant::now();
    lose_data(bed, NODE)?;
    page.run("settings")?;
    page.run("tools")?;
    page.run_on("stop", NODE)?;
    page.run(REMOVE)?;
    for step in page.joining() {
        page.run_on(step, NODE)?;
        bed.kubectl(&["get", "nodes"]).context("the API must stay there")?;
    }
    let seconds = began.elapsed().as_secs_f64();
    page.run("look")?;
    let revision = whole(bed)?;
    ensure!(revision < BUMP, "revision {revision}: a member was replaced, nothing was restored");
    Ok(measured("member-lost", &[("nodes", &3), ("seconds", &format!("{seconds:.1}"))])?)
}

/// The first node has lost all it had, and the other two the data: they come back as they were when the set was made,
/// and backups go on.
pub(super) fn restore(bed: &Bed) -> Result<()> {
    const NAME: &str = "disaster";
    bed.volume(NAME, 0)?;
    bed.schedule(NAME, NAME, keep(5))?;
    bed.kubectl(&["create", "configmap", "made-before"])?;
    let before = bed.run(NAME, "disaster-before")?;
    bed.kubectl(&["create", "configmap", "made-after"])?;

    lose_node(bed, 0)?;
    let set = format!("/var/lib/etcd-backup/{NAME}/{}", before.set()?);
    let address = bed.cluster.address(0);
    let page = Runbook::open(PAGE, &bed.cluster, 0, &[1, 2], &[(FIRST, &address), (SET, &set)])?;
    let done = page.run_without(&[REMOVE])?;
    let (api, members) = (seconds(&done, "start-api")?, seconds(&done, "join-promote")?);
    measured("restore", &[("nodes", &3), ("api_seconds", &api), ("members_seconds", &members)])?;

    let revision = whole(bed)?;
    ensure!(revision > BUMP, "revision {revision}: watches from before the restore would not end");
    bed.kubectl(&["get", "configmap", "made-before"]).context("what the set holds is not back")?;
    let after = bed.kubectl(&["get", "configmap", "made-after", "--ignore-not-found"])?;
    ensure!(after.is_empty(), "what was made after the set is there: {after}");
    goes_on(bed, NAME, &before.id)
}

/// The run that was caught in flight ends well; the next one is made by whoever watches Jobs, pods and CronJobs, some
/// of them since before the restore; and the operator says what the page says that it does.
fn goes_on(bed: &Bed, name: &str, caught: &str) -> Result<()> {
    let next = bed.run(name, "disaster-next")?;
    let revision = next.record["status"]["snapshot"]["revision"].as_u64();
    ensure!(revision.is_some_and(|revision| revision > BUMP), "the next backup is of revision {revision:?}");
    bed.recorded(name, caught, "Completed")?;
    let message = bed.says(name, "RetentionSatisfied", "False", "LineageChanged", SOON)?;
    accept(bed, &message)?;
    bed.says(name, "RetentionSatisfied", "True", "Satisfied", SOON)?;
    bed.kubectl(&["delete", "backup", name]).map(drop)
}

/// All that etcd has on a node.
fn lose_data(bed: &Bed, node: usize) -> Result<()> {
    bed.cluster.node_exec(node, &["find", "/var/lib/etcd", "-mindepth", "1", "-delete"])?;
    Ok(())
}

/// All that makes a machine a control-plane node, and etcd's data.
fn lose_node(bed: &Bed, node: usize) -> Result<()> {
    bed.cluster.node_exec(node, &["find", "/etc/kubernetes", "-type", "f", "-delete"])?;
    until("the control plane of the lost node to end", Duration::from_secs(90), || {
        Ok(bed.cluster.node_exec(node, &["pgrep", "-f", "^(etcd|kube-apiserver) "]).is_err())
    })?;
    lose_data(bed, node)
}

/// Three members that vote and are healthy, and all nodes with their control plane; returns etcd's revision.
fn whole(bed: &Bed) -> Result<u64> {
    let list = bed.cluster.etcdctl(&["member", "list", "-w", "json"])?.stdout;
    let list: Value = serde_json::from_str(&list)?;
    let members = list["members"].as_array().context("no members")?;
    let voters = members.iter().filter(|member| member["isLearner"] != true && member["name"] != "").count();
    ensure!((members.len(), voters) == (3, 3), "the members are {list:#}");
    bed.cluster.etcdctl(&["endpoint", "health", "--cluster"])?;
    bed.cluster.wait_ready()?;
    let status: Value = serde_json::from_str(&bed.cluster.etcdctl(&["endpoint", "status", "-w", "json"])?.stdout)?;
    status[0]["Status"]["header"]["revision"].as_u64().with_context(|| format!("no revision in {status}"))
}

/// From the moment the API was stopped to the last end of a step.
fn seconds(done: &[Done], step: &str) -> Result<String> {
    let stop = done.iter().find(|done| done.step == "stop").context("no step stop")?;
    let last = done.iter().rfind(|done| done.step == step).with_context(|| format!("no step {step}"))?;
    Ok(format!("{:.1}", (last.ended - stop.began).as_secs_f64()))
}

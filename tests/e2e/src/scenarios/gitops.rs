//! What Argo CD and Flux make of both kinds, by their own engines, on the objects of a real cluster; and that nothing drifts.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use etcd_backup_testbed::{Input, Kubectl as _, measured, repository, run, tool};
use serde_json::{Value, json};

use super::SOON;
use crate::bed::{self, Bed};
use crate::manifests::{self, keep};

/// What Argo CD, kstatus and Flux's expressions say of an object; the last is empty where Flux waits.
type Verdict = [&'static str; 3];

const UNSEEN: Verdict = ["Progressing", "InProgress", "InProgress"];
const WAITING: Verdict = ["Progressing", "InProgress", "InProgress"];
const GOOD: Verdict = ["Healthy", "Current", "Current"];
const BAD: Verdict = ["Degraded", "Failed", "Failed"];
/// The backup was good, and its set has gone since. kstatus does not know the condition Verified.
const LOST: Verdict = ["Degraded", "Current", "Failed"];
const SUSPENDED: Verdict = ["Suspended", "Current", "Current"];

/// Both kinds, from before the operator has seen them to their end.
pub(super) fn gitops(bed: &Bed) -> Result<()> {
    let volume = bed.volume("gitops", 0)?;
    let mut seen = 0;
    let mut look = |object: &Value, state: &str, verdict: Verdict| {
        seen += 1;
        judged(object, state, verdict)
    };
    let single = manifests::etcd_backup("gitops", "gitops");
    let schedule = manifests::backup("gitops-nightly", "gitops", "0 0 1 1 *", keep(3));
    look(&unseen(bed, &single)?, "unseen", UNSEEN)?;
    look(&unseen(bed, &schedule)?, "unseen", UNSEEN)?;

    let applied = manifests::list(&[single, schedule]);
    bed.cluster.kubectl_stdin(&["apply", "--server-side", "--field-manager=argocd-controller", "-f", "-"], &applied)?;
    look(&bed.wait_for("gitops", "Completed", None, SOON)?, "completed", GOOD)?;

    bed.apply(&manifests::etcd_backup("gitops-waits", "gitops-none").to_string())?;
    look(&bed.wait_for("gitops-waits", "Pending", Some("PVCNotFound"), SOON)?, "pending", WAITING)?;
    let nowhere = json!({"apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup", "metadata": {"name": "gitops-fails"}, "spec": {}});
    bed.apply(&nowhere.to_string())?;
    look(&bed.wait_for("gitops-fails", "Failed", None, SOON)?, "failed", BAD)?;

    bed.says("gitops-nightly", "Ready", "True", "Ready", SOON)?;
    look(&backup(bed, "gitops-nightly")?, "ready", GOOD)?;
    let set = bed::only(bed::sets_of(&volume, &bed.uid("gitops")?)?)?;
    let aside = bed.directory("gitops-aside", 0)?;
    fs::rename(&set, aside.join(set.file_name().unwrap_or_default()))
        .with_context(|| format!("move {} away", set.display()))?;
    bed.run("gitops-nightly", "gitops-1")?;
    bed.kubectl(&["wait", "--for=condition=Verified=False", "etcdbackup/gitops", "--timeout=60s"])?;
    look(&bed.get("etcdbackup", "gitops")?.unwrap_or_default(), "set-missing", LOST)?;

    for (name, claim, schedule, reason) in
        [("gitops-early", "gitops-none", "0 0 1 1 *", "PVCNotFound"), ("gitops-never", "gitops", "", "NoSchedule")]
    {
        bed.apply(&manifests::backup(name, claim, schedule, keep(3)).to_string())?;
        bed.says(name, "Ready", "False", reason, SOON)?;
        let (state, verdict) = if reason == "NoSchedule" { ("no-schedule", BAD) } else { ("volume-missing", WAITING) };
        look(&backup(bed, name)?, state, verdict)?;
    }
    // kubectl diff fails if anything that was applied is not so.
    let diff = ["diff", "--server-side", "--field-manager=argocd-controller", "-f", "-"];
    bed.cluster.kubectl_within(Duration::from_secs(60), &diff, &applied).context("something drifted")?;

    bed.kubectl(&["patch", "backup", "gitops-nightly", "--type=merge", "-p", r#"{"spec":{"etcd":{"suspend":true}}}"#])?;
    bed.says("gitops-nightly", "Ready", "True", "Suspended", SOON)?;
    look(&backup(bed, "gitops-nightly")?, "suspended", SUSPENDED)?;
    bed.kubectl(&["delete", "backup", "gitops-nightly", "gitops-early", "gitops-never"])?;
    bed.kubectl(&["delete", "etcdbackup", "gitops-waits", "gitops-fails"])?;
    measured("gitops", &[("states", &seen)])?;
    Ok(())
}

/// An object as the API server would store it, before the operator has seen it.
fn unseen(bed: &Bed, manifest: &Value) -> Result<Value> {
    let output =
        bed.cluster.kubectl_stdin(&["create", "--dry-run=server", "-o", "json", "-f", "-"], &manifest.to_string())?;
    Ok(serde_json::from_str(&output.stdout)?)
}

fn backup(bed: &Bed, name: &str) -> Result<Value> {
    bed.get("backup", name)?.with_context(|| format!("Backup {name} does not exist"))
}

/// Asks the engines, and keeps the object in target/gitops, where the tests' data came from.
fn judged(object: &Value, state: &str, expected: Verdict) -> Result<()> {
    let folder = repository().join("target/gitops").join(object["kind"].as_str().context("an object without kind")?);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("{state}.yaml")), serde_yaml_ng::to_string(object)?)?;
    let said = verdict(&repository().join("deploy"), object)?;
    let states = ["argo", "kstatus", "flux"].map(|tool| said[tool].as_str().unwrap_or_default());
    println!("  {} {state}: {states:?} {}", object["kind"].as_str().unwrap_or_default(), said["argoMessage"]);
    ensure!(states == expected, "{state} is {states:?}, not {expected:?}: {object:#}");
    Ok(())
}

fn verdict(deploy: &Path, object: &Value) -> Result<Value> {
    let text = object.to_string();
    let mut command = Command::new(tool("gitops")?);
    let output = run(command.arg(deploy), Input::Bytes(text.as_bytes()), Duration::from_secs(20))?;
    serde_json::from_str(&output.stdout).with_context(|| format!("gitops printed {}", output.stdout))
}

//! Pods as narrow as docs/security.md says: no capabilities, `restricted` for the operator, and for the Jobs no more than
//! what `baseline` forbids for two reasons.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use etcd_backup_testbed::Kubectl as _;
use serde_json::{Value, json};

use super::{SOON, held_volume};
use crate::bed::{Bed, NAMESPACE, OPERATOR_NAMESPACE, until};
use crate::processes::Process;

const NAME: &str = "pod-security";
const BASELINE: &str = "pod-security-baseline";

/// The operator and an agent at work, and the agent's pod where it is refused.
pub(super) fn pod_security(bed: &Bed) -> Result<()> {
    let (_, lock) = held_volume(bed, NAME)?;
    bed.backup(NAME, NAME)?;
    bed.running_pod(NAME)?;
    until("the agent to run", SOON, || Ok(!bed.savers().is_empty()))?;
    without_capabilities("operator", &bed.operator())?;
    without_capabilities("agent", &bed.savers())?;
    lock.release()?;
    let status = bed.wait_for(NAME, "Completed", None, SOON)?["status"].clone();
    let job = status["jobName"].as_str().context("a completed backup without Job")?;
    let job = bed.get("job", job)?.context("the Job of the backup is gone")?;
    refused_elsewhere(bed, &job["spec"]["template"]["spec"])
}

fn without_capabilities(what: &str, processes: &[Process]) -> Result<()> {
    ensure!(!processes.is_empty(), "no process of the {what}");
    for process in processes {
        let sets = process.capabilities()?;
        ensure!(sets.len() == 5 && sets.iter().all(|set| *set == 0), "the {what} has capabilities: {sets:x?}");
    }
    Ok(())
}

/// The pod is accepted in the backup namespace, and nowhere else: the operator's namespace is `restricted`.
fn refused_elsewhere(bed: &Bed, spec: &Value) -> Result<()> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": BASELINE, "labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
    bed.apply(&namespace.to_string())?;
    // Every namespace has it, and a pod of whatever account must wait for it.
    let account = ["-n", BASELINE, "get", "serviceaccount", "default", "--ignore-not-found", "-o", "name"];
    until("the namespace's ServiceAccount", Duration::from_secs(30), || Ok(!bed.kubectl(&account)?.is_empty()))?;

    create(bed, NAMESPACE, spec).context("the backup namespace refuses the pod of a Job")?;
    let reasons = refused(bed, BASELINE, spec, "baseline")?;
    println!("  under baseline: {reasons}");
    let named = ["host namespaces (hostNetwork=true)", "hostPath volumes ("].map(|reason| reasons.contains(reason));
    ensure!(named == [true; 2] && reasons.matches(" (").count() == 2, "other reasons than expected: {reasons}");
    let reasons = refused(bed, OPERATOR_NAMESPACE, spec, "restricted")?;
    println!("  under restricted: {reasons}");
    bed.kubectl(&["delete", "namespace", BASELINE, "--wait=false"]).map(drop)
}

/// Asks the API server to create a pod without doing it.
fn create(bed: &Bed, namespace: &str, spec: &Value) -> Result<()> {
    let mut spec = spec.clone();
    (spec["serviceAccountName"], spec["serviceAccount"]) = ("default".into(), "default".into());
    let metadata = json!({"name": NAME, "namespace": namespace});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
    bed.cluster.kubectl_stdin(&["create", "--dry-run=server", "-f", "-"], &pod.to_string())?;
    Ok(())
}

/// Why a level of Pod Security refuses the pod.
fn refused(bed: &Bed, namespace: &str, spec: &Value, level: &str) -> Result<String> {
    let refusal = create(bed, namespace, spec).err().with_context(|| format!("{namespace} takes the pod of a Job"))?;
    let refusal = format!("{refusal:#}");
    let reasons = refusal.split_once(&format!("violates PodSecurity \"{level}:latest\": ")).map(|(_, reasons)| reasons);
    let reasons = reasons.and_then(|reasons| reasons.lines().next()).map(str::to_owned);
    reasons.with_context(|| format!("refused for something else: {refusal}"))
}

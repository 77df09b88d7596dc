//! OpenShift's layout of files and its Secret and ConfigMaps, on the same real cluster.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use etcd_backup_testbed::Kubectl as _;
use serde_json::{Value, json};

use super::SOON;
use crate::bed::{self, Bed, NAMESPACE, until};

const COMPONENTS: [&str; 4] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"];

/// With `--platform=openshift` the archive holds the live revisions, although older ones were written later.
pub(super) fn live_revisions(bed: &Bed) -> Result<()> {
    lay_out(bed)?;
    let volume = bed.volume("openshift", 0)?;
    bed.operator_flags(&["--platform=openshift"])?;
    bed.backup("openshift", "openshift")?;
    let completed = bed.wait_for("openshift", "Completed", None, SOON);
    bed.operator_flags(&["--platform=kubeadm"])?;
    completed?;
    let set = bed::only(bed::sets(&volume)?)?;
    bed::verify(&set)?;
    let held = archived(&set)?;
    for component in COMPONENTS {
        ensure!(
            held.contains(&format!("static-pod-resources/{component}-pod-3/")),
            "{component}: no live revision in\n{held}"
        );
        ensure!(
            !held.contains(&format!("static-pod-resources/{component}-pod-2/")),
            "{component}: a revision that is not live in\n{held}"
        );
    }
    Ok(())
}

/// Renames the static pods' manifests as OpenShift does, each with the volume that names its live revision, and
/// makes the objects that the backup mounts.
fn lay_out(bed: &Bed) -> Result<()> {
    let kubernetes = bed.cluster.node_path(0, "/etc/kubernetes")?;
    for component in COMPONENTS {
        // The live one first: whoever goes by the time of files takes the other.
        for revision in [3, 2] {
            let directory = kubernetes.join(format!("static-pod-resources/{component}-pod-{revision}"));
            fs::create_dir_all(&directory)?;
            fs::write(directory.join(format!("{component}-pod.yaml")), format!("revision: {revision}\n"))?;
        }
        let old = kubernetes.join(format!("manifests/{component}.yaml"));
        let mut pod: Value = serde_yaml_ng::from_slice(&fs::read(&old)?)?;
        let live = format!("/etc/kubernetes/static-pod-resources/{component}-pod-3");
        let volumes = pod["spec"]["volumes"].as_array_mut().context("no volumes")?;
        volumes.push(json!({"name": "resource-dir", "hostPath": {"path": live}}));
        fs::remove_file(&old)?;
        fs::write(kubernetes.join(format!("manifests/{component}-pod.yaml")), pod.to_string())?;
    }
    let restarted = || bed.cluster.kubectl_within(Duration::from_secs(5), &["get", "--raw", "/readyz"], "").is_ok();
    // The kubelet ends the old pods before it starts the new ones.
    until("the API server to be restarted", Duration::from_secs(60), || Ok(!restarted()))?;
    until("the API server to be back", Duration::from_secs(120), || Ok(restarted()))?;
    bed.cluster.wait_ready()?;

    let pki = kubernetes.join("pki/etcd");
    let (ca, cert, key) = (pki.join("ca.crt"), pki.join("healthcheck-client.crt"), pki.join("healthcheck-client.key"));
    let file = |name: &str, path: &std::path::Path| format!("--from-file={name}={}", path.display());
    bed.kubectl(&[
        "-n",
        NAMESPACE,
        "create",
        "secret",
        "generic",
        "etcd-client",
        &file("tls.crt", &cert),
        &file("tls.key", &key),
    ])?;
    bed.kubectl(&["-n", NAMESPACE, "create", "configmap", "etcd-ca-bundle", &file("ca-bundle.crt", &ca)])?;
    let endpoint = format!("--from-literal=OWQwZGNhZDYtOWE={}", bed.cluster.address(0));
    bed.kubectl(&["-n", NAMESPACE, "create", "configmap", "etcd-endpoints", &endpoint])?;
    Ok(())
}

/// The names in a set's archive of static pod resources.
fn archived(set: &std::path::Path) -> Result<String> {
    let files = fs::read_dir(set)?.collect::<Result<Vec<_>, _>>()?;
    let archive =
        files.iter().find(|file| file.file_name().to_string_lossy().ends_with(".tar.gz")).context("no archive")?;
    let output = Command::new("tar").arg("-tzf").arg(archive.path()).output()?;
    ensure!(output.status.success(), "tar: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

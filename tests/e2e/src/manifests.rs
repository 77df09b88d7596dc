//! Manifests that the scenarios apply: the documentation's, byte for byte, and small ones of our own.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use etcd_backup_testbed::repository;

use crate::bed::NAMESPACE;

/// A manifest of the documentation, kept unchanged under `tests/manifests`; only the node's name
/// that the reader is told to fill in is filled in.
///
/// # Errors
/// If there is no such file.
pub fn documentation(file: &str, node: &str) -> Result<String> {
    let path = repository().join("tests/manifests").join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.replace("<example_master_node>", node))
}

/// An EtcdBackup.
#[must_use]
pub fn etcd_backup(name: &str, claim: &str) -> Value {
    json!({"apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup", "metadata": {"name": name}, "spec": {"pvcName": claim}})
}

/// A Backup with a schedule in UTC and a retention policy.
#[must_use]
pub fn backup(name: &str, claim: &str, schedule: &str, retention: Value) -> Value {
    let etcd = json!({"schedule": schedule, "timeZone": "UTC", "pvcName": claim, "retentionPolicy": retention});
    json!({"apiVersion": "config.openshift.io/v1alpha1", "kind": "Backup", "metadata": {"name": name}, "spec": {"etcd": etcd}})
}

/// A retention policy by number.
#[must_use]
pub fn keep(number: u64) -> Value {
    json!({"retentionType": "RetentionNumber", "retentionNumber": {"maxNumberOfBackups": number}})
}

/// A retention policy by size, in GiB.
#[must_use]
pub fn keep_size(gib: u64) -> Value {
    json!({"retentionType": "RetentionSize", "retentionSize": {"maxSizeOfBackupsGb": gib}})
}

/// A storage class without provisioner, binding at once or when a pod is scheduled.
#[must_use]
pub fn storage_class(name: &str, binding: &str) -> Value {
    json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}, "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": binding})
}

/// A local PersistentVolume on one node.
#[must_use]
pub fn local_volume(name: &str, class: &str, node: &str, path: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": class, "local": {"path": path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}}
        }
    })
}

/// A claim in the backup namespace, for one named volume or for any of its class.
#[must_use]
pub fn claim(name: &str, class: &str, volume: Option<&str>) -> Value {
    let mut claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": class}
    });
    if let Some(volume) = volume {
        claim["spec"]["volumeName"] = volume.into();
    }
    claim
}

/// A Job that does nothing, on the same claim and in the same place as a backup's.
#[must_use]
pub fn bare_job(name: &str, claim: &str, image: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never", "hostNetwork": true, "priorityClassName": "system-node-critical", "automountServiceAccountToken": false,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "nothing", "image": image, "imagePullPolicy": "Never", "command": ["/etcd-backup", "--version"],
                "volumeMounts": [{"name": "backup", "mountPath": "/backup"}]}],
            "volumes": [{"name": "backup", "persistentVolumeClaim": {"claimName": claim}}]
        }}}
    })
}

/// A CronJob that has nothing to do with us, and never fires.
#[must_use]
pub fn cron_job(name: &str, image: &str) -> Value {
    let containers = json!([{"name": "nothing", "image": image, "command": ["/etcd-backup", "--version"]}]);
    let pod = json!({"spec": {"restartPolicy": "Never", "containers": containers}});
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"schedule": "0 0 1 1 *", "suspend": true, "jobTemplate": {"spec": {"template": pod}}}
    })
}

/// Several objects as one document.
#[must_use]
pub fn list(items: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

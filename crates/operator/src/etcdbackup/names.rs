//! Names, labels and owner references of what an EtcdBackup makes.

use std::collections::BTreeMap;

use etcd_backup_api::{EtcdBackup, FIELD_MANAGER};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource as _, ResourceExt as _};

/// Label of a Job and its pods: uid of the EtcdBackup.
pub(crate) const UID_LABEL: &str = "etcd-backup.io/uid";
/// Label of a Job and its pods: what they do, [`SAVE`] or [`INVENTORY`].
pub(crate) const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// Label by which the operator knows its own objects.
pub(crate) const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Component of the Job that makes the backup.
pub(crate) const SAVE: &str = "save";
/// Component of the Job that asks the volume what became of a run.
pub(crate) const INVENTORY: &str = "inventory";

/// Longest name of a Job. A pod's name adds up to eleven characters and is also its host name,
/// which ends at 63.
const MAX_JOB_NAME: usize = 52;

/// Name of the Job that makes the backup: recognisable, and unique by the uid.
#[must_use]
pub(crate) fn job_name(backup: &EtcdBackup) -> String {
    let uid = backup.uid().unwrap_or_default();
    let short: String = uid.chars().take(8).collect();
    let room = MAX_JOB_NAME - "etcd-backup-".len() - 1 - short.len();
    let plain: String = backup.name_any().replace('.', "-").chars().take(room).collect();
    format!("etcd-backup-{}-{short}", plain.trim_end_matches('-'))
}

/// Name of the Job that asks the volume what became of the run of `job`.
#[must_use]
pub(crate) fn inventory_job_name(job: &str) -> String {
    format!("{job}-inv")
}

/// Labels of a Job and its pods. `app` and `backup-name` are what OpenShift's own operator sets.
#[must_use]
pub(crate) fn labels(backup: &EtcdBackup, component: &str) -> BTreeMap<String, String> {
    let name: String = backup.name_any().chars().take(63).collect();
    [
        ("app", "cluster-backup-job"),
        ("app.kubernetes.io/name", "etcd-backup"),
        (MANAGED_BY_LABEL, FIELD_MANAGER),
        (COMPONENT_LABEL, component),
        ("backup-name", name.trim_end_matches(['-', '.'])),
        (UID_LABEL, &backup.uid().unwrap_or_default()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// Reference to the EtcdBackup, so that deleting it ends its Jobs. It does not block the deletion,
/// which would need a right on the EtcdBackup's finalizers.
#[must_use]
pub(crate) fn owner_reference(backup: &EtcdBackup) -> OwnerReference {
    OwnerReference {
        api_version: EtcdBackup::api_version(&()).into_owned(),
        kind: EtcdBackup::kind(&()).into_owned(),
        name: backup.name_any(),
        uid: backup.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd_backup_api::EtcdBackupSpec;

    fn backup(name: &str) -> EtcdBackup {
        let mut backup = EtcdBackup::new(name, EtcdBackupSpec::default());
        backup.metadata.uid = Some("0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11".into());
        backup
    }

    #[test]
    fn job_names_fit_and_stay_recognisable() {
        assert_eq!(job_name(&backup("nightly")), "etcd-backup-nightly-0b8f6f53");
        assert_eq!(job_name(&backup("before.4.17")), "etcd-backup-before-4-17-0b8f6f53");
        let long = job_name(&backup(&"a".repeat(253)));
        assert_eq!(long.len(), MAX_JOB_NAME);
        assert!(inventory_job_name(&long).len() + "-abcde".len() <= 63);
        let cut_at_a_dash = job_name(&backup(&format!("{}-{}", "a".repeat(30), "b".repeat(30))));
        assert!(!cut_at_a_dash.contains("--"), "{cut_at_a_dash}");
    }

    #[test]
    fn labels_are_valid_for_the_longest_names() {
        let labels = labels(&backup(&format!("{}.{}", "a".repeat(62), "b".repeat(100))), SAVE);
        assert_eq!(labels["backup-name"], "a".repeat(62));
        assert_eq!(labels[UID_LABEL], "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11");
        assert!(labels.values().all(|value| value.len() <= 63));
    }
}

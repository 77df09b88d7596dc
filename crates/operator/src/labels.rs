//! Labels and annotations by which the operator knows its own objects.

use std::collections::BTreeMap;

use etcd_backup_api::FIELD_MANAGER;

/// Label of an EtcdBackup's Job and its pods: uid of the EtcdBackup.
pub(crate) const UID: &str = "etcd-backup.io/uid";
/// Of everything that belongs to a Backup: its name. The label is cut to what a label may hold, the
/// annotation of the same key is whole.
pub(crate) const BACKUP: &str = "etcd-backup.io/backup";
/// Label that Kubernetes gives to the pods of a Job: the Job's uid, which is a scheduled run's id.
pub(crate) const RUN: &str = "batch.kubernetes.io/controller-uid";
/// Annotation of the record of a scheduled run: name of the Job.
pub(crate) const JOB: &str = "etcd-backup.io/job";
/// What an object is for; one of the constants below.
pub(crate) const COMPONENT: &str = "app.kubernetes.io/component";
/// Label by which the operator knows its own objects.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Component of the Job that makes the backup of an EtcdBackup.
pub(crate) const SAVE: &str = "save";
/// Component of the Job that asks the volume what became of a run.
pub(crate) const INVENTORY: &str = "inventory";
/// Component of a Backup's CronJob, and of its Jobs.
pub(crate) const SCHEDULED_SAVE: &str = "scheduled-save";
/// Component of a Job that enforces a Backup's policy between two runs.
pub(crate) const PRUNE: &str = "prune";
/// Component of the ConfigMap that holds a Backup's policy.
pub(crate) const POLICY: &str = "policy";

/// Component of a Job that lists a volume's sets.
pub(crate) const CATALOGUE: &str = "catalogue";
/// Component of the EtcdBackup that records a scheduled run.
pub(crate) const RECORD: &str = "record";

/// Labels of everything of a component, whoever asked for it, with the asker's name. `app` and
/// `backup-name` are what OpenShift's own operator sets.
#[must_use]
pub(crate) fn of_component(component: &str, asker: &str) -> BTreeMap<String, String> {
    let labels = [
        ("app", "cluster-backup-job".to_owned()),
        ("app.kubernetes.io/name", "etcd-backup".to_owned()),
        (MANAGED_BY, FIELD_MANAGER.to_owned()),
        (COMPONENT, component.to_owned()),
        ("backup-name", cut(asker)),
    ];
    labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Labels of what belongs to the Backup of that name.
#[must_use]
pub(crate) fn of_backup(component: &str, backup: &str) -> BTreeMap<String, String> {
    let mut labels = of_component(component, backup);
    labels.insert(BACKUP.to_owned(), cut(backup));
    labels
}

/// The annotation that goes with [`of_backup`].
#[must_use]
pub(crate) fn annotations_of_backup(backup: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(BACKUP.to_owned(), backup.to_owned())])
}

/// A name as far as a label can hold it.
#[must_use]
pub(crate) fn cut(name: &str) -> String {
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_valid_for_the_longest_names() {
        let name = format!("{}.{}", "a".repeat(62), "b".repeat(100));
        let labels = of_backup(SCHEDULED_SAVE, &name);
        assert_eq!((labels["backup-name"].as_str(), labels[BACKUP].as_str()), (&*"a".repeat(62), &*"a".repeat(62)));
        assert!(labels.values().all(|value| value.len() <= 63));
        assert_eq!(annotations_of_backup(&name)[BACKUP], name);
    }
}

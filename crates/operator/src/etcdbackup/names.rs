//! Names, labels and owner references of what an EtcdBackup makes.

use std::collections::BTreeMap;

use etcd_backup_api::EtcdBackup;
use kube::ResourceExt as _;

use crate::labels;

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

/// Name of the Job whose run an EtcdBackup records, if it was there when the record was made.
#[must_use]
pub(crate) fn recorded_job(record: &EtcdBackup) -> Option<String> {
    record.spec.recorded.as_ref()?;
    let told = record.status.as_ref().and_then(|status| status.job_name.clone());
    told.or_else(|| record.annotations().get(labels::JOB).cloned())
}

/// Labels of a Job and its pods.
#[must_use]
pub(crate) fn labels(backup: &EtcdBackup, component: &str) -> BTreeMap<String, String> {
    let mut labels = labels::of_component(component, &backup.name_any());
    labels.insert(labels::UID.to_owned(), backup.uid().unwrap_or_default());
    labels
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
}

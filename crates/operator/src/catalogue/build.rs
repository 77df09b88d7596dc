//! The objects that belong to a claim's catalogue, typed: records, and the Job that lists the sets.

use std::collections::BTreeMap;

use etcd_backup_api::{Backup, EtcdBackup, EtcdBackupSpec, Recorded};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use sha2::{Digest as _, Sha256};

use super::decide::NewRecord;
use crate::agent_pod::{self, Command};
use crate::config::Config;
use crate::labels;
use crate::owner;

/// Longest name of an EtcdBackup.
const MAX_NAME: usize = 253;

/// Characters of a run's id that end the name of its record: the first two groups of a UUID.
const RUN_PART: usize = 13;

/// How long a Job that listed a volume stays, so that people can read its log, in seconds.
const LISTED_TTL: i32 = 600;

/// The record of a run. It has no owner: it tells of a set that outlives the Backup.
#[must_use]
pub(crate) fn record(new: &NewRecord, claim: &str) -> EtcdBackup {
    let recorded = Recorded { backup: new.backup.clone(), run_id: new.run_id.clone() };
    let spec = EtcdBackupSpec { pvc_name: claim.to_owned(), recorded: Some(recorded) };
    let mut record = EtcdBackup::new(&record_name(&new.backup, &new.run_id), spec);
    record.metadata.labels = Some(labels::of_backup(labels::RECORD, &new.backup));
    record.metadata.annotations = new.job.as_ref().map(|job| BTreeMap::from([(labels::JOB.to_owned(), job.clone())]));
    record
}

/// Name of the record of a run: it follows from the run, so that there is never a second one.
#[must_use]
pub(crate) fn record_name(backup: &str, run_id: &str) -> String {
    let run: String = run_id.chars().take(RUN_PART).collect();
    let plain: String = backup.chars().take(MAX_NAME - 1 - run.len()).collect();
    format!("{}-{}", plain.trim_end_matches(['-', '.']), run.trim_end_matches('-'))
}

/// The Job that lists the sets on a claim, at the expense of the Backup that uses it.
#[must_use]
pub(crate) fn listing_job(claim: &str, user: &Backup, config: &Config) -> Job {
    let command = Command::new("inventory").flag("lock-timeout", format!("{}s", config.limits.lock_timeout.as_secs()));
    let labels = labels::of_component(labels::CATALOGUE, &user.name_any());
    let of_pod = ObjectMeta { labels: Some(labels.clone()), ..ObjectMeta::default() };
    let mut spec = agent_pod::job_spec(agent_pod::pod(command, claim, config), of_pod, config);
    spec.ttl_seconds_after_finished = Some(LISTED_TTL);
    Job {
        metadata: ObjectMeta {
            generate_name: Some(listing_prefix(claim)),
            namespace: Some(config.backup_namespace.clone()),
            labels: Some(labels),
            owner_references: Some(vec![owner::reference(user)]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}

/// What the name of the Job that lists the sets on a claim begins with. The API server ends it: no
/// Job of an earlier listing may be taken for this one.
fn listing_prefix(claim: &str) -> String {
    let digest = Sha256::digest(claim);
    let short: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("etcd-backup-catalogue-{short}-")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use etcd_backup_api::BackupSpec;

    use super::*;

    const RUN: &str = "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11";

    #[test]
    fn a_record_tells_its_run_by_name_and_has_no_owner() {
        let new = NewRecord { backup: "nightly".into(), run_id: RUN.into(), job: Some("nightly-29384750".into()) };
        let record = record(&new, "claim");
        assert_eq!(record.name_any(), "nightly-0b8f6f53-5c1b");
        assert_eq!(record.spec.recorded.as_ref().map(|recorded| recorded.run_id.as_str()), Some(RUN));
        assert_eq!(
            (record.labels()[labels::BACKUP].as_str(), record.annotations()[labels::JOB].as_str()),
            ("nightly", "nightly-29384750")
        );
        assert!(record.owner_references().is_empty());
        let without = NewRecord { job: None, ..new };
        assert!(super::record(&without, "claim").annotations().is_empty());
    }

    #[test]
    fn names_are_valid_for_the_longest_backups() {
        let long = format!("{}.{}", "a".repeat(238), "b".repeat(14));
        let name = record_name(&long, RUN);
        assert_eq!(name, format!("{}-0b8f6f53-5c1b", "a".repeat(238)));
        assert_eq!(record_name("n", "abcdefgh"), "n-abcdefgh");
    }

    #[test]
    fn the_listing_has_neither_the_node_nor_a_run() {
        let args = ["etcd-backup-operator", "--platform", "kubeadm", "--image", "example.org/etcd-backup:1"];
        let mut user = Backup::new("nightly", BackupSpec::default());
        user.metadata.uid = Some(RUN.into());
        let job = listing_job("claim", &user, &Config::parse_from(args));
        assert_eq!(job.metadata.generate_name.as_deref(), Some("etcd-backup-catalogue-dd1b3c31-"));
        let spec = job.spec.unwrap();
        assert_eq!(spec.ttl_seconds_after_finished, Some(LISTED_TTL));
        let pod = spec.template.spec.unwrap();
        assert_eq!((pod.host_network, pod.volumes.unwrap().len()), (None, 1));
        let args = pod.containers[0].args.clone().unwrap();
        assert_eq!(args[..2], ["inventory", "/backup"]);
        assert!(!args.iter().any(|arg| arg == "--run-id"), "{args:?}");
    }
}

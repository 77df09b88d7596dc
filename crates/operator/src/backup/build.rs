//! What a Backup makes, typed: its CronJob, the ConfigMap with its policy, the Job that enforces the
//! policy at once.

use std::collections::BTreeMap;

use etcd_backup_api::Backup;
use etcd_backup_core::{Owner, Policy};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, Job, JobTemplateSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;

use super::names;
use super::runs::KEPT;
use super::timetable::Timetable;
use crate::agent_pod::save::{self, save_pod};
use crate::agent_pod::{self, Command, config_map, pod};
use crate::config::Config;
use crate::labels;
use crate::owner;

/// Key of the policy in its ConfigMap, and name of the mounted file.
pub(crate) const POLICY_FILE: &str = "policy.json";

/// Label of the CronJob: which operator applied it, so that a newer one applies it anew.
const VERSION: &str = "app.kubernetes.io/version";

/// The CronJob. kube-controller-manager starts the runs, whether the operator is there or not.
#[must_use]
pub(crate) fn cron_job(
    backup: &Backup,
    owner: &Owner,
    timetable: &Timetable,
    since: Timestamp,
    config: &Config,
) -> CronJob {
    let name = backup.name_any();
    let of_run = || ObjectMeta {
        labels: Some(labels::of_backup(labels::SCHEDULED_SAVE, &name)),
        annotations: Some(labels::annotations_of_backup(&name)),
        ..ObjectMeta::default()
    };
    let mut command = save::command(Command::new("save").run_id_of_job(), owner, config);
    command = with_policy(command, &name);
    let pod = save_pod(command, &backup.spec.etcd.pvc_name, config);
    let mut metadata = metadata(backup, &names::cron_job(&name), labels::SCHEDULED_SAVE, config);
    metadata.labels.get_or_insert_default().insert(VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    metadata.annotations.get_or_insert_default().insert(names::SINCE.to_owned(), since.to_string());
    CronJob {
        metadata,
        spec: Some(CronJobSpec {
            schedule: timetable.schedule.clone(),
            time_zone: Some(timetable.zone.clone()),
            suspend: Some(backup.spec.etcd.suspend),
            concurrency_policy: Some("Forbid".to_owned()),
            starting_deadline_seconds: Some(starting_deadline(timetable, config)),
            successful_jobs_history_limit: Some(KEPT.succeeded),
            failed_jobs_history_limit: Some(KEPT.failed),
            job_template: JobTemplateSpec {
                metadata: Some(of_run()),
                spec: Some(agent_pod::job_spec(pod, of_run(), config)),
            },
        }),
        status: None,
    }
}

/// Seconds after which a run that could not start is left out. Longer than a run may take, so that
/// one that was due meanwhile is not lost. kube-controller-manager counts `@every` from this long
/// ago if the last run is longer ago, and would never reach a period that is longer than this.
fn starting_deadline(timetable: &Timetable, config: &Config) -> i64 {
    let usual = config.limits.starting_deadline.max(config.limits.job_deadline()).as_secs() + 60;
    usual + timetable.period().map_or(0, |period| period.as_secs())
}

/// The ConfigMap with the policy. Its pods read it again right before they delete anything.
#[must_use]
pub(crate) fn policy(backup: &Backup, policy: &Policy, config: &Config) -> ConfigMap {
    // A document of plain strings and numbers can always be written.
    let text = serde_json::to_string(policy).unwrap_or_default();
    ConfigMap {
        metadata: metadata(backup, &names::policy(&backup.name_any()), labels::POLICY, config),
        data: Some(BTreeMap::from([(POLICY_FILE.to_owned(), text)])),
        ..ConfigMap::default()
    }
}

/// The Job that enforces the policy of that hash. It needs neither etcd nor the node.
#[must_use]
pub(crate) fn prune_job(backup: &Backup, owner: &Owner, name: &str, policy_hash: &str, config: &Config) -> Job {
    let mut command = Command::new("prune").run_id_of_job().flag("owner", owner.to_string());
    if let Some(cluster) = &owner.cluster {
        command = command.flag("cluster", cluster);
    }
    command = with_policy(command, &backup.name_any())
        .flag("expect-policy", policy_hash)
        .flag("lock-timeout", format!("{}s", config.limits.lock_timeout.as_secs()));
    command.args.push("--yes".to_owned());
    let metadata = metadata(backup, name, labels::PRUNE, config);
    let of_pod = ObjectMeta {
        labels: metadata.labels.clone(),
        annotations: metadata.annotations.clone(),
        ..ObjectMeta::default()
    };
    let pod = pod(command, &backup.spec.etcd.pvc_name, config);
    Job { metadata, spec: Some(agent_pod::job_spec(pod, of_pod, config)), status: None }
}

/// A policy that is missing keeps no backup from being made; nothing is deleted then.
fn with_policy(mut command: Command, backup: &str) -> Command {
    command.mounts.push(config_map("policy", &names::policy(backup), "/policy", true));
    command.flag("policy", format!("/policy/{POLICY_FILE}"))
}

fn metadata(backup: &Backup, name: &str, component: &str, config: &Config) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(config.backup_namespace.clone()),
        labels: Some(labels::of_backup(component, &backup.name_any())),
        annotations: Some(labels::annotations_of_backup(&backup.name_any())),
        owner_references: Some(vec![owner::reference(backup)]),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests;

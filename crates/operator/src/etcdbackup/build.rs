//! The Jobs of an EtcdBackup, typed.

use etcd_backup_api::EtcdBackup;
use etcd_backup_core::{Destination, Request};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::names;
use crate::agent_pod::save::{self, save_pod};
use crate::agent_pod::{self, Command};
use crate::config::Config;
use crate::labels;
use crate::owner;

/// The Job that makes the backup.
#[must_use]
pub(crate) fn save_job(backup: &EtcdBackup, request: &Request, name: &str, config: &Config) -> Job {
    let command = Command::new("save").flag("run-id", request.run_id.as_str());
    let pod = save_pod(save::command(command, &request.owner, config), claim(request), config);
    job(backup, name, labels::SAVE, pod, config)
}

/// The Job that asks the volume what became of the run. It needs neither etcd nor the node.
#[must_use]
pub(crate) fn inventory_job(backup: &EtcdBackup, request: &Request, name: &str, config: &Config) -> Job {
    let command = Command::new("inventory")
        .flag("run-id", request.run_id.as_str())
        .flag("lock-timeout", format!("{}s", config.limits.lock_timeout.as_secs()));
    job(backup, name, labels::INVENTORY, agent_pod::pod(command, claim(request), config), config)
}

fn claim(request: &Request) -> &str {
    match &request.destination {
        Destination::Pvc { name, .. } => name,
        Destination::Directory { .. } => "",
    }
}

fn job(backup: &EtcdBackup, name: &str, component: &str, pod: PodSpec, config: &Config) -> Job {
    let labels = names::labels(backup, component);
    let of_pod = ObjectMeta { labels: Some(labels.clone()), ..ObjectMeta::default() };
    Job {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(config.backup_namespace.clone()),
            labels: Some(labels),
            owner_references: Some(vec![owner::reference(backup)]),
            ..ObjectMeta::default()
        },
        spec: Some(agent_pod::job_spec(pod, of_pod, config)),
        status: None,
    }
}

#[cfg(test)]
mod tests;

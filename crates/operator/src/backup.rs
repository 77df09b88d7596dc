//! `Backup` resources: this version runs no schedules, and says so on each of them. Whoever applied
//! one would otherwise take silence for a backup every night.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use etcd_backup_api::{Backup, BackupStatus, FIELD_MANAGER, conditions};
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;

/// When a status that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(60);

const REASON: &str = "NotSupported";
const MESSAGE: &str = "this version of the operator does not run schedules: no backup is made for this Backup. \
    Make EtcdBackups, for instance from a CronJob of your own, until a later version is installed";

/// Why a Backup could not be told.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the status of Backup {name}: {source}")]
struct Error {
    name: String,
    source: kube::Error,
}

/// Tells every Backup until `shutdown` resolves.
pub(crate) async fn run(client: Client, shutdown: impl Future<Output = ()> + Send + Sync + 'static) {
    let backups: Api<DeserializeGuard<Backup>> = Api::all(client.clone());
    Controller::new(backups, watcher::Config::default())
        .graceful_shutdown_on(shutdown)
        .run(tell, |_, _, _| Action::requeue(RETRY), Arc::new(Api::all(client)))
        .for_each(|result| async move {
            if let Err(error) = result {
                tracing::warn!(%error, "a Backup could not be told that schedules are not run");
            }
        })
        .await;
}

async fn tell(object: Arc<DeserializeGuard<Backup>>, api: Arc<Api<Backup>>) -> Result<Action, Error> {
    let Ok(backup) = &object.0 else { return Ok(Action::await_change()) };
    // Times of the API have whole seconds.
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    let status = status(backup, &Time(now));
    if backup.status.as_ref() == Some(&status) {
        return Ok(Action::await_change());
    }
    let name = backup.name_any();
    let patch = json!({
        "apiVersion": Backup::api_version(&()), "kind": Backup::kind(&()),
        "metadata": {"name": name, "uid": backup.uid()}, "status": status,
    });
    match api.patch_status(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(patch)).await {
        Ok(_) => {
            tracing::warn!(backup = name, reason = REASON, "schedules are not run by this version");
            Ok(Action::await_change())
        }
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(Action::await_change()),
        Err(source) => Err(Error { name, source }),
    }
}

/// What the status must say. Only conditions: nothing else is known of a schedule that is not run.
fn status(backup: &Backup, now: &Time) -> BackupStatus {
    let generation = backup.metadata.generation;
    let mut status = BackupStatus { observed_generation: generation, ..BackupStatus::default() };
    status.conditions = backup.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    for (type_, value) in [("Scheduled", false), ("Ready", false), ("Stalled", true)] {
        conditions::set(&mut status.conditions, type_, value, REASON, MESSAGE, generation, now);
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_told_that_it_is_not_run_and_told_once() {
        let mut backup = Backup::new("nightly", etcd_backup_api::BackupSpec::default());
        backup.metadata.generation = Some(3);
        let first = status(&backup, &Time("2026-01-01T00:00:00Z".parse().unwrap()));
        assert!(!conditions::is_true(&first.conditions, "Scheduled"));
        assert!(conditions::is_true(&first.conditions, "Stalled"));
        backup.status = Some(first.clone());
        assert_eq!(status(&backup, &Time("2026-01-02T00:00:00Z".parse().unwrap())), first);
    }
}

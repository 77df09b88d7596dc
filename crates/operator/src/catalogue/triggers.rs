//! What wakes the controller besides EtcdBackups and reports: Backups, and the Jobs that save for
//! them or list a volume.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use etcd_backup_api::{Backup, FIELD_MANAGER};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt as _};

use super::memory::{Catalogues, Changed};
use crate::etcdbackup::triggers::{Stores as ClusterStores, stored};
use crate::labels;

/// What is kept in memory of the cluster.
#[derive(Clone)]
pub(crate) struct Stores {
    /// All Backups.
    pub(crate) schedules: Store<DeserializeGuard<Backup>>,
    /// The Jobs that save for a Backup or list a volume, reduced to what is read here.
    pub(crate) jobs: Store<Job>,
}

impl Stores {
    /// Waits until each store has been filled once; `false` if a watch has ended instead.
    pub(crate) async fn wait_until_ready(&self) -> bool {
        self.schedules.wait_until_ready().await.is_ok() && self.jobs.wait_until_ready().await.is_ok()
    }

    /// The claims that a change concerns.
    pub(crate) fn claims(&self, cluster: &ClusterStores, changed: Changed) -> BTreeSet<String> {
        if let Changed::Claim(claim) = changed {
            return BTreeSet::from([claim]);
        }
        let schedules = self.schedules.state().into_iter().filter_map(|schedule| claim_of_schedule(&schedule));
        let jobs = self.jobs.state().into_iter().filter_map(|job| claim_of(&job).map(str::to_owned));
        let objects = cluster.backups.state();
        let objects = objects.iter().filter_map(|object| object.0.as_ref().ok()).map(|one| one.spec.pvc_name.clone());
        schedules.chain(jobs).chain(objects).filter(|claim| !claim.is_empty()).collect()
    }
}

/// Starts the watch of the Jobs; the Backups are watched by their own controller. The store is filled
/// while the future is polled.
pub(crate) fn watch(
    client: &Client,
    namespace: &str,
    schedules: Store<DeserializeGuard<Backup>>,
    catalogues: &Arc<Catalogues>,
) -> (Stores, impl Future<Output = ()> + use<>) {
    let (jobs, job_writer) = reflector::store();
    let components = format!("{} in ({}, {})", labels::COMPONENT, labels::SCHEDULED_SAVE, labels::CATALOGUE);
    let of_ours = format!("{}={FIELD_MANAGER},{components}", labels::MANAGED_BY);
    let all = watcher::Config::default().page_size(100);
    let job_watch = stored(Api::namespaced(client.clone(), namespace), all.labels(&of_ours), job_writer, slim);
    let job_watch = waking(job_watch, catalogues.clone(), |job: &Job| claim_of(job).map(str::to_owned));
    (Stores { schedules, jobs }, keep(job_watch))
}

/// Has the claim of each changed object looked at; after a new list, which tells of no deletion, all.
pub(crate) fn waking<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
    catalogues: Arc<Catalogues>,
    claim: impl Fn(&K) -> Option<String> + Send,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send {
    events.inspect(move |event| {
        let changed = match event {
            Ok(Event::Apply(object) | Event::Delete(object)) => {
                claim(object).filter(|claim| !claim.is_empty()).map(Changed::Claim)
            }
            Ok(Event::InitDone) => Some(Changed::All),
            Ok(Event::Init | Event::InitApply(_)) | Err(_) => None,
        };
        changed.into_iter().for_each(|changed| catalogues.wake(changed));
    })
}

/// Keeps a watch going.
async fn keep<K: Resource<DynamicType = ()>>(events: impl Stream<Item = watcher::Result<Event<K>>>) {
    let kept = events.default_backoff().for_each(|event| {
        if let Err(error) = event {
            tracing::warn!(kind = %K::kind(&()), %error, "a watch broke; it is started again");
        }
        std::future::ready(())
    });
    kept.await;
}

/// The claim that a Backup uses.
pub(crate) fn claim_of_schedule(schedule: &DeserializeGuard<Backup>) -> Option<String> {
    schedule.0.as_ref().ok().map(|schedule| schedule.spec.etcd.pvc_name.clone())
}

/// The claim that the pods of a Job of ours mount.
pub(crate) fn claim_of(job: &Job) -> Option<&str> {
    let volumes = job.spec.as_ref()?.template.spec.as_ref()?.volumes.iter().flatten();
    volumes.into_iter().find_map(|volume| Some(volume.persistent_volume_claim.as_ref()?.claim_name.as_str()))
}

/// Drops what is not read here; there can be a dozen Jobs per Backup.
fn slim(job: &mut Job) {
    job.annotations_mut().retain(|key, _| key == labels::BACKUP);
    job.labels_mut().retain(|key, _| key == labels::COMPONENT);
    let volumes = job.spec.take().and_then(|spec| spec.template.spec?.volumes);
    let volumes = volumes.map(|all| all.into_iter().filter(|one| one.persistent_volume_claim.is_some()).collect());
    let pod = PodSpec { volumes, ..PodSpec::default() };
    job.spec = Some(JobSpec {
        template: PodTemplateSpec { spec: Some(pod), ..PodTemplateSpec::default() },
        ..JobSpec::default()
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn slimming_keeps_what_is_read() {
        let mut job: Job = serde_json::from_value(json!({
            "metadata": {"name": "j", "uid": "u", "annotations": {labels::BACKUP: "nightly", "other": "x"},
                         "labels": {labels::COMPONENT: labels::SCHEDULED_SAVE, "other": "x"}},
            "spec": {"activeDeadlineSeconds": 9, "template": {"spec": {"containers": [{"name": "c"}], "volumes": [
                {"name": "host", "hostPath": {"path": "/"}},
                {"name": "backup", "persistentVolumeClaim": {"claimName": "claim"}},
            ]}}},
            "status": {"conditions": [{"type": "Complete", "status": "True"}]},
        }))
        .unwrap();
        slim(&mut job);
        assert_eq!(claim_of(&job), Some("claim"));
        assert_eq!((job.annotations().len(), job.labels().len()), (1, 1));
        assert!(job.spec.unwrap().template.spec.unwrap().containers.is_empty());
        assert!(job.status.is_some());
        assert_eq!(claim_of(&Job::default()), None);
    }
}

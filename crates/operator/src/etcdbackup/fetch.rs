//! All reads of a reconcile. The EtcdBackup, its Jobs and pods are read from the API server itself,
//! because a Job that a cache has not seen yet would look like one that has vanished.

use etcd_backup_api::EtcdBackup;
use etcd_backup_core::{Request, RunId};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolume, Pod};
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, ResourceExt as _};

use super::decision::Observed;
use super::job_state::{JobState, ObservedJob};
use super::pod_state::ObservedPod;
use super::triggers::Stores;
use super::volume::Volume;
use super::{names, queue, status};
use crate::catalogue::VolumeSays;
use crate::context::Context;
use crate::labels;
use crate::reconcile::Error;

/// Reads everything that a decision needs; `None` if there is nothing to decide, because the object
/// has gone or is going, or has ended.
pub(crate) async fn fetch(context: &Context, name: &str) -> Result<Option<Observed>, Error> {
    let found = context.etcdbackups.get_opt(name).await.map_err(Error::read(format!("EtcdBackup {name}")))?;
    let Some(backup) = found.filter(needs_a_decision) else { return Ok(None) };
    let cluster = context.cluster_uid().await?;
    let layout = context.config.platform.into();
    let request = backup.request(cluster, &context.config.backup_namespace, layout);
    let named = backup.status.as_ref().and_then(|status| status.job_name.clone());
    let own_name = named.clone().filter(|_| backup.spec.recorded.is_none()).unwrap_or_else(|| names::job_name(&backup));
    let mut observed = Observed {
        namespace: context.config.backup_namespace.clone(),
        inventory_name: names::inventory_job_name(&own_name),
        job_name: names::recorded_job(&backup).unwrap_or(own_name),
        volume_says: VolumeSays::Nothing,
        save: ObservedJob::default(),
        inventory: ObservedJob::default(),
        volume: Volume::default(),
        nodes: context.stores.nodes.state(),
        place: place(context, &backup),
        request,
        backup,
    };
    let Ok(request) = &observed.request else { return Ok(Some(observed)) };
    if observed.is_record() {
        observed.volume_says = context.catalogues.tells(&observed.backup.spec.pvc_name, &request.run_id);
    }
    if observed.never_had_a_job() {
        return Ok(Some(observed));
    }
    observed.save.state = saving_job(context, &observed, request).await?;
    if named.is_some() || observed.is_record() || observed.save.state.is_ours() {
        let inventory = observed.inventory_name.clone();
        if !matches!(observed.save.state, JobState::Active { .. }) {
            observed.inventory.state = asking_job(context, &observed.backup, &inventory).await?;
        }
        let uid = observed.backup.uid().unwrap_or_default();
        [observed.save.pods, observed.inventory.pods] = pods(context, request, (labels::UID, &uid)).await?;
        if observed.is_record() {
            [observed.save.pods, _] = pods(context, request, (labels::RUN, request.run_id.as_str())).await?;
        }
    } else {
        let (namespace, claim) = (&context.config.backup_namespace, &observed.backup.spec.pvc_name);
        observed.volume = volume(&context.client, &context.stores, namespace, claim).await?;
    }
    Ok(Some(observed))
}

/// Whether there can be anything to do for this object.
#[must_use]
pub(crate) fn needs_a_decision(backup: &EtcdBackup) -> bool {
    backup.metadata.deletion_timestamp.is_none() && !backup.status.as_ref().is_some_and(status::is_final)
}

fn place(context: &Context, backup: &EtcdBackup) -> queue::Place {
    if backup.spec.recorded.is_some() {
        return queue::Place::default();
    }
    let all = context.stores.backups.state();
    queue::place(backup, all.iter().filter_map(|guarded| guarded.0.as_ref().ok()))
}

/// The Job that makes the backup.
async fn saving_job(context: &Context, seen: &Observed, request: &Request) -> Result<JobState, Error> {
    let found = job(context, &seen.job_name).await?;
    let deadline = context.config.limits.job_deadline();
    Ok(if seen.is_record() {
        JobState::of_run(found.as_ref(), request.run_id.as_str(), deadline)
    } else {
        JobState::new(found.as_ref(), &seen.backup.uid().unwrap_or_default(), deadline)
    })
}

/// The Job that asks the volume.
async fn asking_job(context: &Context, backup: &EtcdBackup, name: &str) -> Result<JobState, Error> {
    let found = job(context, name).await?;
    let owner = backup.uid().unwrap_or_default();
    Ok(JobState::new(found.as_ref(), &owner, context.config.limits.job_deadline()))
}

async fn job(context: &Context, name: &str) -> Result<Option<Job>, Error> {
    context.jobs.get_opt(name).await.map_err(Error::read(format!("Job {name}")))
}

/// The pods of the Jobs that save and that ask the volume, by what they do, the newest last.
async fn pods(context: &Context, request: &Request, label: (&str, &str)) -> Result<[Vec<ObservedPod>; 2], Error> {
    let run: &RunId = &request.run_id;
    let ours = ListParams::default().labels(&format!("{}={}", label.0, label.1));
    let mut list = context.pods.list(&ours).await.map_err(Error::read(format!("pods of run {run}")))?.items;
    list.sort_by_key(|pod| pod.creation_timestamp());
    let component = |pod: &Pod| pod.labels().get(labels::COMPONENT).map(String::as_str) == Some(labels::INVENTORY);
    let (inventory, save): (Vec<Pod>, Vec<Pod>) = list.into_iter().partition(component);
    Ok([save, inventory].map(|pods| pods.iter().map(|pod| ObservedPod::new(pod, run)).collect()))
}

/// What is known of a claim, its class and its volume.
pub(crate) async fn volume(client: &Client, stores: &Stores, namespace: &str, name: &str) -> Result<Volume, Error> {
    let claim = stores.claims.get(&ObjectRef::new(name).within(namespace));
    let spec = claim.as_ref().and_then(|claim| claim.spec.as_ref());
    let class = spec.and_then(|spec| spec.storage_class_name.as_deref());
    let class = class.and_then(|class| stores.classes.get(&ObjectRef::new(class)));
    let bound = match spec.and_then(|spec| spec.volume_name.as_deref()) {
        Some(volume) => {
            let api: Api<PersistentVolume> = Api::all(client.clone());
            api.get_opt(volume).await.map_err(Error::read(format!("PersistentVolume {volume}")))?
        }
        None => None,
    };
    Ok(Volume { namespace: namespace.to_owned(), name: name.to_owned(), claim, class, bound })
}

//! What wakes a reconcile: changes of EtcdBackups, Jobs, pods, claims, nodes and storage classes,
//! each mapped to the EtcdBackups that it concerns. Nothing is polled.

use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::Arc;

use etcd_backup_api::{EtcdBackup, EtcdBackupStatus, FIELD_MANAGER};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::{names, status};
use crate::nodes;

/// An EtcdBackup, or the reason why the stored object is none.
pub(crate) type Guarded = DeserializeGuard<EtcdBackup>;

/// What is kept in memory of the cluster.
#[derive(Clone)]
pub(crate) struct Stores {
    /// All EtcdBackups.
    pub(crate) backups: Store<Guarded>,
    /// The claims of the backup namespace.
    pub(crate) claims: Store<PersistentVolumeClaim>,
    /// All nodes, reduced to what is read here.
    pub(crate) nodes: Store<Node>,
    /// All storage classes.
    pub(crate) classes: Store<StorageClass>,
}

impl Stores {
    /// Waits until each store has been filled once; `false` if a watch has ended instead.
    pub(crate) async fn wait_until_ready(&self) -> bool {
        self.backups.wait_until_ready().await.is_ok()
            && self.claims.wait_until_ready().await.is_ok()
            && self.nodes.wait_until_ready().await.is_ok()
            && self.classes.wait_until_ready().await.is_ok()
    }
}

type Trigger = Result<ObjectRef<Guarded>, Infallible>;

/// Starts all watches. The stores are filled while the stream is polled.
pub(crate) fn watch(
    client: &Client,
    namespace: &str,
    nodes_changed: Arc<Notify>,
) -> (Stores, BoxStream<'static, Trigger>) {
    let (backups, backup_writer) = reflector::store();
    let (claims, claim_writer) = reflector::store();
    let (nodes, node_writer) = reflector::store();
    let (classes, class_writer) = reflector::store();
    let stores = Stores { backups: backups.clone(), claims, nodes, classes };
    // Jobs and pods are only triggers; a reconcile reads them afresh.
    let jobs: Api<PartialObjectMeta<Job>> = Api::namespaced(client.clone(), namespace);
    let pods: Api<PartialObjectMeta<Pod>> = Api::namespaced(client.clone(), namespace);
    let of_ours = watcher::Config::default().labels(&format!("{}={FIELD_MANAGER}", names::MANAGED_BY_LABEL));
    let all = watcher::Config::default().page_size(100);
    let watches = [
        triggers(&backups, stored(Api::all(client.clone()), all.clone(), backup_writer, slim), neighbours),
        triggers(&backups, watcher(jobs, of_ours.clone()), owner),
        triggers(&backups, watcher(pods, of_ours), labelled),
        triggers(
            &backups,
            stored(Api::namespaced(client.clone(), namespace), all.clone(), claim_writer, |_| ()),
            on_claim,
        ),
        triggers(
            &backups,
            stored(Api::all(client.clone()), all.clone(), node_writer, nodes::slim),
            move |backups, _| {
                nodes_changed.notify_one();
                unfinished(backups)
            },
        ),
        triggers(&backups, stored(Api::all(client.clone()), all, class_writer, |_| ()), |backups, _| {
            unfinished(backups)
        }),
    ];
    (stores, stream::select_all(watches).boxed())
}

/// Drops what nobody reads of a finished EtcdBackup: there may be thousands of them.
fn slim(guarded: &mut Guarded) {
    let Ok(backup) = &mut guarded.0 else { return };
    backup.annotations_mut().clear();
    if let Some(status) = backup.status.take_if(|status| status::is_final(status)) {
        let mut conditions = status.conditions;
        conditions
            .retain(|condition| condition.status == "True" && ["Completed", "Failed"].contains(&&*condition.type_));
        conditions.iter_mut().for_each(|condition| condition.message.clear());
        let completion_time = status.completion_time;
        backup.status = Some(EtcdBackupStatus { conditions, completion_time, ..EtcdBackupStatus::default() });
    }
}

/// A watch whose objects are kept, without what nobody reads.
fn stored<K>(
    api: Api<K>,
    config: watcher::Config,
    writer: Writer<K>,
    slim: impl Fn(&mut K) + Send + 'static,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let slimmed = watcher(api, config).modify(move |object| {
        object.managed_fields_mut().clear();
        slim(object);
    });
    slimmed.reflect(writer)
}

/// Each change becomes the EtcdBackups that it concerns; after a new list, which tells of no
/// deletion, all unfinished ones.
fn triggers<K>(
    backups: &Store<Guarded>,
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    concerned: impl Fn(&Store<Guarded>, &K) -> Vec<ObjectRef<Guarded>> + Send + 'static,
) -> BoxStream<'static, Trigger>
where
    K: Resource<DynamicType = ()> + Send + 'static,
{
    let backups = backups.clone();
    let concerned = move |event| match event {
        Ok(Event::Apply(object) | Event::Delete(object)) => concerned(&backups, &object),
        Ok(Event::InitDone) => [unfinished(&backups), unreadable(&backups)].concat(),
        Ok(Event::Init | Event::InitApply(_)) => Vec::new(),
        Err(error) => {
            tracing::warn!(kind = %K::kind(&()), %error, "a watch broke; it is started again");
            Vec::new()
        }
    };
    events.default_backoff().flat_map(move |event| stream::iter(concerned(event)).map(Ok)).boxed()
}

/// The EtcdBackup itself, and who waits on the same volume.
fn neighbours(backups: &Store<Guarded>, changed: &Guarded) -> Vec<ObjectRef<Guarded>> {
    let mut concerned = match &changed.0 {
        Ok(backup) => on_claim_named(backups, &backup.spec.pvc_name),
        Err(_) => Vec::new(),
    };
    concerned.push(ObjectRef::from_obj(changed));
    concerned
}

fn owner(_: &Store<Guarded>, job: &PartialObjectMeta<Job>) -> Vec<ObjectRef<Guarded>> {
    let references = job.owner_references().iter();
    references.filter_map(|reference| ObjectRef::from_owner_ref(None, reference, ())).collect()
}

fn labelled(backups: &Store<Guarded>, pod: &PartialObjectMeta<Pod>) -> Vec<ObjectRef<Guarded>> {
    let Some(uid) = pod.labels().get(names::UID_LABEL) else { return Vec::new() };
    select(backups, |backup| backup.metadata.uid.as_ref() == Some(uid))
}

fn on_claim(backups: &Store<Guarded>, claim: &PersistentVolumeClaim) -> Vec<ObjectRef<Guarded>> {
    on_claim_named(backups, &claim.name_any())
}

fn on_claim_named(backups: &Store<Guarded>, claim: &str) -> Vec<ObjectRef<Guarded>> {
    select(backups, |backup| backup.spec.pvc_name == claim)
}

fn unfinished(backups: &Store<Guarded>) -> Vec<ObjectRef<Guarded>> {
    select(backups, |_| true)
}

/// What cannot be read, so that it is told of once after each start.
fn unreadable(backups: &Store<Guarded>) -> Vec<ObjectRef<Guarded>> {
    let found = backups.state_filter(|guarded| guarded.0.is_err());
    found.iter().map(|found| ObjectRef::from_obj(found.as_ref())).collect()
}

/// The unfinished EtcdBackups that meet a condition.
fn select(backups: &Store<Guarded>, concerned: impl Fn(&EtcdBackup) -> bool) -> Vec<ObjectRef<Guarded>> {
    let wanted = |guarded: &Guarded| match &guarded.0 {
        Ok(backup) => concerned(backup) && !backup.status.as_ref().is_some_and(status::is_final),
        Err(_) => false,
    };
    backups.state_filter(wanted).iter().map(|found| ObjectRef::from_obj(found.as_ref())).collect()
}

//! What wakes a reconcile: changes of Backups and of what they made, and whatever other watches see
//! that concerns them.

use std::convert::Infallible;
use std::sync::Arc;

use etcd_backup_api::{Backup, FIELD_MANAGER};
use futures::channel::mpsc::UnboundedReceiver;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};

use crate::catalogue::Catalogues;
use crate::catalogue::triggers::{claim_of_schedule, waking};
use crate::etcdbackup::triggers::stored;
use crate::labels;

/// A Backup, or the reason why the stored object is none.
pub(crate) type Guarded = DeserializeGuard<Backup>;

/// Which Backups something concerns that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Concern {
    /// The one of this name.
    Backup(String),
    /// Those that use this claim.
    Claim(String),
    /// All of them.
    Any,
}

impl Concern {
    /// The Backup that an object of ours belongs to.
    pub(crate) fn of(object: &impl ResourceExt) -> Option<Self> {
        object.annotations().get(labels::BACKUP).cloned().map(Self::Backup)
    }
}

type Trigger = Result<ObjectRef<Guarded>, Infallible>;

/// Starts the watches. The store is filled while the stream is polled. `concerns` are what other
/// watches saw, `news` names Backups of which something new is known.
pub(crate) fn watch(
    client: &Client,
    namespace: &str,
    concerns: UnboundedReceiver<Concern>,
    news: UnboundedReceiver<String>,
    catalogues: &Arc<Catalogues>,
) -> (Store<Guarded>, BoxStream<'static, Trigger>) {
    let (schedules, writer) = reflector::store();
    let all = watcher::Config::default().page_size(100);
    let of = |component: &str| {
        let selector = format!("{}={FIELD_MANAGER},{}={component}", labels::MANAGED_BY, labels::COMPONENT);
        watcher::Config::default().labels(&selector)
    };
    let cron_jobs: Api<PartialObjectMeta<CronJob>> = Api::namespaced(client.clone(), namespace);
    let policies: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(client.clone(), namespace);
    let backups = stored(Api::all(client.clone()), all, writer, |_| ());
    let backups = waking(backups, catalogues.clone(), claim_of_schedule);
    let concerned = stream::select_all([
        concerns.boxed(),
        news.map(Concern::Backup).boxed(),
        seen(backups, |backup: &Guarded| Some(Concern::Backup(backup.name_any()))),
        seen(watcher(cron_jobs, of(labels::SCHEDULED_SAVE)), Concern::of),
        seen(watcher(policies, of(labels::POLICY)), Concern::of),
    ]);
    let store = schedules.clone();
    let triggers = concerned.flat_map(move |concern| stream::iter(select(&store, &concern)).map(Ok));
    (schedules, triggers.boxed())
}

/// What each change concerns; a new list tells of no deletion.
fn seen<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    concern: impl Fn(&K) -> Option<Concern> + Send + 'static,
) -> BoxStream<'static, Concern>
where
    K: Resource<DynamicType = ()> + Send + 'static,
{
    let concerned = move |event| match event {
        Ok(Event::Apply(object) | Event::Delete(object)) => concern(&object),
        Ok(Event::InitDone) => Some(Concern::Any),
        Ok(Event::Init | Event::InitApply(_)) => None,
        Err(error) => {
            tracing::warn!(kind = %K::kind(&()), %error, "a watch broke; it is started again");
            None
        }
    };
    events.default_backoff().filter_map(move |event| std::future::ready(concerned(event))).boxed()
}

fn select(schedules: &Store<Guarded>, concern: &Concern) -> Vec<ObjectRef<Guarded>> {
    let concerned = |guarded: &Guarded| match (concern, &guarded.0) {
        (Concern::Any, _) => true,
        (Concern::Backup(name), _) => guarded.name_any() == *name,
        (Concern::Claim(claim), Ok(backup)) => backup.spec.etcd.pvc_name == *claim,
        (Concern::Claim(_), Err(_)) => false,
    };
    schedules.state_filter(concerned).iter().map(|found| ObjectRef::from_obj(found.as_ref())).collect()
}

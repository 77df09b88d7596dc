//! Where somebody else answers to the same resources this operator stands down: it creates no Job and
//! no record, suspends its CronJobs and says why, once. It goes on by itself when they are its own again.

mod decide;

use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch::{Receiver, Sender, channel};

pub(crate) use self::decide::Verdict;
use self::decide::{Observed, Schema};
use crate::catalogue::Changed;
use crate::config::Platform;
use crate::context::Context;
use crate::etcdbackup::fetch::needs_a_decision;
use crate::reconcile::Error;

/// The CRDs whose objects this operator answers to.
const CRDS: [&str; 2] = ["etcdbackups.operator.openshift.io", "backups.config.openshift.io"];

/// What was seen anew.
enum News {
    Gate(bool),
    Schema(usize, Schema),
}

/// Where the verdict is told, and where it is read.
#[must_use]
pub(crate) fn verdicts() -> (Sender<Verdict>, Receiver<Verdict>) {
    channel(Verdict::Unknown)
}

/// Keeps the verdict as the cluster is, for ever. The three objects are watched by name, which costs a
/// request each in five minutes. Only OpenShift has a feature gate.
pub(crate) async fn keep(client: Client, platform: Platform, verdict: Sender<Verdict>) {
    let mut seen = Observed { gate: (platform == Platform::Kubeadm).then_some(false), ..Observed::default() };
    let mut news = stream::select_all(sources(&client, platform));
    while let Some(news) = news.next().await {
        match news {
            News::Gate(on) => seen.gate = Some(on),
            News::Schema(index, schema) => seen.schemas[index] = Some(schema),
        }
        let next = decide::decide(&seen);
        verdict.send_if_modified(|verdict| {
            let changed = *verdict != next;
            if changed {
                log(&next);
                *verdict = next;
            }
            changed
        });
    }
}

fn log(verdict: &Verdict) {
    match verdict {
        Verdict::Unknown => tracing::warn!("it is not known any more whether somebody else answers to our resources"),
        Verdict::Work => tracing::info!("nobody else answers to our resources"),
        Verdict::StandDown(why) => tracing::error!(reason = "StandDown", why, "standing down"),
    }
}

fn sources(client: &Client, platform: Platform) -> Vec<BoxStream<'static, News>> {
    let mut sources: Vec<BoxStream<'static, News>> = Vec::new();
    for (index, name) in CRDS.into_iter().enumerate() {
        let crds: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(client.clone());
        let found = found(watch_object(crds, name), name);
        sources.push(found.map(move |crd| News::Schema(index, decide::schema(crd.as_ref()))).boxed());
    }
    if platform == Platform::OpenShift {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("config.openshift.io", "v1", "FeatureGate"));
        let gates: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
        let found = found(watch_object(gates, "cluster"), "featuregate");
        sources.push(found.map(|gate| News::Gate(decide::is_on(gate.as_ref()))).boxed());
    }
    sources
}

/// What a watch finds. A kind that is not there has no object; what else fails is tried again.
fn found<K: Send + 'static>(
    watched: impl Stream<Item = watcher::Result<Option<K>>> + Send + 'static,
    what: &'static str,
) -> impl Stream<Item = Option<K>> + Send {
    watched.default_backoff().filter_map(move |event| {
        std::future::ready(match event {
            Ok(found) => Some(found),
            Err(watcher::Error::InitialListFailed(kube::Error::Api(answer))) if answer.code == 404 => Some(None),
            Err(error) => {
                tracing::warn!(object = what, %error, "a watch broke; it is started again");
                None
            }
        })
    })
}

/// Why nothing is to be done now, if so; waits until that is known.
pub(crate) async fn why(verdict: &Receiver<Verdict>) -> Result<Option<String>, Error> {
    let known = verdict.clone().wait_for(|verdict| *verdict != Verdict::Unknown).await.map(|known| known.clone());
    match known {
        Ok(Verdict::StandDown(why)) => Ok(Some(why)),
        Ok(Verdict::Work | Verdict::Unknown) => Ok(None),
        Err(_) => Err(Error::Stopping),
    }
}

/// Has everything looked at that a changed verdict concerns, for ever.
pub(crate) async fn tell(context: Arc<Context>, mut verdict: Receiver<Verdict>) {
    let known = |verdict: &Verdict| *verdict != Verdict::Unknown;
    let Ok(mut last) = verdict.wait_for(known).await.map(|verdict| verdict.clone()) else { return };
    while let Ok(next) = verdict.wait_for(|next| known(next) && *next != last).await.map(|verdict| verdict.clone()) {
        last = next;
        let catalogues = &context.catalogues;
        let objects = context.stores.backups.state();
        let unfinished = objects.iter().filter_map(|one| one.0.as_ref().ok()).filter(|one| needs_a_decision(one));
        unfinished.for_each(|backup| catalogues.wake_etcdbackup(&backup.name_any()));
        context.runs.schedules.state().iter().for_each(|schedule| catalogues.wake_schedule(&schedule.name_any()));
        catalogues.wake(Changed::All);
    }
}

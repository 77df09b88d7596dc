//! The EtcdBackup controller: fetch, decide (pure), build (pure), apply, status (pure).

mod apply;
mod build;
mod decide;
mod decision;
mod error;
mod events;
mod fetch;
mod job_state;
mod names;
mod pod_state;
mod queue;
mod reason;
mod status;
pub(crate) mod triggers;
mod volume;

use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_backup_api::EtcdBackup;
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::controller::{self, Action};
use kube::runtime::events::Recorder;
use kube::runtime::{Config as ControllerConfig, applier};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::OnceCell;

pub(crate) use self::error::Error;
use self::triggers::{Guarded, Stores};
use crate::config::Config;
use crate::metrics::Metrics;

/// Longest that one reconcile may take. The client itself would wait for a silent API server for
/// minutes.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(60);

/// When a reconcile that failed is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// What every reconcile works with.
pub(crate) struct Context {
    client: Client,
    config: Config,
    stores: Stores,
    metrics: Arc<Metrics>,
    recorder: Recorder,
    cluster_uid: OnceCell<String>,
    backups: Api<EtcdBackup>,
    jobs: Api<Job>,
    pods: Api<Pod>,
}

impl Context {
    /// A context over a client and the stores that [`triggers::watch`] fills.
    #[must_use]
    pub(crate) fn new(client: Client, config: Config, stores: Stores, metrics: Arc<Metrics>) -> Self {
        let namespace = &config.backup_namespace;
        Self {
            recorder: Recorder::new(client.clone(), etcd_backup_api::FIELD_MANAGER.into()),
            cluster_uid: OnceCell::new(),
            backups: Api::all(client.clone()),
            jobs: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            client,
            config,
            stores,
            metrics,
        }
    }
}

/// Runs the controller until the triggers end, and then until the reconciles that are under way do.
pub(crate) async fn run(
    context: Context,
    triggers: impl futures::TryStream<Ok = kube::runtime::reflector::ObjectRef<Guarded>, Error = std::convert::Infallible>,
) {
    let store = context.stores.backups.clone();
    let reconcile = |object: Arc<Guarded>, context: Arc<Context>| bounded(object, context).boxed();
    applier(reconcile, error_policy, Arc::new(context), store, triggers, ControllerConfig::default().concurrency(8))
        .for_each(|result| async {
            match result {
                // A trigger for an object that was deleted meanwhile.
                Ok(_) | Err(controller::Error::ObjectNotFound(_) | controller::Error::ReconcilerFailed(..)) => {}
                Err(error) => tracing::error!(%error, "the controller's queue failed"),
            }
        })
        .await;
}

/// One reconcile within its time, measured.
async fn bounded(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    let began = Instant::now();
    let name = object.name_any();
    let seconds = RECONCILE_TIMEOUT.as_secs();
    let result = tokio::time::timeout(RECONCILE_TIMEOUT, reconcile(&object, &context))
        .await
        .unwrap_or(Err(Error::Timeout { name, seconds }));
    context.metrics.reconcile_seconds.observe(began.elapsed().as_secs_f64());
    context.metrics.reconciles.with_label_values(&[if result.is_ok() { "ok" } else { "error" }]).inc();
    result
}

async fn reconcile(object: &Guarded, context: &Context) -> Result<Action, Error> {
    let known = match &object.0 {
        Ok(backup) => backup,
        Err(invalid) => {
            let error = Error::Unreadable { name: object.name_any(), problem: invalid.error.clone() };
            events::publish_unreadable(context, object, &error).await;
            return Err(error);
        }
    };
    if !fetch::needs_a_decision(known) {
        return Ok(Action::await_change());
    }
    if !context.stores.wait_until_ready().await {
        return Err(Error::Stopping);
    }
    let Some(seen) = fetch::fetch(context, &known.name_any()).await? else { return Ok(Action::await_change()) };
    let now = status::whole_seconds(Timestamp::now());
    let decision = decide::decide(&seen, &context.config.limits, now);
    apply::apply(context, &seen, &decision, now).await?;
    Ok(decision.look_again.map_or_else(Action::await_change, |at| {
        // A second more, because times of the API have whole seconds.
        let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
        Action::requeue(wait + Duration::from_secs(1))
    }))
}

/// Logs, counts, and tries again; an object that cannot be read is not tried before it changes.
#[allow(clippy::needless_pass_by_value, reason = "the applier's signature")]
fn error_policy(object: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    tracing::warn!(etcdbackup = object.name_any(), reason = error.reason(), %error, "reconcile failed");
    context.metrics.reconcile_errors.with_label_values(&[error.reason()]).inc();
    match error {
        Error::Unreadable { .. } => Action::await_change(),
        _ => Action::requeue(RETRY),
    }
}

//! The operator: turns EtcdBackup objects into Jobs, and the agent's reports into status, events
//! and metrics. It holds no credentials of etcd and touches no data.

#![forbid(unsafe_code)]

mod agent_pod;
mod backup;
mod catalogue;
pub mod config;
mod context;
mod endpoints;
mod etcdbackup;
mod events;
mod health;
mod labels;
mod leader;
mod metrics;
mod nodes;
mod owner;
mod reconcile;
mod stand_down;

use std::future::Future;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::unbounded;
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt as _, StreamExt as _, stream};
use kube::Client;
use kube::runtime::reflector::ObjectRef;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::catalogue::Catalogues;
use crate::config::{Config, Platform};
use crate::context::Context;
use crate::etcdbackup::triggers;
use crate::health::Vitals;
use crate::leader::Election;
pub use crate::leader::{InvalidTiming, Loss};
use crate::metrics::{Metrics, Sources};

/// How long the reconciles under way may take to finish when the operator stops. With the release of
/// the Lease this fits into the pod's grace period. What is cut off is done again by the next leader.
const GRACE: Duration = Duration::from_secs(15);

/// Resolves when the operator is asked to stop.
type Shutdown = Shared<BoxFuture<'static, ()>>;

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on port {port}: {source}; set another one with --port")]
    Listen {
        /// The port.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// The HTTP server ended.
    #[error("the server for health and metrics ended: {0}")]
    Health(#[source] std::io::Error),
    /// Two metrics have the same name.
    #[error("metrics cannot be registered: {0}; report this as a bug")]
    Metrics(#[from] prometheus::Error),
    /// The times of the election make no sense.
    #[error(transparent)]
    Timing(#[from] InvalidTiming),
    /// This operator may work no more.
    #[error(transparent)]
    Lost(#[from] Loss),
}

/// Runs everything until `shutdown` resolves or a part ends. With leader election this operator works
/// while it holds the Lease, and stands by before.
///
/// # Errors
/// If a part ends by itself; see [`Error`].
pub async fn run(
    config: Config,
    client: Client,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let listener = listen(config.port).await.map_err(|source| Error::Listen { port: config.port, source })?;
    let metrics = Arc::new(Metrics::new()?);
    let client = metrics::measured(&client, metrics.clone());
    let vitals = Arc::new(Vitals::default());
    let health = health::serve(listener, metrics.clone(), vitals.clone());
    let shutdown = shutdown.boxed().shared();
    tokio::select! {
        result = in_turn(config, client, metrics, vitals, shutdown) => result,
        result = health => result.map_err(Error::Health),
    }
}

/// Waits for the Lease, works while it is held, and releases it.
async fn in_turn(
    config: Config,
    client: Client,
    metrics: Arc<Metrics>,
    vitals: Arc<Vitals>,
    shutdown: Shutdown,
) -> Result<(), Error> {
    if !config.election.leader_elect {
        work(config, client, metrics, vitals, shutdown).await;
        return Ok(());
    }
    metrics.set_leader(false);
    let mut election = Election::new(&client, &config.election, vitals.clone())?;
    let since = tokio::select! {
        since = election.take() => Some(since),
        () = shutdown.clone() => None,
    };
    if let Some(since) = since {
        tokio::select! {
            () = work(config, client, metrics, vitals, shutdown) => {}
            loss = election.hold(since) => return Err(loss.into()),
        }
    }
    election.release().await;
    Ok(())
}

/// Runs the controllers until `shutdown` resolves and the reconciles under way have ended.
async fn work(config: Config, client: Client, metrics: Arc<Metrics>, vitals: Arc<Vitals>, shutdown: Shutdown) {
    vitals.works();
    metrics.set_leader(true);
    let nodes_changed = Arc::new(Notify::new());
    let (catalogues, wakes) = Catalogues::new();
    let (concerns, concerned) = unbounded();
    let (stores, triggers) =
        triggers::watch(&client, &config.backup_namespace, nodes_changed.clone(), &concerns, &catalogues);
    let (schedules, schedule_triggers) =
        backup::triggers::watch(&client, &config.backup_namespace, concerned, wakes.schedules, &catalogues);
    let (runs, job_watch) = catalogue::triggers::watch(&client, &config.backup_namespace, schedules, &catalogues);
    let namespace = config.backup_namespace.clone();
    let endpoints = match config.platform {
        Platform::Kubeadm => endpoints::keep(client.clone(), &namespace, stores.nodes.clone(), nodes_changed).boxed(),
        Platform::OpenShift => std::future::pending().boxed(),
    };
    let (told, verdict) = stand_down::verdicts();
    let stand_down = stand_down::keep(client.clone(), config.platform, told);
    let metered = tell_of(metrics.clone(), stores.clone(), runs.clone(), catalogues.clone());
    let context = Arc::new(Context::new(client, config, stores, runs, catalogues, metrics, verdict.clone()));
    let became_ready = announce(context.clone(), vitals);
    let triggers = stream::select(triggers, wakes.etcdbackups.map(|name| Ok(ObjectRef::new(&name))));
    let controllers = async {
        tokio::join!(
            etcdbackup::run(context.clone(), triggers.take_until(shutdown.clone())),
            backup::run(context.clone(), schedule_triggers.take_until(shutdown.clone())),
            catalogue::run(context.clone(), wakes.claims, shutdown.clone()),
        );
    };
    let upkeep = async {
        tokio::join!(
            endpoints,
            became_ready,
            metered,
            job_watch,
            stand_down,
            stand_down::tell(context.clone(), verdict)
        );
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = controllers => {}
        () = upkeep => {}
        () = async { shutdown.clone().await; tokio::time::sleep(GRACE).await } => {
            tracing::warn!(seconds = GRACE.as_secs(), "reconciles under way are cut off; they are done again");
        }
    }
}

/// Listens on all addresses, of both families where the kernel has IPv6.
async fn listen(port: u16) -> std::io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Err(error) if error.kind() != ErrorKind::AddrInUse => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
        result => result,
    }
}

/// Has the metrics tell of objects once all of them are known.
async fn tell_of(
    metrics: Arc<Metrics>,
    stores: triggers::Stores,
    runs: catalogue::triggers::Stores,
    catalogues: Arc<Catalogues>,
) {
    if stores.wait_until_ready().await && runs.wait_until_ready().await {
        metrics.tell_of(Sources::new(stores, runs, catalogues));
    }
}

/// Says once that everything is known: all objects, and whether somebody else answers to them.
async fn announce(context: Arc<Context>, vitals: Arc<Vitals>) {
    let (stores, runs) = (&context.stores, &context.runs);
    if stores.wait_until_ready().await && runs.wait_until_ready().await && context.standing_down().await.is_ok() {
        vitals.knows();
        tracing::info!(etcdbackups = stores.backups.len(), nodes = stores.nodes.len(), "ready");
    }
}

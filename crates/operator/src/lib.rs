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
mod metrics;
mod nodes;
mod owner;
mod reconcile;

use std::future::Future;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::channel::mpsc::unbounded;
use futures::{FutureExt as _, StreamExt as _, stream};
use kube::Client;
use kube::runtime::reflector::ObjectRef;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::catalogue::Catalogues;
use crate::config::{Config, Platform};
use crate::context::Context;
use crate::etcdbackup::triggers;
use crate::metrics::Metrics;

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
}

/// Runs everything until `shutdown` resolves or a part ends.
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
    let nodes_changed = Arc::new(Notify::new());
    let (catalogues, wakes) = Catalogues::new();
    let (concerns, concerned) = unbounded();
    let (stores, triggers) =
        triggers::watch(&client, &config.backup_namespace, nodes_changed.clone(), &concerns, &catalogues);
    let (schedules, schedule_triggers) =
        backup::triggers::watch(&client, &config.backup_namespace, concerned, wakes.schedules, &catalogues);
    let (runs, job_watch) = catalogue::triggers::watch(&client, &config.backup_namespace, schedules, &catalogues);
    let ready = Arc::new(AtomicBool::new(false));
    let namespace = config.backup_namespace.clone();
    let endpoints = match config.platform {
        Platform::Kubeadm => endpoints::keep(client.clone(), &namespace, stores.nodes.clone(), nodes_changed).boxed(),
        Platform::OpenShift => std::future::pending().boxed(),
    };
    let became_ready = announce(stores.clone(), ready.clone());
    let health = health::serve(listener, metrics.clone(), ready);
    let shutdown = shutdown.boxed().shared();
    let context = Arc::new(Context::new(client, config, stores, runs, catalogues, metrics));
    let triggers = stream::select(triggers, wakes.etcdbackups.map(|name| Ok(ObjectRef::new(&name))));
    let controllers = async {
        tokio::join!(
            etcdbackup::run(context.clone(), triggers.take_until(shutdown.clone())),
            backup::run(context.clone(), schedule_triggers.take_until(shutdown.clone())),
            catalogue::run(context.clone(), wakes.claims, shutdown),
        );
    };
    tokio::select! {
        () = controllers => Ok(()),
        result = health => result.map_err(Error::Health),
        () = async { tokio::join!(endpoints, became_ready, job_watch); std::future::pending::<()>().await } => Ok(()),
    }
}

/// Listens on all addresses, of both families where the kernel has IPv6.
async fn listen(port: u16) -> std::io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Err(error) if error.kind() != ErrorKind::AddrInUse => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
        result => result,
    }
}

/// Says once that everything is known.
async fn announce(stores: triggers::Stores, ready: Arc<AtomicBool>) {
    if stores.wait_until_ready().await {
        ready.store(true, Ordering::Relaxed);
        tracing::info!(etcdbackups = stores.backups.len(), nodes = stores.nodes.len(), "ready");
    }
}

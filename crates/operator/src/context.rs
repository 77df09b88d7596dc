//! What every reconcile works with, whichever controller's it is.

use std::sync::Arc;

use etcd_backup_api::{Backup, EtcdBackup, FIELD_MANAGER};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::runtime::events::Recorder;
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::{OnceCell, watch};

use crate::catalogue::{self, Catalogues};
use crate::config::Config;
use crate::etcdbackup::status::whole_seconds;
use crate::etcdbackup::triggers::Stores;
use crate::metrics::Metrics;
use crate::reconcile::Error;
use crate::stand_down::{self, Verdict};

/// Client, configuration, and what is kept in memory.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) config: Config,
    /// What the watches keep of the cluster.
    pub(crate) stores: Stores,
    /// What they keep of schedules and their runs.
    pub(crate) runs: catalogue::triggers::Stores,
    pub(crate) catalogues: Arc<Catalogues>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) recorder: Recorder,
    /// Since when the operator looks, UTC.
    pub(crate) awake: Timestamp,
    pub(crate) etcdbackups: Api<EtcdBackup>,
    pub(crate) backups: Api<Backup>,
    pub(crate) cron_jobs: Api<CronJob>,
    pub(crate) config_maps: Api<ConfigMap>,
    pub(crate) jobs: Api<Job>,
    pub(crate) pods: Api<Pod>,
    verdict: watch::Receiver<Verdict>,
    cluster_uid: OnceCell<String>,
}

impl Context {
    /// A context over a client and the stores that the watches fill.
    #[must_use]
    pub(crate) fn new(
        client: Client,
        config: Config,
        stores: Stores,
        runs: catalogue::triggers::Stores,
        catalogues: Arc<Catalogues>,
        metrics: Arc<Metrics>,
        verdict: watch::Receiver<Verdict>,
    ) -> Self {
        let namespace = &config.backup_namespace;
        Self {
            recorder: Recorder::new(client.clone(), FIELD_MANAGER.into()),
            awake: whole_seconds(Timestamp::now()),
            etcdbackups: Api::all(client.clone()),
            backups: Api::all(client.clone()),
            cron_jobs: Api::namespaced(client.clone(), namespace),
            config_maps: Api::namespaced(client.clone(), namespace),
            jobs: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            verdict,
            cluster_uid: OnceCell::new(),
            client,
            config,
            stores,
            runs,
            catalogues,
            metrics,
        }
    }

    /// Why nothing is to be started now, if so.
    pub(crate) async fn standing_down(&self) -> Result<Option<String>, Error> {
        stand_down::why(&self.verdict).await
    }

    /// The uid of kube-system, which names the cluster; it never changes, so that it is read once.
    pub(crate) async fn cluster_uid(&self) -> Result<&str, Error> {
        let read = || async {
            let api: Api<Namespace> = Api::all(self.client.clone());
            let namespace = api.get_metadata("kube-system").await.map_err(Error::read("Namespace kube-system"))?;
            Ok(namespace.uid().unwrap_or_default())
        };
        self.cluster_uid.get_or_try_init(read).await.map(String::as_str)
    }
}

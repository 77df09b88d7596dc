//! What is asked of the API server, with the rights of whoever runs the plugin.

use std::fmt::Debug;

use etcd_backup_api::{Backup, EtcdBackup};
use futures::AsyncBufRead;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, LogParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};
use serde::de::DeserializeOwned;

use crate::cli::Connection;
use crate::error::{Error, chain};

/// Objects that are asked for at a time; a cluster may hold thousands of records.
const PAGE: u32 = 500;

/// Where Kubernetes keeps the events of cluster-scoped objects.
const EVENTS_OF_CLUSTER: &str = "default";

/// The cluster, and the namespace of the claims and the Jobs.
pub(crate) struct Cluster {
    client: Client,
    pub(crate) namespace: String,
}

impl Cluster {
    /// Reads the kubeconfig; nothing is asked yet. A log that is followed may be silent for long, so that
    /// the request timeout then only bounds the connecting.
    ///
    /// # Errors
    /// If there is no usable kubeconfig.
    pub(crate) async fn connect(connection: &Connection, follows: bool) -> Result<Self, Error> {
        let mut config = configuration(connection).await?;
        let limit = Some(connection.request_timeout).filter(|limit| !limit.is_zero());
        config.connect_timeout = limit;
        config.write_timeout = limit;
        config.read_timeout = limit.filter(|_| !follows);
        let client = Client::try_from(config).map_err(|error| Error::Configuration(chain(&error)))?;
        Ok(Self { client, namespace: connection.namespace.clone() })
    }

    /// Every EtcdBackup.
    pub(crate) async fn etcd_backups(&self) -> Result<Vec<EtcdBackup>, Error> {
        all(&Api::all(self.client.clone()), ListParams::default(), "EtcdBackups").await
    }

    /// Every Backup.
    pub(crate) async fn backups(&self) -> Result<Vec<Backup>, Error> {
        all(&Api::all(self.client.clone()), ListParams::default(), "Backups").await
    }

    /// The claims of the namespace.
    pub(crate) async fn claims(&self) -> Result<Vec<PersistentVolumeClaim>, Error> {
        let api = Api::namespaced(self.client.clone(), &self.namespace);
        all(&api, ListParams::default(), "PersistentVolumeClaims").await
    }

    /// One EtcdBackup.
    pub(crate) async fn etcd_backup(&self, name: &str) -> Result<EtcdBackup, Error> {
        let api: Api<EtcdBackup> = Api::all(self.client.clone());
        api.get(name).await.map_err(Error::of("read", format!("EtcdBackup {name}")))
    }

    /// One Backup.
    pub(crate) async fn backup(&self, name: &str) -> Result<Backup, Error> {
        let api: Api<Backup> = Api::all(self.client.clone());
        api.get(name).await.map_err(Error::of("read", format!("Backup {name}")))
    }

    /// Creates an EtcdBackup.
    pub(crate) async fn create_etcd_backup(&self, backup: &EtcdBackup) -> Result<EtcdBackup, Error> {
        let api: Api<EtcdBackup> = Api::all(self.client.clone());
        let what = format!("EtcdBackup {}", backup.name_any());
        api.create(&PostParams::default(), backup).await.map_err(Error::of("create", what))
    }

    /// A Deployment, if it is there.
    pub(crate) async fn deployment(&self, namespace: &str, name: &str) -> Result<Option<Deployment>, Error> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
        api.get_opt(name).await.map_err(Error::of("read", format!("Deployment {namespace}/{name}")))
    }

    /// A CronJob of the namespace, if it is there.
    pub(crate) async fn cron_job(&self, name: &str) -> Result<Option<CronJob>, Error> {
        let api: Api<CronJob> = Api::namespaced(self.client.clone(), &self.namespace);
        api.get_opt(name).await.map_err(Error::of("read", format!("CronJob {}/{name}", self.namespace)))
    }

    /// A Job, if it is there.
    pub(crate) async fn job(&self, namespace: &str, name: &str) -> Result<Option<Job>, Error> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), namespace);
        api.get_opt(name).await.map_err(Error::of("read", format!("Job {namespace}/{name}")))
    }

    /// Creates a Job in the namespace.
    pub(crate) async fn create_job(&self, job: &Job) -> Result<Job, Error> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace);
        let what = format!("a Job in namespace {}", self.namespace);
        api.create(&PostParams::default(), job).await.map_err(Error::of("create", what))
    }

    /// Deletes a Job of the namespace, and its pods.
    pub(crate) async fn delete_job(&self, name: &str) -> Result<(), Error> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace);
        let deleted = api.delete(name, &DeleteParams::background()).await;
        deleted.map(drop).map_err(Error::of("delete", format!("Job {}/{name}", self.namespace)))
    }

    /// The pods of a Job, the newest last.
    pub(crate) async fn pods(&self, namespace: &str, job: &str) -> Result<Vec<Pod>, Error> {
        let api = Api::namespaced(self.client.clone(), namespace);
        let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
        let mut pods: Vec<Pod> = all(&api, of_job, "pods").await?;
        pods.sort_by_key(|pod| (pod.creation_timestamp(), pod.name_any()));
        Ok(pods)
    }

    /// The log of a pod's agent.
    pub(crate) async fn log(
        &self,
        namespace: &str,
        pod: &str,
        follow: bool,
    ) -> Result<impl AsyncBufRead + use<>, Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let container = Some(crate::jobs::CONTAINER.to_owned());
        let parameters = LogParams { container, follow, ..LogParams::default() };
        api.log_stream(pod, &parameters).await.map_err(Error::of("read", format!("the log of pod {namespace}/{pod}")))
    }

    /// The events about a cluster-scoped object of ours, or about an object of a namespace.
    pub(crate) async fn events(&self, namespace: Option<&str>, kind: &str, name: &str) -> Result<Vec<Event>, Error> {
        let api = Api::namespaced(self.client.clone(), namespace.unwrap_or(EVENTS_OF_CLUSTER));
        let about = ListParams::default().fields(&format!("regarding.kind={kind},regarding.name={name}"));
        all(&api, about, "events").await
    }
}

async fn configuration(connection: &Connection) -> Result<Config, Error> {
    let Connection { kubeconfig, context, .. } = connection;
    if kubeconfig.is_none() && context.is_none() {
        return Config::infer().await.map_err(|error| Error::Configuration(chain(&error)));
    }
    let read = match kubeconfig {
        Some(path) => Kubeconfig::read_from(path)
            .map_err(|error| Error::Kubeconfig { path: path.clone(), reason: chain(&error) })?,
        None => Kubeconfig::read().map_err(|error| Error::Configuration(chain(&error)))?,
    };
    let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(read, &options).await.map_err(|error| Error::Configuration(chain(&error)))
}

/// All objects of a list, page by page.
async fn all<K>(api: &Api<K>, parameters: ListParams, what: &str) -> Result<Vec<K>, Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut parameters = parameters.limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = api.list(&parameters).await.map_err(Error::of("list", what))?;
        found.extend(page.items);
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() => parameters = parameters.continue_token(&token),
            _ => return Ok(found),
        }
    }
}

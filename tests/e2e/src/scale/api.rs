//! The API server with the product installed as shipped, who the operator is there, and what it asked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use etcd_backup_api::EtcdBackup;
use etcd_backup_testbed::{ApiServer, Kubectl as _, repository};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::bed::OPERATOR_NAMESPACE;
use crate::manifests;

/// The operator's name in the shipped manifests.
const OPERATOR: &str = "etcd-backup-operator";
/// How long anything may take that should happen at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// The API server's log of the operator's requests, one line each.
pub struct AuditLog {
    dir: TempDir,
}

impl AuditLog {
    /// A place for the log, and the policy by which it is written.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn new() -> Result<Self> {
        let log = Self { dir: TempDir::with_prefix("etcd-backup-audit-")? };
        let operator = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR}");
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
            "omitStages": ["ResponseStarted", "ResponseComplete", "Panic"],
            "rules": [{"level": "Metadata", "users": [operator]}, {"level": "None"}],
        });
        fs::write(log.dir.path().join("policy.yaml"), policy.to_string())?;
        Ok(log)
    }

    /// What kube-apiserver has to be told.
    #[must_use]
    pub fn arguments(&self) -> [String; 2] {
        let file = |name| self.dir.path().join(name).display().to_string();
        [format!("--audit-policy-file={}", file("policy.yaml")), format!("--audit-log-path={}", file("audit.log"))]
    }

    /// All requests so far: verb and resource.
    pub(super) fn requests(&self) -> Result<Vec<String>> {
        let text = fs::read_to_string(self.dir.path().join("audit.log")).context("read the audit log")?;
        // The last line may be half written.
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let request = |event: Value| {
            let about = &event["objectRef"];
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let what = [word(&about["resource"]), word(&about["subresource"])];
            format!("{} {}", word(&event["verb"]), what.join("/").trim_matches('/'))
        };
        Ok(events.map(request).collect())
    }
}

/// How often each was asked, the most frequent first.
pub(super) fn counted(requests: Vec<String>) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for request in requests {
        *counts.entry(request).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(request, count)| (std::cmp::Reverse(*count), request.clone()));
    counts
}

/// An API server with CRDs, permissions and admission policy, and no controllers but ours.
pub(super) struct Cluster {
    dir: TempDir,
    /// As an administrator.
    pub(super) admin: Client,
    /// As the operator.
    pub(super) operator: Client,
}

impl Cluster {
    /// Installs what `kubectl apply -k config/overlays/kubernetes` does; nobody starts its Deployment.
    pub(super) async fn install(server: &ApiServer) -> Result<Self> {
        let overlay = repository().join("config/overlays/kubernetes");
        server.kubectl(&[
            "apply",
            "--server-side",
            "-k",
            overlay.to_str().context("the repository's path is not UTF-8")?,
        ])?;
        let dir = TempDir::with_prefix("etcd-backup-scale-")?;
        let kubeconfig = dir.path().join("operator.kubeconfig");
        write_kubeconfig(server, &kubeconfig)?;
        let cluster = Self { admin: client(server.kubeconfig()).await?, operator: client(&kubeconfig).await?, dir };
        let kinds: Api<EtcdBackup> = Api::all(cluster.admin.clone());
        let began = Instant::now();
        while let Err(error) = kinds.list_metadata(&kube::api::ListParams::default().limit(1)).await {
            if began.elapsed() > PATIENCE {
                bail!("the CRDs are not served after {} s: {error}", PATIENCE.as_secs());
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(cluster)
    }

    /// The operator's kubeconfig, as it has its token in a pod.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("operator.kubeconfig")
    }

    /// Where the operator logs.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.path().join("operator.log")
    }

    /// The uid of kube-system, which names the cluster.
    pub(super) async fn uid(&self) -> Result<String> {
        let namespaces: Api<Namespace> = Api::all(self.admin.clone());
        namespaces.get("kube-system").await?.metadata.uid.context("kube-system has no uid")
    }

    /// Creates an EtcdBackup on a claim that is not there, and waits until its status says so.
    pub(super) async fn reaction(&self, name: &str) -> Result<Duration> {
        let api: Api<EtcdBackup> = Api::all(self.admin.clone());
        let object = serde_json::from_value(manifests::etcd_backup(name, &format!("missing-{name}")))?;
        api.create(&PostParams::default(), &object).await?;
        let began = Instant::now();
        loop {
            let status = api.get(name).await?.status.unwrap_or_default();
            let took = began.elapsed();
            if status.reason.as_deref() == Some("PVCNotFound") {
                return Ok(took);
            }
            if took > PATIENCE {
                bail!("EtcdBackup {name} says {:?} after {} s", status.reason, PATIENCE.as_secs());
            }
            sleep(Duration::from_millis(2)).await;
        }
    }
}

/// The administrator's kubeconfig with the token of the operator's ServiceAccount instead, and its namespace.
fn write_kubeconfig(server: &ApiServer, path: &Path) -> Result<()> {
    let mut config = server.kubectl_json(&["config", "view", "--raw", "--minify", "--flatten"])?;
    let token = server.kubectl(&["-n", OPERATOR_NAMESPACE, "create", "token", OPERATOR, "--duration=24h"])?.stdout;
    config["users"][0]["user"] = json!({"token": token.trim()});
    config["contexts"][0]["context"]["namespace"] = OPERATOR_NAMESPACE.into();
    fs::write(path, config.to_string()).with_context(|| format!("write {}", path.display()))
}

async fn client(kubeconfig: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

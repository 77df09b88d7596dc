//! A real API server with our CRDs and our RBAC; the test plays scheduler, kubelet and the Job
//! controller by writing what these would write.

use std::fmt::Debug;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use clap::Parser as _;
use etcd_backup_api::{EtcdBackup, EtcdBackupStatus};
use etcd_backup_operator::config::Config;
use etcd_backup_testbed::{ApiServer, Kubectl as _};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolumeClaim, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, oneshot};
use tokio::task::JoinHandle;

/// The operator's identity in the shipped manifests.
const OPERATOR: &str = "system:serviceaccount:etcd-backup-operator:etcd-backup-operator";

/// The namespace of the shipped manifests.
pub(crate) const OPERATOR_NAMESPACE: &str = "etcd-backup-operator";

/// How long anything that should happen may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long is watched for what should not happen.
const CALM: Duration = Duration::from_millis(1500);

/// EtcdBackups are cluster-scoped and every operator sees all of them, so the tests take turns.
static TURN: Mutex<()> = Mutex::const_new(());

/// One for all tests of this program; it is killed when the program ends.
fn api_server() -> &'static ApiServer {
    static SERVER: OnceLock<ApiServer> = OnceLock::new();
    SERVER.get_or_init(|| ApiServer::start().unwrap())
}

pub(crate) struct Bed {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) backups: Api<EtcdBackup>,
    pub(crate) jobs: Api<Job>,
    pub(crate) pods: Api<Pod>,
    _turn: MutexGuard<'static, ()>,
}

/// An operator in this process.
pub(crate) struct Operator {
    shutdown: oneshot::Sender<()>,
    task: JoinHandle<Result<(), etcd_backup_operator::Error>>,
}

impl Operator {
    /// As by SIGTERM.
    pub(crate) async fn stop(self) {
        self.shutdown.send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }

    /// As by SIGKILL: at whatever it is doing.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.is_err());
    }

    /// Waits until it ends by itself, and gives why.
    pub(crate) async fn ends(self) -> String {
        let ended = tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap();
        ended.unwrap_err().to_string()
    }
}

impl Bed {
    /// A namespace of its own with a ready control-plane node, a bound claim `claim`, and no
    /// EtcdBackup.
    pub(crate) async fn new(test: &str) -> Self {
        let turn = TURN.lock().await;
        let server = tokio::task::spawn_blocking(api_server).await.unwrap();
        let namespace = format!("test-{test}");
        let client = client(server, None).await;
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        for crd in etcd_backup_api::crds() {
            apply(&crds, serde_json::to_value(crd).unwrap()).await;
        }
        let bed = Self {
            backups: Api::all(client.clone()),
            jobs: Api::namespaced(client.clone(), &namespace),
            pods: Api::namespaced(client.clone(), &namespace),
            client,
            namespace,
            _turn: turn,
        };
        eventually("the CRDs are served", || async { bed.backups.list_metadata(&ListParams::default()).await.is_ok() })
            .await;
        for left in bed.backups.list_metadata(&ListParams::default()).await.unwrap() {
            bed.kubectl(&["delete", "etcdbackup", &left.name_any()]);
        }
        bed.kubectl(&["delete", "backup", "--all"]);
        eventually("no EtcdBackup is left", || async {
            bed.backups.list_metadata(&ListParams::default()).await.unwrap().items.is_empty()
        })
        .await;
        let namespaces: Api<Namespace> = Api::all(bed.client.clone());
        apply(&namespaces, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": bed.namespace}})).await;
        bed.install_rbac(server);
        bed.node("master-0", true).await;
        bed.claim("claim", "Bound").await;
        bed
    }

    fn install_rbac(&self, server: &ApiServer) {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
        for file in
            ["operator/namespace.yaml", "rbac/cluster_role.yaml", "rbac/events_role.yaml", "rbac/lease_role.yaml"]
        {
            server.kubectl(&["apply", "-f", config.join(file).to_str().unwrap()]).unwrap();
        }
        let role = config.join("backup-namespace/role.yaml");
        server.kubectl(&["-n", &self.namespace, "apply", "-f", role.to_str().unwrap()]).unwrap();
    }

    /// kubectl with an administrator's rights.
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        api_server().kubectl(args).unwrap().stdout
    }

    /// kubectl with an administrator's rights and this on its standard input.
    pub(crate) fn kubectl_stdin(&self, args: &[&str], input: &str) {
        api_server().kubectl_stdin(args, input).unwrap();
    }

    /// Starts an operator with the rights that we ship, which works without being elected.
    pub(crate) async fn operator(&self, flags: &[&str]) -> Operator {
        self.operator_on("kubeadm", &[&["--leader-elect=false"], flags].concat()).await
    }

    /// Starts an operator with the rights that we ship.
    pub(crate) async fn operator_on(&self, platform: &str, flags: &[&str]) -> Operator {
        let base = ["etcd-backup-operator", "--platform", platform, "--image", "example.org/etcd-backup:1"];
        let place = ["--backup-namespace", &self.namespace];
        let port: &[&str] = if flags.contains(&"--port") { &[] } else { &["--port", "0"] };
        let config = Config::parse_from(base.iter().chain(&place).chain(port).chain(flags));
        let client = client(api_server(), Some(OPERATOR)).await;
        let (shutdown, ended) = oneshot::channel();
        let task = tokio::spawn(etcd_backup_operator::run(config, client, async { drop(ended.await) }));
        Operator { shutdown, task }
    }

    pub(crate) async fn node(&self, name: &str, ready: bool) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let labels = json!({"node-role.kubernetes.io/control-plane": "", "kubernetes.io/hostname": name});
        apply(&nodes, json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})).await;
        let ready = json!({"type": "Ready", "status": if ready { "True" } else { "Unknown" }});
        let addresses = json!([{"type": "InternalIP", "address": "10.0.0.1"}]);
        write_status(&nodes, name, json!({"conditions": [ready], "addresses": addresses})).await;
    }

    pub(crate) async fn claim(&self, name: &str, phase: &str) {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &self.namespace);
        let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        let claim =
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec});
        apply(&claims, claim).await;
        write_status(&claims, name, json!({"phase": phase})).await;
    }

    /// Creates an EtcdBackup on the claim.
    pub(crate) async fn backup(&self, name: &str, claim: &str) -> EtcdBackup {
        self.create(json!({"metadata": {"name": name}, "spec": {"pvcName": claim}})).await
    }

    pub(crate) async fn create(&self, mut object: Value) -> EtcdBackup {
        object["apiVersion"] = "operator.openshift.io/v1alpha1".into();
        object["kind"] = "EtcdBackup".into();
        let backup = serde_json::from_value(object).unwrap();
        self.backups.create(&PostParams::default(), &backup).await.unwrap()
    }

    /// Waits until the status says `phase/reason`.
    pub(crate) async fn until(&self, name: &str, expected: &str) -> EtcdBackupStatus {
        let began = Instant::now();
        loop {
            let status = self.backups.get(name).await.unwrap().status.unwrap_or_default();
            let said = said(&status);
            if said == expected {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "EtcdBackup {name} is {said}, not {expected}: {status:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asserts that the status goes on saying `phase/reason`.
    pub(crate) async fn stays(&self, name: &str, expected: &str) {
        let began = Instant::now();
        while began.elapsed() < CALM {
            let status = self.backups.get(name).await.unwrap().status.unwrap_or_default();
            assert_eq!(said(&status), expected);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Names of the Jobs of a component.
    pub(crate) async fn jobs_of(&self, component: &str) -> Vec<String> {
        let ours = ListParams::default().labels(&format!("app.kubernetes.io/component={component}"));
        self.jobs.list(&ours).await.unwrap().items.iter().map(ResourceExt::name_any).collect()
    }

    /// Waits for the Job of a status, plays the Job controller that creates its pod, and gives the
    /// pod's name.
    pub(crate) async fn pod_of(&self, job: &str) -> String {
        eventually("the Job is created", || async { self.jobs.get_opt(job).await.unwrap().is_some() }).await;
        let template = self.jobs.get(job).await.unwrap().spec.unwrap().template;
        let name = format!("{job}-abcde");
        let mut spec = template.spec.unwrap();
        spec.node_name = Some("master-0".into());
        let mut pod = Pod { spec: Some(spec), ..Pod::default() };
        pod.metadata.name = Some(name.clone());
        pod.metadata.labels = template.metadata.unwrap().labels;
        self.pods.create(&PostParams::default(), &pod).await.unwrap();
        name
    }

    /// Plays kubelet: what it says of the pod's container.
    pub(crate) async fn kubelet_says(&self, pod: &str, phase: &str, state: Value) {
        let container = json!({"name": "etcd-backup", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        write_status(&self.pods, pod, json!({"phase": phase, "containerStatuses": [container]})).await;
    }

    pub(crate) async fn pod_runs(&self, pod: &str) {
        self.kubelet_says(pod, "Running", json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}})).await;
    }

    /// The agent ends with this report.
    pub(crate) async fn pod_reports(&self, pod: &str, report: &Value) {
        let completed = report["outcome"] == "Completed";
        let end = json!({"exitCode": i32::from(!completed), "reason": "Ended", "message": report.to_string(),
                         "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:07Z"});
        self.kubelet_says(pod, if completed { "Succeeded" } else { "Failed" }, json!({"terminated": end})).await;
    }

    /// Plays the Job controller: the Job is complete.
    pub(crate) async fn job_completes(&self, job: &str) {
        let condition = |type_: &str| json!({"type": type_, "status": "True", "reason": "CompletionsReached", "message": "", "lastTransitionTime": "2026-01-01T00:00:08Z", "lastProbeTime": null});
        write_status(
            &self.jobs,
            job,
            json!({
                "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:08Z", "succeeded": 1,
                "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
            }),
        )
        .await;
    }

    /// Plays the Job controller: the Job has failed.
    pub(crate) async fn job_fails(&self, job: &str, reason: &str) {
        let condition = |type_: &str| json!({"type": type_, "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:08Z", "lastProbeTime": null});
        write_status(
            &self.jobs,
            job,
            json!({
                "startTime": "2026-01-01T00:00:00Z", "failed": 1,
                "conditions": [condition("FailureTarget"), condition("Failed")],
            }),
        )
        .await;
    }

    /// Plays a user who deletes a Job, and the garbage collector that deletes its pods.
    pub(crate) async fn delete_job(&self, job: &str) {
        let now = DeleteParams::background().grace_period(0);
        let pods = self.pods.list(&ListParams::default()).await.unwrap();
        for pod in pods.iter().map(ResourceExt::name_any).filter(|pod| pod.starts_with(job)) {
            self.pods.delete(&pod, &now).await.unwrap();
        }
        self.jobs.delete(job, &now).await.unwrap();
    }

    /// Reasons of the events about an EtcdBackup.
    pub(crate) fn events(&self, name: &str) -> Vec<String> {
        let about = format!("regarding.name={name}");
        let events = ["get", "events.events.k8s.io", "-n", "default", "--field-selector", &about];
        let print = ["-o", "jsonpath={range .items[*]}{.reason}{\"\\n\"}{end}"];
        self.kubectl(&[&events[..], &print].concat()).lines().map(str::to_owned).collect()
    }
}

/// A report of the run of an EtcdBackup.
pub(crate) fn report(backup: &EtcdBackup, outcome: &str, reason: &str) -> Value {
    let snapshot = json!({"revision": 4711, "sizeBytes": 126_000_000, "sha256": "ab", "etcdVersion": "3.6.4",
                          "clusterId": "c1", "memberId": "m1", "raftTerm": 9});
    let set = json!({"name": format!("backup-{}-2026-01-01_000000-0b8f6f53", backup.name_any()), "sequence": 1, "verified": true,
                     "files": [{"name": "backup.json", "sizeBytes": 900}], "snapshot": snapshot});
    json!({"schemaVersion": "1.0", "runId": backup.uid(), "outcome": outcome, "reason": reason, "message": "said the agent",
           "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:07Z", "node": "master-0",
           "set": if outcome == "Completed" { set } else { Value::Null }})
}

pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn said(status: &EtcdBackupStatus) -> String {
    format!("{}/{}", status.phase.as_deref().unwrap_or_default(), status.reason.as_deref().unwrap_or_default())
}

async fn apply<K: Clone + DeserializeOwned + Debug>(api: &Api<K>, object: Value) -> K {
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    api.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(object)).await.unwrap()
}

pub(crate) async fn write_status<K: DeserializeOwned>(api: &Api<K>, name: &str, status: Value) {
    let patch = Patch::Merge(json!({"status": status}));
    api.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
}

async fn client(server: &ApiServer, user: Option<&str>) -> Client {
    let kubeconfig = Kubeconfig::read_from(server.kubeconfig()).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    if let Some(user) = user {
        // As in a pod, where it is the pod's own.
        config.default_namespace = OPERATOR_NAMESPACE.into();
        config.headers.push(("impersonate-user".parse().unwrap(), user.parse().unwrap()));
    }
    Client::try_from(config).unwrap()
}

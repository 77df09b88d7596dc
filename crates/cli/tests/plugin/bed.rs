//! A real API server with our CRDs, and kubectl with the plugin in its PATH.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use etcd_backup_testbed::{ApiServer, Kubectl as _, tool};
use serde_json::{Value, json};

pub(crate) const NAMESPACE: &str = "openshift-etcd";

/// Label of the Job that shows a plan.
pub(crate) const PLAN: &str = "app.kubernetes.io/component=prune-plan";

/// How long anything that should happen may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// EtcdBackups are cluster-scoped and `status` sees all of them, so the tests take turns.
static TURN: Mutex<()> = Mutex::new(());

pub(crate) struct Bed {
    pub(crate) server: &'static ApiServer,
    _turn: MutexGuard<'static, ()>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// One for all tests; it is killed when the program ends.
fn api_server() -> &'static ApiServer {
    static SERVER: OnceLock<ApiServer> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = ApiServer::start().unwrap();
        let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/crd");
        server.kubectl(&["apply", "--server-side", "-k", crds]).unwrap();
        server.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"]).unwrap();
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        server.kubectl_stdin(&["apply", "-f", "-"], &namespace.to_string()).unwrap();
        server
    })
}

impl Bed {
    /// The API server without Backups and EtcdBackups.
    pub(crate) fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let bed = Self { server: api_server(), _turn: turn };
        bed.server.kubectl(&["delete", "etcdbackup,backup", "--all"]).unwrap();
        bed.server
            .kubectl(&["-n", NAMESPACE, "delete", "job,cronjob,pod", "--all", "--force", "--grace-period=0"])
            .unwrap();
        bed
    }

    /// `kubectl etcd-backup ...`, ready to run.
    pub(crate) fn command(&self, kubeconfig: &Path, args: &[&str]) -> Command {
        let plugin = Path::new(env!("CARGO_BIN_EXE_kubectl-etcd_backup"));
        let path = env::join_paths(
            [plugin.parent().unwrap().to_owned()]
                .into_iter()
                .chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())),
        );
        let mut command = Command::new(tool("kubectl").unwrap());
        command.arg("etcd-backup").args(args).env("PATH", path.unwrap()).env("KUBECONFIG", kubeconfig);
        command.stdin(Stdio::null());
        command
    }

    /// Runs the plugin as an administrator.
    pub(crate) fn plugin(&self, args: &[&str]) -> Ended {
        ended(&mut self.command(self.server.kubeconfig(), args))
    }

    /// Creates an object, and gives it a status as its controller would.
    pub(crate) fn create(&self, object: &Value, status: &Value) {
        self.server.kubectl_stdin(&["create", "-f", "-"], &object.to_string()).unwrap();
        let kind = object["kind"].as_str().unwrap().to_lowercase();
        self.tell(&kind, object["metadata"]["name"].as_str().unwrap(), status);
    }

    /// Writes a status.
    pub(crate) fn tell(&self, kind: &str, name: &str, status: &Value) {
        let patch = json!({"status": status}).to_string();
        let patch = ["patch", kind, name, "--subresource=status", "--type=merge", "-p", &patch];
        self.server.kubectl(&[&["-n", NAMESPACE][..], &patch].concat()).unwrap();
    }

    /// The objects of a kind that carry a label.
    pub(crate) fn labelled(&self, kind: &str, label: &str) -> Vec<Value> {
        let list = self.server.kubectl_json(&["-n", NAMESPACE, "get", kind, "-l", label]).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// A Backup with the CronJob that the operator makes for it.
    pub(crate) fn schedule(&self) {
        let golden = include_str!("../../../operator/tests/golden/cronjob-kubeadm.yaml");
        self.server.kubectl_stdin(&["create", "-f", "-"], golden).unwrap();
        self.create(&backup("nightly"), &json!({"cronJob": {"namespace": NAMESPACE, "name": "nightly"}}));
    }

    /// Waits for the Job that shows a plan; gives its name.
    pub(crate) fn plan_job(&self) -> String {
        let job = eventually("the Job is created", || self.labelled("job", PLAN).pop());
        job["metadata"]["name"].as_str().unwrap().to_owned()
    }

    /// Plays the Job controller: the Job has ended.
    pub(crate) fn job_ends(&self, job: &str, how: &str) {
        let condition = |type_: &str| condition(type_, "True", "Ended", "for the test");
        let (before, count) =
            if how == "Complete" { ("SuccessCriteriaMet", "succeeded") } else { ("FailureTarget", "failed") };
        let mut status =
            json!({"startTime": "2026-01-01T00:00:00Z", "conditions": [condition(before), condition(how)]});
        status[count] = 1.into();
        if how == "Complete" {
            status["completionTime"] = "2026-01-01T00:00:08Z".into();
        }
        self.tell("job", job, &status);
    }

    /// Plays the Job controller and kubelet: a pod whose agent has ended, on a node that is none.
    pub(crate) fn ended_pod(&self, job: &str) {
        let name = format!("{job}-pod");
        let metadata = json!({"name": name, "namespace": NAMESPACE, "labels": {"batch.kubernetes.io/job-name": job}});
        let spec = json!({"nodeName": "nowhere", "containers": [{"name": "etcd-backup", "image": "none"}]});
        let state = json!({"terminated": {"exitCode": 0, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:07Z"}});
        let container = json!({"name": "etcd-backup", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
        self.create(&pod, &json!({"phase": "Succeeded", "containerStatuses": [container]}));
    }

    /// A kubeconfig of somebody without any right.
    pub(crate) fn nobody(&self, name: &str) -> PathBuf {
        self.server.user_kubeconfig(name, &["system:authenticated"]).unwrap()
    }
}

/// Runs a command to its end.
pub(crate) fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// Waits until something is there.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        sleep(Duration::from_millis(100));
    }
}

pub(crate) fn etcd_backup(name: &str) -> Value {
    json!({"apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup", "metadata": {"name": name}, "spec": {"pvcName": "claim"}})
}

/// The record of a scheduled run.
pub(crate) fn record(name: &str, schedule: &str) -> Value {
    let mut object = etcd_backup(name);
    object["spec"]["recorded"] = json!({"backup": schedule, "runId": "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11"});
    object
}

pub(crate) fn backup(name: &str) -> Value {
    let etcd = json!({"schedule": "20 4 * * *", "timeZone": "UTC", "pvcName": "claim"});
    json!({"apiVersion": "config.openshift.io/v1alpha1", "kind": "Backup", "metadata": {"name": name}, "spec": {"etcd": etcd}})
}

pub(crate) fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

/// The status of a backup that was made at a time.
pub(crate) fn completed(time: &str) -> Value {
    let snapshot = json!({"revision": 4711, "sizeBytes": 7_000_000, "sha256": "ab12", "clusterId": "c1", "memberId": "m1", "raftTerm": 9});
    json!({
        "phase": "Completed", "reason": "Completed", "startTime": time, "completionTime": time, "duration": "2s", "size": "7.5 MiB",
        "jobName": "etcd-backup-b", "backupJob": {"namespace": NAMESPACE, "name": "etcd-backup-b"}, "location": "pvc://openshift-etcd/claim/set",
        "snapshot": snapshot, "conditions": [condition("Ready", "True", "Completed", "saved"), condition("Verified", "True", "Verified", "proven")],
    })
}

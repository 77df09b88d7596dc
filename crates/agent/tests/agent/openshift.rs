//! What OpenShift's objects say of the cluster, written to etcd by a real kube-apiserver with
//! OpenShift's prefix.

use std::fs;
use std::time::Duration;

use etcd_backup_core::{Manifest, Reason, Report};
use etcd_backup_hostile::{Answer, Behaviour, Code, HostileMember};
use etcd_backup_testbed::{ApiServer, Kubectl as _, measured, repository};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::bed::{Agent, Bed};

const PREFIX: &str = "--etcd-prefix=/kubernetes.io";

/// A bed whose control plane's etcd is that of an API server.
struct OpenShift {
    bed: Bed,
    server: ApiServer,
}

impl OpenShift {
    /// An API server without any of OpenShift's kinds.
    fn start(args: &[&str]) -> Self {
        Self { bed: Bed::new(), server: ApiServer::start_own(args).unwrap() }
    }

    /// Brings the objects of a settled cluster.
    fn install(&self) {
        let file = |name| repository().join("tests/openshift").join(name).display().to_string();
        self.kubectl(&["apply", "--server-side", "-f", &file("crds.yaml")]);
        self.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"]);
        self.kubectl(&["create", "-f", &file("objects.yaml")]);
        self.settle();
    }

    /// Gives every object the status that it has in a settled cluster.
    fn settle(&self) {
        let objects = repository().join("tests/openshift/objects.yaml").display().to_string();
        self.kubectl(&["replace", "--subresource=status", "-f", &objects]);
    }

    fn kubectl(&self, args: &[&str]) {
        self.server.kubectl(args).unwrap();
    }

    /// Replaces these fields of an object's status.
    fn says(&self, object: &str, status: &Value) {
        let of = |(field, value)| json!({"op": "add", "path": format!("/status/{field}"), "value": value});
        let patch: Value = status.as_object().unwrap().iter().map(of).collect();
        self.kubectl(&["patch", object, "--subresource=status", "--type=json", "-p", &patch.to_string()]);
    }

    fn save(&self) -> Agent {
        let etcd = self.server.etcd().unwrap();
        let agent = self.bed.save_without_tls_files(&etcd.endpoints().join(","));
        agent.arg("--cacert").arg(etcd.ca()).arg("--cert").arg(etcd.cert()).arg("--key").arg(etcd.key())
    }

    /// A backup that must be made, and what it warns of. The set's manifest says the same.
    fn saved(&self, case: &str) -> (Report, Vec<String>) {
        let report = self.save().run().ended(0);
        let set = report.set.clone().unwrap();
        assert!(set.verified, "{case}");
        let manifest = fs::read(self.bed.volume().join(set.name.as_str()).join(Manifest::FILE)).unwrap();
        let manifest: Manifest = serde_json::from_slice(&manifest).unwrap();
        let reasons = |warnings: &[etcd_backup_core::Warning]| -> Vec<String> {
            warnings.iter().map(|warning| warning.reason.clone()).collect()
        };
        let told = reasons(&report.warnings);
        assert_eq!(reasons(&manifest.warnings), told, "{case}");
        let warnings = if told.is_empty() { "none".to_owned() } else { told.join(",") };
        measured("cluster-state", &[("case", &case), ("warnings", &warnings)]).unwrap();
        (report, told)
    }

    fn is_told(&self, case: &str, expected: &[&str]) -> Report {
        let (report, told) = self.saved(case);
        assert_eq!(told, expected, "{case}: {:?}", report.warnings);
        report
    }
}

fn version(report: &Report) -> Option<&str> {
    report.set.as_ref().unwrap().cluster.version.as_deref()
}

fn update(state: &str, version: &str, completed: Option<Timestamp>) -> Value {
    json!({"state": state, "version": version, "image": "i", "verified": true, "startedTime": "2024-01-01T00:00:00Z",
           "completionTime": completed})
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2024-01-01T00:00:00Z"})
}

#[test]
fn a_backup_says_what_openshift_goes_through() {
    let cluster = OpenShift::start(&[PREFIX]);
    let without = cluster.is_told("no-openshift", &[]);
    assert_eq!(version(&without), Some("v1.34.4"), "the tag of kube-apiserver's image");
    cluster.install();
    assert_eq!(version(&cluster.is_told("settled", &[])), Some("4.19.3"));

    let hours_ago = |hours| Timestamp::now().checked_sub(SignedDuration::from_hours(hours)).unwrap();
    cluster.says("clusterversion/version", &json!({"history": [update("Completed", "4.19.3", Some(hours_ago(3)))]}));
    cluster.is_told("young", &["CertificatesNotRotated"]);
    cluster.says("clusterversion/version", &json!({"history": [update("Completed", "4.19.3", Some(hours_ago(25)))]}));
    cluster.is_told("a-day-old", &[]);
    let history = [update("Partial", "4.19.4", None), update("Completed", "4.19.3", Some(hours_ago(99)))];
    cluster.says("clusterversion/version", &json!({"history": history}));
    assert_eq!(version(&cluster.is_told("update", &["ClusterUpdateInProgress"])), Some("4.19.3"));
    cluster.settle();

    let words = "NodeInstallerProgressing: 2 nodes are at revision 8; 1 node is at revision 9";
    cluster.says(
        "clusteroperator/etcd",
        &json!({"conditions": [condition("Progressing", "True", "NodeInstaller", words)]}),
    );
    let report = cluster.is_told("rollout-said", &["RolloutInProgress"]);
    assert!(report.warnings[0].message.contains(words), "{:?}", report.warnings);
    cluster.settle();

    let nodes = json!([{"nodeName": "master-0", "currentRevision": 8, "targetRevision": 9}]);
    cluster.says(
        "kubescheduler.operator.openshift.io/cluster",
        &json!({"latestAvailableRevision": 9, "nodeStatuses": nodes}),
    );
    let report = cluster.is_told("rollout-seen", &["RolloutInProgress"]);
    assert!(report.warnings[0].message.starts_with("kube-scheduler is"), "{:?}", report.warnings);
    cluster.settle();

    let encrypted = condition("Encrypted", "False", "EncryptionInProgress", "Resource routes is being encrypted");
    cluster.says("openshiftapiserver.operator.openshift.io/cluster", &json!({"conditions": [encrypted]}));
    let migrates = "migrating resources to a new write key: [core/secrets]";
    let progressing = condition("EncryptionMigrationControllerProgressing", "True", "Migrating", migrates);
    cluster.says("kubeapiserver.operator.openshift.io/cluster", &json!({"conditions": [progressing]}));
    // As library-go puts the conditions of the operator's own kind together.
    let united = format!("EncryptionMigrationControllerProgressing: {migrates}");
    let united = condition("Progressing", "True", "EncryptionMigrationController_Migrating", &united);
    cluster.says("clusteroperator/kube-apiserver", &json!({"conditions": [united]}));
    let report = cluster.is_told("migration", &["EncryptionMigrationInProgress"]);
    assert!(report.warnings[0].message.contains("openshift-apiserver: Resource routes"), "{:?}", report.warnings);

    let before = cluster.bed.sets();
    let refused = cluster.save().arg("--require-settled").run().ended(1);
    assert_eq!(refused.reason, Reason::NotSettled);
    assert!(refused.message.contains("EncryptionMigrationInProgress"), "{}", refused.message);
    assert_eq!((cluster.bed.sets(), cluster.bed.staged()), (before, vec![]));
    cluster.settle();
    cluster.save().arg("--require-settled").run().ended(0);
    cluster.is_told("settled-again", &[]);

    // Garbled as no API server writes it.
    let etcd = cluster.server.etcd().unwrap();
    etcd.etcdctl(&["put", "/kubernetes.io/operator.openshift.io/etcds/cluster", "{"]).unwrap();
    cluster.is_told("garbled", &["ClusterStateUnknown"]);
    cluster.save().arg("--require-settled").run().ended(0);
}

#[test]
fn encrypted_objects_say_nothing_and_are_one_note() {
    let bed = Bed::new();
    let keys = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["*.*"], "providers": [
            {"aescbc": {"keys": [{"name": "key1", "secret": "c2VjcmV0IGlzIHNlY3VyZSwgMzIgYnl0ZXMgbG9uZy4="}]}}, {"identity": {}}]}],
    });
    bed.put("enc.yaml", &keys.to_string());
    let flag = format!("--encryption-provider-config={}", bed.kubernetes().join("enc.yaml").display());
    let cluster = OpenShift { bed, server: ApiServer::start_own(&[PREFIX, &flag]).unwrap() };
    cluster.install();
    cluster.is_told("encrypted", &["ClusterStateUnknown", "EncryptionKeysNotInSet"]);

    let pod = "spec: {containers: [{name: kube-apiserver, command: [--encryption-provider-config=/etc/kubernetes/enc.yaml]}]}";
    cluster.bed.put("manifests/kube-apiserver.yaml", pod);
    cluster.is_told("encrypted-with-keys", &["ClusterStateUnknown", "KeysBesideData"]);
}

#[test]
fn a_backup_is_made_although_the_objects_cannot_be_read() {
    let bed = Bed::new();
    bed.etcd.etcdctl(&["put", "/kubernetes.io/config.openshift.io/clusterversions/version", "{}"]).unwrap();
    bed.etcd.etcdctl(&["put", "/kubernetes.io/config.openshift.io/clusteroperators/etcd", "{}"]).unwrap();
    let denied = Answer::Refused(Code::PermissionDenied, "etcdserver: permission denied");
    // The first key that is there is the ClusterVersion's, the second an operator's.
    for (case, key, answer, expected) in [
        ("version-denied", "clusterversions", denied.clone(), &[][..]),
        ("version-withheld", "clusterversions", Answer::Withheld, &[]),
        ("operator-denied", "clusteroperators", denied, &["ClusterStateUnknown"]),
        ("operator-withheld", "clusteroperators", Answer::Withheld, &["ClusterStateUnknown"]),
    ] {
        let behaviour = Behaviour::default().range(move |range| {
            let is_it = |entry: &[u8]| String::from_utf8_lossy(entry).contains(key);
            if range.kvs.iter().any(|entry| is_it(&entry.key)) { answer.clone() } else { Answer::Given }
        });
        let member = HostileMember::start(&bed.etcd, 0, behaviour).unwrap();
        let agent = bed.save_from(member.url());
        let ran = agent.arg("--require-settled").run();
        let report = ran.ended(0);
        assert!(report.set.as_ref().unwrap().verified, "{case}");
        let told: Vec<&str> = report.warnings.iter().map(|warning| warning.reason.as_str()).collect();
        assert_eq!(told, expected, "{case}: {:?}", report.warnings);
        assert!(ran.took < Duration::from_secs(30), "{case}: {:?}", ran.took);
    }
}

#[test]
fn a_refusal_comes_before_the_stream() {
    let bed = Bed::new();
    let young = json!({"status": {"history": [update("Completed", "4.19.3", Some(Timestamp::now()))]}}).to_string();
    bed.etcd.etcdctl(&["put", "/kubernetes.io/config.openshift.io/clusterversions/version", &young]).unwrap();
    let member = HostileMember::start(&bed.etcd, 0, Behaviour::default()).unwrap();
    let report = bed.save_from(member.url()).arg("--require-settled").run().ended(1);
    assert_eq!(report.reason, Reason::NotSettled);
    assert!(report.message.contains("CertificatesNotRotated"), "{}", report.message);
    assert_eq!(member.snapshots(), 0);
    let report = bed.save_from(member.url()).run().ended(0);
    assert_eq!(member.snapshots(), 1);
    assert_eq!(report.warnings.len(), 1, "{:?}", report.warnings);
}

//! `spec.recorded` belongs to the operator.

use std::thread;
use std::time::{Duration, Instant};

use etcd_backup_testbed::{ApiServer, Kubectl as _};
use serde_json::{Value, json};

use crate::api_server;

/// A person who may create EtcdBackups, but not records.
const ALICE: &str = "--as=alice";

fn etcd_backup(spec: &Value) -> String {
    json!({
        "apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup",
        "metadata": {"name": "whose-record"}, "spec": spec,
    })
    .to_string()
}

fn create(server: &ApiServer, user: &str, spec: &Value) -> Result<(), String> {
    let create = [user, "create", "--dry-run=server", "-f", "-"];
    server.kubectl_stdin(&create, &etcd_backup(spec)).map(drop).map_err(|error| error.to_string())
}

/// Gives a user rights on the resource or subresource of that name.
fn grant(server: &ApiServer, user: &str, verbs: &[&str], resource: &str) {
    let name = format!("{user}-{}", resource.replace('/', "-"));
    let rules = json!([{"apiGroups": ["operator.openshift.io"], "resources": [resource], "verbs": verbs}]);
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules,
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    for object in [role, binding] {
        server.kubectl_stdin(&["apply", "-f", "-"], &object.to_string()).unwrap();
    }
}

/// The API server notices new roles and policies a moment later.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}: not within 30 s");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn only_who_has_the_right_may_write_a_record() {
    let server = api_server();
    let plain = json!({"pvcName": "a"});
    let record =
        json!({"pvcName": "a", "recorded": {"backup": "nightly", "runId": "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11"}});
    grant(&server, "alice", &["create", "get", "patch", "delete"], "etcdbackups");
    grant(&server, "bob", &["create"], "etcdbackups");
    grant(&server, "bob", &["create"], "etcdbackups/recorded");

    eventually("alice may create an EtcdBackup", || create(&server, ALICE, &plain).is_ok());
    eventually("the policy is in force", || create(&server, ALICE, &record).is_err());
    let message = create(&server, ALICE, &record).unwrap_err();
    assert!(
        message.contains("Forbidden") && message.contains("spec.recorded is set by the operator only"),
        "{message}"
    );
    eventually("bob may write a record", || create(&server, "--as=bob", &record).is_ok());

    // What is no new record is not the policy's business.
    server.kubectl_stdin(&["create", "-f", "-"], &etcd_backup(&record)).unwrap();
    server
        .kubectl(&[
            ALICE,
            "patch",
            "etcdbackup",
            "whose-record",
            "--type=merge",
            "-p",
            r#"{"metadata":{"labels":{"a":"b"}}}"#,
        ])
        .unwrap();
    server.kubectl(&[ALICE, "delete", "etcdbackup", "whose-record"]).unwrap();
}

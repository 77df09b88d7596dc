use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-03-01T12:00:00Z";
const LONG_AGO: &str = "2026-01-01T00:00:00Z";

/// The reasons and messages of what is found in these objects at [`NOW`].
fn told(objects: &[(String, Value)]) -> Vec<(String, String)> {
    let mut found = Objects::default();
    for (key, value) in objects {
        found.add(key.clone(), value.to_string().as_bytes());
    }
    found.warnings(NOW.parse().unwrap()).into_iter().map(|warning| (warning.reason, warning.message)).collect()
}

fn reasons(objects: &[(String, Value)]) -> Vec<String> {
    told(objects).into_iter().map(|(reason, _)| reason).collect()
}

fn version(history: &Value) -> (String, Value) {
    let status = json!({"desired": {"version": "4.19.3"}, "history": history, "availableUpdates": null});
    (first_key(), json!({"metadata": {"name": "version", "creationTimestamp": LONG_AGO}, "status": status}))
}

fn settled() -> (String, Value) {
    version(&json!([update("Completed", "4.19.3", LONG_AGO, Some(LONG_AGO))]))
}

fn update(state: &str, version: &str, started: &str, completed: Option<&str>) -> Value {
    json!({"state": state, "version": version, "startedTime": started, "completionTime": completed, "verified": false})
}

fn conditions(key: String, conditions: &[(&str, &str, &str, &str)]) -> (String, Value) {
    let of = |(type_, status, reason, message): &(&str, &str, &str, &str)| json!({"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": LONG_AGO});
    (key, json!({"status": {"conditions": conditions.iter().map(of).collect::<Vec<_>>()}}))
}

fn revisions(plural: &str, latest: u64, nodes: &[(u64, Option<u64>)]) -> (String, Value) {
    let of = |(current, target): &(u64, Option<u64>)| match target {
        Some(target) => json!({"nodeName": "n", "currentRevision": current, "targetRevision": target}),
        None => json!({"nodeName": "n", "currentRevision": current}),
    };
    let nodes: Vec<Value> = nodes.iter().map(of).collect();
    (operator(plural), json!({"status": {"latestAvailableRevision": latest, "nodeStatuses": nodes}}))
}

#[test]
fn certificates_are_rotated_a_day_after_the_installation() {
    let yesterday = "2026-02-28T12:00:01Z";
    for (case, history, warned) in [
        ("long ago", json!([update("Completed", "4.19.3", LONG_AGO, Some(LONG_AGO))]), false),
        ("exactly a day", json!([update("Completed", "4.19.3", LONG_AGO, Some("2026-02-28T12:00:00Z"))]), false),
        ("a second less", json!([update("Completed", "4.19.3", LONG_AGO, Some(yesterday))]), true),
        ("not complete", json!([update("Partial", "4.19.3", yesterday, None)]), true),
        ("never complete", json!([update("Partial", "4.19.3", LONG_AGO, None)]), false),
        ("by a clock ahead", json!([update("Completed", "4.19.3", NOW, Some("2026-03-01T13:00:00Z"))]), true),
        (
            "an update since",
            json!([
                update("Completed", "4.19.3", yesterday, Some(NOW)),
                update("Completed", "4.19.2", LONG_AGO, Some(LONG_AGO))
            ]),
            false,
        ),
        ("no history", json!([]), false),
    ] {
        let expected: &[&str] = if warned { &["CertificatesNotRotated"] } else { &[] };
        assert_eq!(reasons(&[version(&history)]), expected, "{case}");
    }
    let (_, message) = told(&[version(&json!([update("Completed", "4.19.3", LONG_AGO, Some(yesterday))]))]).remove(0);
    assert!(message.ends_with("Take another one after 2026-03-01T12:00:01Z"), "{message}");
}

#[test]
fn the_version_is_the_one_that_is_complete() {
    let done = |version: &str| update("Completed", version, LONG_AGO, Some(LONG_AGO));
    let begun = |version: &str| update("Partial", version, LONG_AGO, None);
    for (history, expected, warned) in [
        (json!([done("4.19.3"), done("4.19.2")]), Some("4.19.3"), false),
        (json!([begun("4.19.4"), done("4.19.3")]), Some("4.19.3"), true),
        (json!([begun("4.19.4"), begun("4.19.3"), done("4.19.2")]), Some("4.19.2"), true),
        (json!([begun("4.19.3")]), Some("4.19.3"), false),
        (json!([]), None, false),
    ] {
        let (key, value) = version(&history);
        let mut objects = Objects::default();
        objects.add(key.clone(), value.to_string().as_bytes());
        assert_eq!(objects.version().as_deref(), expected, "{history}");
        assert_eq!(reasons(&[(key, value)]) == ["ClusterUpdateInProgress"], warned, "{history}");
    }
}

#[test]
fn a_rollout_is_seen_by_condition_or_revision() {
    let operator_says = |status, message| {
        conditions(
            cluster_operator("etcd"),
            &[("Available", "True", "AsExpected", ""), ("Progressing", status, "NodeInstaller", message)],
        )
    };
    let installs = "NodeInstallerProgressing: 1 node is at revision 7; 2 nodes are at revision 8";
    let migrates = "EncryptionMigrationControllerProgressing: migrating resources to a new write key: [core/secrets]";
    for (case, object, named) in [
        ("settled", operator_says("False", "AllNodesAtLatestRevision"), None),
        ("unknown", operator_says("Unknown", ""), None),
        ("said", operator_says("True", installs), Some("etcd is being rolled out")),
        ("said without words", operator_says("True", ""), Some("(etcd: NodeInstaller)")),
        ("said of a migration alone", operator_says("True", migrates), None),
        ("said of both", operator_says("True", &format!("{migrates}\n{installs}")), Some("etcd is being")),
        ("all nodes at the newest", revisions("kubeapiservers", 8, &[(8, None), (8, Some(0)), (8, Some(8))]), None),
        (
            "one installs",
            revisions("kubeapiservers", 8, &[(8, None), (7, Some(8))]),
            Some("1 of 2 nodes not yet at revision 8"),
        ),
        ("all wait", revisions("etcds", 8, &[(7, None), (7, None)]), Some("etcd: 2 of 2 nodes not yet at revision 8")),
        ("a new node", revisions("kubeschedulers", 8, &[(8, None), (0, None)]), Some("kube-scheduler is being")),
        ("not a static pod", revisions("openshiftapiservers", 0, &[]), None),
        ("of another operator", conditions(cluster_operator("ingress"), &[("Progressing", "True", "", "")]), None),
    ] {
        let told = told(&[settled(), object]);
        assert_eq!(told.len(), usize::from(named.is_some()), "{case}: {told:?}");
        let right =
            |(reason, message): &(String, String)| reason == "RolloutInProgress" && message.contains(named.unwrap());
        assert!(told.iter().all(right), "{case}: {told:?}");
    }
}

#[test]
fn several_components_are_named_in_one_warning() {
    let of = |plural| revisions(plural, 8, &[(7, Some(8))]);
    let told = told(&[settled(), of("kubeschedulers"), of("etcds"), of("kubecontrollermanagers")]);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].1.starts_with("etcd, kube-controller-manager and kube-scheduler are being rolled out"),
        "{}",
        told[0].1
    );
}

#[test]
fn a_migration_of_encrypted_values_is_seen_at_each_api_server() {
    let says = |plural, type_, status, reason| conditions(operator(plural), &[(type_, status, reason, "some words")]);
    for (object, named) in [
        (says("kubeapiservers", "Encrypted", "True", "EncryptionCompleted"), None),
        (says("kubeapiservers", "Encrypted", "False", "EncryptionDisabled"), None),
        (says("kubeapiservers", "Encrypted", "False", "DecryptionCompleted"), None),
        (says("kubeapiservers", "Encrypted", "False", "EncryptionInProgress"), Some("kube-apiserver")),
        (says("openshiftapiservers", "Encrypted", "False", "DecryptionInProgress"), Some("openshift-apiserver")),
        (
            says("authentications", "EncryptionMigrationControllerProgressing", "True", "Migrating"),
            Some("oauth-apiserver"),
        ),
        (says("kubeapiservers", "EncryptionMigrationControllerProgressing", "False", ""), None),
        (says("kubeapiservers", "EncryptionMigrationControllerDegraded", "True", "Error"), None),
    ] {
        let told = told(&[settled(), object.clone()]);
        assert_eq!(told.len(), usize::from(named.is_some()), "{object:?}: {told:?}");
        let expected = |name| format!("({name}: some words)");
        let right = |(reason, message): &(String, String)| {
            reason == "EncryptionMigrationInProgress" && message.ends_with(&expected(named.unwrap()))
        };
        assert!(told.iter().all(right), "{told:?}");
    }
}

#[test]
fn what_cannot_be_read_is_one_note() {
    let found = |values: &[(String, &[u8])]| {
        let mut objects = Objects::default();
        values.iter().for_each(|(key, value)| objects.add(key.clone(), value));
        (objects.is_openshift(), objects.warnings(NOW.parse().unwrap()))
    };
    let settled = settled();
    let version = settled.1.to_string();
    let encrypted = b"k8s:enc:aescbc:v1:1:\x00\xff".as_slice();
    for (values, expected) in [
        (vec![(first_key(), encrypted)], "clusterversions/version is encrypted. See"),
        (
            vec![(settled.0, version.as_bytes()), (operator("etcds"), b"k8s\x00protobuf")],
            "etcds/cluster cannot be read",
        ),
        (vec![(first_key(), b"{}"), (operator("etcds"), br#"{"status": {"nodeStatuses": 7}}"#)], "cannot be read"),
        (
            vec![(first_key(), encrypted), (operator("etcds"), encrypted), (operator("kubeschedulers"), encrypted)],
            "and 2 more like it",
        ),
    ] {
        let (is_openshift, warnings) = found(&values);
        assert!(is_openshift);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(warnings[0].reason, UNKNOWN);
        assert!(warnings[0].message.contains(expected), "{warnings:?}");
    }
}

#[test]
fn where_there_is_no_cluster_version_nothing_is_said() {
    let mut objects = Objects::default();
    objects.missed("etcd refused the request".into());
    assert!(objects.warnings(NOW.parse().unwrap()).is_empty());
    assert_eq!(objects.version(), None);
}

#[test]
fn each_key_is_read_once() {
    let keys = further_keys();
    assert_eq!(keys.len(), 10, "{keys:?}");
    assert!(keys.contains(&"/kubernetes.io/config.openshift.io/clusteroperators/kube-apiserver".to_owned()));
    assert!(keys.contains(&"/kubernetes.io/operator.openshift.io/kubeapiservers/cluster".to_owned()));
}

//! The chart and the overlays cannot drift apart: with default values they are the same, object by object.

use etcd_backup_packaging_tests::objects::Objects;
use serde_json::Value;

use crate::render::{kustomize, template};

/// What every object of the chart has besides.
const LABELS: [&str; 3] = ["helm.sh/chart", "app.kubernetes.io/instance", "app.kubernetes.io/managed-by"];
const ANNOTATION: &str = "helm.sh/resource-policy";
/// What only kustomize installs: helm puts a release into a namespace that is there already.
const RELEASE_NAMESPACE: &str = "Namespace//etcd-backup-operator";

const MONITORING: [&str; 6] = [
    "--set",
    "monitoring.serviceMonitor.enabled=true",
    "--set",
    "monitoring.prometheusRule.enabled=true",
    "--set",
    "monitoring.dashboard.enabled=true",
];

#[test]
fn on_kubeadm() {
    same("overlays/kubernetes", &[]);
}

#[test]
fn on_openshift() {
    same("overlays/openshift", &["--set", "platform=openshift"]);
}

#[test]
fn on_kubeadm_with_monitoring() {
    same("overlays/kubernetes-monitoring", &MONITORING);
}

#[test]
fn on_openshift_with_monitoring() {
    same("overlays/openshift-monitoring", &[&["--set", "platform=openshift"], MONITORING.as_slice()].concat());
}

fn same(overlay: &str, args: &[&str]) {
    let (mut expected, mut chart) = (kustomize(overlay), template(args));
    assert!(expected.remove(RELEASE_NAMESPACE).is_some(), "{overlay} does not make the operator's namespace");
    assert!(expected.len() > 10, "{overlay} is nearly empty");
    chart.values_mut().for_each(without_helm);
    expected.values_mut().for_each(without_empty);
    let differences = differences(&chart, &expected);
    assert!(differences.is_empty(), "chart and {overlay} differ:\n{}", differences.join("\n"));
}

/// Takes away what helm adds, after making sure that it is there.
fn without_helm(object: &mut Value) {
    let name = object["metadata"]["name"].to_string();
    let labels = object["metadata"]["labels"].as_object_mut().unwrap();
    for label in LABELS {
        assert!(labels.remove(label).is_some(), "{name} has no label {label}");
    }
    if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
        annotations.remove(ANNOTATION);
    }
    without_empty(object);
}

fn without_empty(object: &mut Value) {
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.retain(|_, value| value.as_object().is_none_or(|map| !map.is_empty()));
}

/// One line for each place where they differ.
fn differences(chart: &Objects, kustomize: &Objects) -> Vec<String> {
    let mut found = Vec::new();
    let names = chart.keys().chain(kustomize.keys().filter(|name| !chart.contains_key(*name)));
    for name in names {
        match (chart.get(name), kustomize.get(name)) {
            (Some(ours), Some(theirs)) => compare(name, ours, theirs, &mut found),
            (Some(_), None) => found.push(format!("{name}: only in the chart")),
            _ => found.push(format!("{name}: only in kustomize")),
        }
    }
    found
}

fn compare(path: &str, chart: &Value, kustomize: &Value, found: &mut Vec<String>) {
    match (chart, kustomize) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for key in ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key))) {
                compare(&format!("{path} .{key}"), &chart[key], &kustomize[key], found);
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                compare(&format!("{path} [{index}]"), ours, theirs, found);
            }
        }
        _ if chart == kustomize => {}
        _ => found.push(format!("{path}: {chart} in the chart, {kustomize} in kustomize")),
    }
}

#[test]
fn a_difference_is_found() {
    let mut chart = template(&["--set", "resources.limits.memory=1Gi"]);
    chart.remove("ClusterRole//etcd-backup-operator").unwrap();
    chart.values_mut().for_each(without_helm);
    let mut expected = kustomize("overlays/kubernetes");
    expected.values_mut().for_each(without_empty);
    let found = differences(&chart, &expected);
    for wanted in
        [".limits .memory: \"1Gi\"", "ClusterRole//etcd-backup-operator: only in kustomize", RELEASE_NAMESPACE]
    {
        assert!(found.iter().any(|line| line.contains(wanted)), "{wanted} is not in {found:#?}");
    }
    assert_eq!(found.len(), 3, "{found:#?}");
}

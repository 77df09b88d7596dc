//! What is installed for monitoring fits together, and fits the operator's Deployment.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is test code")]

use std::collections::BTreeSet;
use std::process::Command;

use etcd_backup_monitoring::{Dashboard, GridPos, documented, selectors};
use etcd_backup_testbed::{repository, tool};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

/// The objects of an overlay.
fn overlay(name: &str) -> Vec<Value> {
    let path = repository().join("config/overlays").join(name);
    let output = Command::new(tool("kubectl").unwrap()).arg("kustomize").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    serde_yaml_ng::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect()
}

fn only<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found: Vec<_> =
        objects.iter().filter(|object| object["kind"] == kind && object["metadata"]["name"] == name).collect();
    assert_eq!(found.len(), 1, "{kind} {name}");
    found[0]
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let none = Map::new();
    let selector = selector.as_object().unwrap_or(&none);
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

#[test]
fn prometheus_finds_the_operator() {
    const NAME: &str = "etcd-backup-operator";
    for objects in [overlay("kubernetes-monitoring"), overlay("openshift-monitoring")] {
        let (monitor, service) = (only(&objects, "ServiceMonitor", NAME), only(&objects, "Service", NAME));
        let pod = &only(&objects, "Deployment", NAME)["spec"]["template"];
        assert!(selects(&monitor["spec"]["selector"]["matchLabels"], &service["metadata"]["labels"]));
        assert!(selects(&service["spec"]["selector"], &pod["metadata"]["labels"]));
        let port = &service["spec"]["ports"][0];
        assert_eq!(monitor["spec"]["endpoints"][0]["port"], port["name"]);
        assert_eq!(port["targetPort"], pod["spec"]["containers"][0]["ports"][0]["name"]);
        only(&objects, "PrometheusRule", "etcd-backup");
        let namespaces: BTreeSet<_> = [monitor, service].map(|object| object["metadata"]["namespace"].as_str()).into();
        assert_eq!(namespaces, BTreeSet::from([Some(NAME)]));
    }
}

#[test]
fn openshifts_prometheus_may_look() {
    let objects = overlay("openshift-monitoring");
    let namespace = only(&objects, "Namespace", "etcd-backup-operator");
    assert_eq!(namespace["metadata"]["labels"]["openshift.io/cluster-monitoring"], "true");
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    let binding = only(&objects, "RoleBinding", "prometheus-k8s");
    assert_eq!(
        binding["subjects"],
        json!([{"kind": "ServiceAccount", "name": "prometheus-k8s", "namespace": "openshift-monitoring"}])
    );
    assert_eq!(binding["roleRef"]["name"], only(&objects, "Role", "prometheus-k8s")["metadata"]["name"]);
}

#[test]
fn grafana_is_given_the_dashboard() {
    let objects = overlay("kubernetes-monitoring");
    let map = only(&objects, "ConfigMap", "etcd-backup-dashboard");
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    let shown = Dashboard::parse(map["data"]["etcd-backup.json"].as_str().unwrap()).unwrap();
    assert_eq!(shown.panels.len(), Dashboard::shipped().unwrap().panels.len());
}

#[test]
fn the_dashboard_fits_one_screen() {
    let panels = Dashboard::shipped().unwrap().panels;
    assert!(!panels.is_empty());
    let inside = |place: GridPos| place.x + place.w <= 24 && place.y + place.h <= 26;
    let apart = |a: GridPos, b: GridPos| a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
    for (index, panel) in panels.iter().enumerate() {
        assert!(inside(panel.grid_pos) && !panel.title.is_empty() && !panel.description.is_empty(), "{}", panel.title);
        for other in &panels[..index] {
            assert!(panel.id != other.id && apart(panel.grid_pos, other.grid_pos), "{}, {}", panel.title, other.title);
        }
        let letters: BTreeSet<_> = panel.targets.iter().map(|target| &target.ref_id).collect();
        assert!(!letters.is_empty() && letters.len() == panel.targets.len(), "{}", panel.title);
    }
}

#[test]
fn the_dashboard_asks_for_what_is_documented() {
    let documented = documented().unwrap();
    for panel in Dashboard::shipped().unwrap().panels {
        for target in &panel.targets {
            assert!(
                !target.query("5m").contains('$'),
                "{}: a variable that is not known: {}",
                panel.title,
                target.expr
            );
            for selector in selectors(&target.expr) {
                let metric = documented.get(&selector.metric);
                let metric = metric.unwrap_or_else(|| panic!("{}: {}", panel.title, selector.metric));
                assert!(selector.labels.iter().all(|label| metric.labels.contains(label)), "{}", panel.title);
            }
        }
    }
}

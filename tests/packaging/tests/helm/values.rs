//! Values: what is refused, and what each does.

use std::collections::BTreeSet;
use std::fs;

use clap::CommandFactory as _;
use etcd_backup_operator::config::Config;
use serde_json::{Value, json};

use crate::render::{chart, refusal, template, template_of};

const DEPLOYMENT: &str = "Deployment/etcd-backup-operator/etcd-backup-operator";

/// A table of values, each with what the refusal names.
#[test]
fn typos_and_nonsense_are_refused() {
    for (value, named) in [
        ("platfrom=openshift", "platfrom"),
        ("platform=eks", "platform"),
        ("image.tags=1", "tags"),
        ("image.digest=abc", "digest"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("backupNamespace.name=Not_A_Name", "name"),
        ("crds.create=true", "create"),
        ("operator.flags.dead-line=1m", "dead-line"),
        ("operator.flags.deadline=soon", "deadline"),
        ("operator.flags.reserve-percent=100", "reserve-percent"),
        ("resources.limit.memory=1Gi", "limit"),
        ("replicas=two", "replicas"),
        ("claim.accessModes={ReadOnlyMany}", "accessModes"),
        ("schedules.nightly.pvcName=x", "schedule"),
        ("schedules.nightly.schedul=@daily", "schedul"),
        ("monitoring.serviceMonitor.enable=true", "enable"),
        ("monitoring.prometheusRule.disabled=EtcdBackupStale", "disabled"),
        ("networkPolicy.apiServerPorts={0}", "apiServerPorts"),
    ] {
        let message = refusal(&["--set", value]);
        assert!(message.contains("schema") && message.contains(named), "{value}: {message}");
    }
}

#[test]
fn what_cannot_work_is_refused_with_the_remedy() {
    let message = refusal(&["--set", "platform=openshift,backupNamespace.name=backups"]);
    assert!(message.contains("on OpenShift backupNamespace.name must be openshift-etcd"), "{message}");
    let message = refusal(&["--api-versions", "security.openshift.io/v1"]);
    assert!(message.contains("install with --set platform=openshift"), "{message}");
    let message = refusal(&["--kube-version", "1.26.0"]);
    assert!(message.contains("kubeVersion"), "{message}");
}

#[test]
fn the_schema_knows_every_flag_of_the_operator() {
    let schema = fs::read_to_string(format!("{}/values.schema.json", chart())).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let flags = &schema["properties"]["operator"]["properties"]["flags"]["properties"];
    let known: BTreeSet<&str> = flags.as_object().unwrap().keys().map(String::as_str).collect();
    // What the chart sets itself, and what its probes, replicas and Lease rest on.
    let set = [
        "platform",
        "backup-namespace",
        "image",
        "image-pull-policy",
        "job-service-account",
        "port",
        "leader-elect",
        "identity",
    ];
    let command = Config::command();
    let offered = command.get_arguments().filter_map(|argument| argument.get_long());
    assert_eq!(known, offered.filter(|flag| !set.contains(flag)).collect::<BTreeSet<_>>());
}

#[test]
fn flags_reach_the_operator() {
    let flags =
        ["deadline=30m", "reserve-percent=5", "require-settled=true"].map(|flag| format!("operator.flags.{flag}"));
    let objects = template(&["--set", &flags.join(",")]);
    let args = &objects[DEPLOYMENT]["spec"]["template"]["spec"]["containers"][0]["args"];
    let args: Vec<String> = serde_json::from_value(args.clone()).unwrap();
    for flag in ["--deadline=30m", "--reserve-percent=5", "--require-settled"] {
        assert!(args.iter().any(|arg| arg == flag), "{flag} is not in {args:?}");
    }
}

#[test]
fn the_image_is_one_everywhere() {
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    for (values, image) in [
        ("image.registry=quay.io,image.tag=1.2".to_owned(), "quay.io/etcd-backup:1.2".to_owned()),
        ("image.tag=".to_owned(), format!("localhost/etcd-backup:{}", env!("CARGO_PKG_VERSION"))),
        (format!("image.digest={digest}"), format!("localhost/etcd-backup@{digest}")),
        ("global.imageRegistry=mirror:5000".to_owned(), "mirror:5000/etcd-backup:dev".to_owned()),
    ] {
        let objects = template_of(&chart(), &["--set", &values]).unwrap();
        let container = &objects[DEPLOYMENT]["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], image);
        assert_eq!(container["env"][0], json!({"name": "AGENT_IMAGE", "value": image}));
        assert_eq!(objects["Pod/openshift-etcd/etcd-backup-test"]["spec"]["containers"][0]["image"], image);
    }
}

#[test]
fn pull_secrets_and_policy_reach_operator_and_jobs() {
    let set = "image.pullSecrets={a},global.imagePullSecrets={b},image.pullPolicy=Always";
    let objects = template(&["--set", set]);
    for account in ["etcd-backup-operator/etcd-backup-operator", "openshift-etcd/etcd-backup"] {
        let secrets = &objects[&format!("ServiceAccount/{account}")]["imagePullSecrets"];
        assert_eq!(*secrets, json!([{"name": "a"}, {"name": "b"}]), "{account}");
    }
    let container = &objects[DEPLOYMENT]["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["imagePullPolicy"], "Always");
    assert!(container["args"].as_array().unwrap().contains(&json!("--image-pull-policy=Always")));
}

#[test]
fn what_is_switched_off_is_not_there() {
    let all = template(&[]);
    for (values, kind) in [
        (["--set", "crds.enabled=false"], "CustomResourceDefinition"),
        (["--set", "admissionPolicy.enabled=false"], "ValidatingAdmissionPolicy"),
        (["--kube-version", "1.29.0"], "ValidatingAdmissionPolicy"),
        (["--set", "podDisruptionBudget.enabled=false"], "PodDisruptionBudget"),
        (["--set", "backupNamespace.create=false"], "Namespace"),
    ] {
        let of_kind = |name: &&String| name.starts_with(kind);
        assert!(all.keys().any(|name| of_kind(&name)), "there is no {kind} by default");
        let objects = template(&values);
        assert!(!objects.keys().any(|name| of_kind(&name)), "{values:?} leaves a {kind}");
    }
}

#[test]
fn what_holds_backups_is_kept_unless_told_otherwise() {
    let kept = |values: &str, object: &str| {
        let objects = template(&["--set", values]);
        objects[object]["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    };
    let crd = "CustomResourceDefinition//backups.config.openshift.io";
    assert!(kept("crds.keep=true", crd));
    assert!(!kept("crds.keep=false", crd));
    assert!(kept("backupNamespace.keep=true", "Namespace//openshift-etcd"));
    assert!(!kept("backupNamespace.keep=false", "Namespace//openshift-etcd"));
    assert!(kept("claim.create=true", "PersistentVolumeClaim/openshift-etcd/etcd-backup-pvc"));
}

#[test]
fn other_namespaces_are_used_throughout() {
    let args = [
        "--namespace",
        "backup-system",
        "--set",
        "backupNamespace.name=vault,claim.create=true,networkPolicy.enabled=true",
    ];
    let objects = template_of(&chart(), &args).unwrap();
    let cluster_scoped = |name: &&String| name.contains("//");
    for name in objects.keys().filter(|name| !cluster_scoped(name)) {
        let namespace = name.split('/').nth(1).unwrap();
        assert!(["backup-system", "vault", "default"].contains(&namespace), "{name}");
    }
    for (name, object) in &objects {
        for subject in object["subjects"].as_array().into_iter().flatten() {
            assert_eq!(subject["namespace"], "backup-system", "{name}");
        }
    }
    let args =
        &objects["Deployment/backup-system/etcd-backup-operator"]["spec"]["template"]["spec"]["containers"][0]["args"];
    assert!(args.as_array().unwrap().contains(&json!("--backup-namespace=vault")), "{args}");
    assert!(objects.contains_key("Namespace//vault") && objects.contains_key("Pod/vault/etcd-backup-test"));
}

#[test]
fn schedules_become_backups() {
    let set = "schedules.nightly.schedule=20 4 * * *,schedules.hourly.schedule=@hourly,schedules.hourly.pvcName=other";
    let objects = template(&["--set", set]);
    let nightly = &objects["Backup//nightly"];
    assert_eq!(nightly["spec"], json!({"etcd": {"schedule": "20 4 * * *", "pvcName": "etcd-backup-pvc"}}));
    assert_eq!(objects["Backup//hourly"]["spec"]["etcd"]["pvcName"], "other");
}

#[test]
fn labels_and_placement_reach_the_pods() {
    let values = "commonLabels.team=a,podLabels.tier=b,podAnnotations.note=c,nodeSelector.disk=ssd,priorityClassName=,runtimeClassName=kata,\
                  tolerations[0].operator=Exists,operator.env[0].name=HTTPS_PROXY,operator.env[0].value=http://proxy:3128";
    let objects = template(&["--set", values]);
    for (name, object) in &objects {
        assert_eq!(object["metadata"]["labels"]["team"], "a", "{name}");
    }
    let pod = &objects[DEPLOYMENT]["spec"]["template"];
    assert_eq!(pod["metadata"]["labels"]["tier"], "b");
    assert_eq!(pod["metadata"]["annotations"]["note"], "c");
    assert_eq!(pod["spec"]["nodeSelector"]["disk"], "ssd");
    assert_eq!(pod["spec"]["priorityClassName"], Value::Null);
    assert_eq!(pod["spec"]["runtimeClassName"], "kata");
    assert_eq!(pod["spec"]["tolerations"], json!([{"operator": "Exists"}]));
    assert_eq!(pod["spec"]["containers"][0]["env"][2], json!({"name": "HTTPS_PROXY", "value": "http://proxy:3128"}));
}

#[test]
fn alerts_can_be_left_out_and_added() {
    let rule = |values: &str| {
        let objects = template(&["--set", "monitoring.prometheusRule.enabled=true", "--set", values]);
        let groups = objects["PrometheusRule/etcd-backup-operator/etcd-backup"]["spec"]["groups"].clone();
        let rules = groups.as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap().clone());
        rules.filter_map(|rule| rule["alert"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let all = rule("replicas=2");
    let fewer = rule(&format!("monitoring.prometheusRule.disabled={{{}}}", all[0]));
    assert!(fewer.len() < all.len() && fewer.iter().all(|alert| all.contains(alert) && *alert != all[0]), "{fewer:?}");
    let extra =
        "monitoring.prometheusRule.additionalRules[0].alert=Mine,monitoring.prometheusRule.additionalRules[0].expr=up";
    assert_eq!(rule(extra).last().map(String::as_str), Some("Mine"));
}

#[test]
fn optional_objects_are_there_when_asked_for() {
    let extra = r#"extraObjects=["{apiVersion: v1, kind: ConfigMap, metadata: {name: '{{ .Release.Name }}-more'}}"]"#;
    let set = "networkPolicy.enabled=true,rbac.aggregate=true";
    let objects = template(&["--set", set, "--set-json", extra]);
    for name in [
        "NetworkPolicy/etcd-backup-operator/etcd-backup-operator",
        "ClusterRole//etcd-backup-view",
        "ClusterRole//etcd-backup-edit",
        "ConfigMap//etcd-backup-operator-more",
    ] {
        assert!(objects.contains_key(name), "{name} is not there");
    }
    // Whoever may edit Backups may not pretend that a backup was made.
    let edit = &objects["ClusterRole//etcd-backup-edit"]["rules"].to_string();
    assert!(!edit.contains("recorded") && !edit.contains("status") && !edit.contains('*'), "{edit}");
}

//! `helm test` proves something about backups only as long as its pod is like theirs.

use std::collections::BTreeSet;
use std::fs;

use etcd_backup_testbed::repository;
use serde_json::{Value, json};

use crate::render::{chart, template_of};

/// What only a Job's command line has: it is a run of an EtcdBackup in a known cluster, with the operator's limits.
const OF_A_JOB: [&str; 5] = ["--run-id", "--owner", "--cluster", "--lock-timeout", "--deadline"];

#[test]
fn it_is_the_pod_of_a_backup_on_kubeadm() {
    same("kubeadm");
}

#[test]
fn it_is_the_pod_of_a_backup_on_openshift() {
    same("openshift");
}

fn same(platform: &str) {
    let golden = repository().join(format!("crates/operator/tests/golden/save-{platform}.yaml"));
    let job: Value = serde_yaml_ng::from_str(&fs::read_to_string(golden).unwrap()).unwrap();
    let rendered = template_of(&chart(), &["--set", &format!("platform={platform}")]).unwrap();
    let ours = normal(&rendered["Pod/openshift-etcd/etcd-backup-test"]["spec"]);
    let theirs = normal(&job["spec"]["template"]["spec"]);
    for field in ours.as_object().unwrap().keys().chain(theirs.as_object().unwrap().keys()).collect::<BTreeSet<_>>() {
        assert_eq!(ours[field], theirs[field], "{platform}: {field}");
    }
}

/// A pod without what the two may differ in: the volume's source, the image, whose run it is, and how its time is bounded.
fn normal(spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec.as_object_mut().unwrap().remove("activeDeadlineSeconds");
    for volume in spec["volumes"].as_array_mut().unwrap() {
        if volume["name"] == "backup" {
            *volume = json!({"name": "backup"});
        }
    }
    let container = &mut spec["containers"][0];
    assert!(container["image"].as_str().is_some_and(|image| image.contains("etcd-backup")));
    container["image"] = Value::Null;
    let env = container["env"].as_array_mut().unwrap();
    env.retain(|variable| variable["name"] != "ETCD_BACKUP_RUN_ID");
    let args: Vec<String> = serde_json::from_value(container["args"].clone()).unwrap();
    let (verb, flags) = args.split_at(2);
    let flags = flags.chunks(2).filter(|flag| !OF_A_JOB.contains(&flag[0].as_str()));
    container["args"] = json!([verb, flags.collect::<Vec<_>>()]);
    spec
}

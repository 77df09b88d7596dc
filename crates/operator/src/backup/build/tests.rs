use serde::Serialize;

use super::*;
use crate::backup::observed::{VOLUME, at, backup, config};
use serde_json::json;

/// `UPDATE_GOLDEN=1 cargo test -p etcd-backup-operator golden` writes the files anew; read the diff.
fn assert_golden(object: &impl Serialize, file: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let yaml = serde_yaml_ng::to_string(object).unwrap().replace(env!("CARGO_PKG_VERSION"), "VERSION");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &yaml).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(yaml, golden, "the object differs from {}", path.display());
}

fn nightly() -> Backup {
    backup(json!({"schedule": "20 4 * * *", "timeZone": "Europe/Berlin", "pvcName": "claim"}))
}

fn timetable(schedule: &str) -> Timetable {
    Timetable::parse(schedule, "Europe/Berlin").unwrap()
}

fn cron_job_on(platform: &str) -> CronJob {
    let backup = nightly();
    cron_job(&backup, &backup.owner("c1u5-7e12"), &timetable("20 4 * * *"), at("00:00"), &config(platform))
}

#[test]
fn objects_are_as_in_the_golden_files() {
    for platform in ["kubeadm", "openshift"] {
        assert_golden(&cron_job_on(platform), &format!("cronjob-{platform}.yaml"));
    }
    let (backup, config) = (nightly(), config("kubeadm"));
    let prune = prune_job(&backup, &backup.owner("c1u5-7e12"), "nightly-prune-1", "0123456789abcdef", &config);
    assert_golden(&prune, "prune.yaml");
    assert_golden(&policy(&backup, &backup.policy(Some(VOLUME)), &config), "policy.yaml");
}

#[test]
fn a_scheduled_pod_differs_from_a_requested_one_only_in_run_and_policy() {
    let spec = cron_job_on("kubeadm").spec.unwrap().job_template.spec.unwrap();
    let pod = spec.template.spec.unwrap();
    let args = pod.containers[0].args.clone().unwrap();
    assert!(!args.contains(&"--run-id".to_owned()));
    let golden = include_str!("../../../tests/golden/save-kubeadm.yaml");
    let requested: k8s_openapi::api::batch::v1::Job = serde_yaml_ng::from_str(golden).unwrap();
    let mut requested = requested.spec.unwrap().template.spec.unwrap();
    let of_requested = requested.containers[0].args.take().unwrap();
    let only = |args: &[String], others: &[String]| -> Vec<String> {
        args.iter().filter(|arg| !others.contains(arg)).cloned().collect()
    };
    assert_eq!(only(&args, &of_requested), ["Backup/nightly", "--policy", "/policy/policy.json"]);
    let env = pod.containers[0].env.clone().unwrap();
    assert_eq!(env.iter().map(|env| env.name.as_str()).collect::<Vec<_>>(), ["NODE_NAME", "ETCD_BACKUP_RUN_ID"]);
    let mut same = pod.clone();
    let policy = same.volumes.as_mut().unwrap().pop().unwrap();
    assert_eq!(policy.config_map.unwrap().optional, Some(true));
    same.containers[0].volume_mounts.as_mut().unwrap().pop();
    same.containers[0].args = None;
    same.containers[0].env.as_mut().unwrap().pop();
    assert_eq!(same, requested);
}

#[test]
fn a_prune_job_has_neither_the_node_nor_etcd() {
    let backup = nightly();
    let job = prune_job(&backup, &backup.owner("c"), "n", "h", &config("openshift"));
    let pod = job.spec.unwrap().template.spec.unwrap();
    assert_eq!((pod.host_network, pod.priority_class_name), (None, None));
    let names: Vec<String> = pod.volumes.unwrap().into_iter().map(|volume| volume.name).collect();
    assert_eq!(names, ["backup", "policy"]);
}

#[test]
fn a_run_that_waits_for_another_is_not_lost() {
    let deadline = |schedule: &str, flags: &[&str]| {
        let base = ["x", "--platform", "kubeadm", "--image", "i"];
        starting_deadline(&timetable(schedule), &clap::Parser::parse_from(base.iter().chain(flags)))
    };
    assert_eq!(deadline("20 4 * * *", &[]), 3660);
    assert_eq!(deadline("20 4 * * *", &["--deadline", "2h"]), 2 * 3600 + 600 + 300 + 60);
    assert_eq!(deadline("20 4 * * *", &["--starting-deadline", "3h"]), 3 * 3600 + 60);
    // kube-controller-manager would never get to a period that is longer than the deadline.
    assert_eq!(deadline("@every 6h", &[]), 6 * 3600 + 3660);
}

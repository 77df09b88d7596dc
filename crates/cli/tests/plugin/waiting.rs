//! Commands that wait for something to happen.

use std::process::Stdio;
use std::thread::spawn;

use etcd_backup_testbed::Kubectl as _;
use serde_json::json;

use crate::bed::{Bed, Ended, PLAN, backup, completed, condition, ended, etcd_backup, eventually};

#[test]
fn run_shows_each_step_and_ends_as_the_backup_does() {
    let bed = Bed::new();
    for (name, end, code) in [("good", completed("2026-01-01T00:00:00Z"), 0), ("bad", failed(), 3)] {
        let mut command = bed
            .command(bed.server.kubeconfig(), &["run", "--pvc", "claim", "--name", name, "--wait", "--timeout", "30s"]);
        let running = spawn(move || ended(&mut command));
        eventually("the EtcdBackup is created", || bed.server.kubectl(&["get", "etcdbackup", name]).ok());
        bed.tell("etcdbackup", name, &json!({"phase": "Running", "reason": "Saving", "conditions": [condition("Ready", "False", "Saving", "on node master-0")]}));
        // Longer than the plugin's pace, so that it has looked.
        std::thread::sleep(std::time::Duration::from_millis(1200));
        bed.tell("etcdbackup", name, &end);
        let Ended { code: ended, stdout, stderr } = running.join().unwrap();
        assert_eq!(ended, Some(code), "{stdout}{stderr}");
        assert!(
            stdout.starts_with(&format!("etcdbackup.operator.openshift.io/{name} created on claim claim\n")),
            "{stdout}"
        );
        assert!(stdout.contains("Running/Saving: on node master-0"), "{stdout}");
        assert_eq!(stdout.contains("revision 4711"), code == 0, "{stdout}");
        assert_eq!(stdout.contains("Failed/NoSpace: make room"), code == 3, "{stdout}");
    }
}

fn failed() -> serde_json::Value {
    json!({"phase": "Failed", "reason": "NoSpace", "conditions": [condition("Ready", "False", "NoSpace", "make room")]})
}

#[test]
fn run_chooses_the_schedules_claim_and_does_not_wait_for_ever() {
    let bed = Bed::new();
    let nothing = bed.plugin(&["run"]);
    assert!(nothing.code == Some(1) && nothing.stderr.contains("--pvc is needed"), "{nothing:?}");
    bed.create(&backup("nightly"), &json!({}));
    let waited = bed.plugin(&["run", "--name", "now", "--wait", "--timeout", "1s"]);
    assert_eq!(waited.code, Some(4), "{waited:?}");
    let claim = bed.server.kubectl(&["get", "etcdbackup", "now", "-o", "jsonpath={.spec.pvcName}"]).unwrap().stdout;
    assert_eq!(claim, "claim");
    let twice = bed.plugin(&["run", "--name", "now"]);
    assert!(twice.code == Some(1) && twice.stderr.contains("EtcdBackup now exists already"), "{twice:?}");
    let refused = bed.plugin(&["run", "--pvc", "No Claim", "--name", "x"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("pvcName must be the name of"), "{refused:?}");
}

#[test]
fn a_plan_that_cannot_be_had_leaves_no_job() {
    let bed = Bed::new();
    bed.create(&backup("young"), &json!({}));
    let young = bed.plugin(&["prune", "young", "--dry-run"]);
    assert!(young.code == Some(1) && young.stderr.contains("has no CronJob"), "{young:?}");

    bed.schedule();
    let elsewhere = bed.plugin(&["prune", "nightly", "--dry-run", "-n", "default"]);
    assert!(elsewhere.code == Some(1) && elsewhere.stderr.contains("--namespace openshift-etcd"), "{elsewhere:?}");

    let mut command = bed.command(bed.server.kubeconfig(), &["prune", "nightly", "--dry-run"]);
    let running = spawn(move || ended(&mut command));
    bed.job_ends(&bed.plan_job(), "Failed");
    let ended = running.join().unwrap();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("failed (Ended: for the test); it made no pod"), "{ended:?}");
    assert!(bed.labelled("job", PLAN).is_empty());
}

#[test]
fn ctrl_c_leaves_no_job() {
    let bed = Bed::new();
    bed.schedule();
    let plugin = env!("CARGO_BIN_EXE_kubectl-etcd_backup");
    let mut command = std::process::Command::new(plugin);
    command.args(["prune", "nightly", "--dry-run"]).env("KUBECONFIG", bed.server.kubeconfig());
    let mut running = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    bed.plan_job();
    let id = running.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(running.wait().unwrap().code(), Some(1));
    assert!(bed.labelled("job", PLAN).is_empty());
}

#[test]
fn a_log_that_is_followed_waits_for_the_pod_but_not_after_the_end() {
    let bed = Bed::new();
    bed.create(&etcd_backup("b"), &json!({"phase": "Pending", "reason": "Queued"}));
    let early = bed.plugin(&["logs", "b"]);
    assert!(early.code == Some(1) && early.stderr.contains("has no Job yet"), "{early:?}");
    let mut command = bed.command(bed.server.kubeconfig(), &["logs", "-f", "b"]);
    let running = spawn(move || ended(&mut command));
    bed.tell("etcdbackup", "b", &failed());
    let ended = running.join().unwrap();
    assert!(ended.code == Some(1) && ended.stderr.contains("no log"), "{ended:?}");
}

//! What each command shows and how it ends.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use etcd_backup_testbed::{Kubectl as _, tool};
use serde_json::{Value, json};

use crate::bed::{Bed, NAMESPACE, backup, completed, condition, ended, etcd_backup, record};

fn ready() -> Value {
    json!({
        "conditions": [condition("Scheduled", "True", "Scheduled", ""), condition("Ready", "True", "Ready", "")],
        "nextScheduleTime": "2999-01-01T00:00:00Z", "lastSuccessfulTime": "2026-01-01T00:00:00Z",
        "retained": {"count": 3, "sizeBytes": 22_000_000, "size": "21 MiB"},
    })
}

/// A Deployment of the operator's name with that many replicas ready.
fn operator(bed: &Bed, ready: u32) {
    let labels = json!({"app": "operator"});
    let pod = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "operator", "image": "none"}]}});
    let spec = json!({"replicas": 2, "selector": {"matchLabels": labels}, "template": pod});
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "etcd-backup-operator", "namespace": NAMESPACE}, "spec": spec});
    bed.server.kubectl_stdin(&["apply", "-f", "-"], &object.to_string()).unwrap();
    bed.tell("deployment", "etcd-backup-operator", &json!({"replicas": 2, "readyReplicas": ready}));
}

#[test]
fn status_ends_by_health() {
    let bed = Bed::new();
    operator(&bed, 2);
    let look = || bed.plugin(&["status", "--operator-namespace", NAMESPACE]);
    bed.create(&backup("nightly"), &ready());
    bed.create(&record("nightly-1", "nightly"), &completed("2026-01-01T00:00:00Z"));
    let well = look();
    assert_eq!(well.code, Some(0), "{well:?}");
    assert!(well.stdout.contains("3/15") && well.stdout.contains("All is well."), "{well:?}");
    assert!(!well.stdout.contains('\u{1b}'), "colours without a terminal: {well:?}");

    let missed = json!({"conditions": [condition("Scheduled", "False", "Missed", "a run was due"), condition("Ready", "False", "Missed", "a run was due")]});
    bed.tell("backup", "nightly", &missed);
    let bad = look();
    assert_eq!(bad.code, Some(3), "{bad:?}");
    assert!(bad.stdout.contains("Backup/nightly: Missed") && bad.stdout.contains("1 problem."), "{bad:?}");

    operator(&bed, 0);
    let document = bed.plugin(&["status", "--operator-namespace", NAMESPACE, "-o", "json"]);
    let told: Value = serde_json::from_str(&document.stdout).unwrap();
    assert_eq!((document.code, &told["healthy"]), (Some(3), &json!(false)));
    assert_eq!(told["problems"][0]["reason"], "OperatorNotReady");
    assert_eq!(told["schedules"][0]["lastGoodBackup"], "nightly-1");
    bed.server.kubectl(&["-n", NAMESPACE, "delete", "deployment", "etcd-backup-operator"]).unwrap();
}

#[test]
fn list_is_in_the_order_of_time_and_for_programs_too() {
    let bed = Bed::new();
    bed.create(&etcd_backup("a-new"), &completed("2026-01-03T00:00:00Z"));
    bed.create(&record("b-old", "nightly"), &completed("2026-01-01T00:00:00Z"));
    bed.create(&record("c-other", "weekly"), &completed("2026-01-02T00:00:00Z"));
    let names = |args: &[&str]| -> Vec<String> {
        let list = bed.plugin(&[&["list", "-o", "json"], args].concat());
        let list: Value = serde_json::from_str(&list.stdout).unwrap();
        assert_eq!((list["kind"].as_str(), list["apiVersion"].as_str()), (Some("List"), Some("v1")));
        let items = list["items"].as_array().unwrap();
        assert!(
            items.iter().all(|item| item["kind"] == "EtcdBackup" && item["metadata"].get("managedFields").is_none())
        );
        items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&[]), ["b-old", "c-other", "a-new"]);
    assert_eq!(names(&["--backup", "nightly"]), ["b-old"]);
    let table = bed.plugin(&["list"]).stdout;
    assert!(
        table.lines().nth(1).unwrap().starts_with("b-old     Completed   nightly   4711       7.5 MiB   True"),
        "{table}"
    );
    let yaml = bed.plugin(&["list", "--backup", "weekly", "-o", "yaml"]).stdout;
    assert!(yaml.contains("name: c-other") && !yaml.contains("b-old"), "{yaml}");
    let mistyped = bed.plugin(&["list", "--backup", "nihgtly"]);
    assert_eq!(mistyped.code, Some(1));
    assert!(mistyped.stderr.contains("Backup nihgtly does not exist"), "{mistyped:?}");
}

#[test]
fn describe_shows_events_of_this_object_only() {
    let bed = Bed::new();
    bed.create(&etcd_backup("b"), &completed("2026-01-01T00:00:00Z"));
    let uid = bed.server.kubectl(&["get", "etcdbackup", "b", "-o", "jsonpath={.metadata.uid}"]).unwrap().stdout;
    for (name, uid) in [("now", uid.as_str()), ("former", "11111111-5c1b-4b4e-9c1f-1f5a3e2d7c11")] {
        let regarding =
            json!({"apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup", "name": "b", "uid": uid});
        let event = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": format!("b.{name}"), "namespace": "default"},
            "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Normal", "reason": "Completed", "action": "Save", "note": format!("of the {name} one"),
            "regarding": regarding, "reportingController": "test", "reportingInstance": "test",
        });
        bed.server.kubectl_stdin(&["apply", "-f", "-"], &event.to_string()).unwrap();
    }
    let shown = bed.plugin(&["describe", "b"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for part in
        ["SHA-256:          ab12", "etcd-backup-b: gone", "of the now one", "What to do:", "Nothing: it was proven"]
    {
        assert!(shown.stdout.contains(part), "{part:?} is not in {shown:?}");
    }
    assert!(!shown.stdout.contains("of the former one"), "{shown:?}");

    let logs = bed.plugin(&["logs", "b"]);
    assert_eq!(logs.code, Some(1));
    assert!(logs.stderr.contains("no pod of Job openshift-etcd/etcd-backup-b is left"), "{logs:?}");
    let absent = bed.plugin(&["describe", "nobody"]);
    assert_eq!(absent.code, Some(1));
    assert!(absent.stderr.starts_with("error: EtcdBackup nobody does not exist; "), "{absent:?}");
}

#[test]
fn what_cannot_be_asked_says_why() {
    let bed = Bed::new();
    let unknown = bed.plugin(&["list", "--context", "no-such-context"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("no-such-context") && unknown.stderr.contains("--context"), "{unknown:?}");
    let missing = bed.plugin(&["list", "--kubeconfig", "/no/such/file"]);
    assert!(missing.code == Some(1) && missing.stderr.contains("/no/such/file cannot be read"), "{missing:?}");
    assert_eq!(bed.plugin(&["no-such-verb"]).code, Some(2));
    assert_eq!(bed.plugin(&["prune", "nightly"]).code, Some(2));
}

/// kubectl asks `kubectl_complete-etcd_backup`, which docs/plugin.md has word for word.
#[test]
fn kubectl_completes_names_of_this_cluster() {
    let bed = Bed::new();
    bed.create(&etcd_backup("before-upgrade"), &json!({}));
    let page = include_str!("../../../../docs/plugin.md");
    let shim = page.split("<<'EOF'\n").nth(1).and_then(|rest| rest.split("EOF\n").next()).unwrap();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = directory.join("kubectl_complete-etcd_backup");
    fs::write(&path, shim).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();

    let kubectl = tool("kubectl").unwrap();
    let plugin = Path::new(env!("CARGO_BIN_EXE_kubectl-etcd_backup"));
    let usual = env::var_os("PATH").unwrap();
    let own = [Some(directory), plugin.parent(), kubectl.parent()].map(|path| path.unwrap().to_owned());
    let path = env::join_paths(own.into_iter().chain(env::split_paths(&usual))).unwrap();
    let ask = |words: &[&str]| {
        let mut command = Command::new(&kubectl);
        command.args([&["__complete", "etcd-backup"], words].concat());
        ended(command.env("KUBECONFIG", bed.server.kubeconfig()).env("PATH", &path)).stdout
    };
    assert!(ask(&["describe", ""]).starts_with("before-upgrade\n:4"));
    assert!(ask(&["st"]).starts_with("status\tHow the backups are"));
}

//! etcd members and the API server as plain processes: ready, useful, and gone without a trace.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use etcd_backup_testbed::{ApiServer, Error, Etcd, EtcdOptions, Kubectl};

/// Processes of this machine that have this text in their command line.
fn processes_with(text: &str) -> usize {
    let is_it = |entry: &fs::DirEntry| {
        fs::read(entry.path().join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(text))
    };
    fs::read_dir("/proc").into_iter().flatten().flatten().filter(is_it).count()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_etcd_member_serves_tls_clients_only_and_is_gone_after_the_drop() {
    let etcd = Etcd::start(EtcdOptions::default()).unwrap();
    etcd.etcdctl(&["put", "key", "value"]).unwrap();
    assert_eq!(etcd.etcdctl(&["get", "key", "--print-value-only"]).unwrap().stdout, "value\n");
    let endpoint = etcd.endpoints().remove(0);
    let anonymous = Command::new(etcd_backup_testbed::tool("etcdctl").unwrap())
        .args(["--endpoints", &endpoint, "--command-timeout=2s", "get", "key", "--cacert"])
        .arg(etcd.ca())
        .output()
        .unwrap();
    assert!(!anonymous.status.success(), "a client without a certificate was served");

    let data = etcd.data_dir(0);
    assert!(data.is_dir());
    assert!(processes_with(&data.display().to_string()) > 0);
    drop(etcd);
    assert!(!data.exists());
    assert_eq!(processes_with(&data.display().to_string()), 0);
}

#[test]
fn three_members_survive_the_loss_of_one_and_take_a_learner() {
    let mut etcd = Etcd::start(EtcdOptions { members: 3, ..EtcdOptions::default() }).unwrap();
    etcd.kill(0).unwrap();
    wait_until("two members to serve without the third", || etcd.etcdctl(&["put", "key", "value"]).is_ok());
    assert!(matches!(etcd.stop(0), Err(Error::Invalid(_))), "a dead member was stopped");
    etcd.restart(0).unwrap();

    etcd.pause(1).unwrap();
    assert!(etcd.etcdctl(&["endpoint", "health", "--command-timeout=1s"]).is_err(), "a frozen member is healthy");
    etcd.resume(1).unwrap();
    wait_until("the thawed member to answer", || etcd.etcdctl(&["endpoint", "health"]).is_ok());

    let learner = etcd.add_learner().unwrap();
    assert_eq!(learner, 3);
    let members = etcd.etcdctl(&["member", "list", "--write-out=fields"]).unwrap().stdout;
    assert_eq!(members.matches("\"IsLearner\" : true").count(), 1, "{members}");
}

#[test]
fn a_member_that_cannot_start_says_why() {
    let args = vec!["--auto-compaction-mode=nonsense".to_owned()];
    let error = Etcd::start(EtcdOptions { args, ..EtcdOptions::default() }).err().unwrap().to_string();
    assert!(error.contains("member-0") && error.contains("nonsense"), "{error}");
}

#[test]
fn the_api_server_keeps_objects_and_enforces_rbac() {
    let server = ApiServer::start().unwrap();
    let name = format!("testbed-{}", std::process::id());
    let manifest = format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, data: {{a: b}}}}");
    server.kubectl_stdin(&["apply", "-f", "-"], &manifest).unwrap();
    assert_eq!(server.kubectl_json(&["get", "configmap", &name]).unwrap()["data"]["a"], "b");

    let kubeconfig = server.user_kubeconfig("system:serviceaccount:test:nobody", &["system:authenticated"]).unwrap();
    let kubeconfig = kubeconfig.display().to_string();
    let get = ["get", "configmap", &name, "--kubeconfig", &kubeconfig];
    let denied = server.kubectl(&get).unwrap_err().to_string();
    assert!(denied.contains("User \"system:serviceaccount:test:nobody\" cannot get resource"), "{denied}");
    let verb = ["create", "role", &name, "--verb=get", "--resource=configmaps"];
    server.kubectl(&verb).unwrap();
    let subject = "--serviceaccount=test:nobody";
    server.kubectl(&["create", "rolebinding", &name, &format!("--role={name}"), subject]).unwrap();
    wait_until("the role binding to count", || server.kubectl(&get).is_ok());

    for kind in ["configmap", "role", "rolebinding"] {
        server.kubectl(&["delete", kind, &name]).unwrap();
    }
    assert!(server.kubectl(&["get", "configmap", &name]).is_err());
}

/// Not a test of its own: what the next one runs in a process that it can kill.
#[test]
fn hold_an_etcd_member_when_asked_to() {
    let Some(file) = std::env::var_os("TESTBED_HOLD") else { return };
    let etcd = Etcd::start(EtcdOptions::default()).unwrap();
    fs::write(file, etcd.data_dir(0).display().to_string()).unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_member_dies_with_the_process_that_started_it_even_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("data-dir");
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hold_an_etcd_member_when_asked_to"])
        .env("TESTBED_HOLD", &file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the member to start", || file.exists());
    let data = fs::read_to_string(&file).unwrap();
    assert!(processes_with(&data) > 0);
    holder.kill().unwrap();
    holder.wait().unwrap();
    wait_until("the member to die", || processes_with(&data) == 0);
    // Nobody was left to remove its files.
    let files = std::path::Path::new(&data).parent().unwrap().to_owned();
    Command::new("rm").arg("-r").arg(files).status().unwrap();
}

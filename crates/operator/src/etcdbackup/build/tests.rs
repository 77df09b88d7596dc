use clap::Parser as _;
use etcd_backup_api::EtcdBackupSpec;
use etcd_backup_core::Layout;

use super::*;

fn config(platform: &str) -> Config {
    let args = ["etcd-backup-operator", "--platform", platform, "--image", "example.org/etcd-backup:1"];
    Config::parse_from(args)
}

fn jobs(platform: &str) -> [Job; 2] {
    let config = config(platform);
    let mut backup = EtcdBackup::new("nightly", EtcdBackupSpec { pvc_name: "claim".into(), recorded: None });
    backup.metadata.uid = Some("0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11".into());
    let request = backup.request("c1u5-7e12", &config.backup_namespace, config.platform.into()).unwrap();
    let name = names::job_name(&backup);
    let inventory = names::inventory_job_name(&name);
    [save_job(&backup, &request, &name, &config), inventory_job(&backup, &request, &inventory, &config)]
}

/// `UPDATE_GOLDEN=1 cargo test -p etcd-backup-operator golden` writes the files anew; read the diff.
fn assert_golden(job: &Job, file: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let yaml = serde_yaml_ng::to_string(job).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &yaml).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(yaml, golden, "the Job differs from {}", path.display());
}

#[test]
fn jobs_are_as_in_the_golden_files() {
    for platform in ["kubeadm", "openshift"] {
        let [save, inventory] = jobs(platform);
        assert_golden(&save, &format!("save-{platform}.yaml"));
        assert_golden(&inventory, &format!("inventory-{platform}.yaml"));
    }
}

#[test]
fn every_volume_is_mounted_and_every_mount_has_its_volume() {
    for job in ["kubeadm", "openshift"].iter().flat_map(|platform| jobs(platform)) {
        let pod = job.spec.unwrap().template.spec.unwrap();
        let mut volumes: Vec<String> = pod.volumes.unwrap().into_iter().map(|volume| volume.name).collect();
        let mut mounts: Vec<String> =
            pod.containers[0].volume_mounts.iter().flatten().map(|mount| mount.name.clone()).collect();
        volumes.sort();
        mounts.sort();
        assert_eq!(volumes, mounts);
    }
}

#[test]
fn the_inventory_has_neither_the_node_nor_etcd() {
    for platform in ["kubeadm", "openshift"] {
        let [_, inventory] = jobs(platform);
        let pod = inventory.spec.unwrap().template.spec.unwrap();
        assert_eq!(pod.host_network, None);
        let volumes = pod.volumes.unwrap();
        assert_eq!(volumes.len(), 1);
        assert!(volumes[0].persistent_volume_claim.is_some());
    }
}

#[test]
fn only_the_backup_volume_can_be_written() {
    for job in ["kubeadm", "openshift"].iter().flat_map(|platform| jobs(platform)) {
        let pod = job.spec.unwrap().template.spec.unwrap();
        let mounts = pod.containers[0].volume_mounts.iter().flatten();
        let writable: Vec<&str> =
            mounts.filter(|mount| mount.read_only != Some(true)).map(|mount| mount.mount_path.as_str()).collect();
        assert_eq!(writable, ["/backup"]);
    }
}

#[test]
fn the_deadlines_are_the_configured_ones() {
    let args = ["x", "--platform", "kubeadm", "--image", "i", "--lock-timeout", "1m", "--deadline", "2m"];
    let config = Config::parse_from(args);
    let mut backup = EtcdBackup::new("b", EtcdBackupSpec { pvc_name: "claim".into(), recorded: None });
    backup.metadata.uid = Some("0b8f6f53-5c1b".into());
    let request = backup.request("c", "ns", Layout::Kubeadm).unwrap();
    let spec = save_job(&backup, &request, "j", &config).spec.unwrap();
    assert_eq!(spec.active_deadline_seconds, Some(60 + 120 + 300));
    let container = &spec.template.spec.unwrap().containers[0];
    let args = container.args.clone().unwrap().join(" ");
    assert!(args.contains("--lock-timeout 60s --deadline 120s"), "{args}");
}

#[test]
fn a_settled_cluster_is_required_where_the_operator_was_told_so() {
    for (flag, expected) in [(None, false), (Some("--require-settled"), true)] {
        let base = ["etcd-backup-operator", "--platform", "openshift", "--image", "i"];
        let config = Config::parse_from(base.into_iter().chain(flag));
        let mut backup = EtcdBackup::new("b", EtcdBackupSpec { pvc_name: "claim".into(), recorded: None });
        backup.metadata.uid = Some("0b8f6f53-5c1b".into());
        let request = backup.request("c", "ns", Layout::OpenShift).unwrap();
        let pod = save_job(&backup, &request, "j", &config).spec.unwrap().template.spec.unwrap();
        let args = pod.containers[0].args.clone().unwrap();
        assert_eq!(args.iter().any(|arg| arg == "--require-settled"), expected, "{args:?}");
    }
}

#[test]
fn the_agent_logs_what_the_operator_was_told() {
    let filter = |args: &[&str]| {
        let base = ["etcd-backup-operator", "--platform", "kubeadm", "--image", "example.org/etcd-backup:1"];
        let config = Config::parse_from(base.iter().chain(args));
        let pod = agent_pod::pod(Command::new("inventory"), "claim", &config);
        let env = pod.containers[0].env.clone().unwrap();
        env.into_iter().find(|variable| variable.name == "RUST_LOG").and_then(|variable| variable.value)
    };
    assert_eq!(filter(&[]), None);
    assert_eq!(filter(&["--agent-log", "debug"]).as_deref(), Some("debug"));
}

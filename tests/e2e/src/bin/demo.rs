//! `make demo`: from nothing to a proven backup in a real cluster, which stays up to be tried.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use etcd_backup_e2e::bed::{self, Bed};
use etcd_backup_e2e::restore::etcdutl_status;
use etcd_backup_testbed::Kubectl as _;
use etcd_backup_testbed::measured;
use serde_json::json;

const OBJECTS: usize = 3000;

fn main() -> ExitCode {
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}\n`make demo-down` ends what was started");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<()> {
    let began = Instant::now();
    let say = |text: &str| println!("\n[{:5.1} s] {text}", began.elapsed().as_secs_f64());

    say(
        "starting a cluster (etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, containerd) with the operator in it, as a pod with its own permissions",
    );
    let mut bed = Bed::up("demo", 1)?;
    println!("{}", bed.kubectl(&["get", "nodes", "-o", "wide"])?);
    println!("{}", bed.kubectl(&["-n", bed::OPERATOR_NAMESPACE, "get", "pods"])?);

    say(&format!("writing {OBJECTS} objects"));
    write_objects(&bed)?;

    say("applying the documentation's storage class, volume, claim and EtcdBackup");
    for file in ["etcd-backup-local-storage.yaml", "etcd-backup-pv-fs.yaml", "etcd-backup-pvc-local.yaml"] {
        print!("{}", bed.apply_documentation(file)?);
    }
    let applied = Instant::now();
    print!("{}", bed.apply_documentation("etcd-single-backup.yaml")?);
    bed.kubectl(&["wait", "--for=condition=Completed", "etcdbackup/etcd-single-backup", "--timeout=90s"])
        .with_context(|| bed.diagnosis())?;
    let seconds = applied.elapsed().as_secs_f64();

    say("completed");
    println!("$ kubectl get etcdbackup -o wide\n{}", bed.kubectl(&["get", "etcdbackup", "-o", "wide"])?);
    let sets = bed::sets(&bed.cluster.node_path(0, "/mnt")?)?;
    let set = sets.last().context("there is no set on the volume")?;
    println!("$ ls -l {}\n{}", set.display(), listing(set)?);
    println!("$ etcd-backup verify {}\n{}", set.display(), bed::verify(set)?);
    let manifest = bed::manifest(set)?;
    let snapshot = manifest["files"].as_array().into_iter().flatten().find(|file| file["role"] == "snapshot");
    let file = set.join(snapshot.and_then(|file| file["name"].as_str()).context("the manifest names no snapshot")?);
    println!("$ etcdutl snapshot status -w json   (the real one)\n{}", etcdutl_status(&file)?);

    let facts = &manifest["snapshot"];
    measured(
        "demo",
        &[
            ("revision", &facts["revision"]),
            ("keys", &facts["totalKeys"]),
            ("bytes", &facts["sizeBytes"]),
            ("seconds", &format!("{seconds:.1}")),
            ("set", &set.display()),
        ],
    )?;

    say("the cluster stays up. Try it, and end it with `make demo-down`:");
    let kubectl = bed.cluster.dir().join("kubectl");
    println!("  {} describe etcdbackup etcd-single-backup", kubectl.display());
    bed.cluster.leave_running();
    Ok(())
}

/// Several thousand ConfigMaps, by several kubectls at once: one alone limits itself to 50 a second.
fn write_objects(bed: &Bed) -> Result<()> {
    const WRITERS: usize = 4;
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let items: Vec<_> = (0..OBJECTS / WRITERS)
                        .map(|index| {
                            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("object-{writer}-{index}"), "namespace": "default"},
                                   "data": {"text": format!("object {index} of writer {writer}")}})
                        })
                        .collect();
                    let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
                    bed.cluster.kubectl_stdin(&["create", "-f", "-"], &list).map(drop)
                })
            })
            .collect();
        for writer in writers {
            writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))??;
        }
        Ok(())
    })
}

/// The files of a set, with their sizes.
fn listing(set: &std::path::Path) -> Result<String> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(set)? {
        let entry = entry?;
        lines.push(format!("{:>12} {}", entry.metadata()?.len(), entry.file_name().to_string_lossy()));
    }
    lines.sort();
    Ok(lines.join("\n"))
}

//! Backups that succeed, and what is then true of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::SOON;
use crate::bed::{self, Bed};
use crate::manifests;
use crate::restore::{etcdutl_status, restore_and_read};

/// The documentation's manifests, unchanged, end in a backup that the real etcdutl agrees with and restores.
pub(super) fn documentation(bed: &Bed) -> Result<()> {
    bed.kubectl(&["create", "configmap", "proof", "-n", "default", "--from-literal=restored=yes"])?;
    for file in [
        "etcd-backup-local-storage.yaml",
        "etcd-backup-pv-fs.yaml",
        "etcd-backup-pvc-local.yaml",
        "etcd-single-backup.yaml",
    ] {
        bed.apply_documentation(file)?;
    }
    bed.kubectl(&["wait", "--for=condition=Completed", "etcdbackup/etcd-single-backup", "--timeout=60s"])?;
    let status = bed.wait_for("etcd-single-backup", "Completed", None, SOON)?["status"].clone();
    let wide = bed.kubectl(&["get", "etcdbackup", "etcd-single-backup", "-o", "wide"])?;
    for column in [
        "STATUS",
        "REVISION",
        "SIZE",
        "VERIFIED",
        "NODE",
        "AGE",
        "PVC",
        "LOCATION",
        "ETCD",
        "DURATION",
        "REASON",
        "pvc://openshift-etcd/etcd-backup-pvc/",
    ] {
        ensure!(wide.contains(column), "kubectl get etcdbackup -o wide has no {column}:\n{wide}");
    }
    ensure!(
        wide.contains("Completed") && wide.contains("True") && wide.contains("master-0"),
        "columns are not filled:\n{wide}"
    );

    let volume = bed.cluster.node_path(0, "/mnt")?;
    let set = bed::only(bed::sets_of(&volume, &bed.uid("etcd-single-backup")?)?)?;
    bed::verify(&set)?;
    let snapshot = snapshot_of(&set)?;
    agrees(&snapshot, &status)?;
    let read = restore_and_read(&snapshot, "/registry/configmaps/default/proof")?;
    ensure!(
        contains(&read, b"restored") && contains(&read, b"yes"),
        "the restored object is not the one that was written"
    );
    Ok(())
}

/// The status, our own verification and the real etcdutl say the same of a snapshot.
fn agrees(snapshot: &Path, status: &Value) -> Result<()> {
    let theirs = etcdutl_status(snapshot)?;
    let output = bed::agent(&["verify", "--output", "json", snapshot.to_str().context("path")?])?;
    let ours: Value = serde_json::from_slice(&output.stdout)?;
    println!("  etcdutl snapshot status: {theirs}");
    let told = &status["snapshot"];
    ensure!(told["revision"] == theirs["revision"], "revision: {told} and {theirs}");
    ensure!(told["totalKeys"] == theirs["totalKey"], "keys: {told} and {theirs}");
    let text = ours.to_string();
    for figure in ["revision", "totalKey", "hash"] {
        ensure!(text.contains(&theirs[figure].to_string()), "{figure} of etcdutl is not in ours: {theirs} and {text}");
    }
    Ok(())
}

/// Two EtcdBackups applied together both complete, one after the other.
pub(super) fn two_at_once(bed: &Bed) -> Result<()> {
    let volume = bed.volume("pair", 0)?;
    bed.apply(&manifests::list(&[manifests::etcd_backup("pair-a", "pair"), manifests::etcd_backup("pair-b", "pair")]))?;
    let a = bed.wait_for("pair-a", "Completed", None, SOON)?;
    let b = bed.wait_for("pair-b", "Completed", None, SOON)?;
    let time = |object: &Value, field: &str| object["status"][field].as_str().unwrap_or_default().to_owned();
    let apart =
        time(&a, "completionTime") <= time(&b, "startTime") || time(&b, "completionTime") <= time(&a, "startTime");
    ensure!(apart, "the runs overlap: {} and {}", a["status"], b["status"]);
    ensure!(bed::sets(&volume)?.len() == 2, "there should be two sets");
    bed::verify(&volume).map(drop)
}

/// A claim that waits for its first consumer is normal: the Job is what binds it.
pub(super) fn wait_for_first_consumer(bed: &Bed) -> Result<()> {
    let inside = "/var/lib/etcd-backup/late";
    fs::create_dir_all(bed.cluster.node_path(0, inside)?)?;
    bed.apply(&manifests::list(&[
        manifests::storage_class("e2e-late", "WaitForFirstConsumer"),
        manifests::local_volume("late", "e2e-late", "master-0", inside),
        manifests::claim("late", "e2e-late", None),
        manifests::etcd_backup("late", "late"),
    ]))?;
    bed.wait_for("late", "Completed", None, SOON).map(drop)
}

/// Every kind of damage is named, with an exit code that is not 0, in bounded memory, without a panic.
pub(super) fn damage_is_named(bed: &Bed) -> Result<()> {
    let volume = bed.volume("damage", 0)?;
    bed.backup("damage", "damage")?;
    bed.wait_for("damage", "Completed", None, SOON)?;
    let whole = fs::read(snapshot_of(&bed::only(bed::sets(&volume)?)?)?)?;
    let scratch = tempfile::tempdir()?;
    for (name, content) in damages(&whole) {
        let path = scratch.path().join(format!("{name}.db"));
        fs::write(&path, content)?;
        if name == "sparse" {
            fs::File::options().write(true).open(&path)?.set_len((1 << 40) + 32)?;
        }
        // 64 MB of memory for everything, stacks included.
        let output = Command::new("prlimit")
            .arg("--data=64000000")
            .arg(bed::agent_program())
            .arg("verify")
            .arg(&path)
            .output()?;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!(
            "  {name}: exit {}: {}",
            output.status.code().unwrap_or(-1),
            said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default()
        );
        ensure!(output.status.code() == Some(3), "{name}: exit code {:?}: {said}", output.status.code());
        ensure!(!said.trim().is_empty() && !said.contains("panicked"), "{name}: {said}");
    }
    Ok(())
}

/// Damaged copies of a snapshot: changed, cut, empty, and one that carries a correct trailer again.
fn damages(whole: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let changed = |at: usize| {
        let mut copy = whole.to_vec();
        copy[at] ^= 0x40;
        copy
    };
    vec![
        ("flipped", changed(whole.len() / 2)),
        ("cut", whole[..whole.len() - 512].to_vec()),
        ("cut-odd", whole[..whole.len() - 100].to_vec()),
        ("zeros", vec![0; whole.len()]),
        ("empty", Vec::new()),
        ("sparse", Vec::new()),
        ("resealed", reseal(changed(root_page(whole) + 8))),
        ("resealed-meta", reseal(changed(16))),
    ]
}

/// Where the page begins from which every other is reached; its flags are 8 bytes further. A page in the middle of
/// the file might be a free one, and damage to that is none.
fn root_page(whole: &[u8]) -> usize {
    let number =
        |at: usize, bytes: usize| whole[at..at + bytes].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    // bbolt's meta page 0: 16 bytes of header, magic, version, page size, flags, and the root bucket's page.
    number(24, 4) * number(32, 8)
}

/// Gives changed content the trailer that fits it, as somebody who means harm would.
fn reseal(mut file: Vec<u8>) -> Vec<u8> {
    let content = file.len() - 32;
    let trailer = Sha256::digest(&file[..content]);
    file[content..].copy_from_slice(&trailer);
    file
}

/// The snapshot's file in a set.
pub(super) fn snapshot_of(set: &Path) -> Result<PathBuf> {
    let mut files = fs::read_dir(set)?.collect::<Result<Vec<_>, _>>()?;
    files.retain(|file| file.file_name().to_string_lossy().ends_with(".db"));
    files.first().map(fs::DirEntry::path).with_context(|| format!("no snapshot in {}", set.display()))
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

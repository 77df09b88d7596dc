//! The operation log is what figures are computed from: it has to be complete and exact.

use std::path::Path;

use crate::crash::record::{Operation, operations};
use crate::fixture::{Disk, owner, report, run_id, set_name, staged};

/// `op path>to bytes`, with paths on the volume and random parts left out.
fn line(disk: &Disk, operation: &Operation) -> String {
    let short = |path: &Path| {
        let path = path.strip_prefix(disk.path()).unwrap().to_str().unwrap();
        let path = path.replace(set_name(1).as_str(), "SET").replace("2026-01-02_030405", "T");
        match path.split_once(".json.") {
            Some((document, _)) => format!("{document}.json.*"),
            None => path,
        }
    };
    let to = operation.to.as_deref().map_or_else(String::new, |to| format!(" > {}", short(to)));
    let bytes = operation.bytes.map_or_else(String::new, |bytes| format!(" {bytes}"));
    format!("{} {}{to}{bytes}", operation.op, short(&operation.path))
}

#[test]
fn every_operation_is_told_in_its_order_with_its_bytes() {
    let disk = Disk::new();
    drop(disk.lock());
    let ((published, deleted), log) = operations(|| {
        let locked = disk.lock();
        let (staging, manifest) = staged(&locked, 1);
        let published = staging.publish(&manifest).unwrap();
        (published.clone(), locked.delete(&published.name, &owner()).unwrap())
    });
    let mut lines: Vec<String> = log.iter().map(|operation| line(&disk, operation)).collect();
    let [snapshot, archive] = [0, 1].map(|file| published.manifest.files[file].size_bytes);
    let (manifest, all) = (published.manifest_bytes, published.reported().size_bytes());
    assert_eq!(deleted, all);

    // A directory lists its files in no order.
    let unlinks = lines.len() - 5..lines.len() - 2;
    lines[unlinks].sort();
    let expected = format!(
        "lock .etcd-backup/lock
fsync-dir 
fsync-dir .etcd-backup
mkdir .etcd-backup/staging/SET
create .etcd-backup/staging/SET/snapshot_T.db
fsync .etcd-backup/staging/SET/snapshot_T.db {snapshot}
create .etcd-backup/staging/SET/static_kuberesources_T.tar.gz
fsync .etcd-backup/staging/SET/snapshot_T.db {snapshot}
fsync .etcd-backup/staging/SET/static_kuberesources_T.tar.gz {archive}
create .etcd-backup/staging/sequence.json.*
write .etcd-backup/staging/sequence.json.* 35
fsync .etcd-backup/staging/sequence.json.* 35
rename .etcd-backup/staging/sequence.json.* > .etcd-backup/sequence.json 35
fsync-dir .etcd-backup
fsync-dir .etcd-backup/staging
fsync .etcd-backup/staging/SET/snapshot_T.db {snapshot}
fsync .etcd-backup/staging/SET/static_kuberesources_T.tar.gz {archive}
create .etcd-backup/staging/SET/backup.json
write .etcd-backup/staging/SET/backup.json {manifest}
fsync .etcd-backup/staging/SET/backup.json {manifest}
fsync-dir .etcd-backup/staging/SET
rename .etcd-backup/staging/SET > SET {all}
fsync-dir 
fsync-dir .etcd-backup/staging
rename SET > .etcd-backup/trash/SET {all}
fsync-dir 
fsync-dir .etcd-backup/trash
unlink .etcd-backup/trash/SET/backup.json {manifest}
unlink .etcd-backup/trash/SET/snapshot_T.db {snapshot}
unlink .etcd-backup/trash/SET/static_kuberesources_T.tar.gz {archive}
rmdir .etcd-backup/trash/SET
fsync-dir .etcd-backup/trash"
    );
    assert_eq!(lines.join("\n"), expected);
}

#[test]
fn what_failed_is_not_told() {
    let disk = Disk::new();
    let locked = disk.lock();
    let (_, log) = operations(|| locked.delete(&set_name(1), &owner()).unwrap_err());
    assert!(log.is_empty(), "{log:?}");
    let (_, log) = operations(|| locked.write_report(&report(run_id(1), "1")).unwrap());
    assert_eq!(log.len(), 6, "{log:?}");
}

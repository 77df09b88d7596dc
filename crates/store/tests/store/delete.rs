use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use etcd_backup_core::{Manifest, Owner, OwnerKind, Reason};
use etcd_backup_store::{LockedVolume, StoreError};
use rustix::process::geteuid;
use rustix::thread::set_thread_res_uid;

use crate::fixture::{Disk, names, owner, set_name, staged};

fn size(dir: &Path) -> u64 {
    names(dir).iter().map(|name| fs::metadata(dir.join(name)).unwrap().len()).sum()
}

#[test]
fn a_deleted_set_is_gone_with_all_its_files() {
    let disk = Disk::new();
    let (first, second) = (disk.publish(1), disk.publish(2));
    fs::write(first.path.join("notes.txt"), b"of somebody").unwrap();
    let bytes = size(&first.path);
    let locked = disk.lock();
    assert_eq!(locked.delete(&first.name, &owner()).unwrap(), bytes);
    assert_eq!(names(disk.path()), [".etcd-backup", second.name.as_str()]);
    assert_eq!(locked.working_bytes().unwrap(), 0);
    assert!(matches!(locked.delete(&first.name, &owner()), Err(StoreError::Io { .. })), "it is no longer there");
}

#[test]
fn a_damaged_set_can_be_deleted() {
    let disk = Disk::new();
    let set = disk.publish(1);
    fs::remove_file(set.path.join(&set.manifest.files[0].name)).unwrap();
    let bytes = size(&set.path);
    assert_eq!(disk.lock().delete(&set.name, &owner()).unwrap(), bytes);
    assert_eq!(names(disk.path()), [".etcd-backup"]);
}

#[test]
fn only_the_owners_set_is_deleted() {
    let disk = Disk::new();
    let set = disk.publish(1);
    let others = [
        Owner { cluster: Some("c2".into()), ..owner() },
        Owner { cluster: None, ..owner() },
        Owner { kind: OwnerKind::EtcdBackup, ..owner() },
        Owner { name: "nightly2".into(), ..owner() },
    ];
    let locked = disk.lock();
    for other in others {
        let error = locked.delete(&set.name, &other).unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("not of"), "{error}");
    }
    assert_eq!(locked.find_run(&set.manifest.run_id).unwrap(), Some(set));
}

#[test]
fn what_is_no_readable_set_is_not_deleted() {
    type Spoil = fn(&Path);
    let spoils: [(&str, Spoil); 6] = [
        ("no manifest", |set| fs::remove_file(set.join(Manifest::FILE)).unwrap()),
        ("a garbled manifest", |set| fs::write(set.join(Manifest::FILE), b"{").unwrap()),
        ("a newer manifest", |set| {
            let text = fs::read_to_string(set.join(Manifest::FILE)).unwrap();
            fs::write(set.join(Manifest::FILE), text.replace("\"1.0\"", "\"2.0\"")).unwrap();
        }),
        ("an owner of an unknown kind", |set| {
            let text = fs::read_to_string(set.join(Manifest::FILE)).unwrap();
            fs::write(set.join(Manifest::FILE), text.replace("\"Backup\"", "\"Novelty\"")).unwrap();
        }),
        ("a link", |set| {
            let elsewhere = set.with_file_name("elsewhere");
            fs::rename(set, &elsewhere).unwrap();
            symlink(elsewhere, set).unwrap();
        }),
        ("a set under another's name", |set| {
            let name = set_name(2);
            fs::rename(set, set.with_file_name(name.as_str())).unwrap();
            fs::create_dir(set).unwrap();
        }),
    ];
    for (what, spoil) in spoils {
        let disk = Disk::new();
        let set = disk.publish(1);
        spoil(&set.path);
        let before = names(disk.path());
        let locked = disk.lock();
        for (name, owner) in
            [(set_name(1), owner()), (set_name(2), owner()), (set_name(1), Owner { kind: OwnerKind::Other, ..owner() })]
        {
            assert!(locked.delete(&name, &owner).is_err(), "{what}");
        }
        assert_eq!(names(disk.path()), before, "{what}");
        assert!(names(&disk.own("trash")).is_empty(), "{what}");
    }
}

#[test]
fn room_is_counted_while_a_set_is_staged() {
    let disk = Disk::new();
    disk.publish(1);
    let locked = disk.lock();
    assert_eq!(locked.working_bytes().unwrap(), 0);
    let (staging, manifest) = staged(&locked, 2);
    let bytes = manifest.files.iter().map(|file| file.size_bytes).sum::<u64>();
    assert_eq!(locked.working_bytes().unwrap(), bytes);
    locked.delete(&set_name(1), &owner()).unwrap();
    assert_eq!(locked.working_bytes().unwrap(), bytes);
    staging.publish(&manifest).unwrap();
    assert_eq!(locked.working_bytes().unwrap(), 0);
    assert_eq!(disk.volume().sets().unwrap().len(), 1);
}

/// Does something as a user for whom permissions count. Root gives the volume to nobody, and becomes
/// nobody on one thread.
fn unprivileged(disk: &Disk, work: impl FnOnce(LockedVolume) + Send) {
    fn give(path: &Path, uid: u32) {
        chown(path, Some(uid), None).unwrap();
        if path.is_dir() {
            names(path).iter().for_each(|name| give(&path.join(name), uid));
        }
    }
    let nobody = rustix::fs::Uid::from_raw(65534);
    let root = geteuid().is_root();
    if root {
        give(disk.path(), nobody.as_raw());
    }
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            if root {
                set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            work(disk.lock());
        });
        worker.join().unwrap();
    });
}

#[test]
fn what_cannot_be_unlinked_is_told_and_swept_later() {
    let disk = Disk::new();
    let set = disk.publish(1);
    disk.publish(2);
    let stuck = set.path.join("stuck");
    fs::create_dir(&stuck).unwrap();
    fs::write(stuck.join("file"), b"12345").unwrap();
    fs::set_permissions(&stuck, fs::Permissions::from_mode(0o500)).unwrap();
    unprivileged(&disk, |locked| {
        let error = locked.delete(&set_name(1), &owner()).unwrap_err();
        assert_eq!(error.reason(), Reason::VolumeIo);
        assert!(error.to_string().contains("cannot delete") && error.to_string().contains("stuck"), "{error}");
        assert_eq!(locked.volume().sets().unwrap().len(), 1, "half a set is never seen");
        assert!(locked.working_bytes().unwrap() >= 5, "what is left still counts");
    });
    let left = disk.own("trash").join(set_name(1).as_str());
    fs::set_permissions(left.join("stuck"), fs::Permissions::from_mode(0o700)).unwrap();
    let locked = disk.lock();
    assert_eq!(locked.swept().len(), 1);
    assert_eq!(locked.working_bytes().unwrap(), 0);
}

#[test]
fn what_cannot_be_moved_stays_whole() {
    let disk = Disk::new();
    let set = disk.publish(1);
    // A directory's own permission to write is needed to give it another parent.
    fs::set_permissions(&set.path, fs::Permissions::from_mode(0o500)).unwrap();
    unprivileged(&disk, |locked| {
        assert_eq!(locked.delete(&set_name(1), &owner()).unwrap_err().reason(), Reason::VolumeIo);
        assert_eq!(locked.find_run(&set.manifest.run_id).unwrap().as_ref(), Some(&set));
    });
}

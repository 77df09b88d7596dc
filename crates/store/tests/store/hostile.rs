//! What somebody else may have put on the volume, which must not lead us out of it.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;

use etcd_backup_core::Reason;
use etcd_backup_store::{Look, StoreError, open_file, verify_files};

use crate::fixture::{Disk, names};

#[test]
fn links_in_place_of_the_volumes_own_directories_are_refused() {
    for own in ["", "staging", "trash", "runs", "verified"] {
        let (disk, outside) = (Disk::new(), Disk::new());
        fs::write(outside.path().join("precious"), b"x").unwrap();
        if !own.is_empty() {
            fs::create_dir(disk.own("")).unwrap();
        }
        let link = disk.own(own);
        symlink(outside.path(), link.to_str().unwrap().trim_end_matches('/')).unwrap();
        let error = disk.try_lock().unwrap_err();
        assert_eq!(error.reason(), Reason::VolumeInvalid, "{own}: {error}");
        assert_eq!(names(outside.path()), ["precious"], "{own}");
    }
}

#[test]
fn links_in_place_of_the_volumes_own_files_are_refused() {
    for own in ["lock", "volume.json"] {
        let (disk, outside) = (Disk::new(), Disk::new());
        fs::create_dir(disk.own("")).unwrap();
        symlink(outside.path().join("new"), disk.own(own)).unwrap();
        let error = disk.try_lock().unwrap_err();
        assert_eq!(error.reason(), Reason::VolumeInvalid, "{own}: {error}");
        assert!(names(outside.path()).is_empty(), "{own}");
    }
}

#[test]
fn an_identity_that_is_not_understood_is_never_replaced() {
    for document in [&b""[..], b"{}", br#"{"schemaVersion":"2.0","id":"0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11"}"#] {
        let disk = Disk::new();
        fs::create_dir(disk.own("")).unwrap();
        fs::write(disk.own("volume.json"), document).unwrap();
        assert_eq!(disk.volume().id().unwrap_err().reason(), Reason::VolumeInvalid);
        assert_eq!(disk.try_lock().unwrap_err().reason(), Reason::VolumeInvalid);
        assert_eq!(fs::read(disk.own("volume.json")).unwrap(), document);
    }
}

#[test]
fn the_sweep_deletes_links_and_not_what_they_lead_to() {
    let (disk, outside) = (Disk::new(), Disk::new());
    fs::create_dir(outside.path().join("dir")).unwrap();
    fs::write(outside.path().join("dir/precious"), b"x").unwrap();
    drop(disk.lock());
    fs::create_dir(disk.own("staging/backup-x")).unwrap();
    symlink(outside.path().join("dir"), disk.own("staging/backup-x/link")).unwrap();
    symlink(outside.path().join("dir/precious"), disk.own("trash/link")).unwrap();
    symlink("/does/not/exist", disk.own("trash/dangling")).unwrap();
    assert_eq!(disk.lock().swept().len(), 3);
    assert!(names(&disk.own("staging")).is_empty() && names(&disk.own("trash")).is_empty());
    assert_eq!(names(&outside.path().join("dir")), ["precious"]);
}

#[test]
fn a_link_that_is_called_like_a_set_is_none() {
    let (disk, other) = (Disk::new(), Disk::new());
    let set = other.publish(1);
    symlink(&set.path, disk.path().join(set.name.as_str())).unwrap();
    assert!(disk.volume().sets().unwrap().is_empty());
}

#[test]
fn a_link_in_place_of_a_sets_file_is_not_followed_and_proves_nothing() {
    let (disk, outside) = (Disk::new(), Disk::new());
    let set = disk.publish(1);
    let file = set.path.join(&set.manifest.files[0].name);
    let moved = outside.path().join("snapshot.db");
    fs::copy(&file, &moved).unwrap();
    fs::remove_file(&file).unwrap();
    symlink(&moved, &file).unwrap();

    let sets = disk.volume().sets().unwrap();
    assert!(matches!(&sets[0].state, Look::Unreadable { .. }), "{:?}", sets[0]);
    let error = verify_files(&set.path, &set.manifest, |_| ControlFlow::Continue(())).unwrap_err();
    assert!(!matches!(error, StoreError::Damaged(_)), "{error}");
    let error = open_file(&set.path, &set.manifest.files[0].name).unwrap_err();
    assert_eq!(error.reason(), Reason::VolumeInvalid, "{error}");
    open_file(&set.path, &set.manifest.files[1].name).unwrap();
    assert!(open_file(&set.path, "../.etcd-backup/volume.json").is_err());
}

#[test]
fn a_link_in_place_of_a_staged_file_is_not_written_through() {
    let (disk, outside) = (Disk::new(), Disk::new());
    let locked = disk.lock();
    let mut staging = locked.stage(&crate::fixture::set_name(1)).unwrap();
    symlink(outside.path().join("new"), staging.path().join("snapshot.db")).unwrap();
    assert!(staging.create("snapshot.db").is_err());
    assert!(names(outside.path()).is_empty());
}

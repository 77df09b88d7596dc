use std::fs;
use std::ops::ControlFlow;

use etcd_backup_core::{Manifest, Reason, SetState};
use etcd_backup_store::{FoundSet, Look, StoreError, look, verify_files};
use serde_json::Value;

use crate::fixture::{Disk, names, set_name};

fn found(disk: &Disk, number: u32) -> FoundSet {
    let sets = disk.volume().sets().unwrap();
    sets.into_iter().find(|set| set.name == set_name(number)).unwrap()
}

/// Changes the manifest of a published set on the disk.
fn change(disk: &Disk, number: u32, change: impl FnOnce(&mut Value)) {
    let path = disk.path().join(set_name(number).as_str()).join(Manifest::FILE);
    let mut document = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut document);
    fs::write(&path, document.to_string()).unwrap();
}

#[test]
fn a_missing_or_cut_file_is_damage() {
    let disk = Disk::new();
    let set = disk.publish(1);
    let file = &set.manifest.files[0];
    let path = set.path.join(&file.name);

    fs::File::options().write(true).open(&path).unwrap().set_len(file.size_bytes - 1).unwrap();
    let Look::Damaged { damage, manifest, .. } = found(&disk, 1).state else { panic!() };
    assert_eq!((&damage.path, &*manifest), (&path, &set.manifest));
    assert!(damage.what.contains(&file.size_bytes.to_string()), "{damage}");
    assert_eq!(found(&disk, 1).sequence(), Some(1));

    fs::remove_file(&path).unwrap();
    let Look::Damaged { damage, .. } = found(&disk, 1).state else { panic!() };
    assert_eq!(damage.what, "it is missing");
}

#[test]
fn a_flipped_byte_is_found_by_reading_all() {
    let disk = Disk::new();
    let set = disk.publish(1);
    for (index, reason) in [(1, Reason::ArchiveInvalid), (0, Reason::SnapshotInvalid)] {
        let path = set.path.join(&set.manifest.files[index].name);
        let mut content = fs::read(&path).unwrap();
        let last = content.len() - 1;
        content[last] ^= 1;
        fs::write(&path, content).unwrap();
        assert!(matches!(found(&disk, 1).state, Look::Consistent { .. }), "a light look reads no content");
        let error = verify_files(&set.path, &set.manifest, |_| ControlFlow::Continue(())).unwrap_err();
        assert_eq!(error.reason(), reason);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn reading_all_can_be_ended_and_then_says_nothing_of_the_set() {
    let disk = Disk::new();
    let set = disk.publish(1);
    let error = verify_files(&set.path, &set.manifest, |_| ControlFlow::Break(())).unwrap_err();
    assert!(matches!(error, StoreError::Interrupted { .. }), "{error}");
}

#[test]
fn what_cannot_be_understood_is_unreadable_and_never_damaged() {
    let disk = Disk::new();
    type Change = fn(&mut Value);
    let changes: [(&str, Option<u64>, Change); 6] = [
        ("is garbled", None, |m| *m = Value::Null),
        ("is garbled", Some(1), |m| drop(m.as_object_mut().unwrap().remove("files"))),
        ("version 2.0", Some(1), |m| m["schemaVersion"] = "2.0".into()),
        ("is garbled", None, |m| m["schemaVersion"] = "one".into()),
        ("is garbled", None, |m| m["sequence"] = (-1).into()),
        ("not in the set", Some(1), |m| m["files"][0]["name"] = "../volume.json".into()),
    ];
    let set = disk.publish(1);
    let original = fs::read(set.path.join(Manifest::FILE)).unwrap();
    for (text, sequence, apply) in changes {
        fs::write(set.path.join(Manifest::FILE), &original).unwrap();
        change(&disk, 1, apply);
        let set = found(&disk, 1);
        let Look::Unreadable { why, .. } = &set.state else { panic!("{set:?}") };
        assert!(why.contains(text), "{why}");
        assert_eq!(set.sequence(), sequence, "{why}");
        assert!(set.size_bytes > 0, "what cannot be read takes space all the same");
    }
}

#[test]
fn fields_of_a_newer_minor_version_are_no_obstacle() {
    let disk = Disk::new();
    disk.publish(1);
    change(&disk, 1, |manifest| {
        manifest["schemaVersion"] = "1.7".into();
        manifest["newThing"] = Value::Bool(true);
    });
    assert!(matches!(found(&disk, 1).state, Look::Consistent { .. }));
}

#[test]
fn what_is_no_set_is_foreign_or_not_looked_at() {
    let disk = Disk::new();
    let set = disk.publish(1);
    fs::create_dir(disk.path().join("lost+found")).unwrap();
    fs::create_dir(disk.path().join("etcd-data")).unwrap();
    fs::write(disk.path().join("backup-notes"), b"a file").unwrap();
    fs::create_dir(disk.path().join("backup-by-hand")).unwrap();
    fs::write(disk.path().join("backup-by-hand/snapshot.db"), b"12345").unwrap();
    let copy = disk.path().join(format!("{}.copy", set.name));
    fs::create_dir(&copy).unwrap();
    fs::copy(set.path.join(Manifest::FILE), copy.join(Manifest::FILE)).unwrap();

    let sets = disk.volume().sets().unwrap();
    let names: Vec<_> = sets.iter().map(|set| set.name.as_str()).collect();
    assert_eq!(names, ["backup-by-hand", copy.file_name().unwrap().to_str().unwrap(), set.name.as_str()]);
    assert!(matches!(&sets[0].state, Look::Foreign { why } if why.contains("backup.json")), "{:?}", sets[0]);
    assert_eq!(sets[0].size_bytes, 5);
    assert!(matches!(&sets[1].state, Look::Foreign { why } if why.contains("copy")), "{:?}", sets[1]);
}

#[test]
fn sets_come_in_the_order_of_their_sequence() {
    let disk = Disk::new();
    for number in [3, 1, 2] {
        disk.publish(number);
    }
    let sets = disk.volume().sets().unwrap();
    let order: Vec<_> = sets.iter().map(|set| set.name.clone()).collect();
    assert_eq!(order, [set_name(3), set_name(1), set_name(2)]);
}

#[test]
fn a_catalogue_tells_of_every_set_what_is_known() {
    let disk = Disk::new();
    let (unreadable, damaged) = (disk.publish(1), disk.publish(2));
    disk.publish(3);
    let verified = disk.publish(4);
    fs::write(unreadable.path.join(Manifest::FILE), b"{").unwrap();
    fs::write(damaged.path.join(&damaged.manifest.files[0].name), b"cut").unwrap();
    change(&disk, 3, |manifest| manifest["verification"]["waived"] = vec!["freshness"].into());
    fs::create_dir(disk.path().join("backup-by-hand")).unwrap();

    let entries: Vec<_> = disk.volume().sets().unwrap().iter().map(FoundSet::entry).collect();
    let told: Vec<_> =
        entries.iter().map(|entry| (entry.state, entry.origin.is_some(), entry.why.as_deref())).collect();
    let expected = [
        (SetState::Foreign, false, "backup.json"),
        (SetState::Unreadable, false, "garbled"),
        (SetState::Damaged, true, "it has 3 bytes"),
        (SetState::Unverified, true, "freshness"),
    ];
    for ((state, origin, why), told) in expected.into_iter().zip(&told) {
        assert_eq!((state, origin), (told.0, told.1));
        assert!(told.2.unwrap().contains(why), "{told:?}");
    }
    let last = entries.last().unwrap();
    assert_eq!((last.state, last.why.as_ref()), (SetState::Verified, None));
    assert_eq!(last.origin.as_ref().unwrap().set, verified.reported());
    assert_eq!(last.size_bytes, verified.reported().size_bytes());
    let bytes: u64 = names(&damaged.path).iter().map(|name| fs::metadata(damaged.path.join(name)).unwrap().len()).sum();
    assert_eq!(entries[2].size_bytes, bytes, "sizes come from the files");
}

#[test]
fn one_by_one_the_sets_are_the_same() {
    let disk = Disk::new();
    for number in [3, 1, 2] {
        disk.publish(number);
    }
    fs::create_dir(disk.path().join("backup-by-hand")).unwrap();
    let volume = disk.volume();
    assert_eq!(volume.sets_one_by_one().unwrap().collect::<Vec<_>>(), volume.sets().unwrap());
    assert_eq!(volume.sets().unwrap().len(), 4);
}

#[test]
fn a_set_that_was_carried_elsewhere_is_still_a_set() {
    let disk = Disk::new();
    let set = disk.publish(1);
    let elsewhere = Disk::new();
    let copy = elsewhere.path().join("restore-me");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(&set.path).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let Look::Consistent { manifest, .. } = look(&copy).unwrap() else { panic!() };
    verify_files(&copy, &manifest, |_| ControlFlow::Continue(())).unwrap();
}

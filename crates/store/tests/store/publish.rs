use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use etcd_backup_core::{FileRole, Manifest, Reason};
use etcd_backup_store::{Look, StoreError, verify_files};

use crate::fixture::{Disk, content, names, owner, remove, run_id, set_name, staged};

#[test]
fn a_published_set_is_found_whole_and_proven() {
    let disk = Disk::new();
    let published = disk.publish(1);

    assert_eq!(published.name, set_name(1));
    let stamp = "2026-01-02_030405";
    let expected =
        ["backup.json".to_owned(), format!("snapshot_{stamp}.db"), format!("static_kuberesources_{stamp}.tar.gz")];
    assert_eq!(names(&published.path), expected);
    assert_eq!(fs::read(published.path.join(&expected[1])).unwrap(), content(FileRole::Snapshot, 1));
    assert!(names(&disk.own("staging")).is_empty());

    let sets = disk.volume().sets().unwrap();
    assert_eq!(sets.len(), 1);
    let Look::Consistent { manifest, manifest_bytes } = &sets[0].state else { panic!("{:?}", sets[0]) };
    assert_eq!((&**manifest, *manifest_bytes), (&published.manifest, published.manifest_bytes));
    assert_eq!(sets[0].size_bytes, published.reported().size_bytes());

    let mut read = 0;
    verify_files(&published.path, manifest, |bytes| {
        read += bytes;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(read + manifest_bytes, sets[0].size_bytes);
}

#[test]
fn only_the_owner_of_the_process_can_read_a_set() {
    let disk = Disk::new();
    let published = disk.publish(1);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&published.path), 0o700);
    for name in names(&published.path) {
        assert_eq!(mode(&published.path.join(&name)), 0o600, "{name}");
    }
    for dir in ["", "staging", "trash", "runs", "verified"] {
        assert_eq!(mode(&disk.own(dir)), 0o700, "{dir}");
    }
}

#[test]
fn a_run_finds_its_own_set_and_no_other() {
    let disk = Disk::new();
    let published = disk.publish(1);
    disk.publish(2);
    let locked = disk.lock();
    assert_eq!(locked.find_run(&run_id(1)).unwrap(), Some(published));
    assert_eq!(locked.find_run(&run_id(3)).unwrap(), None);
}

#[test]
fn a_run_whose_set_is_damaged_or_unreadable_is_told_so() {
    let disk = Disk::new();
    let (damaged, unreadable) = (disk.publish(1), disk.publish(2));
    fs::remove_file(damaged.path.join(&damaged.manifest.files[1].name)).unwrap();
    fs::write(unreadable.path.join(Manifest::FILE), b"{").unwrap();
    let locked = disk.lock();
    assert_eq!(locked.find_run(&run_id(1)).unwrap_err().reason(), Reason::ArchiveInvalid);
    assert!(matches!(locked.find_run(&run_id(2)), Err(StoreError::Unreadable { .. })));
    assert_eq!(locked.find_run(&run_id(3)).unwrap(), None);
}

#[test]
fn sequence_goes_on_from_the_highest_even_of_a_newer_version() {
    let disk = Disk::new();
    assert_eq!(disk.lock().next_sequence().unwrap(), 1);
    for number in 1..=3 {
        assert_eq!(disk.publish(number).manifest.sequence, u64::from(number));
    }
    remove(&disk.path().join(set_name(2).as_str()));
    assert_eq!(disk.lock().next_sequence().unwrap(), 4);

    let newer = disk.path().join("backup-newer");
    fs::create_dir(&newer).unwrap();
    fs::write(newer.join(Manifest::FILE), br#"{"schemaVersion":"2.0","sequence":41}"#).unwrap();
    fs::create_dir(disk.path().join("backup-foreign")).unwrap();
    assert_eq!(disk.lock().next_sequence().unwrap(), 42);

    fs::write(newer.join(Manifest::FILE), br#"{"schemaVersion":"2.0","sequence":18446744073709551615}"#).unwrap();
    let error = disk.lock().next_sequence().unwrap_err();
    assert_eq!(error.reason(), Reason::VolumeInvalid);
    assert!(error.to_string().contains("backup-newer"), "{error}");
}

#[test]
fn a_number_never_comes_back() {
    let disk = Disk::new();
    for number in 1..=3 {
        let set = disk.publish(number);
        assert_eq!(set.manifest.sequence, u64::from(number), "the one before was deleted by hand");
        remove(&set.path);
    }
    // Not understood: the sets alone tell the number, and the file is written anew.
    disk.publish(4);
    for (document, next) in [("{", 5), (r#"{"schemaVersion":"2.0","highest":41}"#, 42)] {
        fs::write(disk.own("sequence.json"), document).unwrap();
        assert_eq!(disk.lock().next_sequence().unwrap(), next, "{document}");
    }
    assert_eq!(disk.publish(5).manifest.sequence, 42);
    assert_eq!(disk.lock().next_sequence().unwrap(), 43);
    fs::write(disk.own("sequence.json"), r#"{"schemaVersion":"1.0","highest":18446744073709551615}"#).unwrap();
    let error = disk.lock().next_sequence().unwrap_err();
    assert!(error.to_string().contains("sequence.json"), "{error}");
}

#[test]
fn a_dropped_staging_leaves_nothing() {
    let disk = Disk::new();
    let locked = disk.lock();
    let (staging, _) = staged(&locked, 1);
    assert_eq!(names(&disk.own("staging")), [set_name(1).as_str()]);
    drop(staging);
    assert!(names(&disk.own("staging")).is_empty());
    assert!(disk.volume().sets().unwrap().is_empty());
}

#[test]
fn a_file_of_a_failed_attempt_is_written_anew() {
    let disk = Disk::new();
    let locked = disk.lock();
    let mut staging = locked.stage(&set_name(1)).unwrap();
    staging.create("snapshot.db").unwrap().write_all(b"from a member that failed").unwrap();
    assert!(staging.create("snapshot.db").is_err(), "a file is never written over");
    staging.remove("snapshot.db").unwrap();
    staging.create("snapshot.db").unwrap().write_all(b"whole").unwrap();
    assert_eq!(fs::read(staging.path().join("snapshot.db")).unwrap(), b"whole");
}

#[test]
fn a_set_is_published_only_as_its_manifest_says() {
    type Wrong = fn(&mut Manifest);
    let wrongs: [(&str, Wrong); 5] = [
        ("a file less", |m| drop(m.files.pop())),
        ("a file more", |m| m.files.push(m.files[0].clone())),
        ("another size", |m| m.files[0].size_bytes += 1),
        ("another run", |m| m.run_id = run_id(9)),
        ("another place", |m| m.files[0].name = "../../volume.json".into()),
    ];
    for (what, wrong) in wrongs {
        let disk = Disk::new();
        let locked = disk.lock();
        let (staging, mut manifest) = staged(&locked, 1);
        wrong(&mut manifest);
        assert_eq!(staging.publish(&manifest).unwrap_err().reason(), Reason::Internal, "{what}");
        assert_eq!(names(disk.path()), [".etcd-backup"], "{what}");
        assert!(names(&disk.own("staging")).is_empty(), "{what}");
    }
}

#[test]
fn nothing_is_published_over_what_is_there() {
    let disk = Disk::new();
    let locked = disk.lock();
    let (staging, manifest) = staged(&locked, 1);
    let there = disk.path().join(set_name(1).as_str());
    fs::create_dir(&there).unwrap();
    assert!(staging.publish(&manifest).is_err());
    assert!(names(&there).is_empty(), "an empty directory is somebody's too");
    assert!(names(&disk.own("staging")).is_empty());
}

/// Every state that a kill can leave, by the order of calls in `src/publish.rs`.
#[test]
fn what_a_killed_run_left_is_swept_and_never_seen() {
    type Cut = fn(&std::path::Path);
    let cuts: [(&str, Cut); 4] = [
        ("after the directory was made", |dir| {
            remove(dir);
            fs::create_dir(dir).unwrap();
        }),
        ("with half a snapshot", |dir| fs::write(dir.join("snapshot_2026-01-02_030405.db"), b"half").unwrap()),
        ("with half a manifest", |dir| fs::write(dir.join(Manifest::FILE), b"{\"schemaVersion\":").unwrap()),
        ("right before the rename", |_| {}),
    ];
    for (what, cut) in cuts {
        let disk = Disk::new();
        let published = disk.publish(1);
        let left = disk.own("staging").join(set_name(1).as_str());
        fs::rename(&published.path, &left).unwrap();
        cut(&left);
        let bytes: u64 = names(&left).iter().map(|name| fs::metadata(left.join(name)).unwrap().len()).sum();
        assert!(disk.volume().sets().unwrap().is_empty(), "{what}");

        let locked = disk.lock();
        let swept: Vec<_> = locked.swept().iter().map(|swept| (swept.path.clone(), swept.bytes)).collect();
        assert_eq!(swept, [(left, bytes)], "{what}");
        assert!(names(&disk.own("staging")).is_empty(), "{what}");
        assert_eq!(locked.find_run(&run_id(1)).unwrap(), None, "{what}");
        let (staging, manifest) = staged(&locked, 1);
        staging.publish(&manifest).unwrap();
    }
}

#[test]
fn only_staging_and_trash_are_swept() {
    let disk = Disk::new();
    let published = disk.publish(1);
    for kept in ["runs/unknown", "verified/unknown", "unknown"] {
        fs::write(disk.own(kept), b"kept").unwrap();
    }
    fs::write(disk.path().join("notes.txt"), b"kept").unwrap();
    fs::create_dir_all(disk.own("trash/backup-old/deep/deeper")).unwrap();
    fs::write(disk.own("trash/backup-old/deep/deeper/file"), b"12345").unwrap();
    fs::write(disk.own("staging/volume.json.tmp"), b"123").unwrap();

    let locked = disk.lock();
    let mut swept: Vec<_> = locked.swept().iter().map(|s| (s.path.clone(), s.bytes)).collect();
    swept.sort();
    assert_eq!(swept, [(disk.own("staging/volume.json.tmp"), 3), (disk.own("trash/backup-old"), 5)]);
    for kept in ["runs/unknown", "verified/unknown", "unknown"] {
        assert_eq!(fs::read(disk.own(kept)).unwrap(), b"kept", "{kept}");
    }
    assert_eq!(fs::read(disk.path().join("notes.txt")).unwrap(), b"kept");
    assert_eq!(locked.find_run(&run_id(1)).unwrap(), Some(published));
}

#[test]
fn whoever_lists_meanwhile_sees_whole_sets_or_none() {
    let disk = Disk::new();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let lister = scope.spawn(|| {
            let volume = disk.volume();
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) || looks == 0 {
                for set in volume.sets().unwrap() {
                    assert!(matches!(set.state, Look::Consistent { .. }), "{set:?}");
                }
                looks += 1;
            }
        });
        for number in 1..=30 {
            let published = disk.publish(number);
            if number % 3 == 0 {
                disk.lock().delete(&published.name, &owner()).unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
        lister.join().unwrap();
    });
    assert_eq!(disk.volume().sets().unwrap().len(), 20);
}

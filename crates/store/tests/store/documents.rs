use std::fs;
use std::time::{Duration, SystemTime};

use etcd_backup_core::Reason;

use crate::fixture::{Disk, names, report, run_id};

#[test]
fn the_last_report_of_a_run_is_kept() {
    let disk = Disk::new();
    assert_eq!(disk.volume().read_report(&run_id(1)).unwrap(), None);
    let locked = disk.lock();
    for message in ["first", "second"] {
        locked.write_report(&report(run_id(1), message)).unwrap();
    }
    assert_eq!(disk.volume().read_report(&run_id(1)).unwrap(), Some(report(run_id(1), "second")));
    assert_eq!(disk.volume().read_report(&run_id(2)).unwrap(), None);
    assert!(names(&disk.own("staging")).is_empty());
}

#[test]
fn the_oldest_reports_go_and_nothing_else() {
    let disk = Disk::new();
    let locked = disk.lock();
    let begin = SystemTime::now() - Duration::from_secs(100_000);
    for age in 0..205_u32 {
        let path = disk.own(&format!("runs/{}.json", run_id(age)));
        fs::write(&path, report(run_id(age), "").to_json()).unwrap();
        let time = begin + Duration::from_secs(u64::from(age));
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
    for other in ["notes.txt", ".hidden", "UPPER-CASE.json"] {
        let path = disk.own(&format!("runs/{other}"));
        fs::write(&path, b"").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    locked.write_report(&report(run_id(9999), "new")).unwrap();

    let left = names(&disk.own("runs"));
    assert_eq!(left.len(), 200 + 3);
    let volume = disk.volume();
    assert_eq!(volume.read_report(&run_id(5)).unwrap(), None, "the six oldest are gone");
    for kept in [6, 204, 9999] {
        assert!(volume.read_report(&run_id(kept)).unwrap().is_some(), "{kept}");
    }
}

#[test]
fn a_report_that_is_not_understood_is_an_error_and_not_no_report() {
    let disk = Disk::new();
    drop(disk.lock());
    let mut newer = serde_json::to_value(report(run_id(1), "")).unwrap();
    newer["schemaVersion"] = "2.0".into();
    for document in [String::new(), newer.to_string(), report(run_id(2), "").to_json(), "x".repeat(100_000)] {
        fs::write(disk.own(&format!("runs/{}.json", run_id(1))), document).unwrap();
        assert_eq!(disk.volume().read_report(&run_id(1)).unwrap_err().reason(), Reason::VolumeInvalid);
    }
}

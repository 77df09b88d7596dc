use std::fs;

use etcd_backup_core::{FileRole, Reason};
use etcd_backup_store::{Damage, Look, PublishedSet, VerificationResult};
use serde_json::Value;

use crate::fixture::{Disk, names, owner, remove, report, run_id, set_name};

fn damage(set: &PublishedSet) -> VerificationResult {
    let path = set.path.join(&set.manifest.files[1].name);
    VerificationResult::Damaged(Damage { path, role: FileRole::StaticResources, what: "it does not open".into() })
}

fn record(disk: &Disk, set: &PublishedSet, result: &VerificationResult) {
    let time = report(run_id(1), "").start_time;
    disk.lock().record_verification(&set.name, &set.manifest.run_id, result, time, "test 1.0").unwrap();
}

fn states(disk: &Disk) -> Vec<Look> {
    disk.volume().sets().unwrap().into_iter().map(|set| set.state).collect()
}

fn is_consistent(look: &Look) -> bool {
    matches!(look, Look::Consistent { .. })
}

#[test]
fn damage_found_later_counts_until_the_set_is_found_sound() {
    let disk = Disk::new();
    let (first, second) = (disk.publish(1), disk.publish(2));
    record(&disk, &first, &damage(&first));
    let sets = states(&disk);
    let Look::Damaged { manifest, manifest_bytes, damage } = &sets[0] else { panic!("{sets:?}") };
    assert_eq!((&**manifest, *manifest_bytes), (&first.manifest, first.manifest_bytes));
    assert_eq!((damage.role, &damage.path), (FileRole::StaticResources, &first.path.join(&manifest.files[1].name)));
    assert_eq!(damage.what, "it does not open (found by test 1.0 at 2026-01-02T03:04:05Z)");
    assert!(is_consistent(&sets[1]));
    assert_eq!(disk.lock().find_run(&run_id(1)).unwrap_err().reason(), Reason::ArchiveInvalid);
    assert!(names(&second.path).len() == 3 && names(&first.path).len() == 3, "sets never change");

    record(&disk, &first, &VerificationResult::Sound);
    assert!(states(&disk).iter().all(is_consistent));
    assert_eq!(disk.lock().find_run(&run_id(1)).unwrap(), Some(first));
}

#[test]
fn damage_to_the_set_as_a_whole_is_kept_as_such() {
    let disk = Disk::new();
    let set = disk.publish(1);
    let whole = Damage { path: set.path.clone(), role: FileRole::Snapshot, what: "it has no snapshot".into() };
    record(&disk, &set, &VerificationResult::Damaged(whole));
    let sets = states(&disk);
    let Look::Damaged { damage, .. } = &sets[0] else { panic!("{sets:?}") };
    assert_eq!(damage.path, set.path);
}

#[test]
fn a_result_that_is_not_understood_makes_no_set_bad() {
    let disk = Disk::new();
    let set = disk.publish(1);
    record(&disk, &set, &damage(&set));
    let path = disk.own(&format!("verified/{}.json", set.name));
    let document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let spoiled = |field: &str, value: &str| {
        let mut document = document.clone();
        document[field] = value.into();
        document.to_string()
    };
    for document in [
        String::new(),
        "{}".to_owned(),
        spoiled("schemaVersion", "2.0"),
        spoiled("runId", run_id(2).as_str()),
        spoiled("result", "Novelty"),
        "x".repeat(100_000),
    ] {
        fs::write(&path, &document).unwrap();
        assert!(is_consistent(&states(&disk)[0]), "{document:.100}");
    }
    fs::write(&path, document.to_string()).unwrap();
    assert!(!is_consistent(&states(&disk)[0]), "a result that is understood counts");
}

#[test]
fn results_go_with_their_sets_and_nothing_else_does() {
    let disk = Disk::new();
    let sets: Vec<PublishedSet> = (1..=3).map(|number| disk.publish(number)).collect();
    sets.iter().for_each(|set| record(&disk, set, &damage(set)));
    fs::write(disk.own("verified/unknown.json"), b"kept").unwrap();
    let file = |number| format!("{}.json", set_name(number));

    disk.lock().delete(&sets[0].name, &owner()).unwrap();
    assert_eq!(names(&disk.own("verified")), [file(2), file(3), "unknown.json".to_owned()]);
    remove(&sets[1].path);
    assert_eq!(disk.volume().sets().unwrap().len(), 1);
    drop(disk.lock());
    assert_eq!(names(&disk.own("verified")), [file(3), "unknown.json".to_owned()]);
}

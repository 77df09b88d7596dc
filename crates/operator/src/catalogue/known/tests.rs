use etcd_backup_core::{Reason, Warning};
use serde_json::json;

use super::*;

const CLUSTER: &str = "cluster";

fn owner(name: &str) -> Owner {
    serde_json::from_value(json!({"cluster": CLUSTER, "kind": "Backup", "name": name})).unwrap()
}

fn name(owner: &str, sequence: u64) -> SetName {
    SetName::parse(&format!("backup-{owner}-2026-01-01_000000-{sequence:08}")).unwrap()
}

fn set(owner_name: &str, sequence: u64, state: SetState) -> (SetName, KnownSet) {
    let made = Made {
        owner: Arc::new(owner(owner_name)),
        run_id: format!("{sequence:08}-run").parse().unwrap(),
        sequence,
        completion_time: Timestamp::from_second(i64::try_from(sequence).unwrap()).unwrap(),
    };
    (name(owner_name, sequence), KnownSet { state, size_bytes: 10, made: Some(made) })
}

fn foreign(name: &str) -> (SetName, KnownSet) {
    (SetName::parse(name).unwrap(), KnownSet { state: SetState::Foreign, size_bytes: 1, made: None })
}

fn known(sets: Vec<(SetName, KnownSet)>) -> Known {
    Known { volume_id: "v".into(), time: Timestamp::from_second(100).unwrap(), sets: sets.into_iter().collect() }
}

/// The report of a run of `nightly` that made the set `made`, with `remain` of its sets afterwards and
/// with what is then on the volume.
fn report(made: Option<u64>, remain: Option<u64>, then: &Known) -> Report {
    let set = made.map(|sequence| {
        json!({"name": name("nightly", sequence), "sequence": sequence, "verified": true,
               "files": [{"name": "backup.json", "sizeBytes": 10}],
               "snapshot": {"revision": 1, "sizeBytes": 1, "sha256": "", "clusterId": "1", "memberId": "2", "raftTerm": 3}})
    });
    let retention = remain.map(|sets| {
        json!({"reason": "Satisfied", "message": "", "deleted": 0, "deletedBytes": 0, "peakBytes": 0,
               "retained": {"verified": sets, "sets": sets, "sizeBytes": sets * 10}})
    });
    serde_json::from_value(json!({
        "schemaVersion": "1.0", "runId": made.map_or("prune-run".to_owned(), |made| format!("{made:08}-run")),
        "outcome": "Completed", "reason": "Completed", "message": "", "node": "n", "owner": owner("nightly"),
        "startTime": "1970-01-01T00:03:00Z", "completionTime": "1970-01-01T00:03:20Z", "volumeId": then.volume_id,
        "set": set, "retention": retention, "catalogue": {"digest": then.digest(), "lastSequence": 9},
    }))
    .unwrap()
}

#[test]
fn a_run_that_adds_one_set_and_takes_the_oldest_is_followed() {
    use SetState::{Damaged, Unverified, Verified};
    let before = || {
        known(vec![
            set("nightly", 1, Verified),
            set("nightly", 2, Unverified),
            set("other", 3, Verified),
            foreign("backup-of-mine"),
        ])
    };
    let mut five = set("nightly", 5, Verified);
    five.1.made.as_mut().unwrap().completion_time = "1970-01-01T00:03:20Z".parse().unwrap();
    let rows = [
        (
            "adds",
            Some(5),
            Some(3),
            vec![set("nightly", 1, Verified), set("nightly", 2, Unverified), five.clone()],
            true,
        ),
        (
            "adds without a policy",
            Some(5),
            None,
            vec![set("nightly", 1, Verified), set("nightly", 2, Unverified), five.clone()],
            true,
        ),
        ("adds and takes one", Some(5), Some(2), vec![set("nightly", 2, Unverified), five.clone()], true),
        ("adds and takes both", Some(5), Some(1), vec![five.clone()], true),
        ("only takes one", None, Some(1), vec![set("nightly", 2, Unverified)], true),
        ("changes nothing", None, Some(2), vec![set("nightly", 1, Verified), set("nightly", 2, Unverified)], true),
        ("takes all", None, Some(0), vec![], true),
        ("takes another than the oldest", Some(5), Some(2), vec![set("nightly", 1, Verified), five.clone()], false),
        ("finds a damaged one", Some(5), Some(2), vec![set("nightly", 2, Damaged), five.clone()], false),
        (
            "finds more than is known",
            None,
            Some(3),
            vec![set("nightly", 1, Verified), set("nightly", 2, Unverified), set("nightly", 4, Verified)],
            false,
        ),
    ];
    for (what, made, remain, own, agrees) in rows {
        let others = [set("other", 3, Verified), foreign("backup-of-mine")];
        let then = known(own.into_iter().chain(others).collect());
        let mut now = before();
        assert_eq!(now.follow(&report(made, remain, &then)), if agrees { Ok(()) } else { Err(Disagreement) }, "{what}");
        assert_eq!(now.sets, if agrees { then.sets } else { before().sets }, "{what}");
        // The same report a second time changes nothing.
        if agrees {
            let once = now.clone();
            assert_eq!((now.follow(&report(made, remain, &once)), &now), (Ok(()), &once), "{what}, told twice");
        }
    }
}

#[test]
fn another_volume_is_not_followed_nor_a_report_that_tells_nothing() {
    let then = known(vec![set("nightly", 1, SetState::Verified)]);
    let told = report(Some(1), Some(1), &then);
    let mut other = Known { volume_id: "w".into(), ..then.clone() };
    assert_eq!(other.follow(&told), Err(Disagreement));
    let mut same = known(vec![]);
    assert_eq!(same.follow(&Report { catalogue: None, ..told.clone() }), Err(Disagreement));
    assert_eq!(same.follow(&told), Ok(()));
    assert_eq!(same.time, told.completion_time);
}

#[test]
fn what_is_retained_counts_the_owners_sets_and_dates_the_verified_ones() {
    let known = known(vec![
        set("nightly", 1, SetState::Damaged),
        set("nightly", 2, SetState::Verified),
        set("nightly", 3, SetState::Verified),
        set("other", 4, SetState::Verified),
        foreign("backup-of-mine"),
    ]);
    let retained = known.retained(&owner("nightly"));
    assert_eq!((retained.sets, retained.verified, retained.size_bytes), (3, 2, 30));
    let second = |second| Timestamp::from_second(second).ok();
    assert_eq!((retained.oldest, retained.newest), (second(2), second(3)));
    assert_eq!(known.retained(&owner("nobody")), RetainedSets::default());
}

#[test]
fn a_set_tells_what_its_run_would_have_reported() {
    let told = report(Some(1), None, &known(vec![set("nightly", 1, SetState::Verified)]));
    let origin = Origin {
        owner: owner("nightly"),
        run_id: told.run_id.clone(),
        start_time: told.start_time,
        completion_time: told.completion_time,
        node: told.node.clone(),
        set: told.set.clone().unwrap(),
        warnings: vec![Warning::new("RolloutInProgress", "etcd is being rolled out")],
    };
    let report = report_of(&origin, "v");
    assert_eq!((report.outcome, report.reason), (Outcome::Completed, Reason::Completed));
    assert_eq!(report.warnings, origin.warnings);
    assert_eq!((&report.set, &report.owner, &report.volume_id), (&told.set, &told.owner, &told.volume_id));
}

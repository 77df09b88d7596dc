use std::collections::BTreeSet;

use etcd_backup_core::{CatalogueDigest, SetName, SetState};
use serde_json::json;

use super::*;
use crate::catalogue::known::KnownSet;

const RUN: &str = "00000001-5c1b-4b4e-9c1f-1f5a3e2d7c11";

fn name(number: u64) -> SetName {
    SetName::parse(&format!("backup-nightly-2026-01-01_000000-{number:08}")).unwrap()
}

/// The report of a run that ended at a second, with these verified sets on the volume afterwards.
fn report(second: i64, made: Option<u64>, sets: &[u64], retention: &str) -> Report {
    let names: Vec<SetName> = sets.iter().copied().map(name).collect();
    let digest = CatalogueDigest::new(names.iter().map(|name| (name, SetState::Verified)));
    let set = made.map(|sequence| {
        json!({"name": name(sequence), "sequence": sequence, "verified": true, "files": [], "snapshot":
            {"revision": 1, "sizeBytes": 1, "sha256": "", "clusterId": "1", "memberId": "2", "raftTerm": 3}})
    });
    serde_json::from_value(json!({
        "schemaVersion": "1.0", "runId": RUN, "outcome": "Completed", "reason": "Completed", "message": "",
        "startTime": Timestamp::UNIX_EPOCH, "completionTime": Timestamp::from_second(second).unwrap(), "node": "n",
        "owner": {"cluster": "c", "kind": "Backup", "name": "nightly"}, "volumeId": "v", "set": set,
        "retention": {"reason": retention, "message": "", "deleted": 0, "deletedBytes": 0, "peakBytes": 0,
                      "retained": {"verified": sets.len(), "sets": sets.len(), "sizeBytes": 0}},
        "catalogue": {"digest": digest, "lastSequence": 9},
    }))
    .unwrap()
}

fn listing(second: i64, sets: &[u64]) -> Listing {
    let set = KnownSet { state: SetState::Verified, size_bytes: 1, made: None };
    Listing {
        known: Known {
            volume_id: "v".into(),
            time: Timestamp::from_second(second).unwrap(),
            sets: sets.iter().map(|number| (name(*number), set.clone())).collect(),
        },
        whole: BTreeMap::new(),
    }
}

/// A claim whose volume was listed at second 10 with these sets.
fn listed(sets: &[u64]) -> Arc<Catalogues> {
    let (catalogues, _) = Catalogues::new();
    catalogues.update("claim", |claim| claim.used = true);
    catalogues.read("claim", listing(10, sets), Timestamp::UNIX_EPOCH);
    catalogues
}

fn names(catalogues: &Catalogues) -> Option<BTreeSet<SetName>> {
    catalogues.current("claim").map(|known| known.sets.keys().cloned().collect())
}

fn of(sets: &[u64]) -> Option<BTreeSet<SetName>> {
    Some(sets.iter().copied().map(name).collect())
}

#[test]
fn a_report_that_agrees_keeps_the_catalogue_current() {
    let catalogues = listed(&[1]);
    catalogues.note("claim", report(20, Some(2), &[1, 2], "Satisfied"));
    assert_eq!(names(&catalogues), of(&[1, 2]));
}

#[test]
fn a_report_that_disagrees_makes_it_stale_unless_it_is_older() {
    let catalogues = listed(&[1]);
    catalogues.note("claim", report(9, Some(2), &[2, 3], "Satisfied"));
    assert_eq!(names(&catalogues), of(&[1]), "it was over when the volume was listed");
    catalogues.note("claim", report(20, Some(2), &[2, 3], "Satisfied"));
    assert_eq!(names(&catalogues), None);
    assert!(catalogues.of_claim("claim").awaits());
}

#[test]
fn an_inventory_from_before_the_newest_report_is_brought_up_to_it() {
    let catalogues = listed(&[7]);
    catalogues.note("claim", report(20, Some(2), &[1, 2], "Satisfied"));
    catalogues.read("claim", listing(15, &[1]), Timestamp::UNIX_EPOCH);
    assert_eq!(names(&catalogues), of(&[1, 2]));
    catalogues.note("claim", report(30, Some(3), &[3, 9], "Satisfied"));
    catalogues.read("claim", listing(25, &[1, 2]), Timestamp::UNIX_EPOCH);
    assert_eq!(names(&catalogues), None, "another inventory is needed");
    catalogues.read("claim", listing(35, &[3, 9]), Timestamp::UNIX_EPOCH);
    assert_eq!(names(&catalogues), of(&[3, 9]));
}

#[test]
fn a_restore_asks_for_an_inventory_once() {
    let catalogues = listed(&[1]);
    catalogues.note("claim", report(20, None, &[1], "LineageChanged"));
    assert_eq!(names(&catalogues), None);
    catalogues.read("claim", listing(25, &[1]), Timestamp::UNIX_EPOCH);
    catalogues.note("claim", report(30, None, &[1], "LineageChanged"));
    assert_eq!(names(&catalogues), of(&[1]));
}

#[test]
fn a_run_is_waited_for_while_the_volume_is_to_be_listed() {
    let run: RunId = RUN.parse().unwrap();
    let (catalogues, _) = Catalogues::new();
    assert_eq!(catalogues.tells("claim", &run), VolumeSays::Later, "nobody has looked yet");
    catalogues.update("claim", |claim| claim.used = false);
    assert_eq!(catalogues.tells("claim", &run), VolumeSays::Nothing);
    catalogues.update("claim", |claim| claim.used = true);
    assert_eq!(catalogues.tells("claim", &run), VolumeSays::Later);
    catalogues.update("claim", |claim| claim.failed = Some(Timestamp::UNIX_EPOCH));
    assert_eq!(catalogues.tells("claim", &run), VolumeSays::Nothing);
    let report = report(20, Some(1), &[1], "Satisfied");
    let origin = Origin {
        owner: report.owner.clone().unwrap(),
        run_id: run.clone(),
        start_time: report.start_time,
        completion_time: report.completion_time,
        node: "n".into(),
        set: report.set.unwrap(),
        warnings: Vec::new(),
    };
    let whole = BTreeMap::from([(run.clone(), Arc::new(origin))]);
    catalogues.read("claim", Listing { whole: whole.clone(), ..listing(25, &[1]) }, Timestamp::UNIX_EPOCH);
    assert!(matches!(catalogues.tells("claim", &run), VolumeSays::Set(told) if told.volume_id.as_deref() == Some("v")));
    catalogues.read("claim", Listing { whole, ..listing(25, &[2]) }, Timestamp::UNIX_EPOCH);
    assert_eq!(catalogues.tells("claim", &run), VolumeSays::Nothing, "its set has gone");
}

#[test]
fn the_newest_report_of_a_backup_is_that_of_a_run() {
    let (catalogues, mut wakes) = Catalogues::new();
    let newest =
        |catalogues: &Catalogues| catalogues.newest_report("nightly").map(|report| report.completion_time.as_second());
    catalogues.note("claim", report(20, Some(1), &[1], "Satisfied"));
    catalogues.note("claim", report(10, Some(1), &[1], "Satisfied"));
    catalogues.note("claim", report(30, None, &[1], "Satisfied"));
    assert_eq!(newest(&catalogues), Some(20), "an older one and one that only pruned do not count");
    assert_eq!(wakes.schedules.try_recv().unwrap(), "nightly");
    assert_eq!(wakes.claims.try_recv().unwrap(), Changed::Claim("claim".into()));
}

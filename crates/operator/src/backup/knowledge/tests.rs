use serde_json::json;

use super::*;
use crate::backup::observed::{VOLUME, at, nothing_yet, report, retention};

const OTHER: &str = "11111111-7d55-4b85-a9d3-0fd4c8d0cd42";

/// What a status says that knows of three sets on [`VOLUME`] since 05:00.
fn known() -> serde_json::Value {
    json!({"pvcName": "claim", "volumeId": VOLUME, "policyHash": "old", "retained":
        {"count": 3, "sizeBytes": 3072, "size": "3.0 KiB", "time": at("05:00"), "volumeId": VOLUME}})
}

fn count(known: &Knowledge) -> Option<i32> {
    known.retained.as_ref().map(|retained| retained.count)
}

#[test]
fn nothing_is_known_before_a_run_has_told() {
    assert_eq!(Knowledge::new(&nothing_yet()), Knowledge::default());
    // A run that had no policy to read tells of the volume.
    let told = Knowledge::new(&nothing_yet().with_report(report("04:30", VOLUME, json!(null))));
    assert_eq!((told.volume_id.as_deref(), &told.retained), (Some(VOLUME), &None));
}

#[test]
fn the_newest_report_is_what_counts() {
    let satisfied = |ended, verified| report(ended, VOLUME, retention("Satisfied", Some("new"), verified));
    let seen = nothing_yet().with_status(known()).with_report(satisfied("07:00", 5)).with_report(satisfied("06:00", 4));
    let now = Knowledge::new(&seen);
    assert_eq!((count(&now), now.policy_hash.as_deref()), (Some(5), Some("new")));
    let said = now.retention().unwrap();
    assert_eq!((said.status, said.reason.as_str()), (true, "Satisfied"));
    let retained = now.retained.unwrap();
    assert_eq!((retained.size.as_str(), retained.time), ("5.0 KiB", Some(Time(at("07:00")))));

    // What is older than the status says nothing; after a restart of the operator the old pods are still there.
    let old = Knowledge::new(&nothing_yet().with_status(known()).with_report(satisfied("04:00", 9)));
    assert_eq!((count(&old), old.policy_hash.as_deref(), old.retention()), (Some(3), Some("old"), None));
}

#[test]
fn a_policy_that_was_not_enforced_is_not_known_as_such() {
    for (reason, hash, expected) in [
        ("Satisfied", Some("new"), Some("new")),
        ("SizeExceeded", Some("new"), Some("new")),
        ("LineageChanged", Some("new"), Some("new")),
        ("PruneFailed", Some("new"), Some("new")),
        ("PolicyChanged", Some("new"), None),
        ("PolicyInvalid", None, None),
    ] {
        let told = report("06:00", VOLUME, retention(reason, hash, 3));
        let now = Knowledge::new(&nothing_yet().with_status(known()).with_report(told));
        assert_eq!(now.policy_hash.as_deref(), expected, "{reason}");
        let said = now.retention().unwrap();
        assert_eq!((said.status, said.reason.as_str()), (reason == "Satisfied", reason));
        assert_eq!(said.message, format!("said the agent: {reason}"));
    }
}

#[test]
fn another_volume_is_expected_only_when_somebody_says_so() {
    let changed = || report("06:00", OTHER, retention("VolumeChanged", Some("new"), 1));
    let accepting = |volume: &str| {
        let mut seen = nothing_yet().with_status(known()).with_report(changed());
        seen.backup.metadata.annotations = Some([(ACCEPT_VOLUME.to_owned(), volume.to_owned())].into());
        Knowledge::new(&seen)
    };
    let held = Knowledge::new(&nothing_yet().with_status(known()).with_report(changed()));
    assert_eq!((held.volume_id.as_deref(), held.found_volume()), (Some(VOLUME), Some(OTHER)));
    assert!(held.ignored.is_empty());

    let accepted = accepting(OTHER);
    assert_eq!((accepted.volume_id.as_deref(), accepted.ignored.len()), (Some(OTHER), 0));
    // One that stays in Git for ever says nothing more.
    assert_eq!((accepting(VOLUME).volume_id.as_deref(), accepting(VOLUME).ignored.len()), (Some(VOLUME), 0));
    let wrong = accepting("yes");
    assert_eq!(wrong.volume_id.as_deref(), Some(VOLUME));
    assert!(wrong.ignored[0].contains(&format!("names volume \"yes\"; expected is {VOLUME}, found was {OTHER}")));
}

#[test]
fn an_acceptance_that_says_nothing_is_told() {
    let mut seen = nothing_yet();
    seen.backup.metadata.annotations = Some([(ACCEPT_LINEAGE.to_owned(), "yes".to_owned())].into());
    let ignored = Knowledge::new(&seen).ignored;
    assert!(ignored[0].contains("annotation etcd-backup.io/accept-lineage is ignored: \"yes\" is not"), "{ignored:?}");
}

#[test]
fn another_claim_is_another_story() {
    let mut seen = nothing_yet().with_status(known());
    seen.backup.spec.etcd.pvc_name = "another".into();
    assert_eq!(Knowledge::new(&seen), Knowledge::default());
}

#[test]
fn the_catalogue_tells_what_is_newer_than_the_last_report() {
    let catalogue = |time: &str| {
        let volume_id = OTHER.to_owned();
        let sets = std::collections::BTreeMap::new();
        Some(std::sync::Arc::new(crate::catalogue::Known { volume_id, time: at(time), sets }))
    };
    let mut seen = nothing_yet().with_status(known());
    seen.catalogue = catalogue("06:00");
    let now = Knowledge::new(&seen);
    assert_eq!((count(&now), now.volume_id.as_deref(), now.found_volume()), (Some(0), Some(VOLUME), Some(OTHER)));
    seen.catalogue = catalogue("05:00");
    assert_eq!(count(&Knowledge::new(&seen)), Some(3));
    let mut fresh = nothing_yet();
    fresh.catalogue = catalogue("06:00");
    assert_eq!(Knowledge::new(&fresh).volume_id.as_deref(), Some(OTHER));
}

//! Each sentence of the retention promise, as a table: [`limits`] has what goes and in which order, [`holds`] what never goes
//! or not before somebody accepts something.
//!
//! Sets are written as words: `v7` is the verified set of sequence 7, `d` damaged, `u` not wholly
//! verified; each of 10 bytes, or as many as `v7:25` says.

mod holds;
mod limits;

use super::*;
use crate::OwnerKind;

const VOLUME: &str = "9d2f9a52";

fn owner() -> Owner {
    Owner { cluster: Some("cluster-a".into()), kind: OwnerKind::Backup, name: "nightly".into() }
}

fn lineage(cluster_id: &str, revision: i64, raft_term: u64) -> Lineage {
    Lineage { cluster_id: cluster_id.into(), revision, raft_term, raft_index: Some(1000) }
}

fn set(word: &str) -> SetSummary {
    let (word, size_bytes) = word.split_once(':').map_or((word, 10), |(word, size)| (word, size.parse().unwrap()));
    let state = match &word[..1] {
        "v" => SetState::Verified,
        "u" => SetState::Unverified,
        "d" => SetState::Damaged,
        other => panic!("{other:?} is no state"),
    };
    let sequence: u64 = word[1..].parse().unwrap();
    let origin = SetOrigin {
        owner: owner(),
        sequence,
        completion_time: Timestamp::from_second(i64::try_from(sequence % 1000).unwrap()).unwrap(),
        lineage: lineage("c0", 100, 2),
    };
    SetSummary { name: name(word), state, size_bytes, origin: Some(origin) }
}

fn sets(words: &str) -> Vec<SetSummary> {
    words.split_whitespace().map(set).collect()
}

/// A name that sorts unlike the sequence does.
fn name(word: &str) -> SetName {
    let reversed: String = word.chars().rev().collect();
    SetName::parse(&format!("backup-{reversed}-{word}")).unwrap()
}

fn with_lineage(word: &str, lineage: Lineage) -> SetSummary {
    let mut set = set(word);
    set.origin.as_mut().unwrap().lineage = lineage;
    set
}

fn number(max_sets: u64) -> Policy {
    Policy::new(Retention::Number { max_sets })
}

fn size(max_bytes: u64) -> Policy {
    Policy::new(Retention::Size { max_bytes })
}

fn make_room(needed_bytes: u64, disk_short_bytes: u64) -> Stage<'static> {
    Stage::MakeRoom { needed_bytes, working_bytes: 0, disk_short_bytes, verified: true, lineage: None }
}

fn planned<'a>(sets: &'a [SetSummary], policy: &Policy, stage: Stage<'_>) -> Plan<'a> {
    plan(sets, policy, &Situation { owner: &owner(), volume_id: VOLUME, stage })
}

/// What goes, in the order in which it goes, as the words that the sets were written with.
fn gone(plan: &Plan<'_>) -> String {
    let words: Vec<&str> =
        plan.deletions().map(|verdict| verdict.set.name.as_str().rsplit('-').next().unwrap()).collect();
    words.join(" ")
}

/// The plan's deletions, row by row: sets, policy, stage, and what goes.
fn table(rows: impl IntoIterator<Item = (&'static str, Policy, Stage<'static>, &'static str)>) {
    for (words, policy, stage, expected) in rows {
        let sets = sets(words);
        assert_eq!(gone(&planned(&sets, &policy, stage.clone())), expected, "{words} by {policy:?} at {stage:?}");
    }
}

fn action(plan: &Plan<'_>, word: &str) -> Action {
    plan.verdicts.iter().find(|verdict| verdict.set.name == name(word)).unwrap().action
}

#[test]
fn a_line_of_the_catalogue_is_a_set_to_plan_with() {
    let json = serde_json::json!({
        "name": "backup-nightly-2026-01-02_030405-0b8f6f53", "state": "verified", "sizeBytes": 42,
        "origin": {
            "owner": owner(), "runId": "0b8f6f53-5c1b", "node": "master-0",
            "startTime": "2026-01-02T03:04:05Z", "completionTime": "2026-01-02T03:05:00Z",
            "set": {
                "name": "backup-nightly-2026-01-02_030405-0b8f6f53", "sequence": 7, "verified": true, "files": [],
                "snapshot": {
                    "revision": 100, "sizeBytes": 40, "sha256": "", "clusterId": "c0", "memberId": "m0", "raftTerm": 2, "raftIndex": 1000,
                },
            },
        },
    });
    let entry: CatalogueEntry = serde_json::from_value(json).unwrap();
    let expected = SetSummary {
        name: entry.name.clone(),
        state: SetState::Verified,
        size_bytes: 42,
        origin: Some(SetOrigin {
            owner: owner(),
            sequence: 7,
            completion_time: "2026-01-02T03:05:00Z".parse().unwrap(),
            lineage: lineage("c0", 100, 2),
        }),
    };
    assert_eq!(SetSummary::from(&entry), expected);
    assert_eq!(SetSummary::from(&CatalogueEntry { origin: None, ..entry }).origin, None);
}

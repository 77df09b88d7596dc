use etcd_backup_core::{SetName, SetState};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::catalogue::known::{Known, KnownSet, Made};
use crate::catalogue::memory::Asked;

const NOW: i64 = 1_800_000_000;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(NOW + minutes * 60).unwrap()
}

fn limits() -> Limits {
    Limits {
        lock_timeout: SignedDuration::from_mins(10),
        deadline: SignedDuration::from_mins(15),
        start_limit: SignedDuration::from_mins(60),
        reserve_percent: 10,
        starting_deadline: SignedDuration::from_mins(60),
    }
}

fn run(number: usize) -> String {
    format!("{number:08}-5c1b-4b4e-9c1f-1f5a3e2d7c11")
}

fn set_name(number: usize) -> SetName {
    SetName::parse(&format!("backup-nightly-2026-01-01_000000-{number:08}")).unwrap()
}

fn owner(kind: &str, name: &str, cluster: &str) -> etcd_backup_core::Owner {
    serde_json::from_value(json!({"kind": kind, "name": name, "cluster": cluster})).unwrap()
}

fn origin(number: usize) -> Origin {
    serde_json::from_value(json!({
        "owner": owner("Backup", "nightly", "cluster"), "runId": run(number), "node": "n",
        "startTime": at(-60).to_string(), "completionTime": at(-59).to_string(),
        "set": {"name": set_name(number), "sequence": number, "verified": true, "files": [], "snapshot":
            {"revision": 1, "sizeBytes": 1, "sha256": "", "clusterId": "1", "memberId": "2", "raftTerm": 3}},
    }))
    .unwrap()
}

fn schedule(name: &str, status: Value) -> Arc<DeserializeGuard<Backup>> {
    Arc::new(
        serde_json::from_value(json!({
            "apiVersion": "config.openshift.io/v1alpha1", "kind": "Backup", "metadata": {"name": name, "uid": "u"},
            "spec": {"etcd": {"schedule": "@daily", "pvcName": "claim"}}, "status": status,
        }))
        .unwrap(),
    )
}

fn object(name: &str, recorded: Option<usize>, phase: &str) -> Value {
    let condition = |type_: &str| json!({"type": type_, "status": "True", "reason": "Verified", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let mut object = json!({
        "apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup",
        "metadata": {"name": name, "uid": name}, "spec": {"pvcName": "claim"},
        "status": {"completionTime": at(-59).to_string(), "volumeId": "v"},
    });
    if let Some(number) = recorded {
        object["spec"]["recorded"] = json!({"backup": "nightly", "runId": run(number)});
        object["status"]["location"] = format!("pvc://ns/claim/{}", set_name(number)).into();
    }
    match phase {
        "" => {}
        "Completed" => object["status"]["conditions"] = json!([condition("Completed"), condition("Verified")]),
        phase => object["status"]["conditions"] = json!([condition(phase)]),
    }
    object
}

fn objects(all: impl IntoIterator<Item = Value>) -> Vec<Arc<Guarded>> {
    all.into_iter().map(|object| Arc::new(serde_json::from_value(object).unwrap())).collect()
}

fn record(number: usize, phase: &str) -> Value {
    object(&format!("record-{number}"), Some(number), phase)
}

fn job(component: &str, name: &str, uid: &str, end: Option<&str>) -> Arc<Job> {
    let conditions = end.map(|type_| json!([{"type": type_, "status": "True", "reason": "R", "message": "M"}]));
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {
                "name": name, "uid": uid, "creationTimestamp": at(-2).to_string(),
                "labels": {labels::COMPONENT: component}, "annotations": {labels::BACKUP: "nightly"},
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": "c"}],
            },
            "status": {"conditions": conditions, "completionTime": end.map(|_| at(-1).to_string())},
        }))
        .unwrap(),
    )
}

fn save_job(number: usize, end: Option<&str>) -> Arc<Job> {
    job(labels::SCHEDULED_SAVE, &format!("nightly-{number}"), &run(number), end)
}

fn known_set(number: usize, state: SetState, owner: etcd_backup_core::Owner) -> (SetName, KnownSet) {
    let run_id = run(number).parse().unwrap();
    let made = Made { owner: Arc::new(owner), run_id, sequence: number as u64, completion_time: at(-59) };
    (set_name(number), KnownSet { state, size_bytes: 1, made: Some(made) })
}

fn known(sets: impl IntoIterator<Item = (usize, SetState)>) -> Arc<Known> {
    let ours = |(number, state)| known_set(number, state, owner("Backup", "nightly", "cluster"));
    Arc::new(Known { volume_id: "v".into(), time: at(0), sets: sets.into_iter().map(ours).collect() })
}

/// A Backup on a bound claim whose volume is known to hold these sets.
fn seen(sets: impl IntoIterator<Item = (usize, SetState)>) -> Observed {
    Observed {
        claim: "claim".into(),
        cluster: "cluster".into(),
        bound: true,
        schedules: vec![schedule("nightly", json!({"volumeId": "v"}))],
        objects: Vec::new(),
        jobs: Vec::new(),
        memory: Claim { known: Some(known(sets)), used: true, ..Claim::default() },
        asked: Vec::new(),
    }
}

fn whole(seen: &mut Observed, numbers: impl IntoIterator<Item = usize>) {
    seen.memory.whole =
        numbers.into_iter().map(|number| (run(number).parse().unwrap(), Arc::new(origin(number)))).collect();
}

fn created(seen: &Observed) -> Vec<(String, Option<String>)> {
    let mut created: Vec<_> =
        decide(seen, &limits(), at(0)).create.into_iter().map(|new| (new.run_id[..8].to_owned(), new.job)).collect();
    created.sort();
    created
}

fn dropped(seen: &Observed) -> Vec<String> {
    decide(seen, &limits(), at(0)).drop.into_iter().map(|gone| gone.name).collect()
}

use SetState::{Damaged, Foreign, Unreadable, Verified};

#[test]
fn a_job_is_recorded_unless_its_set_has_gone() {
    let unknown = |used| Claim { used, ..Claim::default() };
    let failed = Claim { failed: Some(at(-1)), ..unknown(true) };
    let current = |sets: &[usize]| seen(sets.iter().map(|set| (*set, Verified))).memory;
    let older = Claim { known: Some(Arc::new(Known { time: at(-3), ..(*known([])).clone() })), ..unknown(true) };
    let dropped = Claim { dropped: BTreeSet::from([run(1)]), ..older.clone() };
    let rows = [
        ("at work", None, unknown(true), true),
        ("at work, and another set known", None, current(&[7]), true),
        ("failed", Some("Failed"), current(&[]), true),
        ("complete, the volume not known yet", Some("Complete"), unknown(true), false),
        ("complete, the volume cannot be known", Some("Complete"), failed, true),
        ("complete, nobody asks the volume", Some("Complete"), unknown(false), true),
        ("complete, and its set is there", Some("Complete"), current(&[1]), true),
        ("complete, and its set was pruned", Some("Complete"), current(&[]), false),
        ("complete after the volume was looked at", Some("Complete"), older, true),
        ("complete, and its record was dropped before", Some("Complete"), dropped, false),
    ];
    for (what, end, memory, expected) in rows {
        let seen = Observed { jobs: vec![save_job(1, end)], memory, ..seen([]) };
        let record = ("00000001".to_owned(), Some("nightly-1".to_owned()));
        assert_eq!(created(&seen), if expected { vec![record] } else { vec![] }, "{what}");
        let again = Observed { objects: objects([record_of(1)]), ..seen };
        assert_eq!(created(&again), [], "{what}, recorded before");
    }
}

fn record_of(number: usize) -> Value {
    record(number, "")
}

#[test]
fn only_jobs_of_the_backups_cron_job_are_recorded() {
    let mut other = (*save_job(1, None)).clone();
    other.metadata.owner_references = None;
    let mut unknown = (*save_job(2, None)).clone();
    unknown.annotations_mut().insert(labels::BACKUP.into(), "deleted".into());
    let jobs = vec![Arc::new(other), Arc::new(unknown), job(labels::CATALOGUE, "list", &run(3), None)];
    assert_eq!(created(&Observed { jobs, ..seen([]) }), []);
}

#[test]
fn a_set_without_a_record_is_recorded_from_its_whole_entry() {
    let mut seen = seen([(1, Verified), (2, Damaged)]);
    assert_eq!(decide(&seen, &limits(), at(0)).inventory, Inventory::Create, "what it needs is read first");
    whole(&mut seen, [1, 2, 3]);
    assert_eq!(created(&seen), [("00000001".to_owned(), None), ("00000002".to_owned(), None)]);
    let decision = decide(&seen, &limits(), at(0));
    assert_eq!(decision.inventory, Inventory::Wait);
    assert_eq!(decision.done, BTreeSet::from([run(3).parse().unwrap()]), "its set has gone");
    seen.objects = objects([record(1, "Completed"), record(2, "")]);
    let decision = decide(&seen, &limits(), at(0));
    assert_eq!((decision.create, decision.drop), (vec![], vec![]));
    assert_eq!(decision.done.len(), 2, "the second is still needed to complete its record");
}

#[test]
fn sets_of_others_are_not_recorded() {
    let others = [
        owner("Backup", "nightly", "another-cluster"),
        owner("EtcdBackup", "one-shot", "cluster"),
        owner("Manual", "nightly", "cluster"),
        owner("Backup", "deleted", "cluster"),
    ];
    for owner in others {
        let mut seen = seen([]);
        let set = known_set(1, Verified, owner.clone());
        seen.memory.known = Some(Arc::new(Known { sets: [set].into(), ..(*known([])).clone() }));
        let decision = decide(&seen, &limits(), at(0));
        assert_eq!((&decision.create, &decision.inventory), (&vec![], &Inventory::Wait), "{owner:?}");
        let wanted = seen.wanted();
        assert!(!wanted(&Origin { owner: owner.clone(), ..origin(1) }), "{owner:?}");
        assert!(wanted(&origin(1)));
    }
}

#[test]
fn records_go_at_a_bounded_pace() {
    let mut many = seen((0..250).map(|number| (number, Verified)));
    whole(&mut many, 0..250);
    let decision = decide(&many, &limits(), at(0));
    assert_eq!((decision.create.len(), decision.more), (BATCH, true));
    let many = Observed { objects: objects((0..250).map(|number| record(number, "Completed"))), ..seen([]) };
    let decision = decide(&many, &limits(), at(0));
    assert_eq!((decision.drop.len(), decision.more), (BATCH, true));
}

#[test]
fn a_record_goes_with_its_set_and_only_then() {
    let gone = || Observed { objects: objects([record(1, "Completed")]), ..seen([(9, Foreign)]) };
    assert_eq!(dropped(&gone()), ["record-1"]);
    let mut rows: Vec<(&str, Observed)> = Vec::new();
    for state in [Verified, Damaged, Unreadable] {
        rows.push(("the set is there", Observed { memory: seen([(1, state)]).memory, ..gone() }));
    }
    let mut stale = gone();
    stale.memory.stale = true;
    rows.push(("the catalogue is not current", stale));
    let mut older = gone();
    older.memory.known = Some(Arc::new(Known { time: at(-60), ..(*known([])).clone() }));
    rows.push(("the catalogue is older than the run", older));
    let mut other_volume = gone();
    other_volume.memory.known = Some(Arc::new(Known { volume_id: "w".into(), ..(*known([])).clone() }));
    rows.push(("the catalogue is of another volume than the record", other_volume));
    let changed = Observed { schedules: vec![schedule("nightly", json!({"volumeId": "before"}))], ..gone() };
    rows.push(("the Backup's volume has changed", changed));
    let moved = json!({"volumeId": "elsewhere's", "pvcName": "elsewhere"});
    let moved = Observed { schedules: vec![schedule("nightly", moved)], ..gone() };
    assert_eq!(dropped(&moved), ["record-1"], "the Backup's volume is now another claim's");
    let one_shot = Observed { objects: objects([object("one-shot", None, "Completed")]), ..gone() };
    rows.push(("it is a user's", one_shot));
    let elsewhere = Observed { claim: "elsewhere".into(), ..gone() };
    rows.push(("it is on another claim", elsewhere));
    let unknown = Observed { memory: Claim { used: true, ..Claim::default() }, ..gone() };
    rows.push(("nothing is known", unknown));
    for (what, seen) in rows {
        assert_eq!(dropped(&seen), [""; 0], "{what}");
    }
    let manifest_gone = Observed { memory: seen([(1, Foreign)]).memory, ..gone() };
    assert_eq!(dropped(&manifest_gone), ["record-1"]);
}

#[test]
fn failed_records_are_bounded_and_yield_to_a_set() {
    let failed = |number: usize| {
        let mut record = record(number, "Failed");
        record["status"]["completionTime"] = at(-100 + i64::try_from(number).unwrap()).to_string().into();
        record
    };
    let mut many = Observed { objects: objects((0..13).map(failed)), ..seen([]) };
    assert_eq!(dropped(&many), ["record-0", "record-1", "record-2"]);
    many.jobs = vec![save_job(1, Some("Failed"))];
    assert_eq!(dropped(&many), ["record-0", "record-2"], "the second one's Job would bring it back");

    let mut good = Observed { objects: objects([failed(1)]), ..seen([(1, Verified)]) };
    assert_eq!(decide(&good, &limits(), at(0)).inventory, Inventory::Create, "its entry is read first");
    whole(&mut good, [1]);
    assert_eq!(dropped(&good), ["record-1"]);
    good.jobs = vec![save_job(1, None)];
    assert_eq!(dropped(&good), [""; 0], "its Job is at work");
    let mut damaged = Observed { objects: objects([failed(1)]), ..seen([(1, Damaged)]) };
    whole(&mut damaged, [1]);
    assert_eq!(dropped(&damaged), [""; 0]);
}

#[test]
fn a_record_that_can_never_end_goes() {
    let alone = |seen: Observed| Observed { objects: objects([record(1, "")]), ..seen };
    assert_eq!(dropped(&alone(seen([]))), ["record-1"]);
    assert_eq!(dropped(&alone(seen([(1, Verified)]))), [""; 0]);
    let mut unknown = alone(seen([]));
    unknown.memory.stale = true;
    assert_eq!(dropped(&unknown), [""; 0]);
    let mut with_job = record(1, "");
    with_job["metadata"]["annotations"] = json!({labels::JOB: "nightly-1"});
    assert_eq!(dropped(&Observed { objects: objects([with_job]), ..seen([]) }), [""; 0]);
}

#[test]
fn who_says_of_its_set_what_is_not_so_is_looked_at() {
    let mut mine = object("mine", None, "Completed");
    mine["status"]["location"] = format!("pvc://ns/claim/{}", set_name(1)).into();
    let seen = |sets: &[(usize, SetState)]| Observed { objects: objects([mine.clone()]), ..seen(sets.iter().copied()) };
    assert_eq!(decide(&seen(&[]), &limits(), at(0)).recheck, ["mine"]);
    assert_eq!(decide(&seen(&[(1, Damaged)]), &limits(), at(0)).recheck, ["mine"]);
    assert_eq!(decide(&seen(&[(1, Verified)]), &limits(), at(0)).recheck, [""; 0]);
}

#[test]
fn a_volume_is_asked_when_it_is_not_known_and_not_too_often() {
    let wait = |until: i64| (Inventory::Wait, Some(at(until)));
    let soon = (Inventory::Wait, Some(at(0) + SignedDuration::from_secs(5)));
    let unknown = || Claim { used: true, ..Claim::default() };
    let asked = |minutes| Some(Asked { job: "list".into(), at: at(minutes) });
    let list = |end| vec![job(labels::CATALOGUE, "list", "u", end)];
    let failed = |why: &str, delete| (Inventory::Failed { job: "list".into(), why: why.into(), delete }, None);
    let base = || seen([]);
    let with = |memory: Claim| Observed { memory, ..base() };
    let mut old = (*list(None)[0]).clone();
    old.metadata.creation_timestamp.as_mut().unwrap().0 = at(-31);
    let old = vec![Arc::new(old)];
    let rows = [
        ("known", base(), (Inventory::Wait, None)),
        ("not known", with(unknown()), (Inventory::Create, None)),
        ("stale", with(Claim { stale: true, ..base().memory }), (Inventory::Create, None)),
        ("not bound", Observed { bound: false, ..with(unknown()) }, (Inventory::Wait, None)),
        ("not used", Observed { schedules: vec![], ..with(unknown()) }, (Inventory::Wait, None)),
        ("failed just now", with(Claim { failed: Some(at(-1)), ..unknown() }), wait(9)),
        ("failed long ago", with(Claim { failed: Some(at(-10)), ..unknown() }), (Inventory::Create, None)),
        ("ten others under way", Observed { asked: vec![at(0); 10], ..with(unknown()) }, soon),
        ("nine", Observed { asked: vec![at(0); 9], ..with(unknown()) }, (Inventory::Create, None)),
        ("ten that hang", Observed { asked: vec![at(-1); 10], ..with(unknown()) }, (Inventory::Create, None)),
        ("left by another process", Observed { jobs: list(None), ..with(unknown()) }, wait(29)),
        (
            "ended, of another process",
            Observed { jobs: list(Some("Complete")), ..with(unknown()) },
            (Inventory::Create, None),
        ),
        ("left and stuck", Observed { jobs: old.clone(), ..with(unknown()) }, (Inventory::Delete("list".into()), None)),
        ("asked, not seen yet", with(Claim { asked: asked(0), ..unknown() }), wait(1)),
        ("asked, deleted", with(Claim { asked: asked(-1), ..unknown() }), failed("the Job was deleted", false)),
        ("at work", Observed { jobs: list(None), ..with(Claim { asked: asked(-2), ..unknown() }) }, wait(29)),
        (
            "stuck",
            Observed { jobs: old, ..with(Claim { asked: asked(-31), ..unknown() }) },
            failed("the Job did not end in time", true),
        ),
        (
            "complete",
            Observed { jobs: list(Some("Complete")), ..with(Claim { asked: asked(-2), ..unknown() }) },
            (Inventory::Read("list".into()), None),
        ),
        (
            "failed",
            Observed { jobs: list(Some("Failed")), ..with(Claim { asked: asked(-2), ..unknown() }) },
            failed("R: M", false),
        ),
    ];
    for (what, seen, expected) in rows {
        let decision = decide(&seen, &limits(), at(0));
        assert_eq!((decision.inventory, decision.look_again), expected, "{what}");
        assert!(decision.look_again.is_none_or(|again| again > at(0)), "{what}: at once, for ever");
    }
    let mut stale = Observed { memory: Claim { stale: true, read: Some(at(0)), ..base().memory }, ..base() };
    let decision = decide(&stale, &limits(), at(0));
    assert_eq!(decision.inventory, Inventory::Wait);
    stale.memory.read = Some(at(-1));
    assert_eq!(decide(&stale, &limits(), at(0)).inventory, Inventory::Create);
}

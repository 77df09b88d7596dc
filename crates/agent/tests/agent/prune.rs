use std::io::Write;
use std::process::{Command, Stdio};

use etcd_backup_core::{Outcome, Reason, Report, RetentionReason};
use etcd_backup_testbed::measured;
use rustix::process::Signal;

use crate::bed::{CLUSTER, names, prune};
use crate::number::{keep, retention};
use crate::sets::{self, Made};

fn report(ran: &crate::bed::Ran) -> Report {
    serde_json::from_value(ran.json()["report"].take()).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout))
}

#[test]
fn a_dry_run_shows_every_set_with_its_reason_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path();
    let empty = prune(volume).args(["--keep", "1", "--dry-run"]).run();
    assert_eq!((empty.exit, empty.json()["deletions"].as_u64()), (Some(0), Some(0)), "{}", empty.stderr);
    assert!(names(volume).is_empty(), "a dry run leaves nothing behind");

    let made: Vec<_> = (0..4).map(|_| Made::new().on(volume)).collect();
    let one_shot = etcd_backup_core::OwnerKind::EtcdBackup;
    Made { owner: etcd_backup_core::Owner { kind: one_shot, ..crate::bed::schedule() }, ..Made::new() }.on(volume);
    sets::strangers(volume);
    // It waits for nobody either.
    let held = sets::lock(volume);
    let dry = prune(volume).args(["--keep", "2", "--dry-run"]).run();
    drop(held);
    assert_eq!(dry.exit, Some(0), "{}", dry.stderr);
    let json = dry.json();
    assert_eq!((json["dryRun"].as_bool(), json["reason"].as_str()), (Some(true), Some("Satisfied")));
    assert_eq!((json["deletions"].as_u64(), json["retained"]["verified"].as_u64()), (Some(2), Some(2)));
    let rows: Vec<_> = json["sets"].as_array().unwrap().iter().collect();
    let why = |row: &serde_json::Value| {
        let action = if row["keep"].is_string() { "keep" } else { "delete" };
        (action, row[action].as_str().unwrap().to_owned())
    };
    let expected = [
        ("delete", "OverNumber"),
        ("delete", "OverNumber"),
        ("keep", "WithinNumber"),
        ("keep", "NewestVerified"),
        ("keep", "OneShot"),
        ("keep", "Foreign"),
    ];
    assert_eq!(rows.iter().map(|row| why(row)).collect::<Vec<_>>(), expected.map(|(a, b)| (a, b.to_owned())));
    assert_eq!(rows[0]["name"], made[0].as_str());

    let text = prune(volume).text().args(["--keep", "2", "--dry-run"]).run().stdout;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0].split_whitespace().next(), Some("ACTION"));
    assert!(lines[1].starts_with("DELETE") && lines[1].ends_with("over the number to keep"), "{text}");
    assert!(lines[7].contains("2 of 6 sets") && lines[7].contains("nothing was changed"), "{text}");
    assert_eq!(sets::all(volume).len(), 6);
}

#[test]
fn without_a_terminal_nothing_is_deleted_unless_yes_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path();
    (0..5).for_each(|_| _ = Made::new().on(volume));
    let asked = prune(volume).text().args(["--keep", "2"]).run();
    assert_eq!(asked.exit, Some(2), "{}", asked.stdout);
    assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
    assert_eq!(sets::all(volume).len(), 5);

    let run = "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11";
    let ran = prune(volume).args(["--max-size", "3KiB", "--yes", "--run-id", run, "--node", "master-0"]).run();
    assert_eq!(ran.exit, Some(0), "{}", ran.stderr);
    let report = report(&ran);
    assert_eq!((report.outcome, report.reason, report.node.as_str()), (Outcome::Completed, Reason::Pruned, "master-0"));
    let said = retention(&report);
    assert!(said.retained.size_bytes <= 3 << 10 && said.deleted > 0 && said.peak_bytes > 3 << 10);
    assert_eq!(said.deleted + said.retained.sets, 5);
    assert_eq!(report.catalogue.as_ref().unwrap().digest.count, said.retained.sets);
    // The operator finds the same on the volume.
    let volume = etcd_backup_store::Volume::open(volume).unwrap();
    assert_eq!(volume.read_report(&run.parse().unwrap()).unwrap(), Some(report));
}

/// On a terminal, with this answer.
fn on_a_terminal(volume: &std::path::Path, answer: &str) -> (Option<i32>, String) {
    let command = format!(
        "{} prune {} --owner Backup/nightly --cluster {CLUSTER} --keep 1",
        env!("CARGO_BIN_EXE_etcd-backup"),
        volume.display()
    );
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = script.spawn().unwrap();
    running.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    let ended = running.wait_with_output().unwrap();
    (ended.status.code(), String::from_utf8_lossy(&ended.stdout).into_owned())
}

#[test]
fn on_a_terminal_it_is_asked_after_the_plan_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path();
    (0..3).for_each(|_| _ = Made::new().on(volume));
    for answer in ["n\n", "\n", "what?\n"] {
        let (exit, text) = on_a_terminal(volume, answer);
        assert_eq!((exit, sets::all(volume).len()), (Some(5), 3), "{text}");
        assert!(text.find("DELETE").unwrap() < text.find("[y/N]").unwrap(), "{text}");
    }
    let (exit, text) = on_a_terminal(volume, "y\n");
    assert_eq!((exit, sets::all(volume).len()), (Some(0), 1), "{text}");
    // Nothing to delete, nothing to ask.
    let (exit, text) = on_a_terminal(volume, "");
    assert_eq!((exit, text.contains("[y/N]")), (Some(0), false), "{text}");
}

#[test]
fn a_policy_that_is_not_the_expected_one_is_not_enforced() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path();
    (0..3).for_each(|_| _ = Made::new().on(volume));
    let policy = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(policy.path(), serde_json::to_vec(&keep(1)).unwrap()).unwrap();
    let id = etcd_backup_store::Volume::open(volume).unwrap().id().unwrap().unwrap().to_string();
    let run = |hash: &str| {
        let agent = prune(volume).arg("--yes").arg("--policy").arg(policy.path());
        agent.args(["--expect-policy", hash]).run()
    };
    let refused = run(&keep(2).hash_on(&id)).ended(1);
    assert_eq!((refused.outcome, refused.reason), (Outcome::Failed, Reason::PolicyNotCurrent));
    assert_eq!(sets::all(volume).len(), 3);
    let done = run(&keep(1).hash_on(&id));
    assert_eq!((done.exit, sets::all(volume).len()), (Some(0), 1), "{}", done.stderr);
    assert_eq!(retention(&report(&done)).policy_hash, Some(keep(1).hash_on(&id)));
}

#[test]
fn many_sets_are_pruned_in_one_run() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path();
    let locked = sets::lock(volume);
    (0..300).for_each(|_| _ = Made::new().with(&locked));
    drop(locked);
    let ran = prune(volume).args(["--keep", "3", "--yes"]).run();
    assert_eq!(retention(&report(&ran)).deleted, 297, "{}", ran.stderr);
    assert!(sets::all(volume).iter().all(sets::is_proven) && sets::all(volume).len() == 3);
    measured("prune-many", &[("sets", &300), ("ms", &ran.took.as_millis())]).unwrap();
}

#[test]
fn a_signal_ends_it_between_two_sets_and_the_report_tells_how_far_it_came() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path();
    let locked = sets::lock(volume);
    (0..300).for_each(|_| _ = Made::new().with(&locked));
    drop(locked);
    let mut running = prune(volume).args(["--keep", "1", "--yes"]).start();
    running.until("a deletion", || names(volume).len() < 300);
    running.signal(Signal::TERM);
    let ended = running.wait();
    let report = report(&ended);
    let left = sets::all(volume).len() as u64;
    assert_eq!((ended.exit, report.reason), (Some(5), Reason::Interrupted), "{}", ended.stderr);
    assert_eq!(retention(&report).reason, RetentionReason::PruneFailed);
    assert_eq!((retention(&report).deleted, retention(&report).retained.sets), (300 - left, left));
    assert!(left > 1, "{left}");
}
